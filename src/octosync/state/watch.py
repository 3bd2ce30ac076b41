"""The state of a controller, in the database of its journal: all of it, and the part of one control plane.

A damaged file is renamed, and the controller starts with an empty one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from octosync.errors import ConfigError, StateDamaged
from octosync.model import Address, ControllerSuspension, Hold, Secret, Status
from octosync.plan import ControlPlane, Verb
from octosync.state.baseline import DriftRecord, StoredBaseline, stored_app
from octosync.state.checkpoint import CheckpointTable
from octosync.state.codec import values_of
from octosync.state.journal import Journal, audit_of, journal_time_text, time_text
from octosync.state.lock import lock_beside, state_lock
from octosync.state.seal import Seals, holds_seals
from octosync.state.tables import (
    Approvals,
    ApprovedAction,
    OperatorRequests,
    SentNotifications,
    StateTable,
    number_of,
)

KEPT_FOR: Final = timedelta(days=90)
MOST_RUNS: Final = 10_000
_CHECKPOINT: Final = ("checkpoint", "in_sync", "optimization_check")
_NO_KEY: Final = ("",)  # several rows may be equal
# The tables with rows of a control plane, and the columns that identify a row of it.
_OF_A_PLANE: Final = {
    "base": ("app",),
    "drift": ("address",),
    "heal": _NO_KEY,
    "contested": ("address",),
    "approval": ("guard", "address", "verb"),
    "refusal": ("guard", "address", "verb"),
    "told": ("app", "about"),
    "checkpoint": (),
    "in_sync": ("app",),
    "optimization_check": ("address",),
    "hold": ("app",),
    "suspension": (),
}
_KEYED: Final = ("drift", "approval", "refusal", "told")
_KEY_CHECK: Final = "octosync state key"
_RECENT_RUNS: Final = 20
_PRUNED_AT_ONCE: Final = 500  # so that another process waits only briefly


class ControlPlaneState(StoredBaseline, DriftRecord, Approvals, SentNotifications, CheckpointTable, OperatorRequests):
    """The state of one control plane: `WatchState.for_control_plane` returns it. Every write is committed on return.

    Raises `OctosyncError` as `WatchState` does.
    """

    def check(self) -> None:
        """Read all of it. Raises `StateDamaged` for what is not as it was written."""
        self.baseline()
        self.drift()
        self.contested()
        self.approvals()
        self.sent_notifications()
        self.checkpoint()
        self.holds()
        self.suspension()

    def replace_requests(
        self, holds: Iterable[Hold], suspension: ControllerSuspension | None, approvals: Iterable[ApprovedAction]
    ) -> None:
        """Store what people asked for in place of what is stored for this control plane alone."""
        with self.journal.transaction() as database:
            number = self._own_number()
            for table in ("hold", "suspension", "approval"):
                database.execute(f"delete from {table} where plane = ?", (number,))  # noqa: S608  our own names
            database.executemany(
                "insert into hold values (?, ?, ?, ?, ?)",
                [(number, hold.app, time_text(hold.until), hold.reason, time_text(hold.at)) for hold in holds],
            )
            if suspension is not None:
                values = (number, time_text(suspension.at), suspension.reason)
                database.execute("insert into suspension values (?, ?, ?)", values)
            database.executemany(
                "insert into approval values (?, ?, ?, ?, ?, ?)",
                [(number, approval.guard, *approval.key, time_text(approval.at)) for approval in approvals],
            )

    def adopt_unnamed(self) -> None:
        """Use the rows that were stored for the URL without an org for this org, as far as it has none of its own."""
        with self.journal.transaction() as database:
            nameless = number_of(database, self.plane.url, "")
            if nameless is None or self.plane.org_id is None:
                return
            number = self._own_number()
            for table, keys in _OF_A_PLANE.items():
                same = "".join(f" and own.{key} = {table}.{key}" for key in keys)
                if keys is not _NO_KEY:
                    database.execute(
                        f"delete from {table} where plane = ? "  # noqa: S608  our own names
                        f"and exists (select 1 from {table} as own where own.plane = ?{same})",
                        (nameless, number),
                    )
                database.execute(f"update {table} set plane = ? where plane = ?", (number, nameless))  # noqa: S608  our own names
            whole, scope = database.execute("select whole, scope from plane where id = ?", (nameless,)).fetchone()
            database.execute(
                "update plane set whole = case when ? = 1 then 1 else whole end, scope = coalesce(scope, ?) where id = ?",
                (whole, scope, number),
            )
            database.execute("delete from plane where id = ?", (nameless,))
        self.journal.plane_numbers.pop((self.plane.url, ""), None)

    def recent_removals(self, since: datetime) -> Sequence[Address]:
        """Return what runs, those of `apply` included, deleted since a time. What was deleted twice is in it twice."""
        return self._done(Verb.DELETE, since)

    def recent_archives(self, since: datetime) -> Sequence[Address]:
        """Return the apps that runs archived since a time."""
        return self._done(Verb.ARCHIVE, since)

    def apps_with_open_actions(self, since: datetime) -> frozenset[str]:
        """Return the apps with actions that began since a time and have no end: their requests may be under way."""
        with self._read("the open actions") as database:
            rows = database.execute(
                "select distinct action.address from action join run on run.id = action.run where action.ended_at is null "
                "and action.begun_at >= ? and run.control_plane = ? and (run.org_id is null or ? in ('', run.org_id))",
                (journal_time_text(since), self.plane.url, self.plane.org_id or ""),
            )
            return frozenset(Address.parse(address).app for (address,) in rows)

    def last_commit(self) -> str:
        """Return the commit of the manifests of the last run that recorded one, "" if there is none."""
        with self._read("the last commit") as database:
            rows = database.execute(
                "select audit from run where audit is not null and control_plane = ? "
                "and (org_id is null or ? in ('', org_id)) order by rowid desc limit ?",
                (self.plane.url, self.plane.org_id or "", _RECENT_RUNS),
            )
            return next((commit for (audit,) in rows if (commit := audit_of(audit).revision)), "")

    def _done(self, verb: Verb, since: datetime) -> list[Address]:
        with self._read("the recent removals") as database:
            # A run without an org may have been in this one.
            rows = database.execute(
                "select action.address from action join run on run.id = action.run where action.ended_at >= ? "
                "and action.verb = ? and action.status = ? and run.control_plane = ? "
                "and (run.org_id is null or ? in ('', run.org_id))",
                (journal_time_text(since), verb.value, Status.DONE.value, self.plane.url, self.plane.org_id or ""),
            )
            return [Address.parse(address) for (address,) in rows]


class WatchState(StateTable):
    """The state of a controller, on an open `Journal`. Every write is committed when the method returns.

    Raises `OctosyncError`: `journal-unusable` if the file can't be read or written, `state-unreadable` for a row that is
    not as it was written.
    """

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        with self._read("the key of the seals") as database:
            (own,) = database.execute("select key from seal").fetchone()
            self._seals = Seals.made_with(own, journal.seal_key)

    def for_control_plane(self, plane: ControlPlane) -> ControlPlaneState:
        """Return the state of a control plane: a URL with an org. It is empty if the file has nothing of it."""
        return ControlPlaneState(self.journal, plane, self._seals)

    def planes(self) -> tuple[ControlPlane, ...]:
        """Return the control planes that have a baseline."""
        with self.journal.documented():
            rows = self.journal.database.execute(
                "select control_plane, org_id from plane where id in (select plane from base) order by 1, 2"
            ).fetchall()
        return tuple(ControlPlane(url=url, org_id=org or None) for url, org in rows)

    def with_known_org(self, plane: ControlPlane) -> ControlPlane:
        """Return a control plane with its org: if none is configured, the stored one of this URL, if there is only one."""
        if plane.org_id is not None:
            return plane
        orgs = [stored.org_id for stored in self.planes() if stored.url == plane.url]
        return replace(plane, org_id=orgs[0]) if len(orgs) == 1 else plane

    def check(self) -> None:
        """Read all of it. Raises `StateDamaged` for what is not as it was written."""
        for plane in self.planes():
            self.for_control_plane(plane).check()

    def take_key(self, plane: ControlPlane) -> bool:
        """Use the key that the file was opened with. Call it once, before anything is read. Return whether anything was deleted.

        What was sealed with another key can't be recognized, so it is deleted: the apps whose baseline has sealed values, the
        times of drift, approvals, rejections and sent notifications. Until every declared app was read again, nothing counts
        as removed. If a shared database has control planes other than this one, nothing is deleted: raises `ConfigError`.
        """
        if self.has_key(plane):
            return False
        check = self._key_check
        with self._read("the key of the seals") as database:
            rows = database.execute("select plane, app, document from base").fetchall()
        sealed = [(plane, slug) for plane, slug, document in rows if self._is_sealed(slug, document)]
        with self.journal.transaction() as database:
            database.executemany("update plane set whole = 0 where id = ?", [(plane,) for plane, _ in sealed])
            database.executemany("delete from base where plane = ? and app = ?", sealed)
            digests = sum(database.execute(f"delete from {table}").rowcount for table in _KEYED)  # noqa: S608  our own names
            for table in _CHECKPOINT:  # that every app is read once more is no loss
                database.execute(f"delete from {table}")  # noqa: S608  our own names
            database.execute("update seal set key_check = ?", (check,))
        return bool(sealed or digests)

    def has_key(self, plane: ControlPlane) -> bool:
        """Return whether the values are sealed with the key that the file was opened with. Raises as `take_key` does."""
        with self._read("the key of the seals") as database:
            (known,) = database.execute("select key_check from seal").fetchone()
            if known == self._key_check:
                return True
            planes = database.execute("select control_plane, org_id from plane").fetchall()
        # An org that isn't known may be any one of the URL, but only one of them.
        orgs = {org for url, org in planes if url == plane.url and (not org or plane.org_id in {None, org})}
        if self.journal.is_shared and (len(planes) > len(orgs) or len(orgs - {""}) > 1):
            raise ConfigError(
                "state-key-differs",
                f"{self.journal.location} has the state of other control planes, sealed with another key",
                hints=("Give every deployment that uses this database the same OCTOSYNC_STATE_KEY.",),
            )
        return False

    @property
    def _key_check(self) -> str | None:
        return None if self.journal.seal_key is None else self._seals.digest_of(_KEY_CHECK)

    def prune(self, before: datetime, *, runs: int = MOST_RUNS, batches: int = sys.maxsize) -> bool:
        """Delete runs, reverts, unused approvals and ended holds older than a time, and all but the newest `runs` runs.

        Call it now and then, with `KEPT_FOR` ago. Baseline and drift stay. The space is given back to the file system. Return
        False if there may be more runs to delete after this many batches of them.
        """
        limit = time_text(before)
        is_complete = any(self._prune_runs(journal_time_text(before), runs) < _PRUNED_AT_ONCE for _ in range(batches))
        with self.journal.transaction() as database:
            database.execute("delete from heal where at < ?", (limit,))
            database.execute("delete from approval where at < ?", (limit,))
            database.execute("delete from hold where until < ?", (limit,))
        with self.journal.documented():
            self.journal.database.shrink()
        return is_complete

    def _prune_runs(self, limit: str, keep: int) -> int:
        with self.journal.transaction() as database:
            old = database.execute(
                "select id from run where started_at < ? "
                "or rowid <= (select rowid from run order by rowid desc limit 1 offset ?) order by rowid limit ?",
                (limit, keep, _PRUNED_AT_ONCE),
            ).fetchall()
            database.executemany("delete from action where run = ?", old)
            database.executemany("delete from run where id = ?", old)
        return len(old)

    def _is_sealed(self, slug: str, document: bytes) -> bool:
        with self._read(f"the baseline of app `{slug}`"):
            return any(map(holds_seals, values_of(stored_app(slug, document, self._seals))))


_WITH_IT: Final = ("", "-wal", "-shm")  # SQLite's own files, without which the first can't be read


@dataclass(frozen=True, slots=True)
class DamagedFile:
    """A damaged file: its new path, and what is wrong with it."""

    path: Path
    why: str


def open_or_replace_journal(
    path: Path, now: datetime, *, seal_key: Secret | None = None
) -> tuple[Journal, DamagedFile | None]:
    """Open the state file of a controller. A damaged file that a controller has used is renamed, and returned, too.

    Raises `OctosyncError` as `Journal` does for any other file that can't be used: one that has no state, one of a newer
    octosync, one that is locked.
    """
    try:
        return _checked(path, seal_key), None
    except StateDamaged as error:
        if not lock_beside(path).exists():  # a file that no controller has used may be anything
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
