"""Loads: the manifests as they are now are put into force, and whatever has to look at its app again does so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from octosync.errors import OctosyncError
from octosync.model import counted
from octosync.watch.desired import LoadDifference, ManifestLoad
from octosync.watch.gate import CircuitReason
from octosync.watch.parts import Parts
from octosync.watch.restarts import RestartSettings
from octosync.watch.standing import AppState
from octosync.watch.telling import MANIFESTS

_PATIENCE = 5.0  # seconds that a load may fail before receivers are told
_JUST_AFTER = 0.05  # seconds after an interval, so that it is over by any clock


class ManifestReloader:
    """`loaded` is set once a load was good. `stir` has an app have a turn soon, `spawn` something go on beside the loop.

    `may_wait`: a load that can't be noted waits until it can, instead of raising, as at the start.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        stir: Callable[[str], None],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._parts = parts
        self._stir = stir
        self._spawn = spawn
        self._restarts = RestartSettings()
        self._problems: tuple[OctosyncError | None, tuple[str, ...]] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._withheld: set[str] = set()
        self._is_settling = False
        self.loaded = asyncio.Event()
        self.may_wait = False

    async def load(self) -> None:
        """Load what is there now, and take it up where it can be; say what is wrong with it where it can't."""
        parts = self._parts
        async with self._one_at_a_time:
            difference = await parts.desired.load()
            declared = difference.declared
            if declared.fails and parts.desired.is_stopped:
                return  # it was given up for that
            if declared.fails:
                parts.assignment.unsettle(parts.clock.now())
                problems = (declared.error, declared.problems)
                if problems == self._problems:
                    return
                self._problems = problems
                message = declared.error.message if declared.error is not None else "the manifests have errors"
                problem = declared.error or OctosyncError("manifests-invalid", message, hints=declared.problems[:5])
                hints = list(problem.hints) if declared.error is not None else None
                parts.log.error(
                    "manifests_invalid",
                    message=message,
                    reference=problem.reference,
                    errors=declared.problems or None,
                    hints=hints,
                )
                self._spawn(self._tell_if_it_stays(problem, problems))
                return
            self._problems = None
            self._tell_of_restart(declared)
            parts.telling.resolve(MANIFESTS)
            is_first = not self.loaded.is_set()
            await self._note(difference, is_first=is_first)
            if is_first:
                self._tell_of_memory()
            self._take_up(difference, is_first=is_first)
            self.loaded.set()
            apps, files = len(parts.assignment.active.tree.apps), declared.manifests.files
            parts.log.info(
                "manifests_loaded",
                message=f"{counted(apps, 'app')} declared in {counted(files, 'file')}",
                revision=declared.revision or None,
                digest=declared.manifests.digest,
                changed=None if is_first else len(difference.changed),
            )

    def _tell_of_restart(self, declared: ManifestLoad) -> None:
        needing = self._restarts.news(declared)
        if needing:
            self._parts.log.warning(
                "restart_needed",
                message=f"octosync.yaml has other settings than at the start, which need a restart: {', '.join(needing)}",
            )

    async def _note(self, difference: LoadDifference, *, is_first: bool) -> None:
        """Write down what a load changes of what is remembered: nothing is in force before.

        Once the controller runs, a state file that can't be written is waited for, as it is by apps that are to be written.
        """
        parts, failures = self._parts, 0
        while True:
            try:
                parts.assignment.record(difference, is_first=is_first)
            except OctosyncError as error:
                if not self.may_wait:
                    raise
                failures += 1
                pause = parts.results.record_unsaved_load(difference.changed, error, failures)
                if parts.breaker.reason is CircuitReason.STATE_LOCKED:
                    await parts.breaker.until_closed()
                else:
                    await parts.clock.sleep(pause)
            else:
                return

    def _tell_of_memory(self) -> None:
        """Say at the start that nothing is remembered: then some things are other than they were before the state was lost."""
        memory = self._parts.memory
        if not memory.apps and not memory.is_whole:
            self._parts.log.warning(
                "nothing_remembered",
                message="nothing is remembered of this control plane: nothing counts as removed from the manifests, and "
                "what differs is held only where the activity feed shows that somebody has just changed it",
            )

    def _take_up(self, difference: LoadDifference, *, is_first: bool) -> None:
        parts = self._parts
        taken = parts.assignment.apply(difference)
        if taken.narrowed:
            parts.log.warning(
                "scope_narrowed",
                message="other manifests are watched than before: what stands in those that are not any more is left as it is",
            )
        self._settle_later()
        parts.queue.drop(taken.gone)
        parts.resync.record_read(taken.gone)
        parts.telling.forget(taken.gone)
        freed = parts.changes.remove(taken.gone)
        parts.observer.history.forget(taken.gone)
        parts.reconciler.coverage.forget(taken.gone)
        active, shown = parts.assignment.active, difference.declared.clone.path
        for slug, was in parts.tracker.declare(
            active.tree, parts.assignment.leftovers, parts.assignment.orphans, shown
        ):
            message = f"{slug} is orphaned: no manifest declares it any more, and it is left as it is"
            parts.log.warning("app_moved", message=message, app=slug, was=was.value)
        if is_first:
            # What was declared while nobody watched is one change: its removals wait until all of it was read.
            parts.changes.begin(parts.assignment.changed_meanwhile)
            return
        if taken.changed:
            parts.changes.begin(taken.changed)
        for slug in sorted(taken.changed):
            parts.start_over(slug)
        for slug in sorted(taken.changed | freed):
            self._stir(slug)
        if difference.reconfigured:
            waiting = (AppState.BLOCKED, AppState.WAITING, AppState.HELD, AppState.DRIFTED)
            for one in tuple(parts.tracker.in_state(*waiting)):
                self._stir(one.slug)

    async def _tell_if_it_stays(self, problem: OctosyncError, problems: object) -> None:
        """Tell receivers of a load that fails, unless it was only a file that had not been written to its end."""
        await self._parts.clock.sleep(_PATIENCE)
        if self._problems == problems:
            self._parts.telling.add_failure(self._parts.clock.now(), problem, MANIFESTS)

    def withhold(self, slugs: frozenset[str]) -> None:
        """Note apps whose removals wait until their files are settled; what is settled by now has another turn at once."""
        settled = slugs - self._parts.assignment.active.unsettled
        self._withheld |= slugs - settled
        for slug in sorted(settled):
            self._stir(slug)

    @property
    def withholds(self) -> bool:
        """Whether a removal waits for a second look at the files."""
        return bool(self._withheld)

    def _settle_later(self) -> None:
        if not self._is_settling and self._parts.assignment.active.unsettled:
            self._is_settling = True
            self._spawn(self._settle())

    async def _settle(self) -> None:
        """Look at the files again an interval after a load: what is still the same by then is no half-written file."""
        parts = self._parts
        try:
            while (seconds := parts.assignment.settles_in(parts.clock.now())) is not None:
                await parts.clock.sleep(seconds + _JUST_AFTER)
                now = parts.clock.now()
                if not await parts.desired.is_unchanged():
                    await self.load()
                    continue
                settled = parts.assignment.settle(now)
                waiting, self._withheld = self._withheld & settled, self._withheld - settled
                for slug in sorted(waiting & set(parts.assignment.slugs)):
                    self._stir(slug)
        finally:
            self._is_settling = False
