"""Desired state × live state → plan, and the refusals of its guards. Pure.

What may not live here: clients, clocks, the environment, text for people (that is `report`).
"""

from typing import TYPE_CHECKING

from octosync.exports import lazy_exports

if TYPE_CHECKING:
    from octosync.plan.actions import (
        ABSENT,
        ABSENT_FINGERPRINT,
        PLAN_KEY,
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
        Fingerprint,
        FingerprintScheme,
        OptimizeCapability,
        PutInferenceConfig,
        PutSlot,
        RegisterTarget,
        RemoveTarget,
        UpdateApp,
        Verb,
        field_changes,
        shown_changes,
    )
    from octosync.plan.diagnostics import FINDINGS, Finding
    from octosync.plan.drift import HeldChange, HoldPolicy, LastChange, ReadNeeds, hold_words, needs_author
    from octosync.plan.file.approval import Approval, check_plan_key, read_approval, what_moved
    from octosync.plan.file.document import (
        blocked_row,
        change_rows,
        control_plane_part,
        declared_of,
        diagnostic_row,
        error_row,
        plan_digest,
        plan_document,
        recommendation_row,
        shared_state_part,
        summary_part,
        trailer_of,
        uncovered,
        utc_text,
        way_out_of,
    )
    from octosync.plan.file.schema import (
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
        SharedStateDocument,
        Time,
        one_of,
        plan_schema,
    )
    from octosync.plan.guards.checks import COUNTED_FOR, Tally
    from octosync.plan.guards.flags import (
        ALL,
        DEFAULT_TRAILERS,
        FLAGS,
        LIMITS,
        TRAILERS,
        Allowance,
        Flag,
        Limit,
        Takes,
    )
    from octosync.plan.guards.freeze import Freeze, freeze_of, freezes_of, frozen_until, minute_words
    from octosync.plan.guards.overrides import Allowances, allowances_in, in_force, loosened
    from octosync.plan.guards.policy import (
        GuardPolicy,
        Override,
        Refusal,
        exclude,
        judge,
        overrides_of,
        read_needs_of,
        refuse_run,
        refused_actions,
        unblocked,
    )
    from octosync.plan.guards.table import GUARDS, Guard, guard_of
    from octosync.plan.moves import linked_apps
    from octosync.plan.plan import (
        Commit,
        ControlPlane,
        GitRevision,
        Invocation,
        LastAppliedRevision,
        ManifestSet,
        PendingChanges,
        Plan,
        RunInfo,
        SharedState,
        UntouchedObjects,
        all_diagnostics,
    )
    from octosync.plan.planner import PlanOptions, make_plan
    from octosync.plan.policies import PolicyResult, PolicyRun, recorded_policies
    from octosync.plan.rollouts import DeployPolicy, Recommendation
    from octosync.plan.selection import claimed_targets, narrowed
    from octosync.plan.three_way.baseline import next_baseline
else:
    __all__, __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "actions": "ABSENT ABSENT_FINGERPRINT PLAN_KEY Absent Action ActionKey ArchiveApp BaseAction CreateApp "
            "DeleteInferenceConfig DeleteSlot EnableCapability FieldChange Fingerprint FingerprintScheme "
            "OptimizeCapability PutInferenceConfig PutSlot RegisterTarget RemoveTarget UpdateApp Verb field_changes "
            "shown_changes",
            "diagnostics": "FINDINGS Finding",
            "drift": "HeldChange HoldPolicy LastChange ReadNeeds hold_words needs_author",
            "file.approval": "Approval check_plan_key read_approval what_moved",
            "file.document": "blocked_row change_rows control_plane_part declared_of diagnostic_row error_row plan_digest "
            "plan_document recommendation_row shared_state_part summary_part trailer_of uncovered utc_text way_out_of",
            "file.schema": "FORMAT_VERSION AddressText BlockedDocument ControlPlaneDocument Count DiagnosticDocument Document "
            "Number RecommendationDocument ResourceChangeDocument Seconds SharedStateDocument Time one_of plan_schema",
            "guards.checks": "COUNTED_FOR Tally",
            "guards.flags": "ALL DEFAULT_TRAILERS FLAGS LIMITS TRAILERS Allowance Flag Limit Takes",
            "guards.freeze": "Freeze freeze_of freezes_of frozen_until minute_words",
            "guards.overrides": "Allowances allowances_in in_force loosened",
            "guards.policy": "GuardPolicy Override Refusal exclude judge overrides_of read_needs_of refuse_run refused_actions "
            "unblocked",
            "guards.table": "GUARDS Guard guard_of",
            "moves": "linked_apps",
            "plan": "Commit ControlPlane GitRevision Invocation LastAppliedRevision ManifestSet PendingChanges Plan "
            "RunInfo SharedState UntouchedObjects all_diagnostics",
            "planner": "PlanOptions make_plan",
            "policies": "PolicyResult PolicyRun recorded_policies",
            "rollouts": "DeployPolicy Recommendation",
            "selection": "claimed_targets narrowed",
            "three_way.baseline": "next_baseline",
        },
    )
