"""The control plane of a soak, in a process of its own: keys that change, and a clock's time for each request received."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable

from tests.soak.children import resident_megabytes, say
from tests.soak.keys import TEAMMATE, TEAMMATES_KEY
from tests.support.controllers import FastClock

from octosync.server import ServerSettings, Token, running_server
from octosync.server.errors import ApiError
from octosync.server.limits import LoggedRequest, RequestsLog, SlidingWindows

WINDOW = 60.0


class Arrivals(RequestsLog):
    """All requests, each with when it came. Whatever was not sent with a teammate's key counts as the controller's."""

    def __init__(self, clock: Callable[[], float], teammate: str) -> None:
        super().__init__()
        self._clock = clock
        self._teammate = teammate
        self._all: list[tuple[float, LoggedRequest]] = []

    def add(self, received: LoggedRequest) -> None:
        """Append a request as it arrives."""
        super().add(received)
        self._all.append((self._clock(), received))

    def counted(self) -> dict[str, int]:
        """Count all requests of the controller, and the most that came in any window, whatever keys they had."""
        times = [at for at, received in self._all if received.key != self._teammate]
        window: deque[float] = deque()
        most = 0
        for at in times:
            window.append(at)
            while window[0] <= at - WINDOW:
                window.popleft()
            most = max(most, len(window))
        return {"requests": len(times), "most_in_a_window": most}


class Limiting(SlidingWindows):
    """The rate limit, which counts whom it refuses, and is none for the teammate, who looks at everything in the end."""

    def __init__(self, limit: int, teammates_key: str) -> None:
        super().__init__(limit, WINDOW)
        self._exempt = teammates_key
        self.refused = 0

    def admit(self, key: str, now: float) -> None:
        """Count a request. Raises 429."""
        if key == self._exempt:
            return
        try:
            super().admit(key, now)
        except ApiError:
            self.refused += 1
            raise


def main() -> None:
    """Serve until standard input ends. Its first line is {began, speed, limit, keys}."""
    say(None)
    asked = json.loads(sys.stdin.readline())
    clock = FastClock(asked["speed"], asked["began"])
    keys = tuple(map(Token.parse, asked["keys"]))
    with running_server(
        ServerSettings(clock=clock.now, tokens=keys, rate_limit=asked["limit"], rate_window_seconds=WINDOW)
    ) as plane:
        state = plane.app.state.plane
        state.log = arrivals = Arrivals(clock.monotonic, TEAMMATE)
        state.windows = limiting = Limiting(asked["limit"], TEAMMATES_KEY)
        say({"url": plane.url})
        for line in sys.stdin:
            command = json.loads(line)
            if command["do"] == "keys":
                state.keys = tuple(map(Token.parse, command["keys"]))
                say(None)
            else:
                say({**arrivals.counted(), "refused": limiting.refused, "rss": resident_megabytes()})


if __name__ == "__main__":
    main()
