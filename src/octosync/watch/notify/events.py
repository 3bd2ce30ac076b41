"""Notifications of reconciles: which results are worth one, and its text."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final, Protocol
from urllib.parse import urlencode

from octosync.errors import LeaseLost, OctosyncError, StateUnavailable
from octosync.model import Address, NotifyEvent, Outcome, Status, counted
from octosync.watch.approvals import ApprovalSets, accept_line, approve_path
from octosync.watch.coverage import UNCOVERED_HINTS, coverage_words
from octosync.watch.manifests.assignment import AppAssignment
from octosync.watch.notify.notices import Notice
from octosync.watch.reconcile.coordination import Changesets
from octosync.watch.settings import Clock
from octosync.watch.status import BlockedSet, DriftStatus, ReconcileResult

CONTROL_PLANE: Final = "the control plane"
MANIFESTS: Final = "the manifests"
STATE: Final = "the stored state"

# Seconds after which collected notices are sent, even if work remains; and those of a changeset that is not done yet.
_LONGEST_WAIT: Final = 60.0
_LONGEST_CHANGE: Final = 600.0
# An app that can't be read is retried automatically; receivers are notified after this many failures in a row.
_FAILURES_TO_TELL = 3


class NotificationSink(Protocol):
    """The interface of the notifier."""

    def notify(self, notice: Notice) -> None:
        """Send a notice, unless it was sent already."""

    def notify_all(self, facts: Mapping[str, tuple[Notice, ...]], happened: Iterable[Notice]) -> None:
        """Send what is new among all facts about some apps, and events."""

    def resolve(self, matter: str) -> None:
        """Notify that a problem that concerns no single app is over."""


class NullNotifier:
    """Sends nothing."""

    def notify(self, notice: Notice) -> None:
        """Send nothing."""

    def notify_all(self, facts: Mapping[str, tuple[Notice, ...]], happened: Iterable[Notice]) -> None:
        """Send nothing."""

    def resolve(self, matter: str) -> None:
        """Send nothing."""


class NotificationCollector:
    """Creates notices from results, and collects them until those that belong together are known."""

    def __init__(
        self,
        notifier: NotificationSink,
        *,
        assignment: AppAssignment,
        approvals: ApprovalSets,
        changesets: Changesets,
        clock: Clock,
    ) -> None:
        self._notifier = notifier
        self._assignment = assignment
        self._approvals = approvals
        self._changesets = changesets
        self._clock = clock
        self._facts: dict[str, tuple[Notice, ...]] = {}
        self._happened: list[Notice] = []
        self._gathered = asyncio.Event()
        self._since = 0.0

    def add_result(self, result: ReconcileResult, now: datetime, failures: Mapping[str, int]) -> None:
        """Collect the notices of a result; `failures` is the number of failures in a row, by app."""
        for slug in sorted(result.apps):
            if (error := result.errors.get(slug)) is not None:
                if failures.get(slug, 0) >= _FAILURES_TO_TELL:
                    self._happened.append(self._failed(now, error, slug))
            elif not result.errors and result.remaining is not None:
                self._facts[slug] = tuple(self._notices(result, slug, now))
        for address, actor in result.replaced.items():
            self._happened.append(self._replaced(result, address, actor, now))
        # A revert is notified as such, and not as a change of the manifests, too.
        outcomes = tuple(outcome for outcome in result.outcomes if outcome.address not in result.reverted)
        applied = tuple(outcome for outcome in outcomes if outcome.status is Status.DONE)
        if applied:
            self._happened.append(self._applied(result, applied, len(outcomes) - len(applied), now))
        if (self._facts or self._happened) and not self._gathered.is_set():
            self._since = self._clock.monotonic()
            self._gathered.set()

    def flush(self, *, all_of_it: bool = True) -> None:
        """Send the collected notices; without `all_of_it`, only those that belong to no unfinished changeset."""
        later = set() if all_of_it else {slug for slug in self._slugs() if self._changesets.find((slug,)) is not None}
        facts = {slug: notices for slug, notices in self._facts.items() if slug not in later}
        happened = [notice for notice in self._happened if later.isdisjoint(notice.slugs)]
        self._facts = {slug: notices for slug, notices in self._facts.items() if slug in later}
        self._happened = [notice for notice in self._happened if not later.isdisjoint(notice.slugs)]
        if not self._facts and not self._happened:
            self._gathered.clear()
        sets = {(blocked.guard, slug): blocked for blocked in self._approvals.current() for slug in blocked.apps}
        whole = {slug: tuple(self._with_ways(notice, sets) for notice in notices) for slug, notices in facts.items()}
        if whole or happened:
            self._notifier.notify_all(whole, happened)

    async def run(self) -> None:
        """Send the collected notices in time, even if work remains. Never returns."""
        while True:
            await self._gathered.wait()
            await self._clock.sleep(_LONGEST_WAIT)
            self.flush(all_of_it=self._clock.monotonic() - self._since >= _LONGEST_CHANGE)

    def add_failure(self, now: datetime, error: OctosyncError, matter: str = CONTROL_PLANE) -> None:
        """Notify a failure that concerns no single app: of the manifests, the control plane, its key or the stored state."""
        if isinstance(error, StateUnavailable | LeaseLost):
            matter = STATE
        self._notifier.notify(self._failed(now, error, None, matter))

    def forget(self, apps: Iterable[str]) -> None:
        """Forget the facts of apps that are no longer watched."""
        facts: dict[str, tuple[Notice, ...]] = dict.fromkeys(apps, ())
        if facts:
            self._notifier.notify_all(facts, ())

    def resolve(self, *matters: str) -> None:
        """Record that problems that concern no single app are over: if one recurs, it is sent again."""
        for matter in matters or (CONTROL_PLANE, STATE):
            self._notifier.resolve(matter)

    def _slugs(self) -> frozenset[str]:
        return frozenset({*self._facts, *(slug for notice in self._happened for slug in notice.slugs)})

    def _with_ways(self, notice: Notice, sets: Mapping[tuple[str, str], BlockedSet]) -> Notice:
        """Return a notice of a blocked change for its whole changeset, with the request that approves exactly that."""
        blocked = sets.get((notice.guard or "", notice.app or ""))
        if notice.event is not NotifyEvent.BLOCKED or blocked is None:
            return notice
        path, about = approve_path(blocked), self._assignment.run_info
        hints = (
            f"To approve exactly this, once: POST {path}" if path is not None else "",
            f"To apply it by hand: {about.apply_command} {blocked.override}" if about and blocked.override else "",
            blocked.way_out or "",
            "If the change isn't intended, revert the commit." if blocked.override is not None else "",
        )
        fact = f"{blocked.message} {blocked.seen}"
        return replace(notice, message=blocked.message, hints=tuple(filter(None, hints)), fingerprint=fact)

    def _failed(self, now: datetime, error: OctosyncError, app: str | None, matter: str = "") -> Notice:
        return Notice(
            matter=matter,
            event=NotifyEvent.FAILED,
            at=now,
            message=error.message,
            app=app,
            hints=error.hints,
            revision=self._assignment.revision or None,
            fingerprint=error.reference,
        )

    def _applied(self, result: ReconcileResult, done: tuple[Outcome, ...], rest: int, now: datetime) -> Notice:
        one_app = next(iter(result.apps)) if len(result.apps) == 1 else None
        return Notice(
            event=NotifyEvent.APPLIED,
            at=now,
            message=f"{counted(len(done), 'change')} applied{f', {rest} not' if rest else ''}",
            app=one_app,
            apps=() if one_app is not None else tuple(sorted(result.apps)),
            unfinished=rest,
            addresses=tuple(outcome.address for outcome in done),
            run=result.run,
            revision=self._assignment.revision or None,
        )

    def _replaced(self, result: ReconcileResult, address: Address, actor: str | None, now: datetime) -> Notice:
        return Notice(
            event=NotifyEvent.DRIFT,
            at=now,
            message=f"{actor or 'an unknown author'} changed {address}, and it matches its manifest again",
            app=address.app,
            addresses=(address,),
            actor=actor,
            run=result.run or None,
            revision=self._assignment.revision or None,
        )

    def _notices(self, result: ReconcileResult, slug: str, now: datetime) -> Iterator[Notice]:
        for drift in result.drift:
            if drift.address.app == slug:
                yield self._drift(drift, now)
        for blocked in result.blocked:
            mine = tuple(address for address in blocked.addresses if address.app == slug)
            if mine:
                yield Notice(
                    event=NotifyEvent.BLOCKED,
                    at=now,
                    message=blocked.message,
                    app=slug,
                    addresses=mine,
                    hints=(blocked.way_out,) if blocked.way_out else (),
                    guard=blocked.guard,
                    revision=self._assignment.revision or None,
                )
        for refused in result.refused:
            if refused.address.app == slug:
                yield Notice(
                    event=NotifyEvent.FAILED,
                    at=now,
                    message=f"{refused.verb} {refused.address}: {refused.message}",
                    app=slug,
                    addresses=(refused.address,),
                    hints=refused.hints,
                    run=result.run or None,
                    fingerprint=refused.reference,
                )

        for gap in result.uncovered.get(slug, ()):
            yield Notice(
                event=NotifyEvent.UNCOVERED,
                at=now,
                message=coverage_words(gap),
                app=slug,
                addresses=(Address.of_slot(slug, gap.capability),),
                hints=UNCOVERED_HINTS,
                fingerprint=gap.status,  # the number of devices changes on its own
            )

    def _drift(self, drift: DriftStatus, now: datetime) -> Notice:
        who = drift.actor or "an unknown author"
        if drift.contested:
            event, message = (
                NotifyEvent.CONTESTED,
                f"{drift.address} was changed again after each revert, last by {who}",
            )
        elif drift.until is not None:
            event, message = NotifyEvent.HELD, f"{who} changed {drift.address}"
        else:
            event, message = NotifyEvent.DRIFT, f"{who} changed {drift.address}"
        return Notice(
            event=event,
            at=now,
            message=message,
            app=drift.address.app,
            addresses=(drift.address,),
            hints=tuple(self._ways_out(drift)),
            actor=drift.actor,
            until=drift.until,
            revision=self._assignment.revision or None,
        )

    def _ways_out(self, drift: DriftStatus) -> Iterator[str]:
        """Yield the hints for drift, as on the page."""
        address = drift.address
        accept = accept_line((address,), self._assignment.run_info)
        if accept is not None:
            yield f"To keep it: {accept}"
        if drift.contested:
            yield f"To revert it once more: POST /reconcile?{urlencode({'app': address.app})}"
        elif drift.until is not None:
            query = urlencode({"app": address.app, "for": "4h", "reason": "WHY"})
            yield f"To keep it for some hours: POST /hold?{query}"
        yield "To suspend the app: the annotation octosync.dev/suspend in its manifest"
