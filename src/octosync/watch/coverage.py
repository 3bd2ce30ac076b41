"""Coverage: the enabled capabilities whose deployments don't reach all devices of their app, as `apps.health` returns it.

An app can match its manifest and serve no device: a target that was removed and registered again has lost its device
assignments, and no API assigns them again. So coverage is read once per app in each resync, in the first reconcile of an app
after a start, after a run has registered or removed targets of the app, and with every reconcile of an app that lacks coverage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from octosync.contract import PARTIAL, UNCOVERED
from octosync.errors import RemoteError, Unavailable
from octosync.model import App, Coverage, Deployment, Kind, Status, counted
from octosync.octomil import Octomil, read_health
from octosync.watch.log import Log
from octosync.watch.loop.circuit_breaker import CircuitBreaker
from octosync.watch.status import ReconcileResult

UNCOVERED_HINTS: Final = (
    "Enabling a capability assigns devices to the targets that are registered at that time; no API assigns a later target.",
    "Roll the deployment back in Octomil, then run octosync apply with --retry-rolled-back to enable it again.",
)


def coverage_words(coverage: Coverage) -> str:
    """Return a capability's coverage in words: `chat: 0 of 340 devices covered`."""
    covered, total = coverage.covered_devices, coverage.total_devices
    if covered is None or total is None:
        return f"{coverage.capability}: {coverage.status}"
    return f"{coverage.capability}: {covered:,} of {counted(total, 'device')} covered"


@dataclass(slots=True)
class CoverageMonitor:
    """The capabilities that don't cover their devices, by app. `error` is why the last read of coverage failed, if it did."""

    breaker: CircuitBreaker
    log: Log
    error: RemoteError | None = None
    _gaps: dict[str, tuple[Coverage, ...]] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)  # the apps whose coverage was asked for since the start

    async def add_gaps(
        self, result: ReconcileResult, tree: Mapping[str, App], remote: Octomil, *, is_full_read: bool
    ) -> ReconcileResult:
        """Return the result with the coverage gaps of its apps, read now if they are due, else as last read."""
        if result.remaining is None or result.observed is None:
            return result
        moved = {
            outcome.address.app
            for outcome in result.outcomes
            if outcome.address.kind is Kind.TARGET and outcome.status is Status.DONE
        }
        for slug in sorted(result.apps):
            app = tree.get(slug)
            if app is None or app.archived or not app.slots:
                self._gaps.pop(slug, None)
            elif (
                slug in moved or slug in self._gaps or ((is_full_read or slug not in self._asked) and _is_deployed(app))
            ):
                await self._read(app, result.observed.state.apps.get(slug), remote)
        gaps = {slug: self._gaps[slug] for slug in sorted(result.apps & self._gaps.keys())}
        return replace(result, uncovered=gaps)

    def forget(self, apps: Iterable[str]) -> None:
        """Forget apps that are no longer watched."""
        for slug in apps:
            self._gaps.pop(slug, None)
            self._asked.discard(slug)

    async def _read(self, app: App, live: App | None, remote: Octomil) -> None:
        self._asked.add(app.slug)
        try:
            found = await read_health(remote, app.slug)
        except RemoteError as error:
            # The known gaps stay: a failed read proves no coverage.
            if isinstance(error, Unavailable):
                self.breaker.record_failure(error, app.slug)
            if self.error is None:
                self.log.warning(
                    "coverage_unread",
                    message=f"the coverage of {app.slug} can't be read: {error.message}",
                    app=app.slug,
                    reference=error.reference,
                    hints=list(error.hints),
                )
            self.error = error
            return
        self.error = None
        gaps = tuple(slot for slot in found.slots if _is_gap(slot, app, live))
        if gaps:
            self._gaps[app.slug] = gaps
        else:
            self._gaps.pop(app.slug, None)


def _is_deployed(app: App) -> bool:
    return any(slot.deploy is not None for slot in app.slots)


def _is_gap(coverage: Coverage, app: App, live: App | None) -> bool:
    """Return whether an enabled capability lacks devices: one that is still being rolled out doesn't count."""
    slot = next((slot for slot in app.slots if slot.capability == coverage.capability), None)
    if slot is None or coverage.status not in {UNCOVERED, PARTIAL} or coverage.total_devices == 0:
        return False
    deployments = [] if live is None else _deployments_of(live, coverage.capability)
    if any(deployment.live and (deployment.starting or deployment.canary is not None) for deployment in deployments):
        return False
    return bool(coverage.active_deployments) or slot.deploy is not None


def _deployments_of(app: App, capability: str) -> list[Deployment]:
    return [deployment for deployment in app.deployments if deployment.capability == capability]
