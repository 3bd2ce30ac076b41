"""The Octomil wire contract: what octosync sends and expects, and where each fact comes from.

One table of operations serves the client, the embedded control plane and the reference page. Its provenance words:
*stated* by the only text that describes the apps operations, *public* in Octomil's documentation, SDKs or generated
types, *assumed* by us, grounded but unconfirmed.

What may not live here: requests (that is `octomil`), routes (`server`), decisions (`plan`).
"""

from octosync.contract.contract import Contract
from octosync.contract.names import (
    CAPABILITIES,
    COVERED,
    DEPLOYED_STATUSES_NOT_LIVE,
    DEVICE_CLASSES,
    ENGINES,
    ENVIRONMENTS,
    PARTIAL,
    PLATFORMS,
    PUBLISHABLE_KEY_PLATFORMS,
    UNCOVERED,
    ErrorCode,
)
from octosync.contract.normalize import (
    bindings_equal,
    field_equal,
    merge_bindings,
    merge_policy,
    normalise_app_fields,
    normalise_slot_fields,
)
from octosync.contract.operations import OPERATIONS, Access, Operation, Provenance
from octosync.contract.policy import PRESETS, contradiction_in, expand_policy, preset_of
from octosync.contract.resources import APP, DECISIONS, DEPLOYMENTS, EVENTS, SLOT, TARGET, ObjectShape

__all__ = [
    "APP",
    "CAPABILITIES",
    "COVERED",
    "DECISIONS",
    "DEPLOYED_STATUSES_NOT_LIVE",
    "DEPLOYMENTS",
    "DEVICE_CLASSES",
    "ENGINES",
    "ENVIRONMENTS",
    "EVENTS",
    "OPERATIONS",
    "PARTIAL",
    "PLATFORMS",
    "PRESETS",
    "PUBLISHABLE_KEY_PLATFORMS",
    "SLOT",
    "TARGET",
    "UNCOVERED",
    "Access",
    "Contract",
    "ErrorCode",
    "ObjectShape",
    "Operation",
    "Provenance",
    "bindings_equal",
    "contradiction_in",
    "expand_policy",
    "field_equal",
    "merge_bindings",
    "merge_policy",
    "normalise_app_fields",
    "normalise_slot_fields",
    "preset_of",
]
