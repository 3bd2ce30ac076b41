"""The vocabulary every room shares: frozen values, no I/O, no policy.

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
from octosync.model.diagnostic import Diagnostic, ExplainedField, ExplainedName, LeftOut, Severity
from octosync.model.observation import DeclaredApp, Event, Observation, OrgPresence, Presence, Questions
from octosync.model.outcome import JournalledAction, JournalledRun, Outcome, Reason, Status
from octosync.model.redaction import (
    DEFAULT_SENSITIVE_KEYS,
    SENSITIVE_CHANGED,
    Concealer,
    Secret,
    Sensitivity,
    may_be_secret,
    show,
)
from octosync.model.settings import FreezeWindow, Hold, NotifyEvent, Receiver, Suspended
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
from octosync.model.status import AppStatus, Awaited
from octosync.model.text import ELLIPSIS, clipped, counted, truncated
from octosync.model.values import (
    SENSITIVE,
    JsonObject,
    JsonValue,
    Undisclosed,
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
    "Awaited",
    "Backoff",
    "Canary",
    "Concealer",
    "Coverage",
    "DeclaredApp",
    "Deploy",
    "Deployment",
    "Diagnostic",
    "Event",
    "ExplainedField",
    "ExplainedName",
    "FirstRequest",
    "FreezeWindow",
    "Health",
    "Hold",
    "InferenceConfig",
    "JournalledAction",
    "JournalledRun",
    "JsonObject",
    "JsonValue",
    "Kind",
    "LeftOut",
    "NotifyEvent",
    "Observation",
    "OptimizationCheck",
    "Optimize",
    "OrgPresence",
    "Origin",
    "Outcome",
    "Presence",
    "Preview",
    "Questions",
    "Reason",
    "Receiver",
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
    "Suspended",
    "Suspension",
    "Target",
    "Undisclosed",
    "canonical_json",
    "canonical_object",
    "clipped",
    "counted",
    "digest_of",
    "json_equal",
    "may_be_secret",
    "show",
    "truncated",
]
