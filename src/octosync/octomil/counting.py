"""Requests are the currency: how much of it there is, and what each was spent on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# The codes of answers that came, and can't be read.
UNREADABLE_ANSWERS = frozenset(
    {"html-answer", "truncated-answer", "unreadable-answer", "redirected", "answer-too-large", "not-http"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The budget at one moment, in requests and seconds; `limit` 0: none, and nothing is counted against it.

    `used` are the places taken in the window, those of requests under way included, `background_used` those of them that
    background reads hold. `free_in` is how long until the next place is free, pauses aside: 0 while there is one, None while
    that depends on an answer. `throttled_for` is how much longer the control plane wants nothing sent,
    `throttled_seconds_total` how long that has been so since the start, whether or not something waited for it: overlapping
    pauses count once, and it only ever grows.
    """

    limit: int
    used: int = 0
    free_in: float | None = 0.0
    background_limit: int = 0
    background_used: int = 0
    throttled_for: float = 0.0
    throttled_seconds_total: float = 0.0

    @property
    def remaining(self) -> int:
        """How many requests may go now; 0 where there is no limit."""
        return max(0, self.limit - self.used)


@dataclass(frozen=True, slots=True)
class Request:
    """One request that was sent, as those who count them see it.

    `operation` is its id. `code` is the status of the answer, "200". Where there was no answer, or a success that can't be
    read, it is the reference of the error: "connection-refused", "answer-timed-out", "html-answer", "redirected", …;
    "cancelled" where nobody waited for one any more.
    `seconds` is the time from the sending to the whole answer; `background` whether it was a background read.
    """

    operation: str
    code: str
    seconds: float
    background: bool


OnRequest = Callable[[Request], None]
