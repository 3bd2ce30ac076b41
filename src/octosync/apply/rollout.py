"""Rollouts: `apply --wait` polls the deployments that a plan touched until all are settled or the timeout expires.

A run waits for the deployments that it changed, and for declared ones that were rolling out when it was planned: a running canary
or a deployment that was just started. A later run can therefore take over the waiting.

Each poll sends one request for the deployments of each pending app (or fewer, if the org's list holds them all), and one for its
coverage while that matters. All requests pass the rate limiter.
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
    """A deployment that the run waits for.

    `expects` is the variant of a canary that was started but has not appeared in a read yet. `over` are the ids of deployments
    that were rolled back before this run; they are ignored.
    """

    rollout: RolloutStatus
    expects: str | None = None
    over: frozenset[str] = frozenset()

    @property
    def address(self) -> Address:
        """The address of the capability."""
        return self.rollout.address

    @property
    def is_pending(self) -> bool:
        """Whether the rollout has no result yet."""
        return self.rollout.result is None

    @property
    def awaits_coverage(self) -> bool:
        """Whether coverage decides its result. While a canary runs, coverage decides nothing."""
        return self.is_pending and self.rollout.canary is None


def rollouts_to_watch(plan: Plan, live: State, outcomes: Iterable[Outcome] = ()) -> tuple[RolloutWatch, ...]:
    """Return the rollouts to wait for after a plan was applied, ordered by address.

    `live` is the state that the plan was made from. `outcomes` holds one outcome per action, or is empty. An enable or
    optimize that awaits approval is included with that result; failed and skipped actions are not.
    """
    ended = [(action, outcome.status) for action, outcome in zip(plan.actions, outcomes, strict=False)]
    found = dict(_under_way(plan.desired, live))
    touched = [action for action, status in ended if status is Status.DONE]
    for address, expects in _touched(touched, plan.desired, live):
        found[address] = _new_watch(address, live.apps.get(address.app), expects)
    for action, status in ended:
        if status is Status.AWAITING_APPROVAL and isinstance(action, EnableCapability | OptimizeCapability):
            found[action.address] = RolloutWatch(
                RolloutStatus(address=action.address, result=RolloutResult.AWAITING_APPROVAL)
            )
    return tuple(found[address] for address in sorted(found))


def record_deployments(watch: RolloutWatch, there: Sequence[Deployment]) -> RolloutWatch:
    """Return the watch updated with the deployments at its address. A watch with a result stays as it is."""
    if not watch.is_pending:
        return watch
    before = watch.rollout
    current = next((deployment for deployment in there if deployment.live), None)
    if current is None:
        gone = next((deployment for deployment in reversed(there) if deployment.id not in watch.over), None)
        if gone is None:
            return replace(watch, rollout=replace(before, deployment=None, status=None, variant=None, canary=None))
        return replace(watch, rollout=_with_deployment(before, gone, RolloutResult.ROLLED_BACK))
    rollout = _with_deployment(before, current, RolloutResult.FAILED if current.failed else None)
    expects = None if current.canary is not None or current.variant == watch.expects else watch.expects
    if rollout.result is None and _was_taken_back(before, current):
        rollout = replace(rollout, result=RolloutResult.ROLLED_BACK, ended=before.canary)
    return replace(watch, rollout=rollout, expects=expects)


def record_coverage(watch: RolloutWatch, coverage: Coverage | None) -> RolloutWatch:
    """Return the watch updated with the coverage of its slot, None if the control plane returns none."""
    if coverage is None:
        return watch
    rollout = replace(
        watch.rollout,
        coverage=coverage.status,
        covered=coverage.covered_devices,
        devices=coverage.total_devices,
    )
    if rollout.devices == 0 and rollout.coverage != COVERED:
        rollout = replace(rollout, result=RolloutResult.NO_DEVICES)
    return replace(watch, rollout=rollout)


def finish_if_covered(watch: RolloutWatch) -> RolloutWatch:
    """Return the watch with the result `COVERED` if all devices have the deployment and no canary is expected or running."""
    rollout = watch.rollout
    is_through = rollout.deployment is not None and rollout.canary is None and watch.expects is None
    if watch.is_pending and is_through and rollout.coverage == COVERED:
        return replace(watch, rollout=replace(rollout, result=RolloutResult.COVERED))
    return watch


def _under_way(desired: State, live: State) -> Iterator[tuple[Address, RolloutWatch]]:
    """Yield declared deployments that are already rolling out."""
    for app, slot in _slots(desired):
        there = live.apps.get(app.slug)
        for address in _declared(slot):
            current = there.live_deployment(address) if there is not None else None
            if current is not None and (current.canary is not None or current.starting):
                yield address, _new_watch(address, there)


def _touched(actions: Sequence[Action], desired: State, live: State) -> Iterator[tuple[Address, str | None]]:
    """Yield the addresses whose deployments the completed actions affect, and the variant of a canary that they started.

    A replaced slot affects the environments it declares or, if it declares none, all environments where it is deployed.
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
    for deployment in there.deployments if there is not None else ():
        is_declared = declared is None or deployment.address in declared
        if deployment.live and deployment.capability == action.address.name and is_declared:
            yield deployment.address


def _slots(desired: State) -> Iterator[tuple[App, Slot]]:
    return ((app, slot) for app in desired for slot in app.slots)


def _declared(slot: Slot) -> Iterator[Address]:
    for environment in slot.deploy.environments if slot.deploy is not None else ():
        yield Address.of_capability(slot.app, slot.capability, environment)


def _new_watch(address: Address, live: App | None, expects: str | None = None) -> RolloutWatch:
    """Return a watch that starts from the planned state: a canary of that time may have been rolled back since."""
    there = live.deployments_at(address) if live is not None else ()
    current = next((deployment for deployment in there if deployment.live), None)
    canary = current.canary if current is not None else None
    return RolloutWatch(
        RolloutStatus(address=address, canary=canary),
        expects=expects,
        over=frozenset(deployment.id for deployment in there if not deployment.live),
    )


def _with_deployment(before: RolloutStatus, deployment: Deployment, result: RolloutResult | None) -> RolloutStatus:
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
    """Return whether a canary ended and its candidate is not the deployed variant, as far as the responses show."""
    if before.canary is None or now.canary is not None:
        return False
    candidate = before.canary.candidate
    return candidate is not None and now.variant is not None and candidate != now.variant


FIRST_PAUSE_SECONDS: Final = 2.0
LONGEST_PAUSE_SECONDS: Final = 15.0
_GROWTH = 1.5
# Polling uses at most this share of the rate limit: others use the same key.
_SHARE = 0.5
# Responses to requests that were sent in time may arrive a little later.
_LAST_READ_SECONDS = 30.0


class RolloutWaiter:
    """Polls rollouts until they are settled.

    `live` is the state that the plan was made from; it holds the apps' ids. `on_read` is called with all rollouts after each
    poll. `sleep` takes seconds of the client's clock.
    """

    def __init__(
        self,
        remote: Octomil,
        watches: Iterable[RolloutWatch],
        live: State,
        *,
        on_read: Callable[[tuple[RolloutStatus, ...]], None] | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._remote = remote
        self._watches = {watch.address: watch for watch in watches}
        self._live = live
        self._on_read = on_read
        self._sleep = sleep
        self._asks_org = True
        self._errors: dict[str, RemoteError] = {}

    @property
    def rollouts(self) -> tuple[RolloutStatus, ...]:
        """The status of each rollout, ordered by address."""
        return tuple(watch.rollout for watch in self._watches.values())

    async def wait_until_settled(self, within: float) -> tuple[RolloutStatus, ...]:
        """Poll until all rollouts are settled, for at most `within` seconds (0: poll once), and return their status.

        A failed read is repeated at the next poll, unless repeating can't help. Failed reads never raise.
        """
        until = self._remote.clock() + within
        pause = FIRST_PAUSE_SECONDS
        while self._pending():
            requests = self._remote.requests
            try:
                async with asyncio.timeout(max(0.0, until - self._remote.clock()) + self._read_timeout()):
                    await self._read_all()
            except TimeoutError:
                pass  # the last read stays
            left = until - self._remote.clock()
            if not self._pending() or left <= 0:
                break
            await self._sleep(min(left, max(pause, self._pause_for(self._remote.requests - requests))))
            pause = min(pause * _GROWTH, LONGEST_PAUSE_SECONDS)
        self._end(self._pending(), None)
        return self.rollouts

    def _pause_for(self, requests: int) -> float:
        """Return the pause in seconds after a poll of that many requests, which leaves others their share of the rate limit."""
        rate = self._remote.connection.requests_per_minute
        return requests * WINDOW_SECONDS / (rate * _SHARE) if rate else 0.0

    def _read_timeout(self) -> float:
        """Return for how many seconds a poll may continue after the timeout: for its delayed requests and their responses."""
        apps = {watch.address.app for watch in self._pending()}
        return self._pause_for(len(apps)) + _LAST_READ_SECONDS

    async def _read_all(self) -> None:
        self._errors = {}
        try:
            # A slot without devices has its result already, so its deployment needs no request.
            unknown = {watch.address.app for watch in self._pending() if watch.rollout.coverage is None}
            await self._for_apps(unknown, self._read_health)
            await self._read_deployments()
            due = (
                {watch.address.app for watch in self._pending() if watch.awaits_coverage}
                - unknown
                - self._errors.keys()
            )
            await self._for_apps(due, self._read_health)
        except CredentialRefused as error:
            self._end(self._pending(), error)
        for watch in self._pending():
            failed = self._errors.get(watch.address.app)
            self._keep(finish_if_covered(replace(watch, rollout=replace(watch.rollout, error=failed))))
        if self._on_read is not None:
            self._on_read(self.rollouts)

    async def _read_deployments(self) -> None:
        """Read the deployments of all apps at once if that takes fewer requests, otherwise app by app."""
        slugs = {watch.address.app for watch in self._pending()}
        apps = {slug: self._live.apps[slug] for slug in sorted(slugs) if slug in self._live.apps}
        reading = await read_org_deployments_if_cheaper(self._remote, apps) if self._asks_org else None
        self._asks_org = isinstance(reading, ReadResult)
        if isinstance(reading, ReadResult):
            for slug in apps:
                self._deployed(slug, tuple(deployment for deployment in reading.value if deployment.app == slug))
            slugs -= apps.keys()
        await self._for_apps(slugs, self._read_deployments_of)

    async def _for_apps(self, slugs: Iterable[str], read: Callable[[str], Awaitable[None]]) -> None:
        """Call `read` for several apps; an app that can't be read keeps its error."""

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
        coverages = {coverage.capability: coverage for coverage in found.slots}
        for watch in self._pending(slug):
            capability, _ = watch.address.placement
            self._keep(record_coverage(watch, coverages.get(capability)))

    def _deployed(self, slug: str, deployments: Sequence[Deployment]) -> None:
        for watch in self._pending(slug):
            found = [deployment for deployment in deployments if deployment.address == watch.address]
            self._keep(record_deployments(watch, found))

    def _pending(self, slug: str | None = None) -> list[RolloutWatch]:
        """Return the pending watches of one app or of all apps."""
        return [watch for watch in self._watches.values() if watch.is_pending and slug in {None, watch.address.app}]

    def _end(self, waited: Iterable[RolloutWatch], error: RemoteError | None) -> None:
        """Give watches the result `UNREADABLE` or `TIMED_OUT`."""
        for watch in waited:
            why = error or watch.rollout.error
            result = RolloutResult.TIMED_OUT if why is None else RolloutResult.UNREADABLE
            self._keep(replace(watch, rollout=replace(watch.rollout, result=result, error=why)))

    def _keep(self, watch: RolloutWatch) -> None:
        self._watches[watch.address] = watch
