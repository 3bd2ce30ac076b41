"""Placing: manifests into a folder, one file an app; all is checked before the first is written, and nothing replaced unasked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from octosync.cli.files import why_untrusted
from octosync.errors import OctosyncError
from octosync.manifest import LEFT_OUT_OF_FOLDERS
from octosync.report import visible

_NAMED = 10  # files in an error


@dataclass(frozen=True, slots=True)
class Placed:
    """How many files were written, how many were the same already, and what stopped the rest."""

    written: int
    same: int
    failed: OctosyncError | None = None


def file_name(slug: str, *, rest: bool = False) -> str:
    """Name an app's file; `rest` for what manifests that stand elsewhere leave undeclared of it.

    A slug has no dots, so no two names are the same, and none is one that folders' readers leave out, as octosync.yaml.
    """
    name = f"{slug}.unmanaged.yaml" if rest else f"{slug}.yaml"
    return name if name not in LEFT_OUT_OF_FOLDERS else f"{slug}.app.yaml"


def check_directory(directory: Path) -> None:
    """Refuse what can't be a folder, and one behind a link that a checkout brought along. Raises `OctosyncError`."""
    if (why := why_untrusted(directory)) is not None:
        raise OctosyncError(
            "unwritable", f"{directory} can't be written: {why}", hints=("Name another folder with -o.",)
        )
    if directory.exists() and not directory.is_dir():
        raise OctosyncError(
            "not-a-folder", f"{directory} is not a folder", hints=("Name a folder with -o; it is made where it lacks.",)
        )


def place(directory: Path, texts: Mapping[str, str], *, force: bool) -> Placed:
    """Write texts by file name, each whole or not at all; what is there with the same text is left as it is.

    Raises `OctosyncError` before anything is written: for files that would be replaced without `force`, and for a folder
    that can't be made.
    """
    check_directory(directory)
    changed = {name: text for name, text in texts.items() if _is_other(directory / name, text)}
    taken = [name for name in changed if os.path.lexists(directory / name)]
    if taken and not force:
        shown = ", ".join(visible(str(directory / name)) for name in taken[:_NAMED])
        more = f" and {len(taken) - _NAMED} more" if len(taken) > _NAMED else ""
        raise OctosyncError(
            "would-overwrite",
            f"{shown}{more} {'is' if len(taken) == 1 else 'are'} there already, with another text",
            hints=("--force replaces what is there; or name another folder with -o.",),
        )
    written = 0
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in changed.items():
            _write(directory / name, text)
            written += 1
    except OSError as error:
        where = error.filename2 or error.filename or directory
        failed = OctosyncError("unwritable", f"{where} can't be written: {error.strerror}")
        return Placed(written, len(texts) - len(changed), failed)
    return Placed(written, len(texts) - len(changed))


def _is_other(path: Path, text: str) -> bool:
    try:
        return path.read_bytes() != text.encode()
    except OSError:
        return True


def _write(path: Path, text: str) -> None:
    """Write a file beside its place, then put it there. A link is replaced, not followed: it may lead anywhere."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
        beside.replace(path)
    except BaseException:
        beside.unlink()
        raise
