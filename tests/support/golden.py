"""Golden files: what people see, kept beside the tests and compared to the byte.

`OCTOSYNC_UPDATE_GOLDEN=1` writes them anew, and fails all the same: what was written is to be looked at first.
"""

from __future__ import annotations

import os
from pathlib import Path


def assert_golden(file: Path, text: str) -> None:
    """Compare a text with a golden file."""
    if os.environ.get("OCTOSYNC_UPDATE_GOLDEN") == "1":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="")
        raise AssertionError(f"{file.name} was written: look at it, then run the test again")
    assert text == file.read_text(encoding="utf-8"), file.name
