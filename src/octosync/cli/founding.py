"""Founding: new files in a folder, all of them or none, and none in the place of another."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from octosync.cli.files import why_untrusted
from octosync.errors import OctosyncError
from octosync.report import visible


def found(directory: Path, texts: Mapping[str, str]) -> None:
    """Write files by their paths below a folder, which is made where it lacks.

    Raises `OctosyncError` with nothing written: where one of them exists, and where one can't be written.
    """
    _refuse_taken(directory, texts)
    made: list[Path] = []
    try:
        for name, text in texts.items():
            _make_folders((directory / name).parent, made)
            _write_new(directory / name, text, made)
    except OSError as error:
        _undo(made)
        if isinstance(error, FileExistsError):
            _refuse_taken(directory, texts)  # somebody else was quicker
        where = visible(str(error.filename or directory))
        raise OctosyncError("unwritable", f"{where} can't be written: {error.strerror}") from error
    except BaseException:
        _undo(made)
        raise


def _refuse_taken(directory: Path, texts: Mapping[str, str]) -> None:
    for name in texts:
        if (why := why_untrusted(directory / name)) is not None:
            raise OctosyncError("unwritable", f"{visible(str(directory / name))} can't be written: {why}")
    taken = [name for name in texts if os.path.lexists(directory / name)]
    if taken:
        raise OctosyncError(
            "would-overwrite",
            f"{', '.join(visible(str(directory / name)) for name in taken)} {'is' if len(taken) == 1 else 'are'} there already",
            hints=("Name another folder, or move away what is there: init never replaces a file.",),
        )


def _make_folders(folder: Path, made: list[Path]) -> None:
    if folder.is_dir():
        return
    _make_folders(folder.parent, made)
    folder.mkdir()
    made.append(folder)


def _write_new(path: Path, text: str, made: list[Path]) -> None:
    with path.open("x", encoding="utf-8", newline="") as file:
        made.append(path)
        file.write(text)


def _undo(made: list[Path]) -> None:
    for path in reversed(made):
        with suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
