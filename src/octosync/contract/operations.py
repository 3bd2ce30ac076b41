"""The table of operations: the one place that says what is sent where.

Ids in dotted form are the documentation's style (public for `apps.capabilities.enable` and `deployments.list`); every
path and method is assumed. A user who learns better before a release does overrides one in octosync.yaml
(`api.operations.<id>: {method, path}`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

_PARAMETER: Final = re.compile(r"\{(\w+)\}")


class Provenance(Enum):
    """Where the knowledge that an operation exists, and what it does, comes from."""

    STATED = "stated"
    PUBLIC = "public"
    ASSUMED = "assumed"


class Access(Enum):
    """Whether an operation can change anything; a preview or a check by POST is a read."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of the control plane.

    `path` is a template below the API's base, with `{slug}`, `{capability}` and `{target_id}`. `number` is the
    operation's place in the apps API's own list, None for the two org-level ones. `idempotent` says that sending it twice
    does what sending it once does. `summary` is what it is stated to do.
    """

    id: str
    method: str
    path: str
    number: int | None
    access: Access
    idempotent: bool
    summary: str
    provenance: Provenance = Provenance.STATED
    path_provenance: Provenance = Provenance.ASSUMED

    def url(self, parameters: Mapping[str, str]) -> str:
        """Fill the template, each value percent-encoded. Raises `KeyError` for a parameter that is missing."""
        return self.path.format_map({key: quote(value, safe="") for key, value in parameters.items()})

    def shown_url(self, parameters: Mapping[str, str]) -> str:
        """Fill the template as a plan shows it: a parameter that is not known yet stays, such as `{target_id}`."""
        shown = {name: f"{{{name}}}" for name in _PARAMETER.findall(self.path)}
        return self.path.format_map({**shown, **{key: quote(value, safe="") for key, value in parameters.items()}})


_READ, _WRITE = Access.READ, Access.WRITE
_APP, _SLOT = "/apps/{slug}", "/apps/{slug}/slots/{capability}"
_CAPABILITY = "/apps/{slug}/capabilities/{capability}"
_CONFIG = "/apps/{slug}/inference-config"

# number, id, method, path, access, idempotent, what is stated
_ROWS: Final = (
    (1, "apps.activity", "GET", f"{_APP}/activity", _READ, True, "An app's activity feed, newest first."),
    (2, "apps.archive", "POST", f"{_APP}/archive", _WRITE, True, "Soft-delete an app: targets and slots are preserved, lists hide it."),
    (3, "apps.bootstrap", "POST", "/apps/bootstrap", _WRITE, False, "Create an app, a target and keys in one transaction."),
    (4, "apps.capabilities.check_optimization", "POST", f"{_CAPABILITY}/check-optimization", _READ, True, "Compare the deployed variant with the alternatives; changes nothing."),
    (5, "apps.capabilities.enable", "POST", f"{_CAPABILITY}/enable", _WRITE, False, "Resolve the best variant, deploy it to the app's registered targets and start it."),
    (6, "apps.capabilities.optimize", "POST", f"{_CAPABILITY}/optimize", _WRITE, False, "Start a canary rollout to a better variant."),
    (7, "apps.capabilities.preview", "POST", f"{_CAPABILITY}/preview", _READ, True, "What enable would do; changes nothing."),
    (8, "apps.create", "POST", "/apps", _WRITE, False, "Create an app."),
    (9, "apps.list", "GET", "/apps", _READ, True, "List the org's apps; archived ones are hidden by default."),
    (10, "apps.create_target", "POST", f"{_APP}/targets", _WRITE, False, "Register a (platform, identifier) target, unique in the org: a duplicate returns 409."),
    (11, "apps.list_targets", "GET", f"{_APP}/targets", _READ, True, "List an app's targets."),
    (12, "apps.delete_slot", "DELETE", _SLOT, _WRITE, True, "Remove a capability slot."),
    (13, "apps.get_slot", "GET", _SLOT, _READ, True, "Fetch one capability slot; 404 if the app has none for the capability."),
    (14, "apps.put_slot", "PUT", _SLOT, _WRITE, True, "Replace a slot's serving policy and bindings wholesale."),
    (15, "apps.delete_target", "DELETE", f"{_APP}/targets/{{target_id}}", _WRITE, True, "Remove a target: from its deployments first, then re-materialize the assignments, then delete."),
    (16, "apps.deployments", "GET", f"{_APP}/deployments", _READ, True, "List an app's deployments."),
    (17, "apps.first_request", "GET", f"{_APP}/first-request", _READ, True, "Whether any inference request was received, cloud or on-device."),
    (18, "apps.get", "GET", _APP, _READ, True, "Fetch one app by slug."),
    (19, "apps.update", "PATCH", _APP, _WRITE, True, "Partially update an app."),
    (20, "apps.health", "GET", f"{_APP}/health", _READ, True, "Slot coverage: has each slot enough active deployment coverage."),
    (21, "apps.delete_inference_config", "DELETE", _CONFIG, _WRITE, True, "Delete the inference configuration."),
    (22, "apps.get_inference_config", "GET", _CONFIG, _READ, True, "Get the inference configuration."),
    (23, "apps.put_inference_config", "PUT", _CONFIG, _WRITE, True, "Create or update the inference configuration."),
    (24, "apps.list_slots", "GET", f"{_APP}/slots", _READ, True, "List an app's slots, each with its active variant and serving policy."),
    (25, "apps.routing_decisions", "GET", f"{_APP}/routing/decisions", _READ, True, "Recent routing decisions: local or cloud, model chosen, latency."),
    (26, "apps.routing_stats", "GET", f"{_APP}/routing/stats", _READ, True, "Aggregated routing statistics."),
    (None, "activity.list", "GET", "/activity", _READ, True, "The org's activity feed."),
    (None, "deployments.list", "GET", "/deployments", _READ, True, "The org's deployments, filtered by `app_id`."),
)  # fmt: skip

OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType(
    {
        id_: Operation(
            id=id_, number=number, method=method, path=path, access=access, idempotent=idempotent, summary=summary
        )
        for number, id_, method, path, access, idempotent, summary in _ROWS
    }
)
