"""The controller: one process that keeps one control plane's apps as they are declared, until it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from typing import Any

from octosync.errors import ConfigError, OctosyncError, StateLocked, Unreadable
from octosync.model import Event, counted
from octosync.watch.desk import ControllerOperations
from octosync.watch.ended import ReconcileResult
from octosync.watch.files import file_changes
from octosync.watch.fingerprint import FileChange
from octosync.watch.gate import CircuitReason
from octosync.watch.loads import ManifestReloader
from octosync.watch.metrics import Metrics
from octosync.watch.orgfeed import FeedUpdate
from octosync.watch.parts import Hooks, Outfit, assemble
from octosync.watch.queue import Priority, Work
from octosync.watch.standing import AppState, ControllerStatus

# So long no re-read begins once files may have changed: enough to let them settle and load a thousand.
_REST = 1.0


class Controller:
    """Runs until `stop` is set. `api` is where people tell it things meanwhile."""

    def __init__(self, outfit: Outfit) -> None:
        self._outfit = outfit
        self.stop = asyncio.Event()
        self.metrics = Metrics(self._standing)
        hooks = Hooks(
            carry_out=self._carry_out,
            begun=self._begun,
            ended=self._ended,
            heard=self._heard,
            closed=self._closed,
            opened=self._opened,
        )
        self._parts = assemble(outfit, self.metrics, self.stop, hooks)
        self.api = ControllerOperations(
            parts=self._parts,
            stir=self._stir,
            started=outfit.clock.now(),
            control_plane=outfit.control_plane,
            about=outfit.about,
            state_damaged=outfit.state_damaged,
            can_post=outfit.can_post,
        )
        self._is_feed_off = False
        self._loads = ManifestReloader(self._parts, stir=self._stir, spawn=self._spawn)
        self._side_tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Run until `stop` is set; then nothing new is begun, and what is being written finishes."""
        parts = self._parts
        stopped = asyncio.ensure_future(self.stop.wait())
        stopped.add_done_callback(lambda _: parts.desired.give_up())
        await self._loads.load()
        self._loads.may_wait = True
        tasks = [
            asyncio.ensure_future(part)
            for part in (
                self._watch_files(),
                parts.ticker.run(),
                self._read_all(),
                parts.workers.run(),
                parts.telling.run(),
            )
        ]
        stopped = asyncio.ensure_future(self.stop.wait())
        try:
            done, _ = await asyncio.wait({*tasks, stopped}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopped}:
                task.result()  # none of them ends by itself, unless it raises
        finally:
            self.stop.set()
            everything = [*tasks, stopped, *self._side_tasks]
            for task in everything:
                task.cancel()
            await asyncio.gather(*everything, return_exceptions=True)
            parts.telling.flush()

    def _standing(self) -> ControllerStatus:
        return self.api.status()

    def reload(self) -> None:
        """Load the manifests and the key again, and read every app again: what SIGHUP means."""
        self._read_token()
        self._spawn(self._loads.load())
        self._parts.resync.request()
        self._parts.probe_now()

    # -- triggers

    async def _read_all(self) -> None:
        await self._loads.loaded.wait()
        parts = self._parts

        async def begin() -> None:
            if not parts.feed.has_begun:
                await parts.feed.begin(parts.assignment.active.hold)
                if not isinstance(parts.feed.off, Unreadable):  # which says nothing of what else is answered
                    parts.breaker.record_success()
                self._tell_of_feed()
            if parts.feed.off is not None:  # nothing else tells that a target is free
                for slug in parts.reconciler.rejections.held_elsewhere():
                    parts.reconciler.rejections.retry(slug)

        def ended() -> None:
            reads = parts.resync
            self._flush()
            seconds = _seconds(reads.took)
            message = f"{counted(reads.total, 'app')} read in {seconds} s"
            parts.log.info("full_read", message=message, apps=reads.total, seconds=seconds)
            if reads.took is not None and reads.took > reads.every:
                parts.log.warning(
                    "full_read_stretched",
                    message="a full read takes longer than --resync at this rate; the next one follows it",
                    seconds=_seconds(reads.took),
                    resync=_seconds(reads.every),
                )
            try:
                if not any(parts.tracker.in_state(AppState.UNREAD, AppState.FAILING)):
                    parts.memory.now_whole()
                parts.memory.prune()
            except OctosyncError as error:  # the next full read notes it, too
                parts.results.record_state_error(error)

        await parts.resync.run(lambda: parts.assignment.slugs, begin, ended)

    async def _watch_files(self) -> None:
        parts = self._parts
        latest = parts.desired.latest
        watched = file_changes(
            lambda: parts.desired.watched,
            stop=self.stop,
            clock=parts.clock,
            warn=lambda why: parts.log.warning("files_unheard", message=why),
            since=latest.snapshot if latest is not None else None,
            on_event=lambda: parts.workers.pause_resync(_REST),
        )
        async with aclosing(watched):
            async for kinds in watched:
                if FileChange.TOKEN in kinds:
                    self._read_token()
                if FileChange.MANIFESTS in kinds:
                    await self._loads.load()
                parts.workers.continue_resync()

    def _heard(self, news: FeedUpdate) -> None:
        parts = self._parts
        slugs = set(parts.assignment.slugs)
        for event in news.events:
            slug = parts.feed.app_of(event)
            if slug is not None and slug in slugs:
                self._heard_of(slug, event)
            for waiting in parts.reconciler.rejections.waiting_for(event) & slugs:
                parts.reconciler.rejections.retry(waiting)
                self._stir(waiting)
        self._tell_of_feed()
        if news.gap or parts.feed.off is not None:
            parts.resync.request()

    def _tell_of_feed(self) -> None:
        """Say once that the feed can't be followed, and that it can again."""
        log, off = self._parts.log, self._parts.feed.off
        if off is not None and not self._is_feed_off:
            log.warning(
                "feed_off",
                message=f"the activity feed can't be followed, so full reads alone tell of changes: {off.message}",
                reference=off.reference,
                hints=list(off.hints),
            )
        elif off is None and self._is_feed_off:
            log.info("feed_on", message="the activity feed can be followed again")
        self._is_feed_off = off is not None

    def _heard_of(self, slug: str, event: Event) -> None:
        parts = self._parts
        if parts.queue.is_busy(slug):
            parts.results.put_event_aside(slug, event)
        elif not parts.feed.take_own_write(event):
            for one in parts.assignment.group_of(slug):
                parts.reconciler.rejections.retry(one)
            self._stir(slug)
        if event.type is not None and event.type.startswith("deployment."):
            self._next_canary()

    def _next_canary(self) -> None:
        """Have a look at the first app that waits for a canary to end: one may have. Each such event is one app's turn."""
        parts = self._parts
        waiting = (
            one.slug
            for one in parts.tracker.in_state(*AppState)
            if one.waits_for_canaries and not parts.queue.has(one.slug) and not parts.queue.is_busy(one.slug)
        )
        if (first := next(waiting, None)) is not None:
            self._stir(first)

    def _closed(self, why: CircuitReason, error: OctosyncError) -> None:
        self._parts.log.error(
            "everything_waits", message=error.message, why=why.value, reference=error.reference, hints=list(error.hints)
        )
        self._parts.telling.add_failure(self._parts.clock.now(), error)

    def _opened(self) -> None:
        self._parts.probe_now()  # of a feed that is off
        if self._parts.breaker.may_not_write is not None:
            return  # that it can be read is no news
        self._parts.telling.resolve()
        self._parts.log.info("control_plane_back", message="the control plane can be asked again")

    def _stir(self, slug: str) -> None:
        """Have a turn of an app soon: something changed."""
        parts = self._parts
        parts.resync.forget(slug)
        parts.workers.give_way(slug)
        parts.queue.add(slug, Priority.CHANGED)
        parts.tracker.mark_pending(slug, parts.clock.now())

    # -- the key, and turns

    def _read_token(self) -> None:
        if self._outfit.read_token is None:
            return
        parts = self._parts
        problem: ConfigError | None = None
        try:
            token, source = self._outfit.read_token()
            parts.remote.use_token(token, source)
        except ConfigError as error:
            problem, source = error, ""
        if problem is not None:
            parts.breaker.key_unusable = problem.message
            parts.log.error("token_unusable", message=problem.message, reference=problem.reference)
            return
        parts.breaker.key_unusable = ""
        parts.log.info("token_read", message=f"the API key was read again from {source}")
        parts.breaker.may_not_write = None
        for one in tuple(parts.tracker.in_state(AppState.REFUSED)):  # this key may be allowed more
            parts.reconciler.rejections.retry(one.slug)
            self._stir(one.slug)
        parts.probe_now()

    async def _carry_out(self, work: Work) -> ReconcileResult:
        parts = self._parts
        self.metrics.observe_wait(work.waited)
        listed = parts.resync.listed_apps(work.apps) if work.priority is Priority.RESYNC else None
        try:
            return await parts.reconciler.reconcile(work, parts.assignment.active, listed)
        except StateLocked as error:
            parts.breaker.record_failure(error)
            raise

    def _begun(self, run: str, apps: frozenset[str], actions: int) -> None:
        self._parts.workers.writes(apps)
        self._parts.tracker.begin_run(run, apps, actions, self._parts.clock.now())

    def _ended(self, work: Work, ended: ReconcileResult, seconds: float) -> None:
        tied = self._parts.assignment.note_holders(ended.seen) if ended.seen is not None else frozenset()
        # What waits for a second look at its files has its next turn then.
        ended = replace(ended, freed=ended.freed - self._parts.assignment.active.unsettled)
        self._parts.results.record(work, ended, seconds)
        if ended.unsettled:
            self._loads.withhold(ended.unsettled)
        if work.priority is Priority.CHANGED or not self._parts.resync.is_running:
            self._flush()
        for slug in sorted(tied):
            self._parts.queue.add(slug, Priority.CHANGED)

    def _flush(self) -> None:
        """Tell what has been gathered, once all of a commit, or of what was changed by hand, is decided."""
        if not self._parts.queue.is_changing and not self._loads.withholds:
            self._parts.telling.flush()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._side_tasks.add(task)
        task.add_done_callback(self._side_tasks.discard)


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else round(span.total_seconds(), 1)
