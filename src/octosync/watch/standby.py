"""What a standby shows by itself: the manifests, which it loads so that it could take over, and the shared state.

The shared state is read only when no leader responds to this standby. It has the apps that were in sync when a leader last read
them, drift, what guards block, holds, the suspension and the runs. All else only a leader knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from octosync import __version__
from octosync.errors import OctosyncError
from octosync.manifest.load.selection import matching
from octosync.model import Address, App, ControllerSuspension, Hold, JournalledAction, JournalledRun, Outcome, State
from octosync.plan import ControlPlane
from octosync.state import ControlPlaneState, Journal, WatchState
from octosync.watch.log import Log
from octosync.watch.manifests.desired import DesiredState, ManifestLoad
from octosync.watch.manifests.reload import log_failed_load
from octosync.watch.settings import Clock, Settings, WriteMode, wait_for
from octosync.watch.status import (
    AppReconcileStatus,
    AppState,
    BlockedSet,
    ControllerStatus,
    DriftStatus,
    ReplicaStatus,
    RunStatus,
)

_LOADED_EVERY: Final = 15.0  # seconds between checks of the files
_READ_EVERY: Final = 2.0  # seconds between reads of the shared state, at most
_READ_PATIENCE: Final = 3.0  # seconds for which a page waits for one
_RUNS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredStatus:
    """The status of one control plane, as far as the shared state has it."""

    in_sync: Mapping[str, datetime] = field(default_factory=dict)
    drift: Mapping[str, Mapping[Address, datetime]] = field(default_factory=dict)
    contested: frozenset[Address] = frozenset()
    blocked: tuple[BlockedSet, ...] = ()
    holds: tuple[Hold, ...] = ()
    suspension: ControllerSuspension | None = None
    runs: tuple[RunStatus, ...] = ()
    resync_ended: datetime | None = None


def read_stored_status(journal: Journal, plane: ControlPlane, now: datetime) -> StoredStatus:
    """Read the state of a control plane. Raises `OctosyncError` if it can't be used."""
    whole = WatchState(journal)
    plane = whole.with_known_org(plane)
    state = whole.for_control_plane(plane)
    checkpoint = state.checkpoint()
    runs = [run for run in journal.runs(newest=_RUNS) if _is_of(run, plane)]
    actions = journal.actions_of([run.id for run in runs])
    return StoredStatus(
        in_sync={slug: app.at for slug, app in checkpoint.in_sync.items()},
        drift={
            slug: {address: first_seen for address, (_, first_seen) in objects.items()}
            for slug, objects in state.drift().items()
        },
        contested=frozenset(state.contested()),
        blocked=_blocked_sets(state),
        holds=tuple(hold for hold in state.holds() if hold.until > now),
        suspension=state.suspension(),
        runs=tuple(_run_status(run, actions[run.id]) for run in runs),
        resync_ended=checkpoint.resync.ended,
    )


def _blocked_sets(state: ControlPlaneState) -> tuple[BlockedSet, ...]:
    found: dict[tuple[str, str], set[Address]] = {}
    for refusals in state.refusals().values():
        for refusal in refusals:
            found.setdefault((refusal.guard, refusal.total or refusal.message), set()).add(refusal.address)
    return tuple(
        BlockedSet(
            guard=guard,
            message=message,
            apps=tuple(sorted({address.app for address in addresses if address.app})),
            addresses=tuple(sorted(addresses)),
        )
        for (guard, message), addresses in sorted(found.items())
    )


def _is_of(run: JournalledRun, plane: ControlPlane) -> bool:
    return run.control_plane == plane.url and run.org_id in {None, plane.org_id}


def _run_status(run: JournalledRun, actions: Sequence[JournalledAction]) -> RunStatus:
    addresses = [Address.parse(action.address) for action in actions]
    return RunStatus(
        run=run.id,
        apps=tuple(sorted({address.app for address in addresses if address.app})),
        started=run.started_at,
        ended=run.ended_at,
        actions=len(actions),
        outcomes=tuple(
            Outcome(
                address=address,
                verb=action.verb,
                status=action.status,
                reference=action.reference,
                request_ids=action.request_ids,
            )
            for address, action in zip(addresses, actions, strict=True)
            if action.status is not None
        ),
    )


class StandbyView:
    """What a standby shows. `open_journal` opens the shared state, in a thread, each time it is read."""

    def __init__(
        self,
        *,
        desired: DesiredState,
        settings: Settings,
        control_plane: ControlPlane,
        open_journal: Callable[[], Journal],
        clock: Clock,
        log: Log,
    ) -> None:
        self._desired = desired
        self._settings = settings
        self._plane = control_plane
        self._open_journal = open_journal
        self._clock = clock
        self._log = log
        self._started = clock.now()
        self._should_load = asyncio.Event()
        self._logged: object = None  # the problems of the manifests
        self._shared = StoredStatus()
        self._problem = ""  # of the latest read
        self._reading: asyncio.Task[None] | None = None
        self._read_at: float | None = None  # by the monotonic clock
        self._known: tuple[object, object, Mapping[str, App], Mapping[str, AppReconcileStatus]] | None = None

    async def run(self, is_standby: Callable[[], bool]) -> None:
        """Load the manifests now, and whenever they change, until cancelled. A leader loads them itself."""
        while True:
            if is_standby() and not await self._desired.is_unchanged():
                self._log_problems((await self._desired.load()).declared)
            await wait_for(self._should_load, _LOADED_EVERY, self._clock)
            self._should_load.clear()

    def reload(self) -> None:
        """Check now whether the manifests have changed."""
        self._should_load.set()

    def _log_problems(self, declared: ManifestLoad) -> None:
        error = "" if declared.error is None else declared.error.message
        problems = (error, declared.problems) if declared.fails else None
        if problems not in {None, self._logged}:
            log_failed_load(declared, self._log)
        self._logged = problems

    async def refresh(self) -> None:
        """Read the shared state again, unless it has just been read. Wait for it only briefly. Never raises."""
        now = self._clock.monotonic()
        if self._reading is None and (self._read_at is None or now - self._read_at >= _READ_EVERY):
            self._reading = asyncio.create_task(self._read())
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=_READ_PATIENCE)

    async def _read(self) -> None:
        try:
            self._shared = await asyncio.to_thread(self._read_now)
            self._problem = ""
        except OctosyncError as error:
            self._problem = error.message
        finally:
            self._read_at, self._reading = self._clock.monotonic(), None

    def _read_now(self) -> StoredStatus:
        with self._open_journal() as journal:
            journal.wait_at_most(_READ_PATIENCE)
            return read_stored_status(journal, self._plane, self._clock.now())

    def status(self, replica: ReplicaStatus) -> ControllerStatus:
        """Return the status of this replica as a standby. It is ready if it could take over."""
        latest, good, known = self._desired.latest, self._desired.good, self._shared
        declared, apps = self._apps(known)
        return ControllerStatus(
            now=self._clock.now(),
            started=self._started,
            version=__version__,
            control_plane=self._plane,
            mode=self._settings.write_mode.value,
            ready=good is not None and not replica.problem and replica.has_read_leader,
            loading=latest is None,
            valid=latest is not None and not latest.fails,
            load_error=latest.error if latest is not None else None,
            diagnostics=tuple(map(latest.clone.diagnostic, latest.diagnostics)) if latest is not None else (),
            files=good.manifests.files if good is not None else 0,
            revision=good.revision if good is not None else "",
            commit=good.commit if good is not None else None,
            loaded_at=good.loaded_at if good is not None else None,
            changed_at=self._desired.changed_at,
            apps=apps,
            declared=declared,
            blocked=known.blocked,
            holds=known.holds,
            suspended=known.suspension,
            runs=known.runs,
            full_read_at=known.resync_ended,
            last_success=max(known.in_sync.values(), default=None),
            replica=replica if replica.problem or not self._problem else replace(replica, problem=self._problem),
        )

    @property
    def _drift_hold(self) -> timedelta | None:
        """How long drift is held before a leader reverts it; None if it doesn't."""
        if self._settings.write_mode is not WriteMode.ALL:
            return None
        if self._settings.drift_hold is not None or self._desired.good is None:
            return self._settings.drift_hold
        return self._desired.good.configuration.drift_hold

    def _apps(self, shared: StoredStatus) -> tuple[Mapping[str, App], Mapping[str, AppReconcileStatus]]:
        """Return the declared apps, and all apps; the same ones as long as nothing new is known."""
        good = self._desired.good
        if self._known is None or self._known[0] is not shared or self._known[1] is not good:
            settings, tree = self._settings, State() if good is None else good.manifests.state
            declared = matching(tree, apps=settings.apps, selector=settings.selector).apps
            slugs = sorted({*declared, *shared.in_sync, *shared.drift})
            apps = {slug: _app_status(slug, shared, self._drift_hold) for slug in slugs}
            self._known = (shared, good, declared, apps)
        return self._known[2], self._known[3]


def _app_status(slug: str, shared: StoredStatus, drift_hold: timedelta | None) -> AppReconcileStatus:
    hold = next((hold for hold in shared.holds if hold.app == slug), None)
    drift = tuple(
        DriftStatus(
            address=address,
            first_seen=first_seen,
            until=None if drift_hold is None or address in shared.contested else first_seen + drift_hold,
            contested=address in shared.contested,
        )
        for address, first_seen in sorted(shared.drift.get(slug, {}).items())
    )
    at = shared.in_sync.get(slug)
    states = (
        (AppState.BLOCKED, any(slug in blocked.apps for blocked in shared.blocked)),
        (AppState.CONTESTED, any(item.contested for item in drift)),
        (AppState.HELD, any(item.until is not None for item in drift)),
        (AppState.DRIFTED, bool(drift)),
        (AppState.IN_SYNC, at is not None),
    )
    state = next((state for state, holds in states if holds), AppState.UNREAD)
    since = min((item.first_seen for item in drift), default=at)
    return AppReconcileStatus(slug=slug, state=state, since=since, read_at=at, drift=drift, hold=hold)
