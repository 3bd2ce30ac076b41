"""Checks: whether Octomil knows a better variant, asked once a day for each deployment, and when its fleet has changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from octosync.model import Address, App, Deployment, Observation, OptimizationCheck, digest_of

_GOOD_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Answer:
    at: datetime
    fleet: str
    check: OptimizationCheck


class OptimizationChecks:
    """The answers of the last day."""

    def __init__(self) -> None:
        self._answers: dict[Address, _Answer] = {}

    def add_to(self, seen: Observation, now: datetime) -> Observation:
        """Add the answers that still hold to what was seen, so that they are not asked for again."""
        held = {
            one.address: answer.check
            for app in seen.state
            for one in app.deployments
            if one.live
            and (answer := self._answers.get(one.address)) is not None
            and now - answer.at < _GOOD_FOR
            and answer.fleet == _fleet(app, one)
        }
        return replace(seen, checks={**held, **seen.checks})

    def learn(self, seen: Observation, now: datetime) -> None:
        """Keep the answers that are new."""
        live: Mapping[Address, tuple[App, Deployment]] = {
            one.address: (app, one) for app in seen.state for one in app.deployments if one.live
        }
        for address, check in seen.checks.items():
            if isinstance(check, OptimizationCheck) and address in live:
                fleet = _fleet(*live[address])
                known = self._answers.get(address)
                if known is None or known.check is not check or known.fleet != fleet:
                    self._answers[address] = _Answer(now, fleet, check)

    def forget(self, slug: str) -> None:
        """Ask again: somebody wants an app to be looked at anew, or it is gone."""
        for address in [one for one in self._answers if one.app == slug]:
            del self._answers[address]


def _fleet(app: App, deployment: Deployment) -> str:
    """Tell a deployment's fleet from another: its targets, what is registered, and what runs there."""
    return digest_of(
        [
            deployment.id,
            deployment.variant,
            sorted(deployment.targets),
            sorted(f"{one.platform}:{one.identifier}" for one in app.targets),
        ]
    )
