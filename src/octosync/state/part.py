"""What the parts of a watch's memory have in common: the open file, and the control plane that a thing is remembered of."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from octosync.errors import StateDamaged
from octosync.plan import ControlPlane
from octosync.state.journal import Journal
from octosync.state.sealing import Seals


class Part:
    """A part of the memory, on an open journal that it leaves to its owner to close."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        with self._reading("the key of what is sealed") as database:
            (own,) = database.execute("select key from seal").fetchone()
            self._seals = Seals.made_with(own, journal.seal_key)

    @contextmanager
    def _reading(self, what: str) -> Iterator[sqlite3.Connection]:
        """Read rows; one that is not as it was written is an error that names it, and not as if it weren't there."""
        with self.journal.documented():
            try:
                yield self.journal.database
            except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
                raise self._unreadable(what, error) from error

    def _unreadable(self, what: str, error: Exception) -> StateDamaged:
        # Not the error's own text: it could quote what was read.
        return StateDamaged(
            "state-unreadable",
            f"{self.journal.path}: {what} can't be read: it is not as octosync wrote it ({type(error).__name__})",
            hints=(
                "A newer octosync may have written it: then use that one.",
                "Otherwise restore the file, or move it away: it is made anew, and at first nothing counts as removed.",
            ),
        )

    @staticmethod
    def _known(database: sqlite3.Connection, plane: ControlPlane) -> int | None:
        """Return the number of a control plane, None where nothing was ever remembered of it."""
        row = database.execute(
            "select id from plane where control_plane = ? and org_id = ?", (plane.url, plane.org_id or "")
        ).fetchone()
        return None if row is None else int(row[0])

    @classmethod
    def _number(cls, database: sqlite3.Connection, plane: ControlPlane) -> int:
        """Return the number of a control plane, which it is given here where it has none."""
        known = cls._known(database, plane)
        if known is not None:
            return known
        added = database.execute(
            "insert into plane (control_plane, org_id) values (?, ?) returning id", (plane.url, plane.org_id or "")
        )
        return int(added.fetchone()[0])
