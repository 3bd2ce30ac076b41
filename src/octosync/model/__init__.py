"""The vocabulary every room shares: frozen values, no I/O, no policy.

What may not live here: anything that knows the wire (that is `contract`), reads a file (`manifest`), sends a request
(`octomil`) or decides (`plan`).
"""

from octosync.model.activity import Event
from octosync.model.address import Address, Kind
from octosync.model.backoff import Backoff
from octosync.model.deployment import (
    Assignment,
    Canary,
    Coverage,
    Deployment,
    Health,
    OptimizationCheck,
    Preview,
)
from octosync.model.diagnostic import Diagnostic, Severity
from octosync.model.explained import ExplainedField, ExplainedName
from octosync.model.hold import Hold, Suspended
from octosync.model.journalled import JournalledAction, JournalledRun
from octosync.model.left_out import LeftOut
from octosync.model.observation import Observation
from octosync.model.origin import Origin
from octosync.model.outcome import Outcome, Status
from octosync.model.presence import DeclaredApp, OrgPresence, Presence
from octosync.model.question import Questions
from octosync.model.reason import Reason
from octosync.model.receiver import NotifyEvent, Receiver
from octosync.model.redaction import Concealer, show
from octosync.model.routing import FirstRequest, RoutingDecision, RoutingStats
from octosync.model.secret import Secret
from octosync.model.sensitive import DEFAULT_SENSITIVE_KEYS, SENSITIVE_CHANGED, Sensitivity, may_be_secret
from octosync.model.settings import FreezeWindow
from octosync.model.standing import Fate, Standing
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
    "Fate",
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
    "RoutingDecision",
    "RoutingStats",
    "Secret",
    "Section",
    "Sensitivity",
    "Severity",
    "Slot",
    "Standing",
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
