"""What people asked of a watch, kept over a restart: holds, the suspension of everything, and approvals that are used once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from octosync.model import Address, Hold, Suspended
from octosync.state.migrations import time_of, time_text
from octosync.state.part import ControlPlanePart, Part

# What is approved: an object, what is done with it, and what exactly, as a text. Of that a keyed digest is kept.
Approvable: TypeAlias = tuple[Address, str, str]
_SET_CHARACTERS: Final = 16


@dataclass(frozen=True, slots=True)
class ApprovedAction:
    """One thing that a guard blocked and that was approved: it may be done once, exactly as it was planned."""

    guard: str
    address: Address
    verb: str
    at: datetime


class OperatorRequests(Part):
    """Holds and the suspension of everything. They apply whichever control plane the file is used with."""

    def hold(self, hold: Hold) -> None:
        """Remember that an app's drift is to be left alone, in place of an earlier hold of it."""
        with self.journal.transaction() as database:
            database.execute(
                "insert or replace into hold values (?, ?, ?, ?)",
                (hold.app, time_text(hold.until), hold.reason, time_text(hold.at)),
            )

    def release(self, app: str) -> None:
        """Forget a hold."""
        with self.journal.transaction() as database:
            database.execute("delete from hold where app = ?", (app,))

    def holds(self) -> tuple[Hold, ...]:
        """Return every hold that was not released, by app, those whose time has passed included until they are pruned."""
        with self._reading("which apps are held") as database:
            rows = database.execute("select app, until, reason, at from hold order by app")
            return tuple(
                Hold(app=app, until=time_of(until), reason=reason, at=time_of(at)) for app, until, reason, at in rows
            )

    def suspend(self, at: datetime, reason: str) -> None:
        """Remember that nothing is to be written."""
        with self.journal.transaction() as database:
            database.execute("insert or replace into suspension values (1, ?, ?)", (time_text(at), reason))

    def resume(self) -> None:
        """Forget the suspension of everything."""
        with self.journal.transaction() as database:
            database.execute("delete from suspension")

    def suspension(self) -> Suspended | None:
        """Return the suspension of everything, None where there is none."""
        with self._reading("whether everything is suspended") as database:
            row = database.execute("select at, reason from suspension").fetchone()
            return None if row is None else Suspended(at=time_of(row[0]), reason=row[1])


class Approvals(ControlPlanePart):
    """What was approved although a guard blocks it, each once and exactly as it was planned."""

    def approve(self, guard: str, what: Collection[Approvable], at: datetime) -> None:
        """Remember that exactly this may be done although a guard blocks it, beside what was approved of other objects."""
        with self.journal.transaction() as database:
            number = self._own_number(database)
            database.executemany(
                "insert or replace into approval values (?, ?, ?, ?, ?, ?)",
                [(number, guard, *self._key(one), time_text(at)) for one in what],
            )

    def approved(self, guard: str, what: Collection[Approvable]) -> frozenset[Approvable]:
        """Return what of this is approved, and not used yet."""
        with self.journal.documented():
            database = self.journal.database
            known = set(
                database.execute(
                    "select address, verb, digest from approval where plane = ? and guard = ?",
                    (self._number(database), guard),
                )
            )
        return frozenset(one for one in what if self._key(one) in known)

    def use_approvals(self, what: Collection[Approvable]) -> None:
        """Take back what was approved of this, whichever guards it was for: to be called before it is done."""
        with self.journal.transaction() as database:
            number = self._number(database)
            database.executemany(
                "delete from approval where plane = ? and address = ? and verb = ? and digest = ?",
                [(number, *self._key(one)) for one in what],
            )

    def withdraw_approvals(self, apps: Collection[str], still: Collection[Approvable]) -> None:
        """Take back what was approved of apps, but for what still is to be done, exactly as it was approved."""
        keys = {self._key(one) for one in still}
        with self.journal.transaction() as database:
            number = self._number(database)
            rows = database.execute("select address, verb, digest from approval where plane = ?", (number,)).fetchall()
            database.executemany(
                "delete from approval where plane = ? and address = ? and verb = ? and digest = ?",
                [(number, *row) for row in rows if row not in keys and Address.parse(row[0]).app in apps],
            )

    def approvals(self) -> tuple[ApprovedAction, ...]:
        """Return what is approved and not used yet, by guard and object."""
        with self._reading("what is approved") as database:
            rows = database.execute(
                "select guard, address, verb, at from approval where plane = ? order by guard, address, verb",
                (self._number(database),),
            )
            return tuple(
                ApprovedAction(guard, Address.parse(address), verb, time_of(at)) for guard, address, verb, at in rows
            )

    def digest_of_set(self, guard: str, what: Collection[Approvable]) -> str:
        """Return a short digest of all that a guard blocks, keyed by this file's key: it gives nothing away of any value."""
        rows = sorted([str(address), verb, substance] for address, verb, substance in what)
        return self._seals.digest_of([guard, rows])[:_SET_CHARACTERS]

    def _key(self, one: Approvable) -> tuple[str, str, str]:
        address, verb, substance = one
        return str(address), verb, self._seals.digest_of(substance)
