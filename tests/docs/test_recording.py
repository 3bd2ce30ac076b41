"""The recording at the top of README."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from docs.executing import ROOT

_SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_recording_plays_anywhere(scheme: str) -> None:
    """It is well-formed, has a title and no script or external resource, and no line is wider than its terminal."""
    text = (ROOT / "docs" / "images" / f"demo-{scheme}.svg").read_text(encoding="utf-8")
    picture = ET.fromstring(text)  # noqa: S314 — our own file
    title = picture.find(f"{_SVG}title")
    assert title is not None
    assert title.text
    assert picture.get("aria-labelledby") == title.get("id")
    assert {element.tag.removeprefix(_SVG) for element in picture.iter()} == {
        *("svg", "title", "style", "rect", "path", "g", "text")
    }
    assert re.findall(r"href|url\(|@import", text) == []
    assert "prefers-reduced-motion:reduce" in text
    margin, cell = 16, 8.4
    for element in picture.iter(f"{_SVG}text"):
        column = round((float(element.get("x", "nan")) - margin) / cell)
        assert column + len(element.text or "") <= 80, element.text
