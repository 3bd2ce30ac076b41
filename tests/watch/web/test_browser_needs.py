"""The requirements of the browser tests, and the screenshots for the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.browser import REQUIRED, missing

_ROOT = Path(__file__).parents[3]


def test_a_missing_chromium_fails_where_it_is_required(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If `.ci/run` requires Chromium, the browser tests are not skipped without it. Elsewhere they are."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(REQUIRED, "1")
    assert not missing()
    monkeypatch.setenv(REQUIRED, "0")
    assert missing()
    assert f"export {REQUIRED}=" in (_ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_screenshots_of_the_documentation_are_small() -> None:
    """The status page's screenshots exist in light and dark and are smaller than 200 kB."""
    folder = _ROOT / "docs" / "images"
    for scheme in ("light", "dark"):
        for name in ("status", "status-wide"):
            assert 10_000 < (folder / f"{name}-{scheme}.png").stat().st_size < 200_000
