"""The manifest reloader: it loads the manifests, makes a good load the active one, and reconciles the apps it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from octosync.errors import OctosyncError
from octosync.model import counted
from octosync.watch.coverage import CoverageMonitor
from octosync.watch.log import Log
from octosync.watch.loop.circuit_breaker import CircuitBreaker, CircuitReason
from octosync.watch.loop.scheduler import Scheduler
from octosync.watch.manifests.desired import DesiredState, LoadDifference, ManifestLoad, RestartSettings
from octosync.watch.memory import Memory
from octosync.watch.notify.events import MANIFESTS, NotificationCollector
from octosync.watch.reconcile.coordination import Changesets
from octosync.watch.reconcile.observer import ObjectHistory
from octosync.watch.reconcile.results import ResultRecorder
from octosync.watch.settings import Clock
from octosync.watch.status import AppState

_PATIENCE: Final = 5.0  # seconds that a load may fail before receivers are notified
_JUST_AFTER: Final = 0.05  # seconds after an interval, so that it is over by any clock
# What octosync.yaml decides about apps in these states may have changed with it.
_DECIDED_BY_CONFIGURATION: Final = (AppState.BLOCKED, AppState.WAITING, AppState.HELD, AppState.DRIFTED)


@dataclass(slots=True, kw_only=True)
class ManifestReloader:
    """Loads the manifests. `loaded` is set after the first good load; `tasks` run in the background.

    `may_wait`: a load that can't be saved waits until it can; at the start it raises instead.
    """

    desired: DesiredState
    scheduler: Scheduler
    changesets: Changesets
    history: ObjectHistory
    coverage: CoverageMonitor
    memory: Memory
    results: ResultRecorder
    notifications: NotificationCollector
    breaker: CircuitBreaker
    clock: Clock
    log: Log
    may_wait: bool = False
    loaded: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _restarts: RestartSettings = field(default_factory=RestartSettings)
    _problems: tuple[OctosyncError | None, tuple[str, ...]] | None = None
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)
    _is_settling: bool = False

    def load_soon(self) -> None:
        """Load in the background, and read all files: on some file systems, a file can change without a sign of it."""
        self._spawn(self.load(afresh=True))

    async def load(self, *, afresh: bool = False) -> None:
        """Load the manifests. A good load becomes the active one; the errors of a bad one are logged and notified."""
        async with self._one_at_a_time:
            difference = await self.desired.load(afresh=afresh)
            if not difference.declared.fails:
                await self._activate(difference)
            elif not self.desired.is_stopped:  # else it was given up because of that
                self._record_failure(difference.declared)

    def _record_failure(self, declared: ManifestLoad) -> None:
        self.scheduler.assignment.unsettle(self.clock.now())
        problems = (declared.error, declared.problems)
        if problems == self._problems:
            return
        self._problems = problems
        problem = log_failed_load(declared, self.log)
        self._spawn(self._notify_if_it_stays(problem, problems))

    async def _notify_if_it_stays(self, problem: OctosyncError, problems: object) -> None:
        """Notify receivers of a load that fails, unless a file had only not been written to its end."""
        await self.clock.sleep(_PATIENCE)
        if self._problems == problems:
            self.notifications.add_failure(self.clock.now(), problem, MANIFESTS)

    async def _activate(self, difference: LoadDifference) -> None:
        declared, is_first = difference.declared, not self.loaded.is_set()
        self._problems = None
        self._warn_of_restart(declared)
        self.notifications.resolve(MANIFESTS)
        await self._save(difference, is_first=is_first)
        if is_first:
            self._log_missing_state()
        self._apply(difference, is_first=is_first)
        self.loaded.set()
        apps, files = len(self.scheduler.assignment.active.tree.apps), declared.manifests.files
        self.log.info(
            "manifests_loaded",
            message=f"{counted(apps, 'app')} declared in {counted(files, 'file')}",
            revision=declared.revision or None,
            digest=declared.manifests.digest,
            changed=None if is_first else len(difference.changed),
        )

    def _warn_of_restart(self, declared: ManifestLoad) -> None:
        needing = self._restarts.changed_settings(declared)
        if needing:
            self.log.warning(
                "restart_needed",
                message=f"settings in octosync.yaml have changed that need a restart: {', '.join(needing)}",
            )

    async def _save(self, difference: LoadDifference, *, is_first: bool) -> None:
        """Save what a load changes in the state file, before it becomes the active one.

        After the start, a state file that can't be written is waited for, as apps with changes wait for it.
        """
        failures = 0
        while True:
            try:
                self.scheduler.assignment.record(difference, is_first=is_first)
            except OctosyncError as error:
                if not self.may_wait:
                    raise
                failures += 1
                pause = self.results.record_unsaved_load(difference.changed, error, failures)
                if self.breaker.reason in {CircuitReason.STATE_LOCKED, CircuitReason.STATE_UNAVAILABLE}:
                    await self.breaker.until_closed()
                else:
                    await self.clock.sleep(pause)
            else:
                return

    def _log_missing_state(self) -> None:
        """Log at the start that there is no stored state: some decisions differ from those with it."""
        if not self.memory.apps and not self.memory.is_whole:
            self.log.info(
                "nothing_remembered",
                message="first start with this state: what was declared before is not known",
            )

    def _apply(self, difference: LoadDifference, *, is_first: bool) -> None:
        scheduler, assignment, tracker = self.scheduler, self.scheduler.assignment, self.scheduler.tracker
        applied = assignment.apply(difference)
        if applied.narrowed:
            self.log.warning(
                "scope_narrowed",
                message="the watched manifests have changed: apps of manifests that are no longer watched stay unchanged",
            )
        self._settle_later()
        scheduler.remove(applied.gone)
        self.notifications.forget(applied.gone)
        freed = self.changesets.remove(applied.gone)
        self.history.forget(applied.gone)
        self.coverage.forget(applied.gone)
        clone = difference.declared.clone
        for slug, was in tracker.declare(assignment.active.tree, assignment.leftovers, assignment.orphans, clone):
            message = f"{slug} is orphaned: no manifest declares it any more, and it is left unchanged"
            self.log.warning("app_moved", message=message, app=slug, was=was.value)
        if is_first:
            # What was declared since the last run is one change: its removals wait until all of it was read.
            self.changesets.begin(assignment.changed_since_last_run)
            return
        if applied.changed:
            self.changesets.begin(applied.changed)
        for slug in sorted(applied.changed):
            self.results.start_over(slug)
        for slug in sorted(applied.changed):
            scheduler.replan(slug)
        for slug in sorted(freed - applied.changed):
            scheduler.reconcile_soon(slug)
        if difference.reconfigured:
            for app in tuple(tracker.in_state(*_DECIDED_BY_CONFIGURATION)):
                scheduler.reconcile_soon(app.slug)

    def _settle_later(self) -> None:
        if not self._is_settling and self.scheduler.assignment.active.unsettled:
            self._is_settling = True
            self._spawn(self._settle())

    async def _settle(self) -> None:
        """Check the files again an interval after a load: a file that is unchanged by then is not half-written."""
        assignment = self.scheduler.assignment
        try:
            while (seconds := assignment.settles_in(self.clock.now())) is not None:
                await self.clock.sleep(seconds + _JUST_AFTER)
                now = self.clock.now()
                if not await self.desired.is_unchanged():
                    await self.load()
                    continue
                for slug in sorted(assignment.settle(now)):
                    self.scheduler.reconcile_soon(slug)
        finally:
            self._is_settling = False

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


def log_failed_load(declared: ManifestLoad, log: Log) -> OctosyncError:
    """Log a load that fails, and return its error."""
    message = declared.error.message if declared.error is not None else "the manifests have errors"
    problem = declared.error or OctosyncError("manifests-invalid", message, hints=declared.problems[:5])
    log.error(
        "manifests_invalid",
        message=message,
        reference=problem.reference,
        errors=declared.problems or None,
        hints=list(problem.hints) if declared.error is not None else None,
    )
    return problem
