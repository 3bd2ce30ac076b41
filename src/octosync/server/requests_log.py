"""The requests log: what was received below `/api/v1`, in order of arrival, for tests to assert on."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from octosync.model import JsonValue

_KEPT = 100_000  # the oldest go first


@dataclass(slots=True)
class Received:
    """One request. `status` is None until it is answered, and stays None where no answer was sent."""

    method: str
    path: str
    request_id: str
    operation: str | None
    key: str | None = None
    status: int | None = None

    def to_json(self) -> JsonValue:
        """`path` includes the query; `key` is the key's name, None without one; `operation` None for an unknown route."""
        return {
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "key": self.key,
            "operation": self.operation,
            "request_id": self.request_id,
        }


class RequestsLog:
    """The last 100,000 requests."""

    def __init__(self) -> None:
        self._received: deque[Received] = deque(maxlen=_KEPT)

    def add(self, received: Received) -> None:
        """Append a request as it arrives."""
        self._received.append(received)

    def clear(self) -> None:
        """Forget everything."""
        self._received.clear()

    def to_json(self) -> list[JsonValue]:
        """Return the log, oldest first."""
        return [received.to_json() for received in self._received]
