"""Refusals: what the control plane would not have is not sent again, until something about it has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from octosync.errors import OctosyncError
from octosync.model import Address, Event, Kind, Outcome, Status
from octosync.plan import Action, Plan

_HELD_ELSEWHERE: Final = "target-held-elsewhere"

# What of live state a refusal may have been for: fingerprints by address.
View = Mapping[Address, str]


@dataclass(slots=True)
class _Rejection:
    """`view` is what was live when it was refused; None where the same turn wrote other things: then the next look says."""

    action: Action
    outcome: Outcome
    view: View | None

    @property
    def may_pass(self) -> bool:
        """Whether a change of something else may help. What awaits approval, or isn't kept, is not asked for again."""
        return self.outcome.status is Status.FAILED


@dataclass(slots=True)
class RejectedActions:
    """By app, what was refused. The substance of an action has the live state of its own object in it."""

    _rejected: dict[str, dict[str, _Rejection]] = field(default_factory=dict)
    _versions: Counter[str] = field(default_factory=Counter)  # by app, how often it was to be tried again

    def versions(self, apps: Collection[str]) -> Mapping[str, int]:
        """Return what `record` has to be told at the end of a turn that begins to write now."""
        return {slug: self._versions[slug] for slug in apps}

    def rejected(self, apps: Collection[str], plan: Plan) -> frozenset[str]:
        """Return the substances that apps' plan is to do without, since all is as it was when they were refused."""
        view = _view(apps, plan)
        found = set()
        for slug in apps:
            for substance, rejection in self._rejected.get(slug, {}).items():
                if rejection.view is None:
                    rejection.view = view
                if rejection.view == view or not rejection.may_pass:
                    found.add(substance)
        return frozenset(found)

    def record(
        self,
        apps: Collection[str],
        plan: Plan,
        left: Plan,
        outcomes: Iterable[tuple[Action, Outcome]],
        *,
        stopped_by: OctosyncError | None,
        state: Mapping[str, int],
    ) -> tuple[Outcome, ...]:
        """Take note of what is refused of apps, and return all that is. `left` is what is left to be done of the plan.

        What ended the run, such as a refused key, is no refusal of the action that met it. Nor is one noted where something
        changed since `versions`: that is tried again.
        """
        view = _view(apps, plan) if len(left.actions) == len(plan.actions) else None
        for action, outcome in outcomes:
            slug = action.address.app
            if self._versions[slug] != state.get(slug) or (stopped_by and outcome.reference == stopped_by.reference):
                continue
            final = outcome.status in {Status.NOT_KEPT, Status.AWAITING_APPROVAL}
            if final or (outcome.status is Status.FAILED and not outcome.retryable):
                self._rejected.setdefault(slug, {})[action.substance] = _Rejection(action, outcome, view)
        planned = {planned_action.substance for planned_action in left.actions}
        for slug in apps:
            kept = {
                substance: rejection
                for substance, rejection in self._rejected.pop(slug, {}).items()
                if substance in planned
            }
            if kept:
                self._rejected[slug] = kept
        return tuple(rejection.outcome for slug in sorted(apps) for rejection in self._rejected.get(slug, {}).values())

    def forget(self, slug: str) -> None:
        """Try everything again of an app: its manifest changed, or somebody asked for it."""
        self._versions[slug] += 1
        self._rejected.pop(slug, None)

    def retry(self, slug: str) -> None:
        """Try again what of an app may pass now that somebody changed something about it."""
        self._versions[slug] += 1
        kept = {
            substance: rejection
            for substance, rejection in self._rejected.pop(slug, {}).items()
            if not rejection.may_pass
        }
        if kept:
            self._rejected[slug] = kept

    def waiting_for(self, event: Event) -> frozenset[str]:
        """Return the apps that may not have a target which an event, of whatever app, is about."""
        return frozenset(
            slug
            for slug, rejections in self._rejected.items()
            if any(
                _is_about(event, rejection.action.address)
                for rejection in rejections.values()
                if _is_held_elsewhere(rejection)
            )
        )

    def held_elsewhere(self) -> frozenset[str]:
        """Return the apps that may not have a target which another app holds."""
        return frozenset(slug for slug, known in self._rejected.items() if any(map(_is_held_elsewhere, known.values())))


def _is_held_elsewhere(rejection: _Rejection) -> bool:
    return rejection.outcome.reference == _HELD_ELSEWHERE


def _is_about(event: Event, address: Address) -> bool:
    if event.resource is None:
        # It says only what happened, if that: rather once too often.
        return event.type is None or event.type.startswith(Kind.TARGET.value)
    return event.is_about(address)


def _view(apps: Collection[str], plan: Plan) -> View:
    return {at: print_ for at, print_ in plan.fingerprints.items() if at.app in apps}
