"""What operators asked of a controller, stored over restarts: holds, suspension, and approvals that are used once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from octosync.model import Address, ControllerSuspension, Hold
from octosync.state.migrations import time_of, time_text
from octosync.state.part import ControlPlanePart, Part

# What is approved: an object, a verb, and exactly which change, as a text. A keyed digest of the text is stored.
Approvable: TypeAlias = tuple[Address, str, str]
_SET_CHARACTERS: Final = 16


@dataclass(frozen=True, slots=True)
class ApprovedAction:
    """An approved action: although a guard rejects it, it may be applied once, exactly as it was planned."""

    guard: str
    address: Address
    verb: str
    at: datetime


class OperatorRequests(Part):
    """Holds and suspension. They apply to every control plane that the file is used with."""

    def hold(self, hold: Hold) -> None:
        """Store a hold of an app's drift, in place of an earlier one."""
        with self.journal.transaction() as database:
            database.execute(
                "insert or replace into hold values (?, ?, ?, ?)",
                (hold.app, time_text(hold.until), hold.reason, time_text(hold.at)),
            )

    def release(self, app: str) -> None:
        """Delete the hold of an app."""
        with self.journal.transaction() as database:
            database.execute("delete from hold where app = ?", (app,))

    def holds(self) -> tuple[Hold, ...]:
        """Return every hold that was not released, by app. A hold that has ended is included until it is pruned."""
        with self._read("the holds") as database:
            rows = database.execute("select app, until, reason, at from hold order by app")
            return tuple(
                Hold(app=app, until=time_of(until), reason=reason, at=time_of(at)) for app, until, reason, at in rows
            )

    def suspend(self, at: datetime, reason: str) -> None:
        """Store that nothing may be written."""
        with self.journal.transaction() as database:
            database.execute("insert or replace into suspension values (1, ?, ?)", (time_text(at), reason))

    def resume(self) -> None:
        """Delete the suspension."""
        with self.journal.transaction() as database:
            database.execute("delete from suspension")

    def suspension(self) -> ControllerSuspension | None:
        """Return the suspension, None if there is none."""
        with self._read("the suspension") as database:
            row = database.execute("select at, reason from suspension").fetchone()
            return None if row is None else ControllerSuspension(at=time_of(row[0]), reason=row[1])


class Approvals(ControlPlanePart):
    """Approvals of actions that a guard rejects."""

    def approve(self, guard: str, actions: Collection[Approvable], at: datetime) -> None:
        """Store that exactly these actions may be applied once, in addition to approvals of other objects."""
        with self.journal.transaction() as database:
            number = self._own_number(database)
            database.executemany(
                "insert or replace into approval values (?, ?, ?, ?, ?, ?)",
                [(number, guard, *self._key(action), time_text(at)) for action in actions],
            )

    def approved(self, guard: str, actions: Collection[Approvable]) -> frozenset[Approvable]:
        """Return which of these actions are approved and not applied yet."""
        with self.journal.documented():
            database = self.journal.database
            known = set(
                database.execute(
                    "select address, verb, digest from approval where plane = ? and guard = ?",
                    (self._number(database), guard),
                )
            )
        return frozenset(action for action in actions if self._key(action) in known)

    def use_approvals(self, actions: Collection[Approvable]) -> None:
        """Delete the approvals of these actions, whichever guard they were for. Called before the actions are applied."""
        with self.journal.transaction() as database:
            number = self._number(database)
            database.executemany(
                "delete from approval where plane = ? and address = ? and verb = ? and digest = ?",
                [(number, *self._key(action)) for action in actions],
            )

    def withdraw_approvals(self, apps: Collection[str], planned: Collection[Approvable]) -> None:
        """Delete the approvals of apps, except for actions that are still planned exactly as they were approved."""
        keys = {self._key(action) for action in planned}
        with self.journal.transaction() as database:
            number = self._number(database)
            rows = database.execute("select address, verb, digest from approval where plane = ?", (number,)).fetchall()
            database.executemany(
                "delete from approval where plane = ? and address = ? and verb = ? and digest = ?",
                [(number, *row) for row in rows if row not in keys and Address.parse(row[0]).app in apps],
            )

    def approvals(self) -> tuple[ApprovedAction, ...]:
        """Return the approvals that are not used yet, by guard and object."""
        with self._read("the approvals") as database:
            rows = database.execute(
                "select guard, address, verb, at from approval where plane = ? order by guard, address, verb",
                (self._number(database),),
            )
            return tuple(
                ApprovedAction(guard, Address.parse(address), verb, time_of(at)) for guard, address, verb, at in rows
            )

    def digest_of_set(self, guard: str, actions: Collection[Approvable]) -> str:
        """Return a short digest of all actions that a guard rejects, made with the key of the file: it reveals no value."""
        rows = sorted([str(address), verb, substance] for address, verb, substance in actions)
        return self._seals.digest_of([guard, rows])[:_SET_CHARACTERS]

    def _key(self, action: Approvable) -> tuple[str, str, str]:
        address, verb, substance = action
        return str(address), verb, self._seals.digest_of(substance)
