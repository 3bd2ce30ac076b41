"""What happens in a soak: commits, a teammate's changes, outages, new keys and the rest of a controller's life."""

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
from tests.soak.fleet import POLICIES, Fleet, is_live
from tests.soak.keys import Keys
from tests.support.controllers import FastClock

from octosync.watch.memory import REVERTS_TO_CONTEST

_MINUTE: Final = 60.0
# For so long both keys are good. A busy machine needs a second or two to notice a file.
_OVERLAP: Final = 10 * _MINUTE

# Each outage: what the control plane does, and for how many seconds.
_OUTAGES: Final[tuple[tuple[str, tuple[dict[str, Any], ...], float], ...]] = (
    ("503", ({"operation": "*", "action": "status", "status": 503, "times": None},), 180),
    ("connections cut", ({"operation": "*", "action": "cut", "times": None},), 120),
    (
        "answers to writes lost",
        tuple({"operation": one, "action": "cut_after", "times": 2} for one in ("apps.put_slot", "apps.update")),
        600,
    ),
    ("429", ({"operation": "*", "action": "status", "status": 429, "retry_after": 30, "times": None},), 90),
    ("502 by a proxy", ({"operation": "*", "action": "html", "times": None},), 300),
    ("garbage", ({"operation": "apps.list_slots", "action": "garbage", "times": None},), 90),
    ("no feed", ({"operation": "activity.list", "action": "not_found", "times": None},), 120),
)


@dataclass(frozen=True, slots=True)
class Drift:
    """A teammate's change of an app's chat slot: when, and when it may be changed back at the earliest.

    `ended_by_commit`: a commit to that very field came before.
    """

    slug: str
    at: float
    until: float
    ended_by_commit: bool = False


@dataclass(frozen=True, slots=True)
class Trouble:
    """A time in which errors are to be expected, and which."""

    what: str
    begun: float
    ended: float


@dataclass
class Story:
    """Tells it, in the clock's time, until `until`; `counts` are what happened so far, by kind."""

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
    troubles: list[Trouble] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _busy: dict[str, float] = field(default_factory=dict)  # apps that are not to be touched, until when
    _calm: asyncio.Lock = field(
        default_factory=asyncio.Lock
    )  # held by what must not happen at once with something else

    async def tell(self, until: float) -> None:
        """Have everything happen, each thing by itself; what drifts at the end is awaited by nobody here."""
        # What takes long stops long before the end, so that everything can come to rest.
        acts: tuple[tuple[Callable[[], Awaitable[None]], float, float, float], ...] = (
            (self._commit, 60, 240, 0),
            (self._hurry, 5 * _MINUTE, 15 * _MINUTE, 5 * _MINUTE),
            (self._change_by_hand, 200, 400, self.hold),
            (self._outage, 25 * _MINUTE, 40 * _MINUTE, self.hold),
            (self._new_key, 20 * _MINUTE, 40 * _MINUTE, self.hold),
            (self._spoiled_manifest, 30 * _MINUTE, 60 * _MINUTE, 10 * _MINUTE),
            (self._app_leaves, 20 * _MINUTE, 40 * _MINUTE, 15 * _MINUTE),
            (self._suspension, 60 * _MINUTE, 90 * _MINUTE, 15 * _MINUTE),
            (self._hangup, 40 * _MINUTE, 60 * _MINUTE, 0),
            (self._look, 60, 120, 0),
        )
        async with asyncio.TaskGroup() as group:
            for act, shortest, longest, before in acts:
                group.create_task(self._repeat(act, shortest, longest, until - before))

    async def _repeat(self, act: Callable[[], Awaitable[None]], shortest: float, longest: float, until: float) -> None:
        # The first of what is rare comes early, so that a short story has it, too.
        pause = self.chance.uniform(0.1, 0.4) * shortest
        while self.clock.monotonic() + pause < until:
            await self.clock.sleep(pause)
            await act()
            pause = self.chance.uniform(shortest, longest)

    # -- what people do

    async def _commit(self) -> None:
        for slug in await self._apps(10 if self.chance.random() < 0.1 else self.chance.randint(1, 3)):
            self.counts["commits"] += 1
            self.fleet.commit(slug, self.counts["commits"])

    async def _hurry(self) -> None:
        """Commit to one app again and again, at once or while the commit before is being applied; half of it may cancel out."""
        for slug in await self._apps(1, 5 * _MINUTE):
            for _ in range(self.chance.randint(2, 5)):
                self.counts["commits in a hurry"] += 1
                self.fleet.overtake(slug)
                await self.clock.sleep(self.chance.choice([0.1, 5, 20, 60]))

    async def _change_by_hand(self) -> None:
        async with self._calm:
            slug = next(iter(await self._apps(1, self.hold, but=self._often_changed)), None)
            if slug is None:
                return
            declared = self.fleet.apps[slug].slots["chat"]
            policy = self.chance.choice([one for one in POLICIES if one != declared])
            at = self.clock.monotonic()
            answer = await self.plane.put(
                f"/api/v1/apps/{slug}/slots/chat", json={"serving_policy": policy, "bindings": []}
            )
            answer.raise_for_status()
        self.counts["drifts"] += 1
        match self.counts["drifts"] % 5:
            case 3:  # somebody asks for more time
                await self.clock.sleep(_MINUTE)
                until = self.clock.monotonic() + self.hold * 1.5
                await self._post("/hold", app=slug, **{"for": f"{self.hold * 1.5:.0f}s"}, reason="soak")
                self.fleet.writes[slug, "slot", "chat"] += 1
                self._busy[slug] = until
                self.drifts.append(Drift(slug, at, until))
                self.counts["holds"] += 1
            case 4:  # it is declared otherwise
                await self.clock.sleep(_MINUTE)
                self.fleet.retune(slug, avoiding=policy)
                self.drifts.append(Drift(slug, at, at + self.hold, ended_by_commit=True))
                self.counts["commits"] += 1
            case _:
                self.fleet.writes[slug, "slot", "chat"] += 1
                self.drifts.append(Drift(slug, at, at + self.hold))

    async def _app_leaves(self) -> None:
        for slug in await self._apps(1, 10 * _MINUTE):
            begun = self.clock.monotonic()
            self.fleet.remove(slug)
            await self.clock.sleep(6 * _MINUTE)
            self.fleet.restore(slug)
            self.troubles.append(Trouble("app away", begun, self.clock.monotonic()))
            self.counts["apps away"] += 1

    async def _suspension(self) -> None:
        await self._post("/suspend", reason="soak")
        await self.clock.sleep(5 * _MINUTE)
        await self._post("/resume")
        self.counts["suspensions"] += 1

    async def _hangup(self) -> None:
        self.controller.signal(signal.SIGHUP)
        self.counts["hangups"] += 1

    async def _look(self) -> None:
        for path in ("/", "/metrics", "/api/status", f"/apps/{self.chance.choice(list(self.fleet.apps))}"):
            (await self.page.get(path)).raise_for_status()
        self.counts["looks"] += 1

    # -- what goes wrong

    async def _outage(self) -> None:
        what, rules, seconds = _OUTAGES[self.counts["outages"] % len(_OUTAGES)]
        async with self._trouble(what):
            (await self.plane.put("/_local/faults", json={"rules": rules})).raise_for_status()
            await self.clock.sleep(seconds)
            (await self.plane.delete("/_local/faults")).raise_for_status()
        self.counts["outages"] += 1

    async def _new_key(self) -> None:
        self.counts["rotations"] += 1
        if self.counts["rotations"] % 2:  # as it should be: both keys are good for a while
            await self.keys.rotate(self.control_plane, overlap=lambda: self.clock.sleep(_OVERLAP))
            return
        async with self._trouble("key revoked"):
            await self.keys.rotate(self.control_plane, gap=lambda: self.clock.sleep(2 * _MINUTE))

    async def _spoiled_manifest(self) -> None:
        begun = self.clock.monotonic()
        self.fleet.spoil()
        await self.clock.sleep(3 * _MINUTE)
        self.fleet.mend()
        self.troubles.append(Trouble("spoiled manifest", begun, self.clock.monotonic()))
        self.counts["spoiled"] += 1

    @asynccontextmanager
    async def _trouble(self, what: str) -> AsyncIterator[None]:
        async with self._calm:
            begun = self.clock.monotonic()
            yield
            self.troubles.append(Trouble(what, begun, self.clock.monotonic()))

    @property
    def _often_changed(self) -> frozenset[str]:
        """Apps that were changed by hand so often that octosync would not change them back again."""
        times = Counter(one.slug for one in self.drifts)
        return frozenset(slug for slug, count in times.items() if count >= REVERTS_TO_CONTEST)

    async def _apps(self, count: int, seconds: float = 0.0, but: Collection[str] = ()) -> list[str]:
        """Choose apps that are live as they are declared, and keep everything else off them for so long.

        So each commit and each change by hand is seen to be answered by a write of its own, however slow the machine is.
        """
        now = self.clock.monotonic()
        free = [slug for slug in self.fleet.apps if self._busy.get(slug, 0.0) <= now and slug not in but]
        chosen: list[str] = []
        for slug in self.chance.sample(free, min(2 * count, len(free))):
            if len(chosen) < count and await is_live(self.plane, self.fleet.apps[slug]):
                chosen.append(slug)
        self._busy.update(dict.fromkeys(chosen, now + seconds))
        return chosen

    async def _post(self, path: str, **query: str) -> Mapping[str, Any]:
        answer = await self.page.post(path, params=query)
        answer.raise_for_status()
        found: Mapping[str, Any] = answer.json()
        return found
