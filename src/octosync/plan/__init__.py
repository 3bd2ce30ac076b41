"""Desired state × live state → plan, and what the guards say of it. Pure.

What may not live here: clients, clocks, the environment, text for people (that is `report`).
"""

from octosync.plan.about import ControlPlane, GitRevision, Invocation, ManifestSet, RunInfo
from octosync.plan.actions import (
    ABSENT,
    Absent,
    Action,
    ActionKey,
    ArchiveApp,
    BaseAction,
    CreateApp,
    DeleteInferenceConfig,
    DeleteSlot,
    EnableCapability,
    FieldChange,
    OptimizeCapability,
    PutInferenceConfig,
    PutSlot,
    RegisterTarget,
    RemoveTarget,
    UpdateApp,
    Verb,
)
from octosync.plan.approval import Approval, check_plan_key, read_approval, what_moved
from octosync.plan.authors import LastChange, needs_author
from octosync.plan.capabilities import DeployPolicy
from octosync.plan.diff import field_changes, shown_changes
from octosync.plan.document import (
    all_diagnostics,
    blocked_row,
    change_rows,
    control_plane_part,
    declared_of,
    diagnostic_row,
    plan_document,
    recommendation_row,
    trailer_of,
    uncovered,
    utc_text,
    way_out_of,
)
from octosync.plan.document_schema import (
    FORMAT_VERSION,
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
    plan_schema,
)
from octosync.plan.findings import FINDINGS, Finding
from octosync.plan.fingerprint import PLAN_KEY, Fingerprinting
from octosync.plan.guards.checks import ALL, GuardPolicy, Override, curiosity_of, judge, overrides_of
from octosync.plan.guards.freeze import Freeze, freeze_of, freezes_of, frozen_until
from octosync.plan.guards.overrides import Allowances, Commit, allowances_in, in_force, loosened
from octosync.plan.guards.refusal import Refusal, refused_actions
from octosync.plan.guards.restrict import exclude, unblocked
from octosync.plan.guards.table import GUARDS, Guard
from octosync.plan.guards.tally import COUNTED_FOR, Tally
from octosync.plan.holding import Held, Holding
from octosync.plan.make import PlanOptions, make_plan
from octosync.plan.optimizing import Recommendation
from octosync.plan.plan import LeftAlone, Plan
from octosync.plan.questions import Curiosity
from octosync.plan.remembering import remembered
from octosync.plan.ties import ties

__all__ = [
    "ABSENT",
    "ALL",
    "COUNTED_FOR",
    "FINDINGS",
    "FORMAT_VERSION",
    "GUARDS",
    "PLAN_KEY",
    "Absent",
    "Action",
    "ActionKey",
    "AddressText",
    "Allowances",
    "Approval",
    "ArchiveApp",
    "BaseAction",
    "BlockedDocument",
    "Commit",
    "ControlPlane",
    "ControlPlaneDocument",
    "Count",
    "CreateApp",
    "Curiosity",
    "DeleteInferenceConfig",
    "DeleteSlot",
    "DeployPolicy",
    "DiagnosticDocument",
    "Document",
    "EnableCapability",
    "FieldChange",
    "Finding",
    "Fingerprinting",
    "Freeze",
    "GitRevision",
    "Guard",
    "GuardPolicy",
    "Held",
    "Holding",
    "Invocation",
    "LastChange",
    "LeftAlone",
    "ManifestSet",
    "Number",
    "OptimizeCapability",
    "Override",
    "Plan",
    "PlanOptions",
    "PutInferenceConfig",
    "PutSlot",
    "Recommendation",
    "RecommendationDocument",
    "Refusal",
    "RegisterTarget",
    "RemoveTarget",
    "ResourceChangeDocument",
    "RunInfo",
    "Seconds",
    "Tally",
    "Time",
    "UpdateApp",
    "Verb",
    "all_diagnostics",
    "allowances_in",
    "blocked_row",
    "change_rows",
    "check_plan_key",
    "control_plane_part",
    "curiosity_of",
    "declared_of",
    "diagnostic_row",
    "exclude",
    "field_changes",
    "freeze_of",
    "freezes_of",
    "frozen_until",
    "in_force",
    "judge",
    "loosened",
    "make_plan",
    "needs_author",
    "one_of",
    "overrides_of",
    "plan_document",
    "plan_schema",
    "read_approval",
    "recommendation_row",
    "refused_actions",
    "remembered",
    "shown_changes",
    "ties",
    "trailer_of",
    "unblocked",
    "uncovered",
    "utc_text",
    "way_out_of",
    "what_moved",
]
