"""The Octomil wire contract: what octosync sends and expects, and where each fact comes from.

One table of operations serves the client, the embedded control plane and the reference page. Its provenance words:
*stated* by the only text that describes the apps operations, *public* in Octomil's documentation, SDKs or generated
types, *assumed* by us, for a reason but unconfirmed.

Requests (`octomil`), routes (`server`) and decisions (`plan`) don't belong here.
"""

from typing import TYPE_CHECKING

from octosync.exports import lazy_exports

if TYPE_CHECKING:
    from octosync.contract.operations import OPERATIONS, READ_BY_GET, Access, Contract, Operation, Provenance
    from octosync.contract.resources import (
        APP,
        CAPABILITIES,
        COVERED,
        DECISIONS,
        DEPLOYED_STATUSES_NOT_LIVE,
        DEPLOYMENTS,
        DEVICE_CLASSES,
        ENGINES,
        ENVIRONMENTS,
        EVENTS,
        PARTIAL,
        PLATFORMS,
        PRESETS,
        PUBLISHABLE_KEY_PLATFORMS,
        SLOT,
        TARGET,
        UNCOVERED,
        ErrorCode,
        ObjectShape,
        bindings_equal,
        contradiction_in,
        expand_policy,
        field_equal,
        merge_bindings,
        merge_policy,
        normalise_app_fields,
        normalise_slot_fields,
        preset_of,
    )
else:
    __all__, __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "operations": "OPERATIONS READ_BY_GET Access Contract Operation Provenance",
            "resources": "APP CAPABILITIES COVERED DECISIONS DEPLOYED_STATUSES_NOT_LIVE DEPLOYMENTS DEVICE_CLASSES ENGINES "
            "ENVIRONMENTS EVENTS PARTIAL PLATFORMS PRESETS PUBLISHABLE_KEY_PLATFORMS SLOT TARGET UNCOVERED "
            "ErrorCode ObjectShape bindings_equal contradiction_in expand_policy field_equal merge_bindings "
            "merge_policy normalise_app_fields normalise_slot_fields preset_of",
        },
    )
