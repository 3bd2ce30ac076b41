"""Status: what is live of an app, as far as it could be read, for people to look at; nothing is planned from it."""

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
    """One app. Each part is what was answered, or why it could not be read; `last_change` None: the feed is empty.

    `cut` names the lists that go on after what was read of them: what isn't in such a list may be there all the same.
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
        """What could not be read, by the name of the part."""
        parts = {
            "app": self.app,
            "slots": self.slots,
            "deployments": self.deployments,
            "coverage": self.health,
            "first_request": self.first_request,
            "routing": self.routing,
            "last_change": self.last_change,
        }
        return {name: part for name, part in parts.items() if isinstance(part, RemoteError)}

    @property
    def is_unread(self) -> bool:
        """Whether not a single part could be read."""
        return len(self.errors) == 7

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The app's capabilities: those with a slot, and those that run, or are covered, without one."""
        slots = () if isinstance(self.slots, RemoteError) else self.slots
        deployments = () if isinstance(self.deployments, RemoteError) else self.deployments
        covered = () if isinstance(self.health, RemoteError) else self.health.slots
        named = {slot.capability for slot in slots} | {one.capability for one in covered}
        return tuple(sorted(named | {one.capability for one in deployments if one.live}))

    def slot(self, capability: str) -> Slot | None:
        """Find a slot; None where none was read."""
        slots = () if isinstance(self.slots, RemoteError) else self.slots
        return next((one for one in slots if one.capability == capability), None)

    def coverage(self, capability: str) -> Coverage | None:
        """Find a slot's coverage; None where none was read."""
        covered = () if isinstance(self.health, RemoteError) else self.health.slots
        return next((one for one in covered if one.capability == capability), None)

    def deployments_of(self, capability: str) -> tuple[Deployment, ...]:
        """Find what is live of a capability, by environment; where nothing is, what was rolled back last."""
        every = () if isinstance(self.deployments, RemoteError) else self.deployments
        mine = [one for one in every if one.capability == capability]
        live = [one for one in mine if one.live]
        ended = {one.environment: one for one in sorted(mine, key=lambda one: one.created_at or "") if not one.live}
        over = [one for where, one in ended.items() if where not in {other.environment for other in live}]
        return tuple(sorted((*live, *over), key=lambda one: (one.environment, one.created_at or "", one.id)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingApproval:
    """An action that was sent to wait for a person's approval in Octomil, when, and by which run of a journal."""

    address: Address
    verb: str
    run: str
    at: datetime
