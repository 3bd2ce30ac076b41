"""An observation: live state as it was read, what could not be read, what else was asked, and what all of it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from octosync.errors import OctosyncError, RemoteError
from octosync.model.activity import Event
from octosync.model.address import Address
from octosync.model.deployment import OptimizationCheck, Preview
from octosync.model.routing import RoutingStats
from octosync.model.state import Section, State


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
