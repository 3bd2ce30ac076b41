"""The notifier: it sends each fact to the receivers once, without delaying the controller.

Each receiver has its own queue, connection and task, so that a receiver that hangs doesn't delay the others.
"""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import Final, Protocol, Self
from urllib.parse import unquote

from octosync.errors import OctosyncError
from octosync.model import Backoff, NotifyEvent, counted
from octosync.watch.log import Log, about
from octosync.watch.notify.endpoints import Attempt, DeliveryResult, Endpoint, ReceiverClient
from octosync.watch.notify.notices import (
    DELIVERY_HEADER,
    EVENT_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    Notice,
    Sender,
    bundle,
    document_of,
    resolved_notice,
    signature,
)
from octosync.watch.settings import Clock

MOST_WAITING: Final = 200
_BACKOFF: Final = Backoff(first=2.0, longest=60.0, spread=0.5)


# Events are sent each time; a fact is sent once until it ends.
_ALWAYS_NEWS: Final = frozenset({NotifyEvent.APPLIED, NotifyEvent.RESOLVED})
_OF_DRIFT: Final = frozenset({NotifyEvent.HELD, NotifyEvent.DRIFT, NotifyEvent.CONTESTED})


class NotificationRecord(Protocol):
    """The last notification about each subject of an app ("" for no app), kept over restarts."""

    def sent_notifications(self) -> Mapping[tuple[str, str], object]:
        """Return the sent facts by app and subject."""

    def record_notification(self, app: str, about: str, fact: str) -> None:
        """Record that a fact was sent."""

    def forget_notification(self, app: str, about: str) -> None:
        """Forget a fact that has ended: if it recurs, it is sent again."""


@dataclass(slots=True)
class _Delivery:
    """A notice that is being delivered, and since when. `left` counts the receivers that don't have it yet.

    `parts` are the notices that it contains.
    """

    notice: Notice
    parts: tuple[Notice, ...]
    id: str
    body: bytes
    since: float
    left: int


@dataclass(slots=True)
class _Receiver:
    """A receiver: its waiting deliveries, and the number of dropped ones since the last delivery."""

    endpoint: Endpoint
    line: ReceiverClient
    waiting: deque[_Delivery] = field(default_factory=deque)
    filled: asyncio.Event = field(default_factory=asyncio.Event)
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLimits:
    """Limits of deliveries.

    An attempt ends after `timeout`. A notice that is not delivered within `give_up` of its event is given up. Closing waits for
    at most `flush`. If more than `most` notices wait for a receiver, the oldest is dropped.
    """

    timeout: timedelta = timedelta(seconds=10)
    give_up: timedelta = timedelta(minutes=15)
    flush: timedelta = timedelta(seconds=5)
    most: int = MOST_WAITING


_USUAL_LIMITS: Final = DeliveryLimits()


class Notifier:
    """Sends notices to receivers. As an async context manager, it waits for pending deliveries for a moment when it exits.

    `record` keeps the delivered facts over restarts (None: they are not kept). There is at most one current notice for an
    event, its objects and its guard.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        sender: Sender,
        *,
        clock: Clock,
        log: Log,
        record: NotificationRecord | None = None,
        chance: random.Random | None = None,
        limits: DeliveryLimits = _USUAL_LIMITS,
    ) -> None:
        self._receivers = tuple(
            _Receiver(endpoint, ReceiverClient(endpoint, timeout=limits.timeout.total_seconds()))
            for endpoint in endpoints
        )
        self._sender = sender
        self._clock = clock
        self._log = log
        self._record = record
        self._chance = chance or random.Random()  # noqa: S311 — it spreads retries, not for security
        self._give_up = limits.give_up.total_seconds()
        self._flush = limits.flush.total_seconds()
        self._most = limits.most
        self._notices: dict[tuple[str, str], Notice] = {}
        self._sent: dict[tuple[str, str], object] = dict(record.sent_notifications()) if record is not None else {}
        self._unstored: dict[
            tuple[str, str], str | None
        ] = {}  # facts that could not be recorded yet; None: it has ended
        self._closing = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.counts: Counter[str] = Counter()  # delivered, given_up, dropped: over all receivers

    async def __aenter__(self) -> Self:
        for receiver in self._receivers:
            self._tasks.append(asyncio.create_task(self._serve(receiver), name=f"notify {receiver.endpoint.name}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def notify(self, notice: Notice) -> None:
        """Send a notice, unless it was sent already; returns at once, and never raises.

        An applied change is always sent. Any other fact is sent again only after `record_facts` has recorded its end.
        """
        if self._is_news(notice):
            self._send(notice, (notice,))

    def record_facts(self, app: str, notices: Iterable[Notice]) -> None:
        """Record all facts about an app: send the new ones, and resolve those that have ended.

        Only for a reconcile that could read the app; a failed one doesn't know about drift, and only sends its failure.
        """
        self.notify_all({app: tuple(notices)}, ())

    def notify_all(self, facts: Mapping[str, tuple[Notice, ...]], happened: Iterable[Notice]) -> None:
        """Send the new facts and events of one moment, bundled by event.

        `facts` are all current facts of each app, as for `record_facts`; `happened` are events, as for `notify`.
        """
        ended = [notice for app, notices in facts.items() for notice in self._forget(app, notices)]
        news = []
        for notice in happened:
            reverted = [
                past for past in ended if notice.event is NotifyEvent.DRIFT and past.addresses == notice.addresses
            ]
            if reverted:  # a hold that has ended with its revert: one notification, not two
                ended = [notice for notice in ended if notice not in reverted]
                ended.append(replace(reverted[0], message=notice.message, run=notice.run, actor=notice.actor))
            elif self._is_news(notice):
                news.append(notice)
        news += [notice for notices in facts.values() for notice in notices if self._is_news(notice)]
        for notice, parts in bundle((*news, *ended)):
            self._send(notice, parts)

    def resolve(self, matter: str) -> None:
        """Notify that a problem that concerns no single app is over."""
        self._store_all()  # the problem may have been that of the database
        others = [notice for thing, notice in self._notices.items() if not thing[0] and notice.matter != matter]
        self.notify_all({"": tuple(others)}, ())

    def _is_news(self, notice: Notice) -> bool:
        if self._closing.is_set() or not any(notice.event in receiver.endpoint.events for receiver in self._receivers):
            return False
        if notice.event in _ALWAYS_NEWS:
            return True
        thing = (notice.app or "", notice.about)
        self._notices[thing] = notice
        if self._sent.get(thing) == notice.fact:
            return False
        self._sent[thing] = notice.fact
        return True

    def _forget(self, app: str, notices: tuple[Notice, ...]) -> Iterator[Notice]:
        """Forget the facts of an app that have ended; yield notices of it, except for facts that have only changed."""
        now = {current.about for current in notices}
        for thing in [thing for thing in self._sent if thing[0] == app and thing[1] not in now]:
            del self._sent[thing]
            notice = self._notices.pop(thing, None) or _of_key(thing, self._clock.now())
            self._store(thing, None)
            if notice.event is not NotifyEvent.DRIFT and not any(_goes_on(notice, current) for current in notices):
                yield resolved_notice(notice, self._clock.now(), app)

    def _send(self, notice: Notice, parts: tuple[Notice, ...]) -> None:
        receivers = [receiver for receiver in self._receivers if notice.event in receiver.endpoint.events]
        if not receivers or self._closing.is_set():
            return
        delivery_id = uuid.uuid4().hex
        body = json.dumps(document_of(notice, self._sender, delivery_id), allow_nan=False).encode()
        delivery = _Delivery(notice, parts, delivery_id, body, self._clock.monotonic(), len(receivers))
        for receiver in receivers:
            self._put(receiver, delivery)

    async def aclose(self) -> None:
        """Accept no more notices, wait for pending deliveries for at most `flush`, and close. May be called again."""
        self._closing.set()
        for receiver in self._receivers:
            receiver.filled.set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self._flush)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._tasks.clear()
        for receiver in self._receivers:
            await receiver.line.aclose()
            if receiver.waiting:
                count = len(receiver.waiting)
                message = f"{counted(count, 'notification')} to {receiver.endpoint.name} could not be sent before the shutdown"
                self._log.warning("notifications_unsent", message=message, receiver=receiver.endpoint.name, count=count)
                receiver.waiting.clear()

    def _put(self, receiver: _Receiver, delivery: _Delivery) -> None:
        if len(receiver.waiting) >= self._most:
            receiver.waiting.popleft()
            receiver.dropped += 1
            self.counts["dropped"] += 1
            if receiver.dropped == 1:
                self._log.warning(
                    "notification_dropped",
                    message="too many notifications are waiting: the oldest are dropped",
                    receiver=receiver.endpoint.name,
                    waiting=self._most,
                )
        receiver.waiting.append(delivery)
        receiver.filled.set()

    async def _serve(self, receiver: _Receiver) -> None:
        while True:
            while receiver.waiting:
                delivery = receiver.waiting.popleft()
                try:
                    await self._deliver(receiver, delivery)
                except asyncio.CancelledError:
                    receiver.waiting.appendleft(delivery)
                    raise
            if self._closing.is_set():
                return
            receiver.filled.clear()
            await receiver.filled.wait()

    async def _deliver(self, receiver: _Receiver, delivery: _Delivery) -> None:
        failures = 0
        while True:
            attempt = await self._attempt(receiver, delivery)
            if attempt.verdict is DeliveryResult.DELIVERED:
                return self._delivered(receiver, delivery)
            failures += 1
            wait = max(attempt.after, _BACKOFF.draw(failures, self._chance))
            too_late = self._clock.monotonic() + wait - delivery.since > self._give_up
            if attempt.verdict is DeliveryResult.REFUSED or too_late or self._closing.is_set():
                return self._undelivered(receiver, delivery, attempt, failures)
            if failures == 1:
                self._warn("notification_delayed", receiver, delivery, attempt)
            await self._pause(wait)

    async def _attempt(self, receiver: _Receiver, delivery: _Delivery) -> Attempt:
        timestamp = str(int(self._clock.now().timestamp()))  # of the attempt, so that a receiver may refuse old ones
        headers = {
            DELIVERY_HEADER: delivery.id,
            EVENT_HEADER: delivery.notice.event.value,
            TIMESTAMP_HEADER: timestamp,
        }
        if receiver.endpoint.secret is not None:
            headers[SIGNATURE_HEADER] = signature(receiver.endpoint.secret, timestamp, delivery.body)
        try:
            return await receiver.line.post(delivery.body, headers)
        except Exception as error:  # noqa: BLE001 — no response of a receiver may end its task
            self._log.bind(**about(error)).error(
                "notification_crashed",
                message=f"a bug in octosync prevented a notification to {receiver.endpoint.name}",
                receiver=receiver.endpoint.name,
            )
            return Attempt(DeliveryResult.REFUSED, f"it can't be sent ({type(error).__name__})")

    async def _pause(self, seconds: float) -> None:
        """Wait, but not beyond closing."""
        waits = {asyncio.ensure_future(self._clock.sleep(seconds)), asyncio.ensure_future(self._closing.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def _delivered(self, receiver: _Receiver, delivery: _Delivery) -> None:
        if receiver.dropped:
            message = f"{receiver.endpoint.name} has missed {counted(receiver.dropped, 'notification')}"
            self._log.warning(
                "notifications_missed", message=message, receiver=receiver.endpoint.name, count=receiver.dropped
            )
            receiver.dropped = 0
        self.counts["delivered"] += 1
        delivery.left -= 1
        for notice in delivery.parts if delivery.left == 0 else ():
            thing = (notice.app or "", notice.about)
            if self._sent.get(thing) == notice.fact:
                self._store(thing, notice.fact)

    def _undelivered(self, receiver: _Receiver, delivery: _Delivery, attempt: Attempt, attempts: int) -> None:
        self._warn("notification_given_up", receiver, delivery, attempt, attempts=attempts)
        self.counts["given_up"] += 1

    def _warn(self, event: str, receiver: _Receiver, delivery: _Delivery, attempt: Attempt, **more: int) -> None:
        self._log.warning(
            event,
            message=f"a notification to {receiver.endpoint.name} was not delivered: {attempt.why}",
            receiver=receiver.endpoint.name,
            about=delivery.notice.event.value,
            app=delivery.notice.app,
            delivery=delivery.id,
            **more,
        )

    def _store(self, thing: tuple[str, str], fact: str | None) -> None:
        """Record that a fact was sent, or (None) has ended."""
        self._unstored[thing] = fact
        self._store_all()

    def _store_all(self) -> None:
        """Record what is not recorded yet. If that fails, it is tried again; after a restart a fact may be sent twice."""
        if self._record is None:
            return
        try:
            for thing, fact in tuple(self._unstored.items()):
                if fact is None:
                    self._record.forget_notification(*thing)
                else:
                    self._record.record_notification(*thing, fact)
                del self._unstored[thing]
        except OctosyncError as error:
            self._log.bind(**about(error)).warning(
                "notifications_forgotten", message="a sent notification can't be recorded: it may be sent twice"
            )


def _goes_on(before: Notice, now: Notice) -> bool:
    """Return whether a fact continues as another one about the same objects."""
    same_kind = before.event is now.event or {before.event, now.event} <= _OF_DRIFT
    shared = set(before.addresses) & set(now.addresses)
    return same_kind and before.guard == now.guard and bool(shared or before.addresses == now.addresses)


def _of_key(thing: tuple[str, str], at: datetime) -> Notice:
    """Return a notice of a fact that was sent before a restart, with what its key contains."""
    app, about = thing
    event, kind, _ = about.split(" ", 2)
    found = NotifyEvent(event)
    guard = kind if found is NotifyEvent.BLOCKED else None
    matter = unquote(kind) if not app and kind != "-" else ""
    return Notice(event=found, at=at, message="", app=app or None, guard=guard, matter=matter)
