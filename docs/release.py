"""Checks a tag before a release, and prints the release notes: `python -I docs/release.py v0.1.0`.

The tag must be `v` with the version in src/octosync/__init__.py, and CHANGELOG.md must have a section for it. The notes are that
section. Only the standard library is needed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class ReleaseError(Exception):
    """The tag can't be released."""


def release_notes(tag: str, source: str, changelog: str) -> str:
    """Return the section of the changelog for a tag. Raise `ReleaseError` if the tag or the changelog is not as it must be.

    `source` is the text of src/octosync/__init__.py.
    """
    found = re.search(r'^__version__ = "([^"]+)"$', source, re.MULTILINE)
    version = found[1] if found else ""
    if tag != f"v{version}":
        raise ReleaseError(f"the tag is {tag}, but the version in src/octosync/__init__.py is {version}")
    section = re.search(
        rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## \[|^\[[^\]]+\]: |\Z)",
        changelog,
        re.MULTILINE | re.DOTALL,
    )
    if section is None or not section[1].strip():
        raise ReleaseError(f"CHANGELOG.md has no section `## [{version}] - YYYY-MM-DD` with changes")
    return section[1].strip() + "\n"


def main(tag: str) -> None:
    """Print the release notes of a tag, or exit with 1 and an error."""
    source = (ROOT / "src" / "octosync" / "__init__.py").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    try:
        sys.stdout.write(release_notes(tag, source, changelog))
    except ReleaseError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(sys.argv[1])
