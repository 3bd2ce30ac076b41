"""The tables of a controller's state: holds, suspension, approvals and sent notifications, and the bases of all tables.

Holds, suspension and approvals are what operators asked for; an approval is used once. A run of plan or apply reads
the first two of a shared state, with `read_lock_and_controls`: a role of the database that may not write is enough for that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, TypeAlias, cast

from octosync.errors import StateDamaged
from octosync.model import Address, ControllerSuspension, Hold, OperatorControls, Status
from octosync.plan import ControlPlane
from octosync.state.database import Database, StateUrl
from octosync.state.journal import Journal, JournalReader, time_of, time_text
from octosync.state.lease import HeldLease, LeaseKind, LeaseName, read_lease
from octosync.state.seal import SealedValue, Seals

# What is approved: an object, a verb, and exactly which change, as a text. A keyed digest of the text is stored.
Approvable: TypeAlias = tuple[Address, str, str]
_SET_CHARACTERS: Final = 16


class StateTable:
    """Tables of the state. They are in the file of an open journal, which its owner closes."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    @contextmanager
    def _read(self, what: str) -> Iterator[Database]:
        """Read rows. Raises `StateDamaged`, which names `what` is read, for a row that is not as octosync wrote it."""
        with self.journal.documented():
            try:
                yield self.journal.database
            except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
                raise self._unreadable(what, error) from error

    def _unreadable(self, what: str, error: Exception) -> StateDamaged:
        is_file = isinstance(self.journal.location, Path)
        whole = "the file, or move it away" if is_file else "the schema `octosync` from a backup, or drop it"
        # The text of the error could quote what was read.
        return StateDamaged(
            "state-unreadable",
            f"{self.journal.location}: {what} can't be read: it has an unexpected format ({type(error).__name__})",
            hints=(
                "If a newer version of octosync wrote it, use that version.",
                f"Otherwise restore {whole}. A new one is created, and at first nothing counts as removed.",
            ),
        )


class ControlPlaneTable(StateTable):
    """Tables with the rows of one control plane: a URL with an org."""

    def __init__(self, journal: Journal, plane: ControlPlane, seals: Seals) -> None:
        super().__init__(journal)
        self.plane = plane
        self._seals = seals

    def _number(self) -> int | None:
        """Return the number of the control plane in the database, None if there is no row of it."""
        numbers, (url, org) = self.journal.plane_numbers, self._key
        if (url, org) not in numbers:
            numbers[url, org] = number_of(self.journal.database, url, org)
        return numbers[url, org]

    def _own_number(self) -> int:
        """Return the number of the control plane in the database, where it gets one if it has none."""
        known = self._number()
        if known is None:
            database, (url, org) = self.journal.database, self._key
            database.execute(
                "insert into plane (control_plane, org_id) values (?, ?) on conflict do nothing", (url, org)
            )
            known = self.journal.plane_numbers[url, org] = cast("int", number_of(database, url, org))
        return known

    @property
    def _key(self) -> tuple[str, str]:
        return self.plane.url, self.plane.org_id or ""


class OperatorRequests(ControlPlaneTable):
    """Holds and suspension of one control plane. Those of a file of an earlier version apply to each control plane."""

    def hold(self, hold: Hold) -> None:
        """Store a hold of an app's drift, in place of an earlier one."""
        with self.journal.transaction() as database:
            database.execute(
                "insert into hold values (?, ?, ?, ?, ?) on conflict (plane, app) "
                "do update set until = excluded.until, reason = excluded.reason, at = excluded.at",
                (self._own_number(), hold.app, time_text(hold.until), hold.reason, time_text(hold.at)),
            )

    def release(self, app: str) -> None:
        """Delete the hold of an app."""
        with self.journal.transaction() as database:
            database.execute("delete from hold where plane in (?, 0) and app = ?", (self._number(), app))

    def holds(self) -> tuple[Hold, ...]:
        """Return every hold that was not released, by app. A hold that has ended is included until it is pruned."""
        with self._read("the holds") as database:
            rows = database.execute(
                "select app, until, reason, at from hold where plane in (?, 0) order by app, plane",
                (self._number(),),
            )
            found = {
                app: Hold(app=app, until=time_of(until), reason=reason, at=time_of(at))
                for app, until, reason, at in rows  # the newer one, of this control plane alone, is last
            }
            return tuple(found.values())

    def suspend(self, at: datetime, reason: str) -> None:
        """Store that nothing may be written."""
        with self.journal.transaction() as database:
            database.execute(
                "insert into suspension values (?, ?, ?) "
                "on conflict (plane) do update set at = excluded.at, reason = excluded.reason",
                (self._own_number(), time_text(at), reason),
            )

    def resume(self) -> None:
        """Delete the suspension."""
        with self.journal.transaction() as database:
            database.execute("delete from suspension where plane in (?, 0)", (self._number(),))

    def suspension(self) -> ControllerSuspension | None:
        """Return the suspension, None if there is none."""
        with self._read("the suspension") as database:
            row = database.execute(
                "select at, reason from suspension where plane in (?, 0) order by plane desc", (self._number(),)
            ).fetchone()
            return None if row is None else ControllerSuspension(at=time_of(row[0]), reason=row[1])


@dataclass(frozen=True, slots=True)
class ApprovedAction:
    """An approved action: although a guard rejects it, it may be applied once, exactly as it was planned.

    `digest` is a keyed digest of how it was planned.
    """

    guard: str
    address: Address
    verb: str
    at: datetime
    digest: str = field(default="", compare=False)

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies the action, without the guard."""
        return str(self.address), self.verb, self.digest


class Approvals(ControlPlaneTable):
    """Approvals of actions that a guard rejects."""

    def approve(self, guard: str, actions: Collection[Approvable], at: datetime) -> tuple[ApprovedAction, ...]:
        """Store that exactly these actions may be applied once, in addition to approvals of other objects. Return that."""
        with self.journal.transaction() as database:
            number = self._own_number()
            database.executemany(
                "insert into approval values (?, ?, ?, ?, ?, ?) on conflict (plane, guard, address, verb) "
                "do update set digest = excluded.digest, at = excluded.at",
                [(number, guard, *self.approval_key(action), time_text(at)) for action in actions],
            )
        return tuple(
            ApprovedAction(guard, action[0], action[1], at, self.approval_key(action)[2]) for action in actions
        )

    def approval_key(self, action: Approvable) -> tuple[str, str, str]:
        """Return the key of an approval of exactly this action, without the guard."""
        address, verb, substance = action
        return str(address), verb, self._seals.digest_of(substance)

    def delete_approvals(self, approvals: Collection[ApprovedAction]) -> None:
        """Delete approvals that are used, or for actions that are not planned any more."""
        with self.journal.transaction() as database:
            number = self._number()
            database.executemany(
                "delete from approval where plane = ? and guard = ? and address = ? and verb = ? and digest = ?",
                [(number, approval.guard, *approval.key) for approval in approvals],
            )

    def delete_used_approvals(self) -> None:
        """Delete the approvals of actions that were sent after it, and may have been done: an approval counts once.

        Called at the start: an earlier process may have died before it could record that.
        """
        with self.journal.transaction() as database:
            database.execute(
                "delete from approval where plane = ? and exists (select 1 from action join run on run.id = action.run "
                "where run.control_plane = ? and (run.org_id is null or ? in ('', run.org_id)) "
                "and action.address = approval.address and action.verb = approval.verb "
                "and action.begun_at >= approval.at and (action.status is null or action.status = ?))",
                (self._number(), self.plane.url, self.plane.org_id or "", Status.DONE.value),
            )

    def approvals(self) -> tuple[ApprovedAction, ...]:
        """Return the approvals that are not used yet, by guard and object."""
        with self._read("the approvals") as database:
            rows = database.execute(
                "select guard, address, verb, at, digest from approval where plane = ? order by guard, address, verb",
                (self._number(),),
            )
            return tuple(
                ApprovedAction(guard, Address.parse(address), verb, time_of(at), digest)
                for guard, address, verb, at, digest in rows
            )

    def digest_of_set(self, guard: str, actions: Collection[Approvable]) -> str:
        """Return a short digest of all actions that a guard rejects, made with the key of the file: it reveals no value."""
        rows = sorted([str(address), verb, substance] for address, verb, substance in actions)
        return self._seals.digest_of([guard, rows])[:_SET_CHARACTERS]


class SentNotifications(ControlPlaneTable):
    """The last notification about each subject of an app, so that a restart doesn't send it again. The app may be ""."""

    def sent_notifications(self) -> dict[tuple[str, str], SealedValue]:
        """Return the facts by app and subject. Each equals only the text that was sent."""
        with self._read("the sent notifications") as database:
            rows = database.execute(
                "select app, about, fact from told where plane = ? order by app, about", (self._number(),)
            )
            return {(app, about): SealedValue(fact, self._seals) for app, about, fact in rows}

    def record_notification(self, app: str, about: str, fact: str) -> None:
        """Store a fact that was sent, in place of an earlier one about the same subject.

        It is stored as a keyed digest, since it may contain a sensitive value.
        """
        with self.journal.transaction() as database:
            database.execute(
                "insert into told values (?, ?, ?, ?) on conflict (plane, app, about) do update set fact = excluded.fact",
                (self._own_number(), app, about, self._seals.digest_of(fact)),
            )

    def forget_notification(self, app: str, about: str) -> None:
        """Delete a fact that no longer holds. If it holds again later, it is sent again."""
        with self.journal.transaction() as database:
            database.execute(
                "delete from told where plane = ? and app = ? and about = ?",
                (self._number(), app, about),
            )


def number_of(database: Database, url: str, org: str) -> int | None:
    """Return the number of a control plane, None if there is no row of it. `org` is "" if it is not known."""
    row = database.execute("select id from plane where control_plane = ? and org_id = ?", (url, org)).fetchone()
    return None if row is None else int(row[0])


def read_lock_and_controls(url: StateUrl, plane: ControlPlane) -> tuple[HeldLease | None, OperatorControls]:
    """Return the lock of runs that write, None if none ever had it, and the controls of a control plane.

    Without an org, they are those of all orgs of its URL. Whether a hold has ended is decided by the clock of the database: that
    of a machine may be wrong. Raises `OctosyncError` as `JournalReader` does.
    """
    with JournalReader(url) as reader, reader.documented():
        if not reader.exists:
            return None, OperatorControls()
        database = reader.database
        (now,) = database.execute("select clock_timestamp()").fetchone()
        lock = read_lease(database, *LeaseName(LeaseKind.APPLY, plane).key)
        return lock, OperatorControls(holds=_holds(database, plane, now), suspension=_suspension(database, plane))


# Rows of plane 0 are about every control plane.
_OF_PLANE: Final = (
    "(it.plane = 0 or it.plane in (select id from plane where control_plane = ? and (org_id in (?, '') or ? = '')))"
)


def _holds(database: Database, plane: ControlPlane, now: datetime) -> dict[str, Hold]:
    """Return the holds that have not ended, by app: of several, the longest."""
    rows = database.execute(
        f"select app, until, reason, at from hold it where {_OF_PLANE} order by app, until",  # noqa: S608 — our own words
        _parameters(plane),
    )
    holds = (Hold(app=app, until=time_of(until), reason=reason, at=time_of(at)) for app, until, reason, at in rows)
    return {hold.app: hold for hold in holds if hold.until > now}


def _suspension(database: Database, plane: ControlPlane) -> ControllerSuspension | None:
    row = database.execute(
        f"select at, reason from suspension it where {_OF_PLANE} order by plane desc limit 1",  # noqa: S608 — our own words
        _parameters(plane),
    ).fetchone()
    return None if row is None else ControllerSuspension(at=time_of(row[0]), reason=row[1])


def _parameters(plane: ControlPlane) -> tuple[str, str, str]:
    return plane.url, plane.org_id or "", plane.org_id or ""
