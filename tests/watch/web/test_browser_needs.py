"""What the tests in a browser need, and the pictures that one takes for the documents."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.browser import REQUIRED, missing

_ROOT = Path(__file__).parents[3]


def test_a_skip_fails_where_chromium_is_required(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where `.ci/run` asks for Chromium, its absence is no reason to skip; elsewhere it is."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(REQUIRED, "1")
    assert not missing()
    monkeypatch.setenv(REQUIRED, "0")
    assert missing()
    assert f"export {REQUIRED}=" in (_ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_pictures_of_the_documents_are_small() -> None:
    """The status page's pictures are there, in both schemes, below 200 kB."""
    folder = _ROOT / "docs" / "images"
    for scheme in ("light", "dark"):
        assert 10_000 < (folder / f"status-{scheme}.png").stat().st_size < 200_000
