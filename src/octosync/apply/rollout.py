"""Following: looks at what is waited for again and again, ever less often, until all of it is settled or time is up.

A look is one request for the deployments of each app that is still waited for, or fewer where the org's list has them all,
and one for its coverage as long as that can decide something. It goes through the same pacing as everything else.

Followed: which deployments a run waits for, and what each reading makes of them. Pure: who reads, and when, is `follow`.

Waited for is what this run touched, and what is declared and was under way when it was planned: a canary that runs, or a
deployment that was just started. So a run that ends while it waits can be followed up by another one, and one that
touches nothing doesn't wait for what has stood still for long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from octosync.contract import COVERED
from octosync.errors import CredentialRefused, RemoteError, Unavailable, Unreadable
from octosync.model import (
    Address,
    App,
    Coverage,
    Deployment,
    Outcome,
    RolloutResult,
    RolloutStatus,
    Slot,
    State,
    Status,
)
from octosync.octomil import Octomil, ReadResult, read_deployments, read_health, read_org_deployments_if_cheaper
from octosync.octomil.client import run_concurrently
from octosync.octomil.rate_limit import WINDOW_SECONDS, Sleep
from octosync.plan import Action, EnableCapability, OptimizeCapability, Plan, PutSlot


@dataclass(frozen=True, slots=True)
class RolloutWatch:
    """A deployment that is waited for.

    `expects` is the variant to which a canary was started that no reading has shown yet. `over` are the ids of deployments
    that had been rolled back before: they say nothing about this one.
    """

    rollout: RolloutStatus
    expects: str | None = None
    over: frozenset[str] = frozenset()

    @property
    def address(self) -> Address:
        """Where."""
        return self.rollout.address

    @property
    def is_pending(self) -> bool:
        """Whether it is still waited for."""
        return self.rollout.result is None

    @property
    def awaits_coverage(self) -> bool:
        """Whether its coverage is what it waits for: until a canary is through, that decides nothing."""
        return self.is_pending and self.rollout.canary is None


def rollouts_to_watch(plan: Plan, live: State, outcomes: Iterable[Outcome] = ()) -> tuple[RolloutWatch, ...]:
    """Return what is to be waited for after a plan was carried out, in the order of the addresses.

    `live` is the state that the plan was made from; `outcomes` are one for each action, or none at all. An enable or
    optimize that awaits a person's approval is in it with that fate; what failed, or was skipped, is not.
    """
    ended = [(action, outcome.status) for action, outcome in zip(plan.actions, outcomes, strict=False)]
    found = dict(_under_way(plan.desired, live))
    touched = [action for action, status in ended if status is Status.DONE]
    for address, expects in _touched(touched, plan.desired, live):
        found[address] = _begin(address, live.apps.get(address.app), expects)
    for action, status in ended:
        if status is Status.AWAITING_APPROVAL and isinstance(action, EnableCapability | OptimizeCapability):
            found[action.address] = RolloutWatch(
                RolloutStatus(address=action.address, result=RolloutResult.AWAITING_APPROVAL)
            )
    return tuple(found[address] for address in sorted(found))


def record_deployments(one: RolloutWatch, there: Sequence[Deployment]) -> RolloutWatch:
    """Take note of what is, or was, deployed at its address; what has ended stays as it is."""
    if not one.is_pending:
        return one
    before = one.rollout
    current = next((each for each in there if each.live), None)
    if current is None:
        gone = next((each for each in reversed(there) if each.id not in one.over), None)
        if gone is None:
            return replace(one, rollout=replace(before, deployment=None, status=None, variant=None, canary=None))
        return replace(one, rollout=_of(before, gone, RolloutResult.ROLLED_BACK))
    rollout = _of(before, current, RolloutResult.FAILED if current.failed else None)
    expects = None if current.canary is not None or current.variant == one.expects else one.expects
    if rollout.result is None and _was_taken_back(before, current):
        rollout = replace(rollout, result=RolloutResult.ROLLED_BACK, ended=before.canary)
    return replace(one, rollout=rollout, expects=expects)


def record_coverage(one: RolloutWatch, coverage: Coverage | None) -> RolloutWatch:
    """Take note of its slot's coverage; None where the control plane shows none."""
    if coverage is None:
        return one
    rollout = replace(
        one.rollout,
        coverage=coverage.status,
        covered=coverage.covered_devices,
        devices=coverage.total_devices,
    )
    if rollout.devices == 0 and rollout.coverage != COVERED:
        rollout = replace(rollout, result=RolloutResult.NO_DEVICES)
    return replace(one, rollout=rollout)


def finish_if_covered(one: RolloutWatch) -> RolloutWatch:
    """End it where it is covered: its devices have it, and no canary is still to come or to be finished."""
    rollout = one.rollout
    is_through = rollout.deployment is not None and rollout.canary is None and one.expects is None
    if one.is_pending and is_through and rollout.coverage == COVERED:
        return replace(one, rollout=replace(rollout, result=RolloutResult.COVERED))
    return one


def _under_way(desired: State, live: State) -> Iterator[tuple[Address, RolloutWatch]]:
    """Yield what is declared and moves already."""
    for app, slot in _slots(desired):
        there = live.apps.get(app.slug)
        for address in _declared(slot):
            current = there.live_deployment(address) if there is not None else None
            if current is not None and (current.canary is not None or current.starting):
                yield address, _begin(address, there)


def _touched(actions: Sequence[Action], desired: State, live: State) -> Iterator[tuple[Address, str | None]]:
    """Yield where done actions have an effect on what is deployed, and the variant of a canary that they started.

    Of a slot that was put, that is where it is declared to be deployed, or, where nothing is declared, wherever it is.
    """
    for action in actions:
        if isinstance(action, PutSlot):
            yield from ((address, None) for address in _deployed(action, desired, live))
    for action in actions:
        if isinstance(action, EnableCapability):
            yield action.address, None
        elif isinstance(action, OptimizeCapability):
            yield action.address, action.suggested


def _deployed(action: PutSlot, desired: State, live: State) -> Iterator[Address]:
    there = live.apps.get(action.address.app)
    slot = desired.apps[action.address.app].slot(action.address.name)
    declared = frozenset(_declared(slot)) if slot is not None and slot.deploy is not None else None
    for one in there.deployments if there is not None else ():
        if one.live and one.capability == action.address.name and (declared is None or one.address in declared):
            yield one.address


def _slots(desired: State) -> Iterator[tuple[App, Slot]]:
    return ((app, slot) for app in desired for slot in app.slots)


def _declared(slot: Slot) -> Iterator[Address]:
    for environment in slot.deploy.environments if slot.deploy is not None else ():
        yield Address.of_capability(slot.app, slot.capability, environment)


def _begin(address: Address, live: App | None, expects: str | None = None) -> RolloutWatch:
    """Begin with what the plan was made from: a canary that ran then may have been taken back by now."""
    there = live.deployments_at(address) if live is not None else ()
    current = next((one for one in there if one.live), None)
    canary = current.canary if current is not None else None
    return RolloutWatch(
        RolloutStatus(address=address, canary=canary),
        expects=expects,
        over=frozenset(one.id for one in there if not one.live),
    )


def _of(before: RolloutStatus, deployment: Deployment, result: RolloutResult | None) -> RolloutStatus:
    return replace(
        before,
        result=result,
        deployment=deployment.id,
        status=deployment.status,
        variant=deployment.variant,
        canary=deployment.canary,
        starting=deployment.starting,
    )


def _was_taken_back(before: RolloutStatus, now: Deployment) -> bool:
    """Whether a canary that ran is gone, and what it was to bring is not what is deployed, as far as that is said."""
    if before.canary is None or now.canary is not None:
        return False
    candidate = before.canary.candidate
    return candidate is not None and now.variant is not None and candidate != now.variant


FIRST_PAUSE_SECONDS: Final = 2.0
LONGEST_PAUSE_SECONDS: Final = 15.0
_GROWTH = 1.5
# A look takes at most this share of what the rate allows: others use the same key.
_SHARE = 0.5
# What was asked for in time may be answered a little later.
_LAST_LOOK_SECONDS = 30.0


class RolloutWaiter:
    """What is waited for, and how it stands.

    `live` is the state that it was planned from: it has the apps' ids. `on_look` is told all standings after each
    look. `sleep` takes seconds of the client's clock.
    """

    def __init__(
        self,
        remote: Octomil,
        followed: Iterable[RolloutWatch],
        live: State,
        *,
        on_look: Callable[[tuple[RolloutStatus, ...]], None] | None = None,
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
    def rollouts(self) -> tuple[RolloutStatus, ...]:
        """How each stands, in the order of the addresses."""
        return tuple(one.rollout for one in self._followed.values())

    async def go(self, within: float) -> tuple[RolloutStatus, ...]:
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
        return self.rollouts

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
            unknown = {one.address.app for one in self._pending() if one.rollout.coverage is None}
            await self._each(unknown, self._read_health)
            await self._read_deployments()
            due = {one.address.app for one in self._pending() if one.awaits_coverage} - unknown - self._errors.keys()
            await self._each(due, self._read_health)
        except CredentialRefused as error:
            self._end(self._pending(), error)
        for one in self._pending():
            failed = self._errors.get(one.address.app)
            self._keep(finish_if_covered(replace(one, rollout=replace(one.rollout, error=failed))))
        if self._on_look is not None:
            self._on_look(self.rollouts)

    async def _read_deployments(self) -> None:
        """Read the deployments of all apps at once where that takes fewer requests, else of each."""
        slugs = {one.address.app for one in self._pending()}
        apps = {slug: self._live.apps[slug] for slug in sorted(slugs) if slug in self._live.apps}
        reading = await read_org_deployments_if_cheaper(self._remote, apps) if self._asks_org else None
        self._asks_org = isinstance(reading, ReadResult)
        if isinstance(reading, ReadResult):
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

        await run_concurrently([partial(guarded, slug) for slug in sorted(slugs)], self._remote.connection.concurrency)

    async def _read_deployments_of(self, slug: str) -> None:
        self._deployed(slug, (await read_deployments(self._remote, slug)).value)

    async def _read_health(self, slug: str) -> None:
        found = await read_health(self._remote, slug)
        coverages = {one.capability: one for one in found.slots}
        for one in self._pending(slug):
            capability, _ = one.address.placement
            self._keep(record_coverage(one, coverages.get(capability)))

    def _deployed(self, slug: str, deployments: Sequence[Deployment]) -> None:
        for one in self._pending(slug):
            self._keep(record_deployments(one, [each for each in deployments if each.address == one.address]))

    def _pending(self, slug: str | None = None) -> list[RolloutWatch]:
        """Return what is still waited for, of one app or of all."""
        return [one for one in self._followed.values() if one.is_pending and slug in {None, one.address.app}]

    def _end(self, waited: Iterable[RolloutWatch], error: RemoteError | None) -> None:
        """End what is waited for in vain: it can't be read, or time is up."""
        for one in waited:
            why = error or one.rollout.error
            result = RolloutResult.TIMED_OUT if why is None else RolloutResult.UNREADABLE
            self._keep(replace(one, rollout=replace(one.rollout, result=result, error=why)))

    def _keep(self, one: RolloutWatch) -> None:
        self._followed[one.address] = one
