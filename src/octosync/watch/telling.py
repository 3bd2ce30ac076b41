"""Telling: what of a turn is worth a notification, and how it is said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Protocol

from octosync.errors import OctosyncError
from octosync.model import Address, NotifyEvent, Outcome, Status
from octosync.watch.ended import Ended
from octosync.watch.notices import Notice
from octosync.watch.standing import DriftStanding

# An app that can't be read is tried again by itself; so many times in a row are worth a word.
_FAILURES_TO_TELL = 3


class Tells(Protocol):
    """What notices are given to: the notifier."""

    def tell(self, notice: Notice) -> None:
        """Tell something, unless it was told already."""

    def holds(self, app: str, notices: tuple[Notice, ...]) -> None:
        """Say all that is so of an app now."""


class Silence:
    """Tells nobody anything."""

    def tell(self, notice: Notice) -> None:
        """Keep quiet."""

    def holds(self, app: str, notices: tuple[Notice, ...]) -> None:
        """Keep quiet."""


class Telling:
    """Makes notices of what turns come to. `revision` is that of the manifests in force, "" where none is known."""

    def __init__(self, notifier: Tells, revision: Callable[[], str]) -> None:
        self._notifier = notifier
        self._revision = revision

    def turn(self, ended: Ended, now: datetime, failures: Mapping[str, int]) -> None:
        """Tell of a turn; `failures` says how many in a row failed, by app."""
        for slug in sorted(ended.apps):
            if (error := ended.errors.get(slug)) is not None:
                if failures.get(slug, 0) >= _FAILURES_TO_TELL:
                    self._notifier.tell(self._failed(now, error, slug))
            elif not ended.errors and ended.left is not None:
                self._notifier.holds(slug, tuple(self._notices(ended, slug, now)))
        for address, actor in ended.replaced.items():
            self._notifier.tell(self._replaced(ended, address, actor, now))
        applied = tuple(one for one in ended.outcomes if one.status is Status.DONE)
        if applied:
            self._notifier.tell(self._applied(ended, applied, now))

    def failed(self, now: datetime, error: OctosyncError) -> None:
        """Tell that something fails which is about no single app: the manifests, the key, the whole control plane."""
        self._notifier.tell(self._failed(now, error, None))

    def gone(self, apps: Iterable[str]) -> None:
        """Note that nothing is so of apps any more: they are not followed now."""
        for slug in apps:
            self._notifier.holds(slug, ())

    def mended(self) -> None:
        """Note that nothing of the kind is so any more: when it is again, that is news."""
        self._notifier.holds("", ())

    def _failed(self, now: datetime, error: OctosyncError, app: str | None) -> Notice:
        return Notice(
            event=NotifyEvent.FAILED,
            at=now,
            message=error.message,
            app=app,
            hints=error.hints,
            revision=self._revision() or None,
            fingerprint=error.reference,
        )

    def _applied(self, ended: Ended, done: tuple[Outcome, ...], now: datetime) -> Notice:
        rest = len(ended.outcomes) - len(done)
        one_app = next(iter(ended.apps)) if len(ended.apps) == 1 else None
        return Notice(
            event=NotifyEvent.APPLIED,
            at=now,
            message=f"{_so_many(len(done), 'change')} applied{f', {rest} not' if rest else ''}",
            app=one_app,
            addresses=tuple(one.address for one in done),
            run=ended.run,
            revision=self._revision() or None,
        )

    def _replaced(self, ended: Ended, address: Address, actor: str | None, now: datetime) -> Notice:
        return Notice(
            event=NotifyEvent.DRIFT,
            at=now,
            message=f"{actor or 'somebody'} changed {address}, and it is as declared again",
            app=address.app,
            addresses=(address,),
            actor=actor,
            run=ended.run or None,
            revision=self._revision() or None,
        )

    def _notices(self, ended: Ended, slug: str, now: datetime) -> Iterator[Notice]:
        for one in ended.drift:
            if one.address.app == slug:
                yield self._drift(one, now)
        for blocked in ended.blocked:
            mine = tuple(at for at in blocked.addresses if at.app == slug)
            if mine:
                yield Notice(
                    event=NotifyEvent.BLOCKED,
                    at=now,
                    message=blocked.message,
                    app=slug,
                    addresses=mine,
                    hints=(
                        f"If this is meant: POST /approve?guard={blocked.guard}",
                        *((blocked.way_out,) if blocked.way_out else ()),
                    ),
                    guard=blocked.guard,
                    revision=self._revision() or None,
                )
        for refused in ended.refused:
            if refused.address.app == slug:
                yield Notice(
                    event=NotifyEvent.FAILED,
                    at=now,
                    message=f"{refused.verb} {refused.address}: {refused.message}",
                    app=slug,
                    addresses=(refused.address,),
                    hints=refused.hints,
                    run=ended.run or None,
                    fingerprint=refused.reference,
                )

    def _drift(self, drift: DriftStanding, now: datetime) -> Notice:
        who = drift.actor or "somebody"
        if drift.contested:
            event, message = NotifyEvent.CONTESTED, f"{drift.address} is changed again and again, lastly by {who}"
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
            hints=ways_out(drift.address),
            actor=drift.actor,
            until=drift.until,
            revision=self._revision() or None,
        )


def ways_out(address: Address) -> tuple[str, ...]:
    """Say what can be done so that a change stays."""
    return (
        f"To keep it for good: octosync accept {address}",
        f"To keep it for a while: POST /hold?app={address.app}&for=4h&reason=…",
        "To leave the app alone: the annotation octosync.dev/suspend in its manifest",
    )


def _so_many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
