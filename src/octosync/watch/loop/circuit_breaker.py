"""The circuit breaker: it holds all requests back while the control plane, the key or the stored state can't be used."""

from __future__ import annotations

import asyncio
import math
import random
from datetime import datetime, timedelta
from typing import Protocol

from octosync.errors import (
    CredentialRefused,
    Forbidden,
    LeaseLost,
    OctosyncError,
    RemoteError,
    StateLocked,
    StateUnavailable,
    Unavailable,
    Unreadable,
)
from octosync.model import Backoff
from octosync.octomil import Octomil
from octosync.watch.log import Log
from octosync.watch.settings import Clock
from octosync.watch.status import CircuitReason

__all__ = ["RETRY_BACKOFF", "CircuitBreaker", "CircuitReason", "OutageNotifications"]

# This many failures in a row, of more than one app, mean the control plane and not one of them.
_FAILURES_TO_OPEN = 5
_PROBE_BACKOFF = Backoff(first=5.0, longest=300.0, spread=0.5)
# What an app waits after reconciles that fail in a row.
RETRY_BACKOFF = Backoff(first=2.0, longest=300.0, spread=0.5)
# The maximum for Retry-After: a single bad response must not delay commits for a day.
_LONGEST_THROTTLED = 900.0
# A locked file, and a database, are tried again so soon that the pause hardly delays anything when they are back.
_STATE_PAUSE = 1.0
_STATE_BACKOFF = Backoff(first=1.0, longest=5.0, spread=0.5)
# A database that is restarted, or fails over, is back within these seconds: receivers are notified of longer outages only.
_STATE_PATIENCE = 10.0
# A probe distinguishes these. Any other reason is more severe.
_TEMPORARY = frozenset({CircuitReason.OUTAGE, CircuitReason.UNREADABLE, CircuitReason.THROTTLED})


class OutageNotifications(Protocol):
    """What notifies receivers of an outage, and of its end."""

    def add_failure(self, now: datetime, error: OctosyncError) -> None:
        """Notify that the control plane, or the stored state, can't be used."""

    def resolve(self) -> None:
        """Notify that both can be used again."""


class CircuitBreaker:
    """Closed while requests may be sent. Open: nothing is sent but a probe now and then, which may close it again.

    `throttled_until` is the time until which the control plane wants nothing sent; a probe may be due before that. `since` is
    when it opened, `next_probe` when the next probe is due; None while it is closed, and if there is no probe.
    """

    def __init__(
        self, remote: Octomil, notifications: OutageNotifications, *, clock: Clock, chance: random.Random, log: Log
    ) -> None:
        self._remote = remote
        self._notifications = notifications
        self._clock = clock
        self._chance = chance
        self._log = log
        self._failures = 0  # in a row
        self._failing: set[str] = set()  # the apps whose requests failed; "" for requests that everything needs
        self._has_succeeded = False
        self._openings = 0
        self._state_failures = 0  # probes in a row
        self._is_notified = False  # of the outage of the database
        self._latest: CircuitReason | None = None
        self._probe_at = 0.0
        self._reason_at = 0.0  # when it opened for its reason, by the monotonic clock
        self._closed = asyncio.Event()
        self._closed.set()
        self.reason: CircuitReason | None = None
        self.error: OctosyncError | None = None
        self.may_not_write: OctosyncError | None = None
        self.key_unusable = ""  # why the key that was read last can't be used: the one before it stays in use
        self.throttled_until: datetime | None = None
        self.since: datetime | None = None
        self.next_probe: datetime | None = None
        # While it is open, a single failure counts: a probe is one request, and running reconciles end.
        remote.keep_trying_while(lambda: self.is_closed)

    @property
    def is_closed(self) -> bool:
        """Whether requests may be sent."""
        return self._closed.is_set()

    def seconds_open_for(self, reason: CircuitReason) -> float:
        """Return for how many seconds it has been open for a reason, 0 if it isn't."""
        return self._clock.monotonic() - self._reason_at if self.reason is reason else 0.0

    async def until_closed(self) -> None:
        """Wait until requests may be sent."""
        await self._closed.wait()

    def record_failure(self, error: OctosyncError, by: str = "", *, writing: bool = False) -> bool:
        """Record an error of requests `by` an app or the feed, or (""), of one that everything needs.

        Return whether it concerns everything, so that no app is to blame. A key that may only read succeeds at every probe:
        `may_not_write` is kept until a write succeeds.
        """
        if writing and isinstance(error, Forbidden):
            is_known, self.may_not_write = self.may_not_write is not None, error
            self._open(CircuitReason.CREDENTIAL, error, is_known=is_known)
            return True
        if isinstance(error, CredentialRefused | Forbidden):
            self._open(CircuitReason.CREDENTIAL, error)
            return True
        if isinstance(error, RemoteError) and error.reference in {"wrong-org", "mixed-orgs"}:
            self._open(CircuitReason.WRONG_ORG, error)
            return True
        if isinstance(error, StateUnavailable | LeaseLost):
            is_locked = isinstance(error, StateLocked)
            self._open(CircuitReason.STATE_LOCKED if is_locked else CircuitReason.STATE_UNAVAILABLE, error)
            return True
        if isinstance(error, Unavailable | Unreadable):
            self._failures += 1
            self._failing.add(by)
            reason = _reason_of(error)
            if error.retry_after is not None:  # longer than a request waits itself
                self._open(reason, error)
                self._put_off_for(error.retry_after)
            # Before any success one failure is all there is to know.
            elif not self._has_succeeded or self._is_outage:
                self._open(reason, error)
        return not self.is_closed

    def record_success(self, *, wrote: bool = False) -> None:
        """Record that a request succeeded; with `wrote`, that the key may write, too."""
        self._forget_failures()
        if wrote:
            self.may_not_write = None
        if self.is_closed and (wrote or self._latest in _TEMPORARY):
            self._openings = 0

    def seconds_to_probe(self) -> float:
        """Return the seconds until the next probe: 0 if it is due, infinite if there is none; only while it is open."""
        return max(0.0, self._probe_at - self._clock.monotonic())

    def probe_succeeded(self) -> None:
        """Close it."""
        self._forget_failures()
        reason = self.reason
        self.reason, self.error, self.throttled_until = None, None, None
        self.since, self.next_probe = None, None
        self._state_failures, self._is_notified = 0, False
        self._closed.set()
        if reason is CircuitReason.STATE_UNAVAILABLE:
            self._notifications.resolve()
            self._log.info("state_back", message="the database with the state can be used again")
            return
        if self.may_not_write is None:  # that the control plane can be read is no news
            self._notifications.resolve()
            self._log.info("control_plane_back", message="the control plane responds again")

    def probe_failed(self, error: OctosyncError) -> None:
        """Stay open, for longer."""
        if self.record_failure(error):
            self._state_failures += 1
            self._put_off()
            self.error = _described(self.reason, error)
            self._notify_of_long_outage(self.error)
            if isinstance(error, RemoteError) and error.retry_after is not None:
                self._put_off_for(error.retry_after)

    def probe_now(self) -> None:
        """Make the next probe due now: something has changed, such as the key."""
        self._probe_in(0.0)
        if self.throttled_until is not None:  # a person asks for it, or another key has another limit
            self._remote.end_pause()

    @property
    def _is_outage(self) -> bool:
        """Whether the failures since the last success concern more than one app, or more than the feed."""
        is_needed_by_all, are_several = "" in self._failing, len(self._failing) > 1
        if is_needed_by_all and are_several:
            return True
        return self._failures >= _FAILURES_TO_OPEN and (is_needed_by_all or are_several)

    def _open(self, reason: CircuitReason, error: OctosyncError, *, is_known: bool = False) -> None:
        if not self.is_closed and self.reason not in _TEMPORARY:
            return
        is_news = self.reason is not reason and not is_known
        self._latest = reason
        if self.is_closed:
            self.since = self._clock.now()
            self._put_off()
        if self.reason is not reason:
            self._reason_at = self._clock.monotonic()
        self.reason, self.error = reason, _described(reason, error)
        self._closed.clear()
        if is_news:
            self._report(reason, self.error)

    def _report(self, reason: CircuitReason, error: OctosyncError) -> None:
        hints = list(error.hints)
        self._log.error(
            "everything_waits", message=error.message, why=reason.value, reference=error.reference, hints=hints
        )
        if reason is not CircuitReason.STATE_UNAVAILABLE:
            self._notifications.add_failure(self._clock.now(), error)

    def _notify_of_long_outage(self, error: OctosyncError) -> None:
        if not self._is_notified and self.seconds_open_for(CircuitReason.STATE_UNAVAILABLE) >= _STATE_PATIENCE:
            self._is_notified = True
            self._notifications.add_failure(self._clock.now(), error)

    def _forget_failures(self) -> None:
        self._failures, self._has_succeeded = 0, True
        self._failing.clear()

    def _put_off_for(self, seconds: float) -> None:
        """Wait for as long as the control plane asks to, within bounds."""
        self.throttled_until = self._clock.now() + timedelta(seconds=seconds)
        bounded = min(seconds, _LONGEST_THROTTLED)
        self._remote.pause(bounded)
        self._probe_in(max(self.seconds_to_probe(), bounded))

    def _put_off(self) -> None:
        if self._latest is CircuitReason.WRONG_ORG:  # a probe would succeed all the same: only another key ends it
            self._probe_in(math.inf)
            return
        if self._latest is CircuitReason.STATE_LOCKED:
            self._probe_in(_STATE_PAUSE)
            return
        if self._latest is CircuitReason.STATE_UNAVAILABLE:
            self._probe_in(_STATE_BACKOFF.draw(self._state_failures + 1, self._chance))
            return
        self._openings += 1
        self._probe_in(_PROBE_BACKOFF.draw(self._openings, self._chance))

    def _probe_in(self, seconds: float) -> None:
        self._probe_at = self._clock.monotonic() + seconds
        self.next_probe = None if seconds == math.inf else self._clock.now() + timedelta(seconds=seconds)


def _reason_of(error: RemoteError) -> CircuitReason:
    if isinstance(error, Unreadable):
        return CircuitReason.UNREADABLE
    return CircuitReason.THROTTLED if error.reference == "throttled" else CircuitReason.OUTAGE


def _described(why: CircuitReason | None, error: OctosyncError) -> OctosyncError:
    """Return an error with the reference of its effect on the whole controller."""
    if why is CircuitReason.UNREADABLE and isinstance(error, Unreadable):
        return Unreadable(
            "control-plane-unreadable",
            f"a server that is not the control plane responds: {error.message}",
            hints=error.hints,
            operation=error.operation,
            response=error.response,
        )
    return error
