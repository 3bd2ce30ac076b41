"""Files that a command writes: whole or not at all, and known to be writable before the first request."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

from octosync.manifest.bounds import Bounds, OutOfBoundsError, links_on


def write_whole(path: Path, text: str, *, private: bool) -> None:
    """Write a text, whole or not at all; a `private` one for its owner's eyes only. Raises `OSError`.

    A link stays one: what it points to is replaced, if the link is to be trusted. A pipe or a device is written to, and never
    replaced by a file; so is what a stream of this process leads to, such as /dev/stdout.
    """
    if is_stream(path):
        with path.open("a", encoding="utf-8", newline="") as stream:
            stream.write(text)
        return
    if (why := why_untrusted(path)) is not None:
        raise OSError(errno.ELOOP, why)
    target = path.resolve()
    mode = 0o600 if private else _mode_of(target)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # 0600 by itself
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
        os.replace(temporary, target)  # noqa: PTH105 — two names, one call
    except BaseException:
        os.unlink(temporary)  # noqa: PTH108 — as above
        raise


def is_stream(path: Path) -> bool:
    """Say whether what is there is to be written to, and not to be replaced."""
    return path.exists() and (not path.is_file() or path.is_relative_to("/dev") or path.is_relative_to("/proc"))


def _mode_of(target: Path) -> int:
    """Return the mode of the file that is there, else that of a new one."""
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask


def why_untrusted(path: Path) -> str | None:
    """Say why what a path leads to may be something else than its user means; None if it leads there without such a link."""
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
    """Say why a file can't be written, as far as that can be told without writing; None where nothing is in the way."""
    if path.is_dir():
        return "it is a folder"
    if is_stream(path):
        return None if os.access(path, os.W_OK) else "it may not be written to"
    if (why := why_untrusted(path)) is not None:
        return why
    folder = path.resolve().parent
    if not folder.is_dir():
        return f"there is no folder {path.parent}"
    return None if os.access(folder, os.W_OK | os.X_OK) else f"the folder {path.parent} may not be written to"
