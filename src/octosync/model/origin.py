"""Where in the manifests a thing was said."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """A place in a file: `file` as the user named it, `line` and `column` from 1, columns in characters.

    Without a line, where it is 0, the file itself is meant, which may not even exist.
    """

    file: str
    line: int = 0
    column: int = 1

    def __str__(self) -> str:
        return self.file if not self.line else f"{self.file}:{self.line}:{self.column}"
