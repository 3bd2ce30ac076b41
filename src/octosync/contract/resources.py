"""The shapes of the objects: which fields octosync writes, which only the control plane does, and what absence means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from octosync.model import JsonObject, JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectShape:
    """One kind of object on the wire. All fields are assumed, but for the serving policy's shape, which is public.

    `writable` are the fields that octosync may declare, in the order in which they are shown; `read_only` are never sent,
    and a dotted one (`serving_policy.revision`, `bindings.id`) is inside a field, or inside each item of a list;
    `defaults` is what a writable field is when a body, or an answer, leaves it out.
    """

    name: str
    plural: str
    writable: tuple[str, ...]
    read_only: frozenset[str]
    defaults: Mapping[str, JsonValue] = field(default_factory=dict)

    def split(self, raw: JsonObject) -> tuple[JsonObject, JsonObject]:
        """Part an answer into its fields and its read-only identity; what is read-only inside a field is left out."""
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

# What the envelopes of the lists hold that octosync only reads (assumed).
DEPLOYMENTS = "deployments"
EVENTS = "events"
DECISIONS = "decisions"

SHAPES: Mapping[str, ObjectShape] = {shape.name: shape for shape in (APP, TARGET, SLOT)}
