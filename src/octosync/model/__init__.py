"""The values that all packages share: state, addresses, diagnostics, outcomes. They are frozen and do no I/O.

What may not live here: anything that knows the wire (that is `contract`), reads a file (`manifest`), sends a request
(`octomil`) or decides (`plan`).
"""

from octosync.model.address import Address, Kind, Origin
from octosync.model.backoff import Backoff
from octosync.model.deployment import (
    Assignment,
    Canary,
    Coverage,
    Deployment,
    FirstRequest,
    Health,
    OptimizationCheck,
    Preview,
    RolloutResult,
    RolloutStatus,
    RoutingDecision,
    RoutingStats,
)
from octosync.model.diagnostic import Diagnostic, ExportOmission, FieldExplanation, NameExplanation, Severity
from octosync.model.observation import DeclaredApp, Event, FollowUpReads, Observation, OrgPresence, Presence
from octosync.model.outcome import JournalledAction, JournalledRun, Outcome, Reason, Status
from octosync.model.redaction import (
    DEFAULT_SENSITIVE_KEYS,
    SENSITIVE_CHANGED,
    Redactor,
    Secret,
    Sensitivity,
    may_be_secret,
    safe_text,
)
from octosync.model.settings import ControllerSuspension, FreezeWindow, Hold, NotifyEvent, Receiver
from octosync.model.state import (
    App,
    Deploy,
    InferenceConfig,
    Optimize,
    Section,
    Slot,
    State,
    Suspension,
    Target,
)
from octosync.model.status import AppStatus, PendingApproval
from octosync.model.text import ELLIPSIS, clipped, counted, truncated
from octosync.model.values import (
    SENSITIVE,
    JsonObject,
    JsonValue,
    UndisclosedValue,
    canonical_json,
    canonical_object,
    digest_of,
    json_equal,
)

__all__ = [
    "DEFAULT_SENSITIVE_KEYS",
    "ELLIPSIS",
    "SENSITIVE",
    "SENSITIVE_CHANGED",
    "Address",
    "App",
    "AppStatus",
    "Assignment",
    "Backoff",
    "Canary",
    "ControllerSuspension",
    "Coverage",
    "DeclaredApp",
    "Deploy",
    "Deployment",
    "Diagnostic",
    "Event",
    "ExportOmission",
    "FieldExplanation",
    "FirstRequest",
    "FollowUpReads",
    "FreezeWindow",
    "Health",
    "Hold",
    "InferenceConfig",
    "JournalledAction",
    "JournalledRun",
    "JsonObject",
    "JsonValue",
    "Kind",
    "NameExplanation",
    "NotifyEvent",
    "Observation",
    "OptimizationCheck",
    "Optimize",
    "OrgPresence",
    "Origin",
    "Outcome",
    "PendingApproval",
    "Presence",
    "Preview",
    "Reason",
    "Receiver",
    "Redactor",
    "RolloutResult",
    "RolloutStatus",
    "RoutingDecision",
    "RoutingStats",
    "Secret",
    "Section",
    "Sensitivity",
    "Severity",
    "Slot",
    "State",
    "Status",
    "Suspension",
    "Target",
    "UndisclosedValue",
    "canonical_json",
    "canonical_object",
    "clipped",
    "counted",
    "digest_of",
    "json_equal",
    "may_be_secret",
    "safe_text",
    "truncated",
]
