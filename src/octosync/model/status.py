"""The live status of an app, for `octosync status`. It is only shown: nothing is planned from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from octosync.errors import RemoteError
from octosync.model.address import Address
from octosync.model.deployment import Coverage, Deployment, FirstRequest, Health, RoutingStats
from octosync.model.observation import Event
from octosync.model.state import App, Section, Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class AppStatus:
    """The status of one app. Each part is what was read, or the error; `last_change` None: the feed is empty.

    `cut` names the lists of which only the first page was read: an object that is missing from such a list may exist.
    """

    slug: str
    app: App | RemoteError
    slots: tuple[Slot, ...] | RemoteError
    deployments: tuple[Deployment, ...] | RemoteError
    health: Health | RemoteError
    first_request: FirstRequest | RemoteError
    routing: RoutingStats | RemoteError
    last_change: Event | RemoteError | None
    cut: frozenset[Section] = frozenset()

    @property
    def errors(self) -> Mapping[str, RemoteError]:
        """The errors of the parts that could not be read, by the name of the part."""
        return {name: part for name, part in self._parts.items() if isinstance(part, RemoteError)}

    @property
    def is_unread(self) -> bool:
        """Whether no part could be read."""
        return len(self.errors) == len(self._parts)

    @property
    def _parts(self) -> Mapping[str, object]:
        return {
            "app": self.app,
            "slots": self.slots,
            "deployments": self.deployments,
            "coverage": self.health,
            "first_request": self.first_request,
            "routing": self.routing,
            "last_change": self.last_change,
        }

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The app's capabilities: those with a slot, a live deployment or coverage."""
        slots = () if isinstance(self.slots, RemoteError) else self.slots
        deployments = () if isinstance(self.deployments, RemoteError) else self.deployments
        covered = () if isinstance(self.health, RemoteError) else self.health.slots
        named = {slot.capability for slot in slots} | {coverage.capability for coverage in covered}
        return tuple(sorted(named | {deployment.capability for deployment in deployments if deployment.live}))

    def slot(self, capability: str) -> Slot | None:
        """Return the slot of a capability, None if none was read."""
        slots = () if isinstance(self.slots, RemoteError) else self.slots
        return next((slot for slot in slots if slot.capability == capability), None)

    def coverage(self, capability: str) -> Coverage | None:
        """Return the coverage of a slot, None if none was read."""
        covered = () if isinstance(self.health, RemoteError) else self.health.slots
        return next((coverage for coverage in covered if coverage.capability == capability), None)

    def deployments_of(self, capability: str) -> tuple[Deployment, ...]:
        """Return a capability's deployments by environment: the live ones, else the one that was rolled back last."""
        deployments = () if isinstance(self.deployments, RemoteError) else self.deployments
        by_age = sorted(
            (deployment for deployment in deployments if deployment.capability == capability),
            key=lambda deployment: deployment.created_at or "",
        )
        live = [deployment for deployment in by_age if deployment.live]
        last_ended = {deployment.environment: deployment for deployment in by_age if not deployment.live}
        ended = [last_ended[name] for name in last_ended.keys() - {deployment.environment for deployment in live}]
        return tuple(sorted((*live, *ended), key=lambda found: (found.environment, found.created_at or "", found.id)))


@dataclass(frozen=True, slots=True, kw_only=True)
class AppOverview:
    """What lists of the whole org contain about an app. `last_change` None: the newest events name no change of it."""

    slug: str
    app: App | RemoteError
    deployments: tuple[Deployment, ...] | RemoteError
    last_change: Event | RemoteError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingApproval:
    """An action that waits for a person's approval in Octomil, with the journal's run that sent it and when."""

    address: Address
    verb: str
    run: str
    at: datetime
