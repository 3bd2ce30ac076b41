"""Golden files: output for people, stored beside the tests and compared byte for byte.

`OCTOSYNC_UPDATE_GOLDEN=1` writes them and fails the test, so that the new files are reviewed before they are used.
"""

from __future__ import annotations

import os
from pathlib import Path


def assert_golden(file: Path, text: str) -> None:
    """Compare a text with a golden file."""
    if os.environ.get("OCTOSYNC_UPDATE_GOLDEN") == "1":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="")
        raise AssertionError(f"{file.name} was written: review it, then run the test again")
    assert text == file.read_text(encoding="utf-8"), file.name
