"""The gate, a circuit breaker: everything waits behind it while requests, the key or the state file can't be used."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from datetime import datetime, timedelta

from octosync.errors import (
    CredentialRefused,
    Forbidden,
    OctosyncError,
    RemoteError,
    StateLocked,
    Unavailable,
    Unreadable,
)
from octosync.watch.clock import Clock
from octosync.watch.standing import CircuitReason

__all__ = ["CircuitBreaker", "CircuitReason", "backoff"]

# So many failures in a row, of more than one app, mean the control plane and not one of them.
_FAILURES_TO_OPEN = 5
_FIRST_PAUSE = 5.0  # seconds
_LONGEST_PAUSE = 300.0
# However long a Retry-After is: one bad answer must not keep commits waiting for a day.
_LONGEST_THROTTLED = 900.0
_STATE_PAUSE = 1.0
# What a probe tells from each other, and what any other reason is graver than.
_TEMPORARY = frozenset({CircuitReason.OUTAGE, CircuitReason.UNREADABLE, CircuitReason.THROTTLED})


class CircuitBreaker:
    """Whether requests may be sent, and when the next probe is due while they may not. `closed` is told why it closes.

    `pause` has the client send nothing for so many seconds, and `end_pause` ends that. `throttled_until` is the time until
    which the control plane wants nothing sent; a probe may be due before that.
    """

    def __init__(
        self,
        clock: Clock,
        chance: random.Random,
        closed: Callable[[CircuitReason, OctosyncError], None] = lambda *_: None,
        pause: Callable[[float], None] = lambda _: None,
        end_pause: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._closed = closed
        self._pause = pause
        self._end_pause = end_pause
        self._chance = chance
        self._failures = 0  # in a row, and of whose requests; "" stands for what is nobody's alone
        self._failing: set[str] = set()
        self._has_worked = False
        self._closings = 0
        self._latest: CircuitReason | None = None
        self._probe_at = 0.0
        self._open = asyncio.Event()
        self._open.set()
        self.reason: CircuitReason | None = None
        self.error: OctosyncError | None = None
        self.may_not_write: OctosyncError | None = None
        self.key_unusable = ""  # why the key that was read last can't be used: that before it is still in force
        self.throttled_until: datetime | None = None

    @property
    def is_closed(self) -> bool:
        """Whether requests may be sent."""
        return self._open.is_set()

    async def until_closed(self) -> None:
        """Wait until requests may be sent."""
        await self._open.wait()

    def record_failure(self, error: OctosyncError, by: str = "", *, writing: bool = False) -> bool:
        """Take note of an error that requests `by` an app or the feed met, or (""), one that everything needs.

        Say whether it concerns everything, so that no app is to blame. A key that may only read is answered at every probe:
        that it may not write stays known until it has written.
        """
        if writing and isinstance(error, Forbidden):
            is_known, self.may_not_write = self.may_not_write is not None, error
            self._close(CircuitReason.CREDENTIAL, error, is_known=is_known)
            return True
        if isinstance(error, CredentialRefused | Forbidden):
            self._close(CircuitReason.CREDENTIAL, error)
            return True
        if isinstance(error, RemoteError) and error.reference in {"wrong-org", "mixed-orgs"}:
            self._close(CircuitReason.WRONG_ORG, error)
            return True
        if isinstance(error, StateLocked):
            self._close(CircuitReason.STATE_LOCKED, error)
            return True
        if isinstance(error, Unavailable | Unreadable):
            self._failures += 1
            self._failing.add(by)
            why = _reason_of(error)
            if error.retry_after is not None:  # for longer than a request waits by itself
                self._close(why, error)
                self._put_off_for(error.retry_after)
            # Before anything was ever answered, one failure is all there is to know.
            elif not self._has_worked or self._is_outage:
                self._close(why, error)
        return not self.is_closed

    def record_success(self, *, wrote: bool = False) -> None:
        """Take note that a request was answered as it should be; with `wrote`, that the key may write, too."""
        self._begin_anew()
        if wrote:
            self.may_not_write = None
        if self.is_closed and (wrote or self._latest in _TEMPORARY):
            self._closings = 0

    def seconds_to_probe(self) -> float:
        """How long until the next probe, 0 where it is due, infinite where none is; only while the gate is closed."""
        return max(0.0, self._probe_at - self._clock.monotonic())

    def probe_succeeded(self) -> None:
        """Let everything pass again."""
        self._begin_anew()
        self.reason, self.error, self.throttled_until = None, None, None
        self._open.set()

    def probe_failed(self, error: OctosyncError) -> None:
        """Stay closed, for longer."""
        if self.record_failure(error):
            self._put_off()
            self.error = _described(self.reason, error)
            if isinstance(error, RemoteError) and error.retry_after is not None:
                self._put_off_for(error.retry_after)

    def probe_now(self) -> None:
        """Have the next probe at once: something has changed, such as the key."""
        self._probe_at = self._clock.monotonic()
        if self.throttled_until is not None:  # a person asks for it, or another key has another limit
            self._end_pause()

    @property
    def _is_outage(self) -> bool:
        """Whether what failed since anything was answered is more than one app's, or the feed's, own matter."""
        is_needed_by_all, are_several = "" in self._failing, len(self._failing) > 1
        if is_needed_by_all and are_several:
            return True
        return self._failures >= _FAILURES_TO_OPEN and (is_needed_by_all or are_several)

    def _close(self, why: CircuitReason, error: OctosyncError, *, is_known: bool = False) -> None:
        if not self.is_closed and self.reason not in _TEMPORARY:
            return
        is_news = self.reason is not why and not is_known
        self._latest = why
        if self.is_closed:
            self._put_off()
        self.reason, self.error = why, _described(why, error)
        self._open.clear()
        if is_news:
            self._closed(why, self.error)

    def _begin_anew(self) -> None:
        self._failures, self._has_worked = 0, True
        self._failing.clear()

    def _put_off_for(self, seconds: float) -> None:
        """Wait for as long as the control plane asks to, within bounds."""
        self.throttled_until = self._clock.now() + timedelta(seconds=seconds)
        bounded = min(seconds, _LONGEST_THROTTLED)
        self._pause(bounded)
        self._probe_at = max(self._probe_at, self._clock.monotonic() + bounded)

    def _put_off(self) -> None:
        if self._latest is CircuitReason.WRONG_ORG:  # a probe would be answered all the same: only another key mends it
            self._probe_at = math.inf
            return
        if self._latest is CircuitReason.STATE_LOCKED:
            self._probe_at = self._clock.monotonic() + _STATE_PAUSE
            return
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**self._closings)
        self._closings = min(self._closings + 1, 10)
        self._probe_at = self._clock.monotonic() + pause * self._chance.uniform(0.5, 1.0)


def _reason_of(error: RemoteError) -> CircuitReason:
    if isinstance(error, Unreadable):
        return CircuitReason.UNREADABLE
    return CircuitReason.THROTTLED if error.reference == "throttled" else CircuitReason.OUTAGE


def _described(why: CircuitReason | None, error: OctosyncError) -> OctosyncError:
    """Return an error under the name of what it means for everything."""
    if why is CircuitReason.UNREADABLE and isinstance(error, Unreadable):
        return Unreadable(
            "control-plane-unreadable",
            f"something answers that is not the control plane: {error.message}",
            hints=error.hints,
            operation=error.operation,
            response=error.response,
        )
    return error


def backoff(failures: int, chance: random.Random, *, longest: timedelta = timedelta(minutes=5)) -> float:
    """Return how many seconds an app waits after so many failed turns in a row: exponential, jittered, capped."""
    return min(longest.total_seconds(), 2.0 ** min(failures, 20)) * chance.uniform(0.5, 1.0)
