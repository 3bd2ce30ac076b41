"""A sliding window of time, as one group of requests sees it; and the pauses that the control plane asks for."""

from __future__ import annotations

from collections import deque

FOREVER = float("inf")
AT_ONCE = float("-inf")


class Window:
    """A group of requests: at most `limit` of them (0: any number) in `seconds`, at most `lanes` of them under way at once.

    A place is taken from the sending of a request until `seconds` after its answer. All times are the pacer's.
    """

    __slots__ = ("_answered", "_lanes_taken", "_seconds", "_under_way", "lanes", "limit")

    def __init__(self, limit: int, lanes: int, seconds: float) -> None:
        self.limit = limit
        self.lanes = lanes
        self._seconds = seconds
        self._under_way = 0  # places whose requests are sent, or about to be
        self._lanes_taken = 0
        self._answered: deque[float] = (
            deque()
        )  # when each place becomes free, rising; never more of them than the limit

    def part(self, percent: int) -> Window:
        """Return a window for a part of the group: so many per cent of places and lanes, but one of each at least."""
        limit = max(1, self.limit * percent // 100) if self.limit else 0
        return Window(limit, max(1, self.lanes * percent // 100), self._seconds)

    def used(self, now: float) -> int:
        """Say how many places are taken."""
        while self._answered and self._answered[0] <= now:
            self._answered.popleft()
        return self._under_way + len(self._answered)

    def free_at(self, places: int, *, takes_lane: bool, now: float) -> float:
        """Say when so many places are free: a time, `AT_ONCE`, or `FOREVER` while that depends on an answer."""
        if takes_lane and self._lanes_taken >= self.lanes:
            return FOREVER
        excess = self.used(now) + places - self.limit if self.limit else 0
        if excess <= 0:
            return AT_ONCE
        return FOREVER if excess > len(self._answered) else self._answered[excess - 1]

    def take(self, places: int, *, takes_lane: bool) -> None:
        """Take places, and a lane."""
        self._under_way += places
        self._lanes_taken += takes_lane

    def give_back(self, now: float, *, sent: bool, takes_lane: bool) -> None:
        """Give a lane back, and its place: at once where nothing was sent, else when it has left the window."""
        self._under_way -= 1
        self._lanes_taken -= takes_lane
        if sent and self.limit:
            self._answered.append(now + self._seconds)


class Pause:
    """The time for which the control plane wants nothing sent, and how much of it there has been."""

    __slots__ = ("_before", "_since", "until")

    def __init__(self) -> None:
        self.until = AT_ONCE
        self._since = AT_ONCE
        self._before = 0.0  # seconds of the pauses before the latest

    def extend(self, now: float, seconds: float) -> None:
        """Pause for so long from now; what a longer pause has said before stays."""
        if now >= self.until:
            self._before = self.total(now)
            self._since = now
        self.until = max(self.until, now + seconds)

    def end(self, now: float) -> None:
        """End it now, if it has not ended yet."""
        self.until = min(self.until, now)

    def left(self, now: float) -> float:
        """Return the seconds until its end."""
        return max(0.0, self.until - now)

    def total(self, now: float) -> float:
        """Return the seconds of all pauses up to now; overlapping ones count once."""
        return self._before + (0.0 if self._since == AT_ONCE else min(now, self.until) - self._since)
