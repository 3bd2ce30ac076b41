"""Leases: at most one process at a time leads a control plane, or applies to it.

A lease is a row of the shared state. It is taken, renewed and expires by the clock of the database, not by the clocks of the
processes; it doesn't depend on a connection. Each take has another epoch, and only the newest epoch can be renewed. Two
things keep a process that has lost its lease from writing:

- Each transaction of its journal begins with `Lease.fence`: under an older epoch, nothing is recorded, so nothing is sent.
- `Lease.check` precedes every request that writes. It compares a clock of this machine with the time at which the lease ends at
  the latest, a margin before it does in the database. A process that was suspended in between sends nothing when it wakes up.

A lease is for a control plane: a URL with an org. While the org isn't known, it is for all orgs of the URL.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final, TypeVar

from octosync.errors import LeaseLost, OctosyncError, StateUnavailable
from octosync.model import Secret
from octosync.plan import ControlPlane
from octosync.state.database import Database
from octosync.state.journal import Journal

T = TypeVar("T")

TTL: Final = 10.0  # seconds
# Of the time of a lease: the interval of renewals, the pause after one that failed, how long before its end in the database it
# ends for its holder, and how long a release is waited for, until it is left to expire. Clocks run at slightly different speeds,
# and some time passes between a check and a request.
_INTERVAL: Final = 0.2
_RETRY: Final = 0.05
_MARGIN: Final = 0.2
_LONGEST_RELEASE: Final = 0.3
# Statements of leases end after this time. Most of the time of a lease remains for further attempts.
_PATIENCE: Final = 3.0
_LONGEST_CLOSE: Final = 1.0  # seconds


def elapsed() -> float:
    """Return seconds that grow while the machine is suspended, too, as far as the system can count them."""
    boot_clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot_clock is None else time.clock_gettime(boot_clock)


def _now() -> datetime:
    return datetime.now(UTC)


class LeaseKind(Enum):
    """What a lease is for: the controller that leads, or a run of apply."""

    WATCH = "watch"
    APPLY = "apply"


@dataclass(frozen=True, slots=True)
class LeaseName:
    """What a lease is for, and its control plane. Without an org it is for all orgs of the URL."""

    kind: LeaseKind
    plane: ControlPlane

    @property
    def key(self) -> tuple[str, str, str]:
        """The key of its row."""
        return self.kind.value, self.plane.url, self.plane.org_id or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseHolder:
    """The process that holds a lease: its machine and number, and what is known of its run ("" for nothing).

    `address` is the `HOST:PORT` of its HTTP server, `actor` who started it, `commit` that of its manifests. `key` is a random
    secret that only processes with access to the state know.
    """

    host: str
    pid: int
    address: str = ""
    run: str = ""
    actor: str = ""
    commit: str = ""
    key: Secret = field(default=Secret(""), repr=False)

    @classmethod
    def this_process(cls, *, address: str = "", run: str = "", actor: str = "", commit: str = "") -> LeaseHolder:
        """Return this process as a holder."""
        return cls(host=socket.gethostname(), pid=os.getpid(), address=address, run=run, actor=actor, commit=commit)

    @property
    def name(self) -> str:
        """The name by which people recognize it."""
        return f"{self.host}, process {self.pid}"

    @property
    def text(self) -> str:
        """The holder as JSON."""
        texts = {name: getattr(self, name) for name in _TEXTS}
        return json.dumps({**texts, "pid": self.pid, "key": self.key.reveal()}, sort_keys=True)

    @property
    def digest(self) -> bytes:
        """The digest of the text."""
        return hashlib.sha256(self.text.encode()).digest()

    @classmethod
    def parse(cls, text: str) -> LeaseHolder:
        """Read what `text` returned, of any version of octosync. What is missing or malformed is empty."""
        try:
            facts = json.loads(text)
        except ValueError:
            facts = None
        known = facts if isinstance(facts, dict) else {}
        texts = {name: str(known.get(name, "")) for name in _TEXTS}
        pid = known.get("pid")
        return cls(pid=pid if isinstance(pid, int) else 0, key=Secret(str(known.get("key", ""))), **texts)


_TEXTS: Final = tuple({found.name for found in fields(LeaseHolder)} - {"pid", "key"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLease:
    """A lease as the database has it: its holder, since when, and until when if it isn't renewed.

    If not `is_held`, it has expired or was released at `expires`, and `holder` is the last one. `is_cut_off`: the holder can't
    reach the control plane, and hands the lease over to a process that can.
    """

    epoch: int
    holder: LeaseHolder
    since: datetime
    expires: datetime
    is_held: bool
    is_cut_off: bool = False


# What a holder is recognized by, since the server may log statements: its key is random, so it can't be guessed from this.
_DIGEST: Final = "sha256(convert_to(holder, 'UTF8'))"
_OF_LEASE: Final = f"kind = ? and control_plane = ? and org_id = ? and epoch = ? and {_DIGEST} = ?"


class Lease:
    """A lease that this process has taken. `clock` returns seconds, as `elapsed` does.

    It is valid until its deadline, which each renewal moves, and over once another process has taken it or it was released.
    `is_wanted`: this process is cut off from the control plane, and another one isn't.
    """

    def __init__(
        self, name: LeaseName, epoch: int, holder: LeaseHolder, since: datetime, clock: Callable[[], float] = elapsed
    ) -> None:
        self.name = name
        self.epoch = epoch
        self._holder = holder.digest
        self.since = since
        self._clock = clock
        self._deadline = 0.0
        self._is_over = False
        self.is_wanted = False

    @property
    def row(self) -> tuple[object, ...]:
        """What identifies this lease in the table. A database that was restored may give its epoch to another holder."""
        return (*self.name.key, self.epoch, self._holder)

    @property
    def is_over(self) -> bool:
        """Whether it can't be renewed any more: another process has taken it, or it was released."""
        return self._is_over

    @property
    def seconds_left(self) -> float:
        """How long it is valid without a further renewal; 0 if it isn't."""
        return 0.0 if self._is_over else max(0.0, self._deadline - self._clock())

    def check(self) -> None:
        """Raise `LeaseLost` unless the lease is certainly still this process's."""
        if not self.seconds_left:
            raise _lost(self.name)

    def fence(self, database: Database) -> None:
        """Raise `LeaseLost` in a transaction if the lease is not this process's. Nothing takes it until the transaction ends.

        The lock doesn't delay renewals, which leave the key of the row alone.
        """
        self.check()
        found = database.execute(
            f"select 1 from lease where {_OF_LEASE} and expires > clock_timestamp() for key share",  # noqa: S608 — our own words
            self.row,
        ).fetchone()
        if found is None:
            raise _lost(self.name)

    def extend(self, asked_at: float, ttl: float) -> None:
        """Move the deadline after a renewal that was requested at a time."""
        self._deadline = asked_at + (1 - _MARGIN) * ttl

    def end(self) -> None:
        """Record that it is over."""
        self._is_over = True


class LeaseTable:
    """The leases in a shared state, on a connection of its own. Every call may wait for the database for a few seconds.

    Raises `StateUnavailable` if the database can't be used, and other `OctosyncError`s as `Journal` does. Then a lease may have
    been taken, renewed or released all the same.
    """

    def __init__(self, journal: Journal, *, ttl: float = TTL, clock: Callable[[], float] = elapsed) -> None:
        self._journal = journal
        self._ttl = ttl
        self._clock = clock
        self._is_broken = False
        journal.wait_at_most(_PATIENCE)

    def holder(self, name: LeaseName) -> HeldLease | None:
        """Return the lease that keeps others from taking this one; if there is none, the last one; None if there never was."""
        with self._usable() as database:
            return read_lease(database, *name.key)

    def take(self, name: LeaseName, holder: LeaseHolder) -> Lease | None:
        """Take a lease that no other process holds, with the next epoch. Return None if one holds it, or one that excludes it.

        A process takes it again if the response was lost when it took it, with the same `holder`.
        """
        kind, url, org = name.key
        with self._usable():
            if self._is_held(name, holder):  # without a lock, which would delay those who hold a lease of this URL
                return None
            with self._journal.transaction() as database:
                # All who want a lease of this URL wait here for each other, and so do renewals of leases that exclude this one.
                database.execute(
                    "insert into lease (kind, control_plane, org_id, epoch, expires) values (?, ?, '', 0, clock_timestamp()) "
                    "on conflict do nothing",
                    (kind, url),
                )
                database.execute(
                    "select 1 from lease where kind = ? and control_plane = ? and (org_id in (?, '') or ? = '') "
                    "order by org_id for no key update",
                    (kind, url, org, org),
                )
                if self._is_held(name, holder):
                    return None
                # A lease that has expired can be renewed, but not once another one that excludes it was taken.
                database.execute(
                    "update lease set epoch = epoch + 1 where kind = ? and control_plane = ? and org_id <> ? "
                    "and (org_id = '' or ? = '')",
                    (kind, url, org, org),
                )
                asked_at = self._clock()
                epoch, since = database.execute_with_secret(
                    "insert into lease (kind, control_plane, org_id, epoch, holder, since, expires) "
                    "values (?, ?, ?, 1, ?, clock_timestamp(), clock_timestamp() + make_interval(secs => ?)) "
                    "on conflict (kind, control_plane, org_id) do update set epoch = lease.epoch + 1, "
                    "holder = excluded.holder, since = excluded.since, expires = excluded.expires, cut_off = false, "
                    "candidate = null returning epoch, since",
                    (kind, url, org, holder.text, self._ttl),
                ).fetchone()
        lease = Lease(name, epoch, holder, since.astimezone(UTC), self._clock)
        lease.extend(asked_at, self._ttl)
        return lease

    def renew(self, lease: Lease, *, is_cut_off: bool = False) -> bool:
        """Renew a lease, even an expired one that no other process has taken. Return False if it is over, for good.

        `is_cut_off`: the holder can't reach the control plane.
        """
        if lease.is_over:
            return False
        with self._usable():
            asked_at = self._clock()
            with self._journal.transaction() as database:
                found = database.execute(
                    "update lease set expires = clock_timestamp() + make_interval(secs => ?), cut_off = ?, "  # noqa: S608 — our own words
                    f"candidate = case when ? then candidate end where {_OF_LEASE} returning candidate",
                    (self._ttl, is_cut_off, is_cut_off, *lease.row),
                ).fetchone()
        if found is None:
            lease.end()
            return False
        lease.extend(asked_at, self._ttl)
        lease.is_wanted = found[0] is not None
        return True

    def release(self, lease: Lease) -> None:
        """Release a lease: another process can take it at once. From now on, this process doesn't hold it."""
        lease.end()
        with self._usable(), self._journal.transaction() as database:
            database.execute(
                f"update lease set epoch = epoch + 1, expires = clock_timestamp() where {_OF_LEASE}",  # noqa: S608 — our own words
                lease.row,
            )

    def ask_for(self, name: LeaseName, held: HeldLease, candidate: str) -> None:
        """Ask a holder that is cut off to release its lease to this process, which reaches the control plane."""
        with self._usable(), self._journal.transaction() as database:
            database.execute(
                "update lease set candidate = ? where kind = ? and control_plane = ? and (org_id in (?, '') or ? = '') "
                "and epoch = ? and cut_off",
                (candidate, *name.key, name.key[2], held.epoch),
            )

    def clock_offset(self, now: Callable[[], datetime]) -> timedelta:
        """Return by how much the clock of the database is ahead of that of this machine, which `now` returns."""
        with self._usable() as database:
            before = now()
            (there,) = database.execute("select clock_timestamp()").fetchone()
            after = now()
        offset: timedelta = there - before - (after - before) / 2
        return offset

    def close(self) -> None:
        """Close the connection."""
        self._journal.close()

    @contextmanager
    def _usable(self) -> Iterator[Database]:
        """Yield the connection, which is opened again after a failure."""
        try:
            if self._is_broken:
                self._journal.wait_until_usable(_PATIENCE)
            with self._journal.documented():
                yield self._journal.database
        except OctosyncError:
            self._is_broken = True
            raise
        self._is_broken = False

    def _is_held(self, name: LeaseName, candidate: LeaseHolder) -> bool:
        """Return whether another process than the candidate holds a lease, or one that excludes it."""
        kind, url, org = name.key
        found = self._journal.database.execute(
            "select 1 from lease where kind = ? and control_plane = ? and (org_id in (?, '') or ? = '') "  # noqa: S608 — our own words
            f"and expires > clock_timestamp() and (org_id <> ? or {_DIGEST} <> ?)",
            (kind, url, org, org, org, candidate.digest),
        ).fetchone()
        return found is not None


def read_lease(database: Database, kind: str, url: str, org: str) -> HeldLease | None:
    """Return the lease that keeps others from taking one, or the last one, as `LeaseTable.holder` does. It only reads."""
    row = database.execute(
        "select epoch, holder, since, expires, expires > clock_timestamp(), cut_off from lease "
        "where kind = ? and control_plane = ? and (org_id in (?, '') or ? = '') and holder is not null "
        "order by expires desc limit 1",
        (kind, url, org, org),
    ).fetchone()
    if row is None:
        return None
    epoch, holder, since, expires, is_held, is_cut_off = row
    return HeldLease(
        epoch=epoch,
        holder=LeaseHolder.parse(holder),
        since=since.astimezone(UTC),
        expires=expires.astimezone(UTC),
        is_held=is_held,
        is_cut_off=is_cut_off,
    )


class LeaseKeeper:
    """Takes, renews and releases leases for an event loop, in a thread of its own.

    The loop decides when a lease is renewed: a process whose loop hangs loses it. `problem` is the error of the latest renewal.
    """

    def __init__(
        self, open_journal: Callable[[], Journal], *, ttl: float = TTL, now: Callable[[], datetime] = _now
    ) -> None:
        """`open_journal` opens the shared state; it is called in the thread. `now` is the clock of this machine."""
        self._open_journal = open_journal
        self._now = now
        self._ttl = ttl
        self._table: LeaseTable | None = None
        # Not the threads of the loop, which may all be in use.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="octosync-lease")
        self.problem: OctosyncError | None = None

    async def holder(self, name: LeaseName) -> HeldLease | None:
        """Return the lease that keeps others from taking this one, or the last one. See `LeaseTable`."""
        return await self._run(lambda table: table.holder(name))

    async def take(self, name: LeaseName, holder: LeaseHolder) -> Lease | None:
        """Take a lease; None if another process holds it. See `LeaseTable`."""
        return await self._run(lambda table: table.take(name, holder))

    async def renew(self, lease: Lease) -> bool:
        """Renew a lease now. See `LeaseTable`."""
        return await self._run(lambda table: table.renew(lease))

    async def ask_for(self, name: LeaseName, held: HeldLease, candidate: str) -> None:
        """Ask a holder that is cut off to release its lease. See `LeaseTable`."""
        await self._run(lambda table: table.ask_for(name, held, candidate))

    async def clock_offset(self) -> timedelta:
        """Return by how much the clock of the database is ahead of this machine's."""
        return await self._run(lambda table: table.clock_offset(self._now))

    async def keep(self, lease: Lease, *, is_cut_off: Callable[[], bool] = lambda: False) -> None:
        """Renew a lease until it is over, or wanted because this process is cut off from the control plane.

        While the database can't be used, go on trying: the lease may have expired then.
        """
        pause = _INTERVAL * self._ttl
        while not lease.is_over and not lease.is_wanted:
            await asyncio.sleep(pause)
            cut_off = is_cut_off()
            try:
                await self._run(lambda table: table.renew(lease, is_cut_off=cut_off))  # noqa: B023 — it is awaited
            except OctosyncError as error:
                self.problem, pause = error, _RETRY * self._ttl
            else:
                self.problem, pause = None, _INTERVAL * self._ttl

    async def release(self, lease: Lease) -> None:
        """Release a lease. Raises nothing: a lease that can't be released within some seconds expires."""
        lease.end()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_RELEASE * self._ttl):
                for _ in range(2):  # after a restart of the database, the first statement finds a broken connection
                    try:
                        await self._run(lambda table: table.release(lease))
                    except OctosyncError as error:
                        self.problem = error
                    else:
                        break

    async def aclose(self) -> None:
        """Close the connection."""
        table, self._table = self._table, None
        if table is not None:
            closing = asyncio.get_running_loop().run_in_executor(self._thread, table.close)
            await asyncio.wait({closing}, timeout=_LONGEST_CLOSE)
        self._thread.shutdown(wait=False)

    async def _run(self, action: Callable[[LeaseTable], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._act, action)

    def _act(self, action: Callable[[LeaseTable], T]) -> T:
        if self._table is None:
            self._table = LeaseTable(self._open_journal(), ttl=self._ttl)
        try:
            return action(self._table)
        except StateUnavailable:
            raise  # it connects again
        except OctosyncError:  # its schema may be missing or newer: the next time, it is opened as at the start
            self._table.close()
            self._table = None
            raise


def _lost(name: LeaseName) -> LeaseLost:
    what = "another replica may lead" if name.kind is LeaseKind.WATCH else "another run may apply"
    return LeaseLost(
        "lease-lost",
        f"this process has lost its lease on {name.plane.host} in the shared state: {what}, so nothing more is written",
        hints=("It was suspended, or could not reach the database in time.",),
    )
