"""Presence: which apps of an org manifests declare, and which of those are live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from octosync.errors import RemoteError


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
