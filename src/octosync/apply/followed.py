"""Followed: which deployments a run waits for, and what each reading makes of them. Pure: who reads, and when, is `follow`.

Waited for is what this run touched, and what is declared and was under way when it was planned: a canary that runs, or a
deployment that was just started. So a run that ends while it waits can be followed up by another one, and one that
touches nothing doesn't wait for what has stood still for long.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from octosync.contract import COVERED
from octosync.model import Address, App, Coverage, Deployment, Fate, Outcome, Slot, Standing, State, Status
from octosync.plan import Action, EnableCapability, OptimizeCapability, Plan, PutSlot


@dataclass(frozen=True, slots=True)
class Followed:
    """A deployment that is waited for.

    `expects` is the variant to which a canary was started that no reading has shown yet. `over` are the ids of deployments
    that had been rolled back before: they say nothing about this one.
    """

    standing: Standing
    expects: str | None = None
    over: frozenset[str] = frozenset()

    @property
    def address(self) -> Address:
        """Where."""
        return self.standing.address

    @property
    def is_pending(self) -> bool:
        """Whether it is still waited for."""
        return self.standing.fate is None

    @property
    def awaits_coverage(self) -> bool:
        """Whether its coverage is what it waits for: until a canary is through, that decides nothing."""
        return self.is_pending and self.standing.canary is None


def to_follow(plan: Plan, live: State, outcomes: Iterable[Outcome] = ()) -> tuple[Followed, ...]:
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
            found[action.address] = Followed(Standing(address=action.address, fate=Fate.AWAITING_APPROVAL))
    return tuple(found[address] for address in sorted(found))


def with_deployments(one: Followed, there: Sequence[Deployment]) -> Followed:
    """Take note of what is, or was, deployed at its address; what has ended stays as it is."""
    if not one.is_pending:
        return one
    before = one.standing
    current = next((each for each in there if each.live), None)
    if current is None:
        gone = next((each for each in reversed(there) if each.id not in one.over), None)
        if gone is None:
            return replace(one, standing=replace(before, deployment=None, status=None, variant=None, canary=None))
        return replace(one, standing=_of(before, gone, Fate.ROLLED_BACK))
    standing = _of(before, current, Fate.FAILED if current.failed else None)
    expects = None if current.canary is not None or current.variant == one.expects else one.expects
    if standing.fate is None and _was_taken_back(before, current):
        standing = replace(standing, fate=Fate.ROLLED_BACK, ended=before.canary)
    return replace(one, standing=standing, expects=expects)


def with_coverage(one: Followed, coverage: Coverage | None) -> Followed:
    """Take note of its slot's coverage; None where the control plane shows none."""
    if coverage is None:
        return one
    standing = replace(
        one.standing,
        coverage=coverage.status,
        covered=coverage.covered_devices,
        devices=coverage.total_devices,
    )
    if standing.devices == 0 and standing.coverage != COVERED:
        standing = replace(standing, fate=Fate.NO_DEVICES)
    return replace(one, standing=standing)


def settled(one: Followed) -> Followed:
    """End it where it is covered: its devices have it, and no canary is still to come or to be finished."""
    standing = one.standing
    is_through = standing.deployment is not None and standing.canary is None and one.expects is None
    if one.is_pending and is_through and standing.coverage == COVERED:
        return replace(one, standing=replace(standing, fate=Fate.COVERED))
    return one


def _under_way(desired: State, live: State) -> Iterator[tuple[Address, Followed]]:
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


def _begin(address: Address, live: App | None, expects: str | None = None) -> Followed:
    """Begin with what the plan was made from: a canary that ran then may have been taken back by now."""
    there = live.deployments_at(address) if live is not None else ()
    current = next((one for one in there if one.live), None)
    canary = current.canary if current is not None else None
    return Followed(
        Standing(address=address, canary=canary),
        expects=expects,
        over=frozenset(one.id for one in there if not one.live),
    )


def _of(before: Standing, deployment: Deployment, fate: Fate | None) -> Standing:
    return replace(
        before,
        fate=fate,
        deployment=deployment.id,
        status=deployment.status,
        variant=deployment.variant,
        canary=deployment.canary,
        starting=deployment.starting,
    )


def _was_taken_back(before: Standing, now: Deployment) -> bool:
    """Whether a canary that ran is gone, and what it was to bring is not what is deployed, as far as that is said."""
    if before.canary is None or now.canary is not None:
        return False
    candidate = before.canary.candidate
    return candidate is not None and now.variant is not None and candidate != now.variant
