"""Following: looks at what is waited for again and again, ever less often, until all of it is settled or time is up.

A look is one request for the deployments of each app that is still waited for, or fewer where the org's list has them all,
and one for its coverage as long as that can decide something. It goes through the same pacing as everything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from octosync.apply.followed import Followed, settled, with_coverage, with_deployments
from octosync.errors import CredentialRefused, RemoteError, Unavailable, Unreadable
from octosync.model import Deployment, Fate, Standing, State
from octosync.octomil import Octomil, Reading, deployments_reading, health, org_deployments_if_fewer
from octosync.octomil.rate_limit import WINDOW_SECONDS, Sleep
from octosync.octomil.spreading import spread

FIRST_PAUSE_SECONDS: Final = 2.0
LONGEST_PAUSE_SECONDS: Final = 15.0
_GROWTH = 1.5
# A look takes at most this share of what the rate allows: others use the same key.
_SHARE = 0.5
# What was asked for in time may be answered a little later.
_LAST_LOOK_SECONDS = 30.0


class Following:
    """What is waited for, and how it stands.

    `live` is the state that it was planned from: it has the apps' ids. `on_look` is told all standings after each
    look. `sleep` takes seconds of the client's clock.
    """

    def __init__(
        self,
        remote: Octomil,
        followed: Iterable[Followed],
        live: State,
        *,
        on_look: Callable[[tuple[Standing, ...]], None] | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._remote = remote
        self._followed = {one.address: one for one in followed}
        self._live = live
        self._on_look = on_look
        self._sleep = sleep
        self._asks_org = True
        self._errors: dict[str, RemoteError] = {}

    @property
    def standings(self) -> tuple[Standing, ...]:
        """How each stands, in the order of the addresses."""
        return tuple(one.standing for one in self._followed.values())

    async def go(self, within: float) -> tuple[Standing, ...]:
        """Look until nothing is waited for any more, at most for so many seconds (0: once); return how each stands.

        A look that fails is taken again later, unless no later one could fare better. Never raises for what it reads.
        """
        until = self._remote.clock() + within
        pause = FIRST_PAUSE_SECONDS
        while self._pending():
            requests = self._remote.requests
            try:
                async with asyncio.timeout(max(0.0, until - self._remote.clock()) + self._longest_look()):
                    await self._look()
            except TimeoutError:
                pass  # it stands as it was last read
            left = until - self._remote.clock()
            if not self._pending() or left <= 0:
                break
            await self._sleep(min(left, max(pause, self._polite(self._remote.requests - requests))))
            pause = min(pause * _GROWTH, LONGEST_PAUSE_SECONDS)
        self._end(self._pending(), None)
        return self.standings

    def _polite(self, requests: int) -> float:
        """Say how long a look of so many requests has to wait, so that it leaves others their share of the rate."""
        rate = self._remote.connection.requests_per_minute
        return requests * WINDOW_SECONDS / (rate * _SHARE) if rate else 0.0

    def _longest_look(self) -> float:
        """Say how long a look may go on after time is up: as its requests are paced, and then some for their answers."""
        apps = {one.address.app for one in self._pending()}
        return self._polite(len(apps)) + _LAST_LOOK_SECONDS

    async def _look(self) -> None:
        self._errors = {}
        try:
            # A slot without devices isn't waited for, so its deployment needs no request.
            unknown = {one.address.app for one in self._pending() if one.standing.coverage is None}
            await self._each(unknown, self._read_health)
            await self._read_deployments()
            due = {one.address.app for one in self._pending() if one.awaits_coverage} - unknown - self._errors.keys()
            await self._each(due, self._read_health)
        except CredentialRefused as error:
            self._end(self._pending(), error)
        for one in self._pending():
            failed = self._errors.get(one.address.app)
            self._keep(settled(replace(one, standing=replace(one.standing, error=failed))))
        if self._on_look is not None:
            self._on_look(self.standings)

    async def _read_deployments(self) -> None:
        """Read the deployments of all apps at once where that takes fewer requests, else of each."""
        slugs = {one.address.app for one in self._pending()}
        apps = {slug: self._live.apps[slug] for slug in sorted(slugs) if slug in self._live.apps}
        reading = await org_deployments_if_fewer(self._remote, apps) if self._asks_org else None
        self._asks_org = isinstance(reading, Reading)
        if isinstance(reading, Reading):
            for slug in apps:
                self._deployed(slug, tuple(one for one in reading.value if one.app == slug))
            slugs -= apps.keys()
        await self._each(slugs, self._read_deployments_of)

    async def _each(self, slugs: Iterable[str], read: Callable[[str], Awaitable[None]]) -> None:
        """Read something of several apps; what can't be read is that app's error."""

        async def guarded(slug: str) -> None:
            try:
                await read(slug)
            except CredentialRefused:
                raise
            except RemoteError as error:
                self._errors[slug] = error
                if not isinstance(error, Unavailable | Unreadable):
                    self._end(self._pending(slug), error)

        await spread([partial(guarded, slug) for slug in sorted(slugs)], self._remote.connection.concurrency)

    async def _read_deployments_of(self, slug: str) -> None:
        self._deployed(slug, (await deployments_reading(self._remote, slug)).value)

    async def _read_health(self, slug: str) -> None:
        found = await health(self._remote, slug)
        coverages = {one.capability: one for one in found.slots}
        for one in self._pending(slug):
            capability, _ = one.address.placement
            self._keep(with_coverage(one, coverages.get(capability)))

    def _deployed(self, slug: str, deployments: Sequence[Deployment]) -> None:
        for one in self._pending(slug):
            self._keep(with_deployments(one, [each for each in deployments if each.address == one.address]))

    def _pending(self, slug: str | None = None) -> list[Followed]:
        """Return what is still waited for, of one app or of all."""
        return [one for one in self._followed.values() if one.is_pending and slug in {None, one.address.app}]

    def _end(self, waited: Iterable[Followed], error: RemoteError | None) -> None:
        """End what is waited for in vain: it can't be read, or time is up."""
        for one in waited:
            why = error or one.standing.error
            fate = Fate.TIMED_OUT if why is None else Fate.UNREADABLE
            self._keep(replace(one, standing=replace(one.standing, fate=fate, error=why)))

    def _keep(self, one: Followed) -> None:
        self._followed[one.address] = one
