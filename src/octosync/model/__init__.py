"""The values that all packages share: state, addresses, diagnostics, outcomes. They are frozen and do no I/O.

What may not live here: anything that knows the wire (that is `contract`), reads a file (`manifest`), sends a request
(`octomil`) or decides (`plan`).
"""

from typing import TYPE_CHECKING

from octosync.exports import lazy_exports

if TYPE_CHECKING:
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
    from octosync.model.observation import (
        DeclaredApp,
        Event,
        FollowUpReads,
        Observation,
        OrgPresence,
        Presence,
    )
    from octosync.model.optimize import MAX_REGRESSION, Optimize
    from octosync.model.outcome import (
        UNKNOWN,
        JournalledAction,
        JournalledRun,
        Outcome,
        Reason,
        RecordedOverride,
        RecordedPolicy,
        RunAudit,
        RunUnderWay,
        Status,
    )
    from octosync.model.redaction import (
        DEFAULT_SENSITIVE_KEYS,
        SENSITIVE_CHANGED,
        Redactor,
        Secret,
        Sensitivity,
        may_be_secret,
        safe_text,
    )
    from octosync.model.settings import (
        POLICY,
        ControllerSuspension,
        FreezeWindow,
        Hold,
        Judges,
        NotifyEvent,
        OperatorControls,
        Policy,
        Receiver,
        Requirement,
    )
    from octosync.model.state import (
        App,
        Deploy,
        InferenceConfig,
        Section,
        Slot,
        State,
        Suspension,
        Target,
    )
    from octosync.model.status import AppOverview, AppStatus, PendingApproval
    from octosync.model.values import (
        ELLIPSIS,
        SENSITIVE,
        JsonObject,
        JsonValue,
        UndisclosedValue,
        canonical_json,
        clipped,
        closest,
        counted,
        digest_of,
        json_equal,
        truncated,
    )
else:
    __all__, __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "address": "Address Kind Origin",
            "backoff": "Backoff",
            "deployment": "Assignment Canary Coverage Deployment FirstRequest Health OptimizationCheck Preview RolloutResult "
            "RolloutStatus RoutingDecision RoutingStats",
            "diagnostic": "Diagnostic ExportOmission FieldExplanation NameExplanation Severity",
            "observation": "DeclaredApp Event FollowUpReads Observation OrgPresence Presence",
            "optimize": "MAX_REGRESSION Optimize",
            "outcome": "UNKNOWN JournalledAction JournalledRun Outcome Reason RecordedOverride RecordedPolicy RunAudit "
            "RunUnderWay Status",
            "redaction": "DEFAULT_SENSITIVE_KEYS SENSITIVE_CHANGED Redactor Secret Sensitivity may_be_secret safe_text",
            "settings": "POLICY ControllerSuspension FreezeWindow Hold Judges NotifyEvent OperatorControls Policy Receiver "
            "Requirement",
            "state": "App Deploy InferenceConfig Section Slot State Suspension Target",
            "status": "AppOverview AppStatus PendingApproval",
            "values": "ELLIPSIS SENSITIVE JsonObject JsonValue UndisclosedValue canonical_json clipped "
            "closest counted digest_of json_equal truncated",
        },
    )
