"""Files that a command writes: complete or not at all, a set of files all or none, and never through an untrusted link.

Each is written by one of two functions: `_replace` replaces an existing file atomically, `_open_new` creates a file only if
there is none.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from octosync.errors import OctosyncError
from octosync.manifest.load.limits import Bounds, OutOfBoundsError, links_on
from octosync.report import visible

_PRIVATE: Final = 0o600
_READABLE: Final = 0o666  # less the umask
_MAX_LISTED: Final = 10  # files in an error


def write_whole(path: Path, text: str, *, private: bool) -> None:
    """Write a file completely or not at all; a `private` one is readable by its owner only. Raises `OSError`.

    A trusted link stays a link, and its target is replaced. A pipe, a device, and a stream of this process such as
    /dev/stdout are written to and never replaced by a file.
    """
    if is_stream(path):
        with path.open("a", encoding="utf-8", newline="") as stream:
            stream.write(text)
        return
    if (why := why_untrusted(path)) is not None:
        raise OSError(errno.ELOOP, why)
    target = path.resolve()
    _replace(target, text.encode(), _PRIVATE if private else _mode_of(target))


@dataclass(frozen=True, slots=True)
class WrittenFiles:
    """The number of files that were written, of those that were unchanged, and the error that stopped the rest."""

    written: int
    same: int
    failed: OctosyncError | None = None


def write_each(directory: Path, texts: Mapping[str, str], *, force: bool) -> WrittenFiles:
    """Write texts by file name into a folder, each file completely or not at all. Unchanged files are not written.

    A link with the name of a file is replaced, not followed. Raises `OctosyncError` before anything is written: for existing
    files without `force`, and for a folder that can't be created.
    """
    check_directory(directory)
    changed = {name: text for name, text in texts.items() if _read(directory / name) != text.encode()}
    taken = [name for name in changed if os.path.lexists(directory / name)]
    if taken and not force:
        shown = ", ".join(visible(str(directory / name)) for name in taken[:_MAX_LISTED])
        more = f" and {len(taken) - _MAX_LISTED} more" if len(taken) > _MAX_LISTED else ""
        raise OctosyncError(
            "would-overwrite",
            f"{shown}{more} already {_exist_or_exists(taken)}, with different content",
            hints=("Replace existing files with --force, or name another folder with -d.",),
        )
    same = len(texts) - len(changed)
    written, path = 0, directory
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in changed.items():
            path = directory / name
            _replace(path, text.encode(), _mode_of_new())
            written += 1
    except OSError as error:
        where = error.filename or directory if path is directory else path
        return WrittenFiles(written, same, _unwritable(where, error.strerror))
    return WrittenFiles(written, same)


def create_all(directory: Path, texts: Mapping[str, str]) -> None:
    """Create new files by their paths below a folder: all of them or none. Missing folders are created.

    Raises `OctosyncError` with nothing written if one of the files exists or can't be written.
    """
    _refuse_taken(directory, texts)
    created: list[Path] = []
    try:
        for name, text in texts.items():
            _make_folders((directory / name).parent, created)
            _create(directory / name, text, created)
    except OSError as error:
        _undo(created)
        if isinstance(error, FileExistsError):
            _refuse_taken(directory, texts)  # created by another process in the meantime
        raise _unwritable(visible(str(error.filename or directory)), error.strerror) from error
    except BaseException:
        _undo(created)
        raise


def replace_all(files: Mapping[Path, tuple[bytes, bytes]]) -> None:
    """Replace the content of files, given as (before, after) in UTF-8. Links are followed and modes kept.

    Raises `OctosyncError` before the first write if a file is not writable or was changed since it was read. If a later write
    fails, the error names the files that are written.
    """
    for path, (before, _) in files.items():
        why = why_unwritable(path) or (None if os.access(path, os.W_OK) else "it is not writable")
        if why is not None:
            raise _unwritable(path, why)
        if _read(path) != before:
            raise OctosyncError("changed-meanwhile", f"{path} was changed while this ran", hints=("Try again.",))
    written: list[str] = []
    for path, (_, after) in files.items():
        try:
            write_whole(path, after.decode(), private=False)
        except OSError as error:
            done = (f"Already written: {', '.join(written)}",) if written else ()
            raise _unwritable(path, error.strerror, hints=done) from error
        written.append(str(path))


class KeyFile:
    """A new file for keys that only its owner can read. As a context manager, it is removed unless keys were written.

    It is created before any request is sent, so that no key is created that can't be stored. Raises `OctosyncError` if a file
    of that name exists, or if it can't be created.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._holds_keys = False
        try:
            self._handle = _open_new(path, _PRIVATE)
        except FileExistsError:
            raise OctosyncError(
                "key-file-exists",
                f"{path} already exists, and keys never overwrite a file",
                hints=("Name another file, or move that one.",),
            ) from None
        except OSError as error:
            raise OctosyncError(
                "key-file-unwritable",
                f"the keys can't be written to {path}: {error.strerror}",
                hints=("Name a file in an existing, writable folder.",),
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._handle)
        if not self._holds_keys:
            with suppress(OSError):
                self.path.unlink()

    def write(self, text: str) -> None:
        """Write the keys and flush them to the disk. Raises `OSError`; the file is then removed."""
        data = text.encode()
        while data:
            data = data[os.write(self._handle, data) :]
        os.fsync(self._handle)
        self._holds_keys = True


def file_name(slug: str, *, rest: bool = False) -> str:
    """Return the name of an app's manifest; `rest` is for the objects of the app that other manifests don't declare.

    A slug has no dots, so names are unique, and none is a name that folders ignore, such as octosync.yaml.
    """
    name = f"{slug}.unmanaged.yaml" if rest else f"{slug}.yaml"
    from octosync.manifest import LEFT_OUT_OF_FOLDERS

    return name if name not in LEFT_OUT_OF_FOLDERS else f"{slug}.app.yaml"


def check_directory(directory: Path) -> None:
    """Raise `OctosyncError` if a path is not a folder, or if it is behind an untrusted link."""
    if (why := why_untrusted(directory)) is not None:
        raise _unwritable(directory, why, hints=("Name another folder with -d.",))
    if directory.exists() and not directory.is_dir():
        raise OctosyncError(
            "not-a-folder",
            f"{directory} is not a folder",
            hints=("Name a folder with -d; it is created if it is missing.",),
        )


def is_stream(path: Path) -> bool:
    """Return whether a path is a pipe, a device or a stream, which is written to and not replaced.

    /dev/shm is no device: everyone can create files there.
    """
    if not path.exists():
        return False
    is_device = path.is_relative_to("/dev") and not path.is_relative_to("/dev/shm")  # noqa: S108 — a comparison
    return is_device or not path.is_file() or path.is_relative_to("/proc")


def why_untrusted(path: Path) -> str | None:
    """Return why a link on a path is not trusted to lead where its user expects; None if all are."""
    full = Path.cwd() / path
    try:
        Bounds.around(str(full))
    except OutOfBoundsError:
        return "it is behind a link that leads out of the Git work tree"
    trusted = {os.geteuid(), 0}
    if any(link.lstat().st_uid not in trusted for link in links_on(str(full))):
        return "it is behind another user's link"
    return None


def why_unwritable(path: Path) -> str | None:
    """Return why a file can't be written, as far as that is known without writing; None if it can."""
    if path.is_dir():
        return "it is a folder"
    if is_stream(path):
        return None if os.access(path, os.W_OK) else "it is not writable"
    if (why := why_untrusted(path)) is not None:
        return why
    folder = path.resolve().parent
    if not folder.is_dir():
        return f"the folder {path.parent} does not exist"
    return None if os.access(folder, os.W_OK | os.X_OK) else f"the folder {path.parent} is not writable"


def _replace(target: Path, data: bytes, mode: int) -> None:
    """Replace a file atomically: write a temporary file beside it, then rename that."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # 0600 by itself
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
        os.replace(temporary, target)  # noqa: PTH105 — two names, one call
    except BaseException:
        os.unlink(temporary)  # noqa: PTH108 — as above
        raise


def _open_new(path: Path, mode: int) -> int:
    """Create a file and return its descriptor. Raises `FileExistsError` if the path exists, even as a link."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)


def _create(path: Path, text: str, created: list[Path]) -> None:
    with os.fdopen(_open_new(path, _READABLE), "w", encoding="utf-8", newline="") as file:
        created.append(path)
        file.write(text)


def _refuse_taken(directory: Path, texts: Mapping[str, str]) -> None:
    for name in texts:
        if (why := why_untrusted(directory / name)) is not None:
            raise _unwritable(visible(str(directory / name)), why)
    taken = [name for name in texts if os.path.lexists(directory / name)]
    if taken:
        raise OctosyncError(
            "would-overwrite",
            f"{', '.join(visible(str(directory / name)) for name in taken)} already {_exist_or_exists(taken)}",
            hints=(
                "Name another folder, or move the existing files: init never replaces a file, and writes all or none.",
                "To add single files to an existing repository, run init in a new folder and copy them from there.",
            ),
        )


def _make_folders(folder: Path, created: list[Path]) -> None:
    if folder.is_dir():
        return
    _make_folders(folder.parent, created)
    folder.mkdir()
    created.append(folder)


def _undo(created: list[Path]) -> None:
    for path in reversed(created):
        with suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _mode_of(target: Path) -> int:
    """Return the mode of the existing file, else that of a new one."""
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        return _mode_of_new()


def _mode_of_new() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return _READABLE & ~umask


def _unwritable(where: Path | str, why: str | None, *, hints: tuple[str, ...] = ()) -> OctosyncError:
    return OctosyncError("unwritable", f"{where} can't be written: {why}", hints=hints)


def _exist_or_exists(names: list[str]) -> str:
    return "exists" if len(names) == 1 else "exist"
