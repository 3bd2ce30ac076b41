"""Snapshots: what is rendered of a standing, kept until that changes, and made outside of the loop, one at a time.

A thousand apps take longer to render than a probe waits. So however many clients ask, the loop only compares two standings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import fields
from datetime import datetime
from typing import Any, Final, TypeVar

from octosync.watch.status import ControllerStatus

T = TypeVar("T")

_KEPT: Final = 16  # the status page and the list by state, and the pages of a few apps
# What is another at each moment. A page shows times of the present day without their date.
_MOMENTARY: Final = frozenset({"now", "turned_at"})
_COMPARED: Final = tuple(field.name for field in fields(ControllerStatus) if field.name not in _MOMENTARY)


class Snapshots:
    """`standing` is asked at each request, in the loop; what is made of it is a value."""

    def __init__(self, standing: Callable[[], ControllerStatus]) -> None:
        self._standing = standing
        self._kept: dict[Hashable, tuple[ControllerStatus, Any]] = {}  # the latest asked for is last
        self._one_at_a_time = asyncio.Lock()

    async def rendered(self, key: Hashable, render: Callable[[ControllerStatus], T]) -> tuple[T, datetime]:
        """Return what `render` makes of how everything stands now, and the time: of the same standing it is made once a key."""
        async with self._one_at_a_time:
            standing = self._standing()
            kept = self._kept.pop(key, None)
            if kept is None or not is_same(kept[0], standing):
                kept = (standing, await asyncio.to_thread(render, standing))
            self._kept[key] = kept
            if len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
            return kept[1], standing.now


def is_same(before: ControllerStatus, after: ControllerStatus) -> bool:
    """Return whether two standings are shown alike. Parts that did not change are the same objects, which is quick to see."""
    same_day = before.now.date() == after.now.date()
    return same_day and all(getattr(before, name) == getattr(after, name) for name in _COMPARED)
