"""Where the state file is, and its lock: two controllers on one file would revert each other's writes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from octosync.errors import OctosyncError

DEFAULT_PATH: Final = Path(".octosync/state.db")

_TWO_CONTROLLERS: Final = (
    "Two controllers on one file would revert each other's writes: stop that one first.",
    "If this one is for other apps or another control plane, give it another file: --state FILE",
)


@contextmanager
def state_lock(state: Path, advice: tuple[str, ...] = _TWO_CONTROLLERS) -> Iterator[None]:
    """Hold the lock of a state file until the block or the process ends.

    It is an advisory lock on a file next to it (a lock on the file itself would interfere with SQLite's); other commands use
    the state file without it. Raises `OctosyncError` (`state-in-use`) with this advice if another controller
    holds it. On a file system without locks nothing is raised.
    """
    beside = lock_beside(state)
    try:
        lock = os.open(beside, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise OctosyncError(
            "journal-unusable",
            f"{beside}: the state file can't be locked: {error.strerror}",
            hints=("Make its folder writable, or name another file: --state FILE",),
        ) from error
    try:
        _take(lock, state, advice)
        yield
    finally:
        os.close(lock)


def lock_holder(state: Path) -> int | None:
    """Return the process that holds the lock of a state file; None if there is none, or if it is not known, as outside Linux.

    The lock itself is not touched: a controller that starts at the same moment would find it in use.
    """
    try:
        found = lock_beside(state).stat()
        locks = Path("/proc/locks").read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    file = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    # 1: FLOCK  ADVISORY  WRITE 4711 00:1f:1234 0 EOF
    rows = (line.split() for line in locks.splitlines())
    return next((int(row[4]) for row in rows if row[1:2] == ["FLOCK"] and row[5:6] == [file]), None)


def lock_beside(state: Path) -> Path:
    """Return the file that a controller locks. It stays when the controller ends, as a sign that there was one."""
    place = state.resolve()
    return place.with_name(f"{place.name}.lock")


def _take(lock: int, state: Path, advice: tuple[str, ...]) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
        who = f" (process {holder})" if holder.isdigit() else ""
        raise OctosyncError(
            "state-in-use",
            f"{state}: another octosync watch{who} uses this state file",
            hints=advice,
        ) from None
    except OSError:
        return
    with suppress(OSError):  # the disk is full: the number is only for the error of a second controller
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
