"""The control plane of a soak: a separate process with changing keys and the accelerated time of each request."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable

from tests.soak.children import resident_megabytes, write_line
from tests.soak.keys import TEAMMATE, TEAMMATES_KEY
from tests.support.controllers import FastClock

from octosync.server import ServerSettings, Token, running_server
from octosync.server.errors import ApiError
from octosync.server.rate_limit import LoggedRequest, RequestsLog, SlidingWindows

WINDOW = 60.0


class TimedRequestsLog(RequestsLog):
    """All requests with their times. A request without the teammate's key counts as the controller's."""

    def __init__(self, clock: Callable[[], float], teammate: str) -> None:
        super().__init__()
        self._clock = clock
        self._teammate = teammate
        self._all: list[tuple[float, LoggedRequest]] = []

    def add(self, received: LoggedRequest) -> None:
        """Add a request with its time."""
        super().add(received)
        self._all.append((self._clock(), received))

    def counted(self) -> dict[str, int]:
        """Return the number of the controller's requests, and the most in any window, whatever key they had."""
        times = [at for at, received in self._all if received.key != self._teammate]
        window: deque[float] = deque()
        most = 0
        for at in times:
            window.append(at)
            while window[0] <= at - WINDOW:
                window.popleft()
            most = max(most, len(window))
        return {"requests": len(times), "most_in_a_window": most}


class CountingRateLimit(SlidingWindows):
    """The rate limit with a count of refused requests. The teammate, who reads everything at the end, is exempt."""

    def __init__(self, limit: int, teammates_key: str) -> None:
        super().__init__(limit, WINDOW)
        self._exempt = teammates_key
        self.refused = 0

    def admit(self, key: str, now: float) -> None:
        """Count a request. Raise 429 if it exceeds the limit."""
        if key == self._exempt:
            return
        try:
            super().admit(key, now)
        except ApiError:
            self.refused += 1
            raise


def main() -> None:
    """Serve until standard input ends. Its first line is {began, speed, limit, keys}."""
    write_line(None)
    options = json.loads(sys.stdin.readline())
    clock = FastClock(options["speed"], options["began"])
    keys = tuple(map(Token.parse, options["keys"]))
    with running_server(
        ServerSettings(clock=clock.now, tokens=keys, rate_limit=options["limit"], rate_window_seconds=WINDOW)
    ) as plane:
        state = plane.app.state.plane
        state.log = requests = TimedRequestsLog(clock.monotonic, TEAMMATE)
        state.windows = rate_limit = CountingRateLimit(options["limit"], TEAMMATES_KEY)
        write_line({"url": plane.url})
        for line in sys.stdin:
            command = json.loads(line)
            if command["do"] == "keys":
                state.keys = tuple(map(Token.parse, command["keys"]))
                write_line(None)
            else:
                write_line({**requests.counted(), "refused": rate_limit.refused, "rss": resident_megabytes()})


if __name__ == "__main__":
    main()
