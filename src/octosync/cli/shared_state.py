"""The shared state of a run: what it contains about the control plane, and the lock of runs that write.

A run of apply or bootstrap holds the lock from before it plans until it has written, so that its plan is of the state that the
run before it has left. Without a shared state there is no lock: a state file is used on one machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from octosync.cli.console import note
from octosync.cli.progress import ProgressBar
from octosync.cli.run_options import LockTimeout
from octosync.errors import ExitCode, GuardRefused, OctosyncError, StateUnavailable
from octosync.model import Diagnostic, RunAudit, RunUnderWay
from octosync.octomil import Octomil
from octosync.plan import FINDINGS, ControlPlane, SharedState
from octosync.report import under_way_words, visible
from octosync.state import (
    HeldLease,
    Journal,
    Lease,
    LeaseHolder,
    LeaseKeeper,
    LeaseKind,
    LeaseName,
    StateLocation,
    StateUrl,
    new_run_id,
    read_lock_and_controls,
)

# A killed run blocks others for this long. It is longer than to plan 10,000 apps, which keeps the event loop busy.
LOCK_TTL: Final = 30.0  # seconds
_ASK_AGAIN: Final = 0.5  # seconds
_REMIND: Final = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class SharedReading:
    """What the shared state contained about a control plane when it was read, and the lock, None if no run ever had it."""

    shared: SharedState
    lock: HeldLease | None

    def is_followed_by(self, lock: RunLock, later: SharedReading) -> bool:
        """Return whether no run has had the lock between this and that this run took it, and the controls are the same."""
        is_held = self.lock is not None and self.lock.is_held
        return not is_held and self.lock == lock.before and self.shared.controls == later.shared.controls


async def read_shared_state(
    location: StateLocation, plane: ControlPlane, *, own: RunLock | None = None
) -> SharedReading | None:
    """Return what the shared state contains about a control plane, None without one. A run that has the lock is `own`.

    Raises `OctosyncError` as `read_lock_and_controls` does.
    """
    if not isinstance(location, StateUrl):
        return None
    lock, controls = await asyncio.to_thread(read_lock_and_controls, location, plane)
    under_way = _run_of(lock) if own is None and lock is not None and lock.is_held else None
    return SharedReading(SharedState(location=str(location), under_way=under_way, controls=controls), lock=lock)


async def refuse_if_suspended(location: StateLocation, plane: ControlPlane) -> None:
    """Raise `GuardRefused` if the controller of a control plane is suspended, as far as a shared state shows it."""
    reading = await read_shared_state(location, plane)
    suspension = None if reading is None else reading.shared.controls.suspension
    if suspension is not None:
        reason = visible(f": {suspension.reason}") if suspension.reason else ""
        raise GuardRefused(
            "guard-refused",
            f"suspended: the controller of {plane.host} is suspended, since {suspension.at:%Y-%m-%d %H:%M} UTC{reason}",
            hints=("Resume it on its page.",),
        )


async def known_shared_state(location: StateLocation, plane: ControlPlane) -> SharedState | None:
    """Return what the shared state contains about a control plane, or why that is not known; None without a shared state."""
    try:
        reading = await read_shared_state(location, plane)
    except OctosyncError as error:
        return SharedState(location=str(location), error=error)
    return None if reading is None else reading.shared


def _run_of(lease: HeldLease) -> RunUnderWay:
    holder = lease.holder
    return RunUnderWay(
        run=holder.run, actor=holder.actor, host=holder.host, revision=holder.commit or None, since=lease.since
    )


def shared_diagnostics(shared: SharedState) -> Iterator[Diagnostic]:
    """Yield a notice of a run that is under way, and a warning if the shared state could not be read."""
    if shared.under_way is not None:
        yield _finding(
            "run-under-way",
            "another run is under way, and may change what this plan has read",
            under_way_words(shared.under_way),
            "Plan again when it has ended. Apply waits for it, and plans after it.",
        )
    if shared.error is not None:
        yield _finding(
            "state-not-read",
            "holds, a suspension and a run under way are not known, since the shared state can't be read",
            shared.error.message,
            *shared.error.hints,
        )


def _finding(id_: str, subject: str, cause: str, *notes: str) -> Diagnostic:
    summary = f"{subject}: {cause}"
    return Diagnostic(severity=FINDINGS[id_].severity, rule=id_, summary=summary, subject=subject, notes=notes)


@dataclass(frozen=True, slots=True)
class RunLock:
    """The lock that this run holds; `run` is the ID of the run, `before` the lock as the last run has left it."""

    lease: Lease
    run: str
    before: HeldLease | None
    keeper: LeaseKeeper

    def protect(self, remote: Octomil, journal: Journal) -> None:
        """Let the run write only while it holds the lock: each request that writes and each transaction of the journal."""
        remote.guard_writes(self.lease.check)
        journal.fence = self.lease.fence

    async def confirm(self) -> None:
        """Renew the lock: planning may have kept the event loop busy for longer than it lasts.

        Raises `LeaseLost` if another run has taken it, and `StateUnavailable`.
        """
        await self.keeper.renew(self.lease)
        self.lease.check()


@asynccontextmanager
async def run_lock(
    location: StateLocation, plane: ControlPlane, audit: RunAudit, *, wait: LockTimeout
) -> AsyncIterator[RunLock | None]:
    """Hold the lock of a control plane while the block runs; None without a shared state. `audit` describes the run.

    Raises `OctosyncError`: `run-locked` if another run holds it for longer than `wait`, and as `LeaseKeeper` does.
    """
    if not isinstance(location, StateUrl):
        yield None
        return
    keeper = LeaseKeeper(lambda: Journal(location), ttl=LOCK_TTL)
    try:
        lock = await _take(keeper, LeaseName(LeaseKind.APPLY, plane), audit, wait)
        renewal = asyncio.create_task(keeper.keep(lock.lease))
        try:
            yield lock
        finally:
            renewal.cancel()
            await asyncio.wait({renewal})
            await keeper.release(lock.lease)
    finally:
        await keeper.aclose()


async def _take(keeper: LeaseKeeper, name: LeaseName, audit: RunAudit, wait: LockTimeout) -> RunLock:
    """Take the lock, and wait while another run holds it. An outage of the database only matters before the wait."""
    run = new_run_id(datetime.now(UTC))
    holder = LeaseHolder.this_process(run=run, actor=audit.actor, commit=audit.revision or "")
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait.seconds
    before = await keeper.holder(name)
    lease = await keeper.take(name, holder)
    if lease is not None:
        return RunLock(lease, run, before, keeper)
    with _WaitForLock(name.plane, wait) as display:
        while True:
            try:
                before = await keeper.holder(name)
                lease = await keeper.take(name, holder)
            except StateUnavailable as error:
                if loop.time() >= deadline:
                    raise
                display.show_outage(error)
            else:
                if lease is not None:
                    return RunLock(lease, run, before, keeper)
                if loop.time() >= deadline:
                    raise _locked(name.plane, before, wait)
                display.show(before, deadline - loop.time())
            await asyncio.sleep(max(0.0, min(_ASK_AGAIN, deadline - loop.time())))


def _locked(plane: ControlPlane, held: HeldLease | None, wait: LockTimeout) -> OctosyncError:
    who = "another run" if held is None else under_way_words(_run_of(held))
    waited, longer = (f", and has not ended within {wait.text}", " longer") if wait.seconds else ("", "")
    return OctosyncError(
        "run-locked",
        f"another run is under way on {plane.host}{waited}: {who}",
        hints=(
            f"Run this again when it has ended, or wait{longer}: --lock-timeout 30m",
            f"If it was killed, its lock ends by itself after {LOCK_TTL:.0f} s.",
        ),
        exit_code=ExitCode.UNAVAILABLE,
    )


class _WaitForLock(ProgressBar):
    """Shows what a run waits for: a line for each run that holds the lock, and a countdown at a terminal, else reminders."""

    def __init__(self, plane: ControlPlane, limit: LockTimeout) -> None:
        super().__init__("waiting", 0)
        self._plane = plane
        self._limit = limit
        self._shown = ""
        self._is_outage_shown = False

    def show(self, held: HeldLease | None, seconds_left: float) -> None:
        """Show the run that holds the lock, and how long this run still waits."""
        now = self._clock()
        self._is_outage_shown = False
        if held is not None and held.holder.run != self._shown:
            self._shown, self._last_line = held.holder.run, now
            who = under_way_words(_run_of(held))
            note(f"Waiting for another run on {self._plane.host} to end (--lock-timeout {self._limit.text}): {who}\n")
        if self._bar is not None:
            self._bar.update(self._task, wait=("giving up", now + seconds_left, False))
        elif now - self._last_line >= _REMIND:
            self._line(f"another run is still under way, giving up in {seconds_left:.0f} s")

    def show_outage(self, error: StateUnavailable) -> None:
        """Show once that it is not known whether the other run has ended."""
        if not self._is_outage_shown:
            self._is_outage_shown = True
            note(f"The shared state can't be read, and is tried again: {error.message}\n")
