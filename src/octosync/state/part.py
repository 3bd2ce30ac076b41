"""The base classes of a controller's state: an open file, and the control plane that the rows belong to."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from octosync.errors import StateDamaged
from octosync.plan import ControlPlane
from octosync.state.journal import Journal
from octosync.state.seal import Seals


class Part:
    """A part of the state. It uses an open journal, which its owner closes."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    @contextmanager
    def _read(self, what: str) -> Iterator[sqlite3.Connection]:
        """Read rows. Raises `StateDamaged`, which names `what` is read, for a row that is not as octosync wrote it."""
        with self.journal.documented():
            try:
                yield self.journal.database
            except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
                raise self._unreadable(what, error) from error

    def _unreadable(self, what: str, error: Exception) -> StateDamaged:
        # The text of the error could quote what was read.
        return StateDamaged(
            "state-unreadable",
            f"{self.journal.path}: {what} can't be read: it has an unexpected format ({type(error).__name__})",
            hints=(
                "If a newer version of octosync wrote it, use that version.",
                "Otherwise restore the file, or move it away. A new one is created, and at first nothing counts as removed.",
            ),
        )


class ControlPlanePart(Part):
    """A part of the state of one control plane: a URL with an org."""

    def __init__(self, journal: Journal, plane: ControlPlane, seals: Seals) -> None:
        super().__init__(journal)
        self.plane = plane
        self._seals = seals

    def _number(self, database: sqlite3.Connection) -> int | None:
        """Return the number of the control plane in the file, None if the file has no row of it."""
        return number_of(database, self.plane)

    def _own_number(self, database: sqlite3.Connection) -> int:
        """Return the number of the control plane in the file, where it gets one if it has none."""
        return number_for(database, self.plane)


def number_of(database: sqlite3.Connection, plane: ControlPlane) -> int | None:
    """Return the number of a control plane, None if the file has no row of it."""
    row = database.execute(
        "select id from plane where control_plane = ? and org_id = ?", (plane.url, plane.org_id or "")
    ).fetchone()
    return None if row is None else int(row[0])


def number_for(database: sqlite3.Connection, plane: ControlPlane) -> int:
    """Return the number of a control plane, which gets one if it has none."""
    known = number_of(database, plane)
    if known is not None:
        return known
    added = database.execute(
        "insert into plane (control_plane, org_id) values (?, ?) returning id", (plane.url, plane.org_id or "")
    )
    return int(added.fetchone()[0])
