"""The events of a soak: commits, manual changes, outages, key rotations and others."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from tests.soak.children import Child
from tests.soak.fleet import POLICIES, Fleet, Object, is_live
from tests.soak.keys import Keys
from tests.support.controllers import FastClock

from octosync.watch.memory import REVERTS_TO_CONTEST

_MINUTE: Final = 60.0
# The time in which both keys are valid. A busy machine needs a second or two to notice a file.
_OVERLAP: Final = 10 * _MINUTE

# Outages: name, faults of the control plane, duration in seconds.
_OUTAGES: Final[tuple[tuple[str, tuple[dict[str, Any], ...], float], ...]] = (
    ("503", ({"operation": "*", "action": "status", "status": 503, "times": None},), 180),
    ("connections cut", ({"operation": "*", "action": "cut", "times": None},), 120),
    (
        "answers to writes lost",
        tuple({"operation": name, "action": "cut_after", "times": 2} for name in ("apps.put_slot", "apps.update")),
        600,
    ),
    ("429", ({"operation": "*", "action": "status", "status": 429, "retry_after": 30, "times": None},), 90),
    ("502 by a proxy", ({"operation": "*", "action": "html", "times": None},), 300),
    ("garbage", ({"operation": "apps.list_slots", "action": "garbage", "times": None},), 90),
    ("no feed", ({"operation": "activity.list", "action": "not_found", "times": None},), 120),
)


@dataclass(frozen=True, slots=True)
class Drift:
    """A teammate's change of an app's chat slot: its time, and the earliest time of its revert.

    `ended_by_commit`: a commit to the same field came before the revert.
    """

    slug: str
    at: float
    until: float
    ended_by_commit: bool = False

    @property
    def about(self) -> Object:
        """The object that was changed."""
        return (self.slug, "slot", "chat")


@dataclass(frozen=True, slots=True)
class Incident:
    """A time in which errors are expected, and its cause."""

    cause: str
    begun: float
    ended: float


@dataclass
class Story:
    """Runs the events in the clock's time; `counts` is the number of events so far, by kind."""

    clock: FastClock
    fleet: Fleet
    plane: httpx.AsyncClient
    page: httpx.AsyncClient
    controller: Child
    control_plane: Child
    keys: Keys
    hold: float
    chance: random.Random
    drifts: list[Drift] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _busy: dict[str, float] = field(
        default_factory=dict
    )  # apps that other events must not use, with the end of that time
    _exclusive: asyncio.Lock = field(default_factory=asyncio.Lock)  # held by events that must not overlap

    async def run(self, until: float) -> None:
        """Run all kinds of events concurrently; the last drifts may still be open at the end."""
        # Long events stop long before the end, so that everything can get in sync.
        events: tuple[tuple[Callable[[], Awaitable[None]], float, float, float], ...] = (
            (self._commit, 60, 240, 0),
            (self._hurry, 5 * _MINUTE, 15 * _MINUTE, 5 * _MINUTE),
            (self._manual_change, 200, 400, self.hold),
            (self._outage, 25 * _MINUTE, 40 * _MINUTE, self.hold),
            (self._rotate_key, 20 * _MINUTE, 40 * _MINUTE, self.hold),
            (self._invalid_manifest, 30 * _MINUTE, 60 * _MINUTE, 10 * _MINUTE),
            (self._remove_app, 20 * _MINUTE, 40 * _MINUTE, 15 * _MINUTE),
            (self._suspension, 60 * _MINUTE, 90 * _MINUTE, 15 * _MINUTE),
            (self._hangup, 40 * _MINUTE, 60 * _MINUTE, 0),
            (self._read_pages, 60, 120, 0),
        )
        async with asyncio.TaskGroup() as group:
            for event, shortest, longest, before in events:
                group.create_task(self._repeat(event, shortest, longest, until - before))

    async def _repeat(
        self, event: Callable[[], Awaitable[None]], shortest: float, longest: float, until: float
    ) -> None:
        # The first event of a rare kind is early, so that a short soak has one, too.
        pause = self.chance.uniform(0.1, 0.4) * shortest
        while self.clock.monotonic() + pause < until:
            await self.clock.sleep(pause)
            await event()
            pause = self.chance.uniform(shortest, longest)

    # -- changes by people

    async def _commit(self) -> None:
        for slug in await self._apps(10 if self.chance.random() < 0.1 else self.chance.randint(1, 3)):
            self.counts["commits"] += 1
            self.fleet.commit(slug, self.counts["commits"])

    async def _hurry(self) -> None:
        """Commit to one app repeatedly, at once or while the previous commit is applied; some commits may cancel out."""
        for slug in await self._apps(1, 5 * _MINUTE):
            for _ in range(self.chance.randint(2, 5)):
                self.counts["commits in a hurry"] += 1
                self.fleet.overtake(slug)
                await self.clock.sleep(self.chance.choice([0.1, 5, 20, 60]))

    async def _manual_change(self) -> None:
        async with self._exclusive:
            slug = next(iter(await self._apps(1, self.hold, but=self._often_changed)), None)
            if slug is None:
                return
            declared = self.fleet.apps[slug].slots["chat"]
            policy = self.chance.choice([policy for policy in POLICIES if policy != declared])
            at = self.clock.monotonic()
            answer = await self.plane.put(
                f"/api/v1/apps/{slug}/slots/chat", json={"serving_policy": policy, "bindings": []}
            )
            answer.raise_for_status()
        self.counts["drifts"] += 1
        match self.counts["drifts"] % 5:
            case 3:  # a hold extends the time
                await self.clock.sleep(_MINUTE)
                until = self.clock.monotonic() + self.hold * 1.5
                await self._post("/hold", app=slug, **{"for": f"{self.hold * 1.5:.0f}s"}, reason="soak")
                self.fleet.writes[slug, "slot", "chat"] += 1
                self._busy[slug] = until
                self.drifts.append(Drift(slug, at, until))
                self.counts["holds"] += 1
            case 4:  # a commit declares another policy
                await self.clock.sleep(_MINUTE)
                self.fleet.retune(slug, avoiding=policy)
                self.drifts.append(Drift(slug, at, at + self.hold, ended_by_commit=True))
                self.counts["commits"] += 1
            case _:
                self.fleet.writes[slug, "slot", "chat"] += 1
                self.drifts.append(Drift(slug, at, at + self.hold))

    async def _remove_app(self) -> None:
        for slug in await self._apps(1, 10 * _MINUTE):
            begun = self.clock.monotonic()
            self.fleet.remove(slug)
            await self.clock.sleep(6 * _MINUTE)
            self.fleet.restore(slug)
            self.incidents.append(Incident("app removed", begun, self.clock.monotonic()))
            self.counts["apps removed"] += 1

    async def _suspension(self) -> None:
        await self._post("/suspend", reason="soak")
        await self.clock.sleep(5 * _MINUTE)
        await self._post("/resume")
        self.counts["suspensions"] += 1

    async def _hangup(self) -> None:
        self.controller.signal(signal.SIGHUP)
        self.counts["hangups"] += 1

    async def _read_pages(self) -> None:
        for path in ("/", "/metrics", "/api/status", f"/apps/{self.chance.choice(list(self.fleet.apps))}"):
            (await self.page.get(path)).raise_for_status()
        self.counts["page reads"] += 1

    # -- faults

    async def _outage(self) -> None:
        cause, rules, seconds = _OUTAGES[self.counts["outages"] % len(_OUTAGES)]
        async with self._incident(cause):
            (await self.plane.put("/_local/faults", json={"rules": rules})).raise_for_status()
            await self.clock.sleep(seconds)
            (await self.plane.delete("/_local/faults")).raise_for_status()
        self.counts["outages"] += 1

    async def _rotate_key(self) -> None:
        self.counts["rotations"] += 1
        if self.counts["rotations"] % 2:  # the recommended way: both keys are valid for a while
            await self.keys.rotate(self.control_plane, overlap=lambda: self.clock.sleep(_OVERLAP))
            return
        async with self._incident("key revoked"):
            await self.keys.rotate(self.control_plane, gap=lambda: self.clock.sleep(2 * _MINUTE))

    async def _invalid_manifest(self) -> None:
        begun = self.clock.monotonic()
        self.fleet.spoil()
        await self.clock.sleep(3 * _MINUTE)
        self.fleet.mend()
        self.incidents.append(Incident("invalid manifest", begun, self.clock.monotonic()))
        self.counts["invalid manifests"] += 1

    @asynccontextmanager
    async def _incident(self, cause: str) -> AsyncIterator[None]:
        async with self._exclusive:
            begun = self.clock.monotonic()
            yield
            self.incidents.append(Incident(cause, begun, self.clock.monotonic()))

    @property
    def _often_changed(self) -> frozenset[str]:
        """Apps with so many manual changes that octosync would stop reverting them."""
        times = Counter(drift.slug for drift in self.drifts)
        return frozenset(slug for slug, count in times.items() if count >= REVERTS_TO_CONTEST)

    async def _apps(self, count: int, seconds: float = 0.0, but: Collection[str] = ()) -> list[str]:
        """Choose apps whose live state is as declared, and reserve them for this time.

        So each commit and each manual change leads to a separate write, however slow the machine is.
        """
        now = self.clock.monotonic()
        free = [slug for slug in self.fleet.apps if self._busy.get(slug, 0.0) <= now and slug not in but]
        chosen: list[str] = []
        for slug in self.chance.sample(free, min(2 * count, len(free))):
            if len(chosen) < count and await is_live(self.plane, self.fleet.apps[slug]):
                chosen.append(slug)
        # Others may have chosen some of them while these were read.
        chosen = [slug for slug in chosen if self._busy.get(slug, 0.0) <= now]
        self._busy.update(dict.fromkeys(chosen, now + seconds))
        return chosen

    async def _post(self, path: str, **query: str) -> Mapping[str, Any]:
        answer = await self.page.post(path, params=query)
        answer.raise_for_status()
        result: Mapping[str, Any] = answer.json()
        return result
