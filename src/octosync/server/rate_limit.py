"""The rate limit, a sliding window per API key, and the log of received requests, for tests to assert on."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from math import ceil

from octosync.contract import ErrorCode
from octosync.model import JsonValue
from octosync.server.errors import ApiError


class SlidingWindows:
    """Admits at most `limit` requests of a key in any `seconds` of server time; a `limit` of 0 admits everything."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._admitted: defaultdict[str, deque[float]] = defaultdict(deque)

    def admit(self, key: str, now: float) -> None:
        """Count a request. Raises 429 with `Retry-After` in whole seconds, rounded up; a rejected request doesn't count."""
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


_KEPT = 100_000  # requests; the oldest are dropped first


@dataclass(slots=True)
class LoggedRequest:
    """One request of the log. `status` is None until a response starts."""

    method: str
    path: str
    request_id: str
    operation: str | None
    key: str | None = None
    status: int | None = None

    def to_json(self) -> JsonValue:
        """Return the entry: `path` with the query, the `key`'s name (None without one), `operation` None for unknown routes."""
        return {
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "key": self.key,
            "operation": self.operation,
            "request_id": self.request_id,
        }


class RequestsLog:
    """The log of the last 100,000 requests below `/api/v1`, in the order of arrival."""

    def __init__(self) -> None:
        self._received: deque[LoggedRequest] = deque(maxlen=_KEPT)

    def add(self, logged: LoggedRequest) -> None:
        """Append a request as it arrives."""
        self._received.append(logged)

    def clear(self) -> None:
        """Empty the log."""
        self._received.clear()

    def to_json(self) -> list[JsonValue]:
        """Return the log, oldest first."""
        return [logged.to_json() for logged in self._received]
