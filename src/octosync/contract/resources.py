"""The objects on the wire: writable fields, read-only fields and defaults, and the names that Octomil uses.

The sets of names are public; the open ones grow on Octomil's side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from octosync.model import JsonObject, JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectShape:
    """A kind of object on the wire. All fields are assumed, except for the shape of the serving policy, which is public.

    `writable` are the fields that manifests may declare, in display order; `read_only` fields are never sent, and a dotted one
    (`serving_policy.revision`, `bindings.id`) is inside a field, or inside each item of a list; `defaults` are the values of
    writable fields that a body or response omits.
    """

    name: str
    plural: str
    writable: tuple[str, ...]
    read_only: frozenset[str]
    defaults: Mapping[str, JsonValue] = field(default_factory=dict)

    def split(self, raw: JsonObject) -> tuple[JsonObject, JsonObject]:
        """Return a response's fields, without read-only parts, and its read-only fields."""
        fields = {key: value for key, value in raw.items() if key not in self.read_only}
        for path in self.read_only:
            first, *rest = path.split(".")
            if rest and first in fields:
                fields[first] = _without(fields[first], rest)
        return fields, {key: raw[key] for key in raw if key in self.read_only}


def _without(value: JsonValue, path: Sequence[str]) -> JsonValue:
    if isinstance(value, list | tuple):
        return [_without(item, path) for item in value]
    if not isinstance(value, Mapping) or path[0] not in value:
        return value
    first, *rest = path
    if not rest:
        return {key: item for key, item in value.items() if key != first}
    return {**value, first: _without(value[first], rest)}


APP = ObjectShape(
    name="app",
    plural="apps",
    writable=("name", "description"),
    read_only=frozenset({"id", "org_id", "slug", "archived_at", "created_at", "updated_at"}),
    defaults={"description": None},
)

TARGET = ObjectShape(
    name="target",
    plural="targets",
    writable=("platform", "identifier"),
    read_only=frozenset({"id", "app_id", "org_id", "created_at", "updated_at"}),
)

SLOT = ObjectShape(
    name="slot",
    plural="slots",
    writable=("serving_policy", "preferred_engines", "public_client_allowed", "model_variant_id", "bindings"),
    read_only=frozenset({"id", "app_id", "org_id", "capability", "created_at", "updated_at"}),
    defaults={"bindings": [], "preferred_engines": [], "public_client_allowed": False, "model_variant_id": None},
)

# The list fields of responses that octosync only reads (assumed).
DEPLOYMENTS = "deployments"
EVENTS = "events"
DECISIONS = "decisions"

SHAPES: Mapping[str, ObjectShape] = {shape.name: shape for shape in (APP, TARGET, SLOT)}


# Public: the SDKs' generated contract types.
PLATFORMS = ("ios", "android", "macos", "linux", "windows", "browser")
PUBLISHABLE_KEY_PLATFORMS = ("ios", "android", "browser")
ENVIRONMENTS = ("production", "staging", "development")
DEVICE_CLASSES = ("flagship", "high", "mid", "low")  # best first

# Open sets: an unknown name is a warning, since the planner uses other names in places.
CAPABILITIES = (
    "chat",
    "transcription",
    "text_completion",
    "keyboard_prediction",
    "embedding",
    "classification",
    "reasoning",
    "vision",
    "tts",
)
ENGINES = (
    "coreml",
    "mlx",
    "litert",
    "onnxruntime",
    "llamacpp",
    "mnn",
    "transformersjs",
    "cloud",
    "whisper",
    "mlc",
    "cactus",
    "samsung_one",
    "executorch",
    "echo",
    "sherpa-onnx",
)

# No status enum is public. Every status but these is a live deployment; `completed` is fully rolled out and serving.
DEPLOYED_STATUSES_NOT_LIVE = frozenset({"rolled_back"})
# Assumed. Only a rollout wait distinguishes them; for a plan, both are live.
DEPLOYED_STATUSES_STARTING = frozenset({"started"})
DEPLOYED_STATUSES_FAILED = frozenset({"failed"})

# Assumed: a slot's coverage if all, some or none of its devices have it.
COVERED = "covered"
PARTIAL = "partial"
UNCOVERED = "uncovered"


class ErrorCode(StrEnum):
    """Codes in error bodies. Public, except for `approval_required`, `inference_config_not_found` and those of tokens."""

    APP_NOT_FOUND = "app_not_found"
    CAPABILITY_NOT_CONFIGURED = "capability_not_configured"
    TARGET_NOT_FOUND = "target_not_found"
    INFERENCE_CONFIG_NOT_FOUND = "inference_config_not_found"
    DEPLOYMENT_NOT_FOUND = "deployment_not_found"
    CONFLICT = "conflict"
    VALIDATION_ERROR = "validation_error"
    INVALID_API_KEY = "invalid_api_key"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    MISSING_ORG_CONTEXT = "missing_org_context"
    RATE_LIMITED = "rate_limited"
    PLAN_LIMIT_EXCEEDED = "plan_limit_exceeded"
    APPROVAL_REQUIRED = "approval_required"
    PAYLOAD_TOO_LARGE = "payload_too_large"
