"""Damaged state files: a controller renames such a file and begins with an empty one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from octosync.errors import StateDamaged
from octosync.model import Secret
from octosync.state.journal import Journal
from octosync.state.lock import lock_beside, state_lock
from octosync.state.watch import WatchState

_WITH_IT: Final = ("", "-wal", "-shm")  # SQLite's own files, without which the first can't be read


@dataclass(frozen=True, slots=True)
class DamagedFile:
    """A damaged file: its new path, and what is wrong with it."""

    path: Path
    why: str


def open_or_replace_journal(
    path: Path, now: datetime, *, seal_key: Secret | None = None
) -> tuple[Journal, DamagedFile | None]:
    """Open the journal of a controller. A damaged file that a controller has used is renamed, and returned, too.

    Raises `OctosyncError` as `Journal` does for any other file that can't be used: one that is no state file, one of a newer
    octosync, one that is locked.
    """
    try:
        return _checked(path, seal_key), None
    except StateDamaged as error:
        if not lock_beside(path).exists():  # no controller has used the file, so it may be anything
            raise
        problem = error
    with state_lock(path):
        aside = path.with_name(f"{path.name}.damaged-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}")
        for suffix in _WITH_IT:
            with suppress(FileNotFoundError):
                path.with_name(f"{path.name}{suffix}").rename(aside.with_name(f"{aside.name}{suffix}"))
    return _checked(path, seal_key), DamagedFile(aside, problem.message)


def _checked(path: Path, seal_key: Secret | None) -> Journal:
    journal = Journal(path, seal_key=seal_key)
    try:
        journal.check()
        WatchState(journal).check()
    except BaseException:
        journal.close()
        raise
    return journal
