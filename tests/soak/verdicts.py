"""The checks of a soak. Each yields a sentence per problem."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from pathlib import Path
from statistics import median
from typing import Any, Final

import httpx
from tests.soak.fleet import Fleet, Object, is_live
from tests.soak.keys import CONTROLLER
from tests.soak.story import Drift, Incident
from tests.support.controllers import FastClock

_MOST_MEMORY: Final = 1.10
# Each of twelve workers waits with up to three tasks, and connections stay open for a while. A leak of a task or descriptor
# per request, reconcile or commit would add up to hundreds.
_MOST_MORE: Final = {"tasks": 40, "fds": 16}
# The time in which an incident still has effects: retries, backoff, the next probe.
_AFTERWARDS: Final = 600.0
_MOST_SHOWN: Final = 8
# Errors of a machine that is too busy for the accelerated clock; octosync retries by itself.
_OF_A_BUSY_MACHINE: Final = frozenset({"no-time-to-write"})
# Warnings that the events of the soak or its rate limit cause.
_EXPECTED: Final = frozenset({"nothing_remembered", "drift", "suspended", "full_read_stretched"})


@dataclass(frozen=True, slots=True)
class Sample:
    """The size of the controller at a time."""

    at: float
    rss: float  # MiB
    tasks: int
    fds: int
    objects: Mapping[str, int]  # of octosync's own classes, by class

    @property
    def count(self) -> int:
        """The number of objects."""
        return sum(self.objects.values())


@dataclass(frozen=True, slots=True)
class Write:
    """A write, from the activity feed."""

    about: Object
    actor: str
    at: float


def sizes(samples: Sequence[Sample], growth: float) -> Iterator[str]:
    """Compare the last third of the samples with the first one: memory, objects, tasks and descriptors must not grow.

    Objects are compared at their minimum: a commit needs several thousand objects while it is loaded or applied, and the
    number of samples that see one is random. A leak is in every sample.
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
    for name, label in (("tasks", "tasks"), ("fds", "file descriptors")):
        before, after = (min(getattr(sample, name) for sample in part) for part in (first, last))
        if after > before + _MOST_MORE[name]:
            yield f"{label} grew from {before} to {after}"


def writes_done(fleet: Fleet, drifts: Iterable[Drift], writes: Sequence[Write], since: float) -> Iterator[str]:
    """Compare the writes of each object with its commits and reverts.

    A commit that was overtaken by another one may have no write. A commit that ends a drift, but that a busy machine loads only
    after the end of the hold, adds one write: the controller reverts the drift before it knows the commit. An object must never
    have more writes than expected.
    """
    reverts = Counter(
        drift.about for drift in drifts if drift.ended_by_commit and _first_write(drift, writes) >= drift.until
    )
    done = Counter(write.about for write in writes if write.actor == CONTROLLER and write.at > since)
    spared = fleet.spared
    wrong = {
        about
        for about in (*done, *fleet.writes)
        if not fleet.writes[about] - spared[about] <= done[about] <= fleet.writes[about] + reverts[about]
    }
    yield from _some(
        (f"{'/'.join(about)}: written {done[about]} times, not {fleet.writes[about]}" for about in sorted(wrong)),
        "objects were not written once for each commit and drift",
    )


def drifts_ended(drifts: Iterable[Drift], writes: Sequence[Write]) -> Iterator[str]:
    """Check that each drift was held for its time and then reverted."""
    wrong = []
    for drift in drifts:
        reverted = _first_write(drift, writes)
        if reverted == inf:
            wrong.append(f"{drift.slug}: changed at {drift.at:,.0f} s and never reverted")
        elif reverted < drift.until and not drift.ended_by_commit:
            wrong.append(f"{drift.slug}: reverted at {reverted:,.0f} s, before {drift.until:,.0f} s")
    yield from _some(iter(wrong), "drifts were not held and reverted in time")


def _first_write(drift: Drift, writes: Iterable[Write]) -> float:
    """Return when the controller first wrote the object of a drift after it; infinity if it never did."""
    own = (write.at for write in writes if write.actor == CONTROLLER and write.about == drift.about)
    return min((at for at in own if at > drift.at), default=inf)


def log_explained(log: Path, incidents: Sequence[Incident], clock: FastClock) -> Iterator[str]:
    """Check that each warning and error in the log has a cause."""
    unexplained = []
    for line in log.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry["@level"] == "info" or entry["event"] in _EXPECTED or entry.get("reference") in _OF_A_BUSY_MACHINE:
            continue
        if entry["event"] == "manifests_invalid" and not entry["errors"]:
            continue  # files changed faster than a busy machine loads them
        at = seconds_of(entry["@timestamp"], clock)
        if not any(incident.begun <= at <= incident.ended + _AFTERWARDS for incident in incidents):
            unexplained.append(f"at {at:,.0f} s {entry['event']}: {entry['@message']}")
    yield from _some(iter(unexplained), "lines of the log have no cause")


async def live(fleet: Fleet, plane: httpx.AsyncClient) -> Iterator[str]:
    """Compare live state with declared state, without octosync's own code."""
    wrong = [slug for slug, app in fleet.apps.items() if not await is_live(plane, app)]
    return _some(iter(wrong), "apps are live in another state than declared")


async def all_writes(plane: httpx.AsyncClient, clock: FastClock) -> tuple[Write, ...]:
    """Return all writes of the activity feed."""
    events = await _all(plane, "/api/v1/activity", "events")
    return tuple(
        Write(
            (event["app_slug"], event["resource"]["type"], event["resource"]["key"]),
            event["actor"].get("name", ""),
            seconds_of(event["created_at"], clock),
        )
        for event in events
    )


def seconds_of(stamp: str, clock: FastClock) -> float:
    """Convert a timestamp to the clock's seconds."""
    return clock.monotonic() - (clock.now() - datetime.fromisoformat(stamp)).total_seconds()


def _some(problems: Iterator[str], summary: str) -> Iterator[str]:
    shown = list(problems)
    if shown:
        yield f"{len(shown)} {summary}"
        yield from (f"  {problem}" for problem in shown[:_MOST_SHOWN])


async def _all(plane: httpx.AsyncClient, path: str, plural: str) -> list[Mapping[str, Any]]:
    items: list[Mapping[str, Any]] = []
    while True:
        page = await _get(plane, f"{path}?limit=100&offset={len(items)}")
        items.extend(page[plural])
        if not page[plural] or len(items) >= page["total"]:
            return items


async def _get(plane: httpx.AsyncClient, path: str) -> Mapping[str, Any]:
    answer = await plane.get(path)
    answer.raise_for_status()
    result: Mapping[str, Any] = answer.json()
    return result
