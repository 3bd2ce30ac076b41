"""The status document's shape: the models that its JSON and its JSON Schema (2020-12) come from.

Changes, refusals, recommendations and diagnostics are the plan document's. A new minor of `format_version` adds keys, so a key
that is not described here is no mistake.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, WithJsonSchema

from octosync.model import JsonObject
from octosync.plan import (
    AddressText,
    BlockedDocument,
    ControlPlaneDocument,
    Count,
    DiagnosticDocument,
    Document,
    Number,
    RecommendationDocument,
    ResourceChangeDocument,
    Seconds,
    Time,
    one_of,
)
from octosync.report import OutcomeDocument
from octosync.watch.settings import WriteMode
from octosync.watch.status import AppState

STATUS_FORMAT_VERSION: Final = "1.1"

StateCounts = Annotated[
    dict[str, int],
    WithJsonSchema(
        {
            "type": "object",
            "properties": {state.value: {"type": "integer", "minimum": 0} for state in AppState},
            "required": [state.value for state in AppState],
        }
    ),
]


class ProblemDocument(Document):
    """Why something fails."""

    reference: str
    message: str
    hints: list[str]


class LoadedManifestsDocument(Document):
    """What was loaded. `valid` false: `error` or `diagnostics` say why, and the last good ones are in force."""

    valid: bool
    files: Count
    revision: str | None
    loaded_at: Time | None
    changed_at: Time | None
    error: ProblemDocument | None = Field(description="Why they can't be read at all.")
    diagnostics: list[DiagnosticDocument] = Field(description="What was found in them.")


class AlarmsDocument(Document):
    """The problems that stop everything, and those of the feed and of coverage: a sentence each, or null."""

    credential: str | None
    outage: str | None
    unreadable: str | None
    throttled: str | None
    state_locked: str | None
    key_unusable: str | None
    state_damaged: str | None
    feed_off: str | None
    coverage_unread: str | None


class SuspendedDocument(Document):
    """That everything is suspended."""

    at: Time
    reason: str


class HoldDocument(Document):
    """That a person holds an app's drift."""

    app: str
    until: Time
    reason: str
    at: Time


class BudgetDocument(Document):
    """Requests of the current window; `limit` 0: none."""

    limit: Count
    used: Count
    remaining: Count
    throttled_until: Time | None
    throttled_seconds: Seconds


class FullReadDocument(Document):
    """The last and the next read of everything; `done` of `total` apps where one is under way."""

    ended_at: Time | None
    next_at: Time | None
    due_at: Time | None
    done: Count
    total: Count
    resync_seconds: Seconds
    resync_in_fact_seconds: Number | None


class BlockedSetDocument(Document):
    """What one guard blocks of one change, in all its apps: it is approved as a whole."""

    guard: str
    message: str
    apps: list[str]
    addresses: list[AddressText]
    actions: Count = Field(description="How many actions can be approved.")
    seen: str | None = Field(description="The digest that names this very set; null where nothing can be approved.")
    approve: str | None = Field(description="The POST that approves exactly this set, once; null where none can.")


class DriftDocument(Document):
    """One object that somebody changed: who and when as far as the feed tells. `until` null: it is not changed back by itself."""

    address: AddressText
    actor: str | None
    at: Time | None
    first_seen: Time
    until: Time | None
    contested: bool
    heals: Count


class CanaryDocument(Document):
    """A rollout under way; `percentage` of the devices have the candidate."""

    address: AddressText
    deployment: str
    status: str
    variant: str | None
    candidate: str | None
    percentage: Number | None


class UncoveredDocument(Document):
    """An enabled capability whose deployments don't reach all devices; null is what the control plane doesn't state."""

    capability: str
    status: str
    covered_devices: Count | None
    total_devices: Count | None


class AppDocument(Document):
    """One app, in order of slugs."""

    slug: str
    state: Annotated[str, one_of(AppState)]
    since: Time | None
    read_at: Time | None
    source: str | None = Field(description="The file that declares it.")
    error: ProblemDocument | None = Field(description="Why it fails.")
    next_try: Time | None
    why_waiting: str | None
    frozen_until: Time | None
    hold: HoldDocument | None
    run: str | None = Field(description="The last run that wrote to it.")
    drift: list[DriftDocument]
    blocked: list[BlockedDocument] = Field(description="What guards refuse, with the ways out.")
    resource_changes: list[ResourceChangeDocument] | None = Field(
        description="What its latest plan comes to; null before the first."
    )
    canaries: list[CanaryDocument]
    recommendations: list[RecommendationDocument] = Field(description="Better variants that are not rolled out.")
    uncovered: list[UncoveredDocument]


class RunDocument(Document):
    """One of the last runs, newest first; `ended` null: under way."""

    run: str
    apps: list[str]
    why: str | None
    started: Time
    ended: Time | None
    actions: Count
    outcomes: list[OutcomeDocument]


class WatchDocument(Document):
    """How everything stands, as `octosync watch` answers it at /api/status."""

    format_version: Annotated[str, WithJsonSchema({"const": STATUS_FORMAT_VERSION})]
    octosync_version: str
    timestamp: Time
    started: Time
    sentence: str = Field(description="How everything stands, for people.")
    mode: Annotated[str, one_of(WriteMode)] = Field(description="What is written by itself (`--heal`).")
    healthy: bool
    ready: bool
    can_post: bool = Field(description="Whether there is an admin token, so that POSTs are taken.")
    control_plane: ControlPlaneDocument
    manifests: LoadedManifestsDocument
    alarms: AlarmsDocument
    suspended: SuspendedDocument | None
    holds: list[HoldDocument]
    counts: StateCounts = Field(description="How many apps are in each state.")
    unmanaged: int | None = Field(description="Apps that no manifest declares; null where that was not read.")
    budget: BudgetDocument
    queue: dict[str, Count] = Field(description="How many apps wait, by priority.")
    full_read: FullReadDocument
    blocked: list[BlockedSetDocument]
    last_success: Time | None
    apps: list[AppDocument]
    runs: list[RunDocument]


def watch_schema() -> JsonObject:
    """Return the schema of the status document, for programs that read /api/status."""
    return WatchDocument.json_schema("octosync watch status")
