"""Activity: who did what to an app, as the control plane's feed tells it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from octosync.model.address import Address, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event. `resource` is what it is about, None where the feed does not say; `at` has a zone, None where unreadable.

    `actor` is who did it, by name where there is one; `app` the slug, None where the feed only has an id.
    """

    id: str
    type: str | None = None
    app: str | None = None
    app_id: str | None = None
    resource: tuple[str, str] | None = None
    actor: str | None = None
    message: str | None = None
    at: datetime | None = None

    def is_about(self, address: Address) -> bool:
        """Say whether this names an object of the event's app; the kind is compared as the plan JSON calls it."""
        if self.resource is None:
            return False
        kind, key = self.resource
        # An app has one inference config and is one app, so whatever such an event has as its key names it.
        alone = address.kind in {Kind.APP, Kind.INFERENCE_CONFIG}
        return kind.replace("-", "_") == address.kind.value and (alone or key == address.name)
