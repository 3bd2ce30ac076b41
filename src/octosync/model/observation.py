"""An observation: live state as it was read, what could not be read, and what reading it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from octosync.errors import OctosyncError
from octosync.model.state import Section, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the control plane holds of the declared apps.

    An app in neither `state` nor `errors` is absent: its own read said so. `unmanaged` are the slugs that were listed and
    never declared, None where no list was read. `org_id` is the org that the answers name, None where none does.
    `read_at` says, for an app's own fields (section None) and for each of its sections, when that was read, in seconds of
    the clock that paces the client; `requests` counts what was sent.
    """

    state: State = field(default_factory=State)
    errors: Mapping[str, OctosyncError] = field(default_factory=dict)
    unmanaged: tuple[str, ...] | None = None
    org_id: str | None = None
    read_at: Mapping[tuple[str, Section | None], float] = field(default_factory=dict)
    requests: int = 0
