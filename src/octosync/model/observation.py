"""An observation: live state as it was read, what could not be read, what else was asked, and what all of it cost.

Questions: what a plan still has to know of the control plane, beyond the live state of what is declared.

Presence: which apps of an org manifests declare, and which of those are live.

Activity: who did what to an app, as the control plane's feed tells it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from octosync.errors import OctosyncError, RemoteError
from octosync.model.address import Address, Kind
from octosync.model.deployment import OptimizationCheck, Preview, RoutingStats
from octosync.model.state import Section, State


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the control plane holds of the declared apps, and what it answered to further questions.

    An app in neither `state` nor `errors` is absent: its own read said so. `unmanaged` are the slugs that were listed and
    never declared, None where no list was read. `org_id` is the org that the answers name, None where none does.
    `read_at` says, for an app's own fields (section None) and for each of its sections, when that was read, in seconds of
    the clock that paces the client; `requests` counts what was sent.

    `previews` and `checks` hold an answer, or why there is none. `canaries` is how many run in the org, None where nobody
    asked. `org_feed` are the org's events, newest first, as far back as was asked, or (`org_feed_is_cut`)
    as far as the most pages go that are read, None where they were not;
    `app_feeds` those of single apps, of an app whose feed could not be read none.
    """

    state: State = field(default_factory=State)
    errors: Mapping[str, OctosyncError] = field(default_factory=dict)
    unmanaged: tuple[str, ...] | None = None
    org_id: str | None = None
    read_at: Mapping[tuple[str, Section | None], float] = field(default_factory=dict)
    requests: int = 0
    routing: Mapping[str, RoutingStats] = field(default_factory=dict)
    previews: Mapping[Address, Preview | RemoteError] = field(default_factory=dict)
    checks: Mapping[Address, OptimizationCheck | RemoteError] = field(default_factory=dict)
    canaries: int | RemoteError | None = None
    org_feed: tuple[Event, ...] | RemoteError | None = None
    org_feed_is_cut: bool = False
    app_feeds: Mapping[str, tuple[Event, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUpReads:
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


class Presence(Enum):
    """How a declared app is there: `ABSENT` only where its own read said so, `UNKNOWN` where that failed."""

    LIVE = "live"
    ARCHIVED = "archived"
    ABSENT = "not_live"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgPresence:
    """The org's apps that are not archived, by slug in slug order, and what is known of each declared app.

    `errors` say why a presence is unknown. `org_id` is the org that the answers name, None where none does.
    """

    live: tuple[str, ...]
    presences: Mapping[str, Presence]
    errors: Mapping[str, RemoteError] = field(default_factory=dict)
    org_id: str | None = None
    requests: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredApp:
    """One declared app. `in_part`: no App document declares it; `group` None: it has no value for what is grouped by."""

    slug: str
    presence: Presence
    in_part: bool = False
    group: str | None = None
