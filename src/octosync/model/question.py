"""Questions: what a plan still has to know of the control plane, beyond the live state of what is declared."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from octosync.model.address import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What is to be asked, each a request or a few; nothing in it: the plan is whole.

    `deployments`, `routing` and `app_feeds` name apps, `previews` and `checks` capabilities' deployments. `canaries`: how
    many run in the org. `org_feed_since`: what happened in the org since then (with a zone).
    """

    deployments: tuple[str, ...] = ()
    routing: tuple[str, ...] = ()
    previews: tuple[Address, ...] = ()
    checks: tuple[Address, ...] = ()
    canaries: bool = False
    org_feed_since: datetime | None = None
    app_feeds: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Say whether anything is to be asked."""
        return bool(
            self.deployments
            or self.routing
            or self.previews
            or self.checks
            or self.canaries
            or self.org_feed_since
            or self.app_feeds
        )
