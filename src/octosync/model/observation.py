"""Observations: what was read from the control plane. Live state, read errors, events of the activity feed, and which apps exist.

Manifests are loaded without them, so they are not in `state`.
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
    """An event of the activity feed. `resource` is (kind, key) of its object, None if the feed doesn't name it.

    `at` has a time zone, and is None if it is unreadable. `actor` is the name of the actor, or else its id; `app` is the slug,
    None if the feed only has an id.
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
        """Return whether the event is about this object of its app; kinds are compared by their plan JSON names."""
        if self.resource is None:
            return False
        kind, key = self.resource
        # An app has one inference config and is one app, so any key of such an event names it.
        alone = address.kind in {Kind.APP, Kind.INFERENCE_CONFIG}
        return kind.replace("-", "_") == address.kind.value and (alone or key == address.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The live state of the declared apps, and the results of follow-up reads.

    An app in neither `state` nor `errors` is absent: reading it returned 404. `unmanaged` are listed slugs that are not
    declared, None if the list was not read. `org_id` is the org that the responses name, None if no response does.
    `read_at` is when an app's own fields (section None) and each of its sections were read, in seconds of the rate limiter's
    clock; `requests` is the number of requests sent.

    `previews` and `checks` hold a response, or the error. `canaries` is how many run in the org, None if not counted.
    `org_feed` are the org's events, newest first, back to the requested time or (`org_feed_is_cut`) as far as the page limit
    allows, None if not read; `app_feeds` are the events of single apps, without the apps whose feed could not be read.
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
    """What a plan needs to read beyond the live state, one or a few requests each; if it is empty, the plan is complete.

    `deployments`, `routing` and `app_feeds` name apps, `previews` and `checks` capabilities' deployments. `canaries`: count
    the running canaries of the org. `org_feed_since`: read the org's feed back to this time (with a zone).
    """

    deployments: tuple[str, ...] = ()
    routing: tuple[str, ...] = ()
    previews: tuple[Address, ...] = ()
    checks: tuple[Address, ...] = ()
    canaries: bool = False
    org_feed_since: datetime | None = None
    app_feeds: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Return whether anything needs to be read."""
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
    """Whether a declared app exists: `ABSENT` only if reading it returned 404, `UNKNOWN` if that read failed."""

    LIVE = "live"
    ARCHIVED = "archived"
    ABSENT = "not_live"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgPresence:
    """The slugs of the org's apps that are not archived, in slug order, and the presence of each declared app.

    `errors` are why a presence is unknown. `org_id` is the org that the responses name, None if no response does.
    """

    live: tuple[str, ...]
    presences: Mapping[str, Presence]
    errors: Mapping[str, RemoteError] = field(default_factory=dict)
    org_id: str | None = None
    requests: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredApp:
    """A declared app. `in_part`: no App document declares it. `group` is the value that apps are grouped by, None if unset."""

    slug: str
    presence: Presence
    in_part: bool = False
    group: str | None = None
