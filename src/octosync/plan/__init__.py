"""Desired state × live state → plan, and what the guards say of it. Pure.

What may not live here: clients, clocks, the environment, text for people (that is `report`).
"""

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
    FieldChange,
    PutInferenceConfig,
    PutSlot,
    RegisterTarget,
    RemoveTarget,
    UpdateApp,
    Verb,
)
from octosync.plan.diff import field_changes
from octosync.plan.guards import ALL, Blocked, GuardPolicy, Override, judge, overrides_of
from octosync.plan.make import make_plan
from octosync.plan.plan import LeftAlone, Plan

__all__ = [
    "ABSENT",
    "ALL",
    "Absent",
    "Action",
    "ActionKey",
    "ArchiveApp",
    "BaseAction",
    "Blocked",
    "CreateApp",
    "DeleteInferenceConfig",
    "DeleteSlot",
    "FieldChange",
    "GuardPolicy",
    "LeftAlone",
    "Override",
    "Plan",
    "PutInferenceConfig",
    "PutSlot",
    "RegisterTarget",
    "RemoveTarget",
    "UpdateApp",
    "Verb",
    "field_changes",
    "judge",
    "make_plan",
    "overrides_of",
]
