"""The rate limit: a true sliding window a key. Never more than `limit` admitted requests in any `seconds`."""

from __future__ import annotations

from collections import defaultdict, deque
from math import ceil

from octosync.contract import ErrorCode
from octosync.server.errors import ApiError


class SlidingWindows:
    """The admitted requests of each key, as times in seconds of server time; a `limit` of 0 admits everything."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._admitted: defaultdict[str, deque[float]] = defaultdict(deque)

    def admit(self, key: str, now: float) -> None:
        """Count a request. Raises 429 with `Retry-After` in whole seconds, rounded up; a refused request doesn't count."""
        if not self._limit:
            return
        times = self._admitted[key]
        while times and times[0] <= now - self._seconds:
            times.popleft()
        if len(times) >= self._limit:
            wait = max(1, ceil(times[0] + self._seconds - now))
            raise ApiError(
                429,
                ErrorCode.RATE_LIMITED,
                f"More than {self._limit} requests in {self._seconds:g} s; try again in {wait} s",
                details={"limit": self._limit, "window_seconds": self._seconds, "retry_after_seconds": wait},
                headers={"Retry-After": str(wait)},
            )
        times.append(now)
