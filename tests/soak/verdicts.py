"""What must be true of a soak, each as a sentence that says what is wrong; none where all is well."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

import httpx
from tests.soak.fleet import Fleet, Object, is_live
from tests.soak.keys import CONTROLLER
from tests.soak.story import Drift, Trouble
from tests.support.controllers import FastClock

_MOST_MEMORY: Final = 1.10
# Each of twelve workers waits with up to three tasks, and connections are kept open for a while. A task or descriptor that each
# request, reconcile or commit left behind would add up to hundreds.
_MOST_MORE: Final = {"tasks": 40, "fds": 16}
# What a trouble leaves behind shows for so long: retries, backing off, the next probe.
_AFTERWARDS: Final = 600.0
_MOST_SHOWN: Final = 8
# What comes of a machine that is too busy for a clock that runs so fast; it is tried again by itself.
_OF_A_BUSY_MACHINE: Final = frozenset({"no-time-to-write"})
# Warnings that say what happens in the story, or what the rate limit makes of it.
_ASKED_FOR: Final = frozenset({"nothing_remembered", "drift", "suspended", "full_read_stretched"})


@dataclass(frozen=True, slots=True)
class Sample:
    """How big the controller was at a time."""

    at: float
    rss: float  # MiB
    tasks: int
    fds: int
    objects: Mapping[str, int]  # of octosync's own classes, by class

    @property
    def count(self) -> int:
        """How many objects there are."""
        return sum(self.objects.values())


@dataclass(frozen=True, slots=True)
class Write:
    """One thing that was done, as the feed tells."""

    about: Object
    actor: str
    at: float


def sizes(samples: Sequence[Sample], growth: float) -> Iterator[str]:
    """Compare the last third with the first one: neither memory nor anything that can be counted may have grown.

    Objects are compared at their fewest: a commit that is being loaded or applied needs several thousand of them for a while, and
    how many samples find one under way is chance. What leaks is there in every sample.
    """
    third = max(1, len(samples) // 3)
    first, last = samples[:third], samples[-third:]
    before, after = (median(sample.rss for sample in part) for part in (first, last))
    if after > before * _MOST_MEMORY:
        yield f"resident memory grew from {before:,.0f} to {after:,.0f} MiB"
    fewest_before, fewest_after = (min(part, key=lambda sample: sample.count) for part in (first, last))
    if fewest_after.count > fewest_before.count * growth:
        yield f"objects of octosync grew from {fewest_before.count:,} to {fewest_after.count:,}"
        grown = Counter(fewest_after.objects) - Counter(fewest_before.objects)
        yield from (f"  {count:,} more {kind}" for kind, count in grown.most_common(_MOST_SHOWN))
    for name, what in (("tasks", "tasks"), ("fds", "file descriptors")):
        before, after = (min(getattr(one, name) for one in part) for part in (first, last))
        if after > before + _MOST_MORE[name]:
            yield f"{what} grew from {before} to {after}"


def writes_done(fleet: Fleet, writes: Iterable[Write], since: float) -> Iterator[str]:
    """Compare how often each object was written with how often it was committed to or changed back.

    A commit that another one overtook need not have been applied; nothing may be written more often than that.
    """
    done = Counter(one.about for one in writes if one.actor == CONTROLLER and one.at > since)
    spared = fleet.spared
    wrong = {
        about
        for about in (*done, *fleet.writes)
        if not fleet.writes[about] - spared[about] <= done[about] <= fleet.writes[about]
    }
    yield from _some(
        (f"{'/'.join(about)}: written {done[about]} times, not {fleet.writes[about]}" for about in sorted(wrong)),
        "objects were not written once for each commit and drift",
    )


def drifts_ended(drifts: Iterable[Drift], writes: Iterable[Write]) -> Iterator[str]:
    """Look for each drift whether it was left alone for its time, and then changed back."""
    by_slot: defaultdict[Object, list[float]] = defaultdict(list)
    for one in writes:
        if one.actor == CONTROLLER:
            by_slot[one.about].append(one.at)
    wrong = []
    for drift in drifts:
        then = min((at for at in by_slot[drift.slug, "slot", "chat"] if at > drift.at), default=None)
        if then is None:
            wrong.append(f"{drift.slug}: changed at {drift.at:,.0f} s and never changed back")
        elif then < drift.until and not drift.ended_by_commit:
            wrong.append(f"{drift.slug}: changed back at {then:,.0f} s, before {drift.until:,.0f} s")
    yield from _some(iter(wrong), "drifts were not held and healed in their time")


def log_explained(log: Path, troubles: Sequence[Trouble], clock: FastClock) -> Iterator[str]:
    """Look for a reason for each warning and error in the log."""
    unexplained = []
    for line in log.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry["@level"] == "info" or entry["event"] in _ASKED_FOR or entry.get("reference") in _OF_A_BUSY_MACHINE:
            continue
        if entry["event"] == "manifests_invalid" and not entry["errors"]:
            continue  # they changed faster than a busy machine loads them
        at = seconds_of(entry["@timestamp"], clock)
        if not any(one.begun <= at <= one.ended + _AFTERWARDS for one in troubles):
            unexplained.append(f"at {at:,.0f} s {entry['event']}: {entry['@message']}")
    yield from _some(iter(unexplained), "lines of the log have no reason")


async def live(fleet: Fleet, plane: httpx.AsyncClient) -> Iterator[str]:
    """Compare what the control plane shows with what is declared, without anything of octosync between the two."""
    wrong = [slug for slug, app in fleet.apps.items() if not await is_live(plane, app)]
    return _some(iter(wrong), "apps are not live as they are declared")


async def all_writes(plane: httpx.AsyncClient, clock: FastClock) -> tuple[Write, ...]:
    """Read the whole feed."""
    events = await _all(plane, "/api/v1/activity", "events")
    return tuple(
        Write(
            (one["app_slug"], one["resource"]["type"], one["resource"]["key"]),
            one["actor"].get("name", ""),
            seconds_of(one["created_at"], clock),
        )
        for one in events
    )


def seconds_of(stamp: str, clock: FastClock) -> float:
    """Return when a time of day was, in the clock's seconds."""
    return clock.monotonic() - (clock.now() - datetime.fromisoformat(stamp)).total_seconds()


def _some(problems: Iterator[str], what: str) -> Iterator[str]:
    found = list(problems)
    if found:
        yield f"{len(found)} {what}"
        yield from (f"  {one}" for one in found[:_MOST_SHOWN])


async def _all(plane: httpx.AsyncClient, path: str, plural: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    while True:
        page = await _get(plane, f"{path}?limit=100&offset={len(found)}")
        found.extend(page[plural])
        if not page[plural] or len(found) >= page["total"]:
            return found


async def _get(plane: httpx.AsyncClient, path: str) -> Mapping[str, Any]:
    answer = await plane.get(path)
    answer.raise_for_status()
    found: Mapping[str, Any] = answer.json()
    return found
