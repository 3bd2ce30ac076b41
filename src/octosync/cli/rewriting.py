"""Rewriting: files that were read before, all of them or none; each whole, links followed, modes kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from octosync.cli.files import why_unwritable, write_whole
from octosync.errors import OctosyncError


def rewrite(files: Mapping[Path, tuple[bytes, bytes]]) -> None:
    """Replace what files hold, before and after given, as UTF-8.

    Raises `OctosyncError` before the first is written: for one that can't be written, or holds something else by now. One
    that the file system refuses all the same is an error that names those that are written.
    """
    for path, (before, _) in files.items():
        why = why_unwritable(path) or (None if os.access(path, os.W_OK) else "it may not be written to")
        if why is not None:
            raise OctosyncError("unwritable", f"{path} can't be written: {why}")
        if _read(path) != before:
            raise OctosyncError("changed-meanwhile", f"{path} was changed while this ran", hints=("Try again.",))
    written: list[str] = []
    for path, (_, after) in files.items():
        try:
            write_whole(path, after.decode(), private=False)
        except OSError as error:
            done = (f"Written by then: {', '.join(written)}",) if written else ()
            raise OctosyncError("unwritable", f"{path} can't be written: {error.strerror}", hints=done) from error
        written.append(str(path))


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
