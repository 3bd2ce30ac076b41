"""Rejected actions: what the control plane rejects is not sent again until something about it has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from octosync.errors import OctosyncError
from octosync.model import Address, Event, Kind, Outcome, Status
from octosync.plan import Action, Plan

_HELD_ELSEWHERE: Final = "target-held-elsewhere"

# The live state that a rejection may be due to: fingerprints by address.
View = Mapping[Address, str]


@dataclass(slots=True)
class _Rejection:
    """`view` is what was live when it was rejected; None if the same reconcile wrote other things: the next one fills it in."""

    action: Action
    outcome: Outcome
    view: View | None

    @property
    def may_pass(self) -> bool:
        """Whether a change of something else may help. What awaits approval, or isn't kept, is not sent again."""
        return self.outcome.status is Status.FAILED


@dataclass(slots=True)
class RejectedActions:
    """The rejected actions of each app. The substance of an action contains the live state of its own object."""

    _rejected: dict[str, dict[str, _Rejection]] = field(default_factory=dict)
    _versions: Counter[str] = field(default_factory=Counter)  # by app, how often it was to be retried

    def versions(self, apps: Collection[str]) -> Mapping[str, int]:
        """Return the versions that `record` needs at the end of a reconcile that begins to write now."""
        return {slug: self._versions[slug] for slug in apps}

    def rejected(self, apps: Collection[str], plan: Plan) -> frozenset[str]:
        """Return the substances that are left out of a plan, since nothing has changed since they were rejected."""
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
        """Record what is rejected, and return the outcomes of everything that is. `left` is what is left of the plan.

        An error that ended the run, such as a rejected key, is not a rejection of its action. A rejection is not recorded
        either if something has changed since `state`: the action is retried.
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
        """Retry all rejected actions of an app: its manifest has changed, or a person has requested it."""
        self._versions[slug] += 1
        self._rejected.pop(slug, None)

    def retry(self, slug: str) -> None:
        """Retry what may be accepted now that something about an app has changed."""
        self._versions[slug] += 1
        kept = {
            substance: rejection
            for substance, rejection in self._rejected.pop(slug, {}).items()
            if not rejection.may_pass
        }
        if kept:
            self._rejected[slug] = kept

    def waiting_for(self, event: Event) -> frozenset[str]:
        """Return the apps whose registration of a target was rejected, if an event of any app is about that target."""
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
        """Return the apps that were refused a target because another app holds it."""
        return frozenset(slug for slug, known in self._rejected.items() if any(map(_is_held_elsewhere, known.values())))


def _is_held_elsewhere(rejection: _Rejection) -> bool:
    return rejection.outcome.reference == _HELD_ELSEWHERE


def _is_about(event: Event, address: Address) -> bool:
    if event.resource is None:
        # It names at most what happened: better one retry too many.
        return event.type is None or event.type.startswith(Kind.TARGET.value)
    return event.is_about(address)


def _view(apps: Collection[str], plan: Plan) -> View:
    return {at: print_ for at, print_ in plan.fingerprints.items() if at.app in apps}
