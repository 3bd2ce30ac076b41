"""docs/explanation/architecture.md and CONTRIBUTING.md name files and functions that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "octosync"
PAGES = ("docs/explanation/architecture.md", "CONTRIBUTING.md")


def _names(page: str) -> set[str]:
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return set(re.findall(r"`([^`\n]+)`", text))


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page: str) -> None:
    """Every file that the page names exists, in the sources or in the repository."""
    files = {
        name
        for name in _names(page)
        if re.fullmatch(r"[\w/.*-]+\.(py|md|yml|yaml|toml)", name) and name != "octosync.yaml"
    }
    assert files
    missing = {
        name for name in files if not any((folder / name).exists() for folder in (SOURCES, ROOT)) and "*" not in name
    }
    assert missing == set()


def test_functions_that_the_page_names_exist() -> None:
    """Functions and classes that the page names are defined in the sources."""
    named = {
        name
        for name in _names("docs/explanation/architecture.md")
        if re.fullmatch(r"[a-z]+(_[a-z]+)+|[A-Z][a-z]+[A-Z]\w+", name)
    }
    defined = {
        name
        for path in SOURCES.rglob("*.py")
        for name in re.findall(r"^ *(?:async def|def|class) (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {"observe_and_review", "replacement_for"} <= named
    assert named - {"search-small"} <= defined


def test_every_package_has_its_row() -> None:
    """The table of packages lists all of them."""
    rows = set(
        re.findall(
            r"^\| `([\w.]+)` \|",
            (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8"),
            flags=re.MULTILINE,
        )
    )
    packages = {path.parent.name for path in SOURCES.glob("*/__init__.py")}
    assert rows == packages | {path.name for path in SOURCES.glob("[!_]*.py")}
