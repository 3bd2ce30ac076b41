"""OpenAPI definitions for kustomize: by which keys lists are merged, so that a patch of one slot or target keeps the others.

kustomize reads them from the file that `openapi: {path: …}` of a kustomization names, and a base's hold in its overlays.
`x-kubernetes-patch-merge-key` takes one key a list; the two of a target go into `x-kubernetes-list-map-keys`, which kustomize
takes as well (seen with 5.5). Every other list is replaced as a whole. What no definition can change: a text is not patched by an
object, so a policy that the base declares by its preset's name is patched by another name.
"""

from __future__ import annotations

from collections.abc import Mapping

from octosync.manifest.schema.fields import Shape, shape_of
from octosync.manifest.schema.models import API_VERSION, KINDS
from octosync.model import JsonObject, JsonValue


def kustomize_definitions() -> JsonObject:
    """Return the OpenAPI document (Swagger 2.0, which is what kustomize reads) with a definition of each kind."""
    group, _, version = API_VERSION.partition("/")
    named = f"{'.'.join(reversed(group.split('.')))}.{version}"
    return {
        "swagger": "2.0",
        "info": {"title": "octosync", "version": version},
        "paths": {},
        "definitions": {
            f"{named}.{kind}": {
                **_merged(shape_of(model)),
                "x-kubernetes-group-version-kind": [{"group": group, "version": version, "kind": kind}],
            }
            for kind, model in KINDS.items()
        },
    }


def _merged(shape: Shape) -> JsonObject:
    if shape.is_model:
        return {"type": "object", "properties": {name: _merged(field.shape) for name, field in shape.fields.items()}}
    if shape.type is list:
        return {"type": "array", "items": _merged(shape.parts[0]), **(_keys(shape.key) if shape.key else {})}
    return {}  # what is a name in the base may be an object in the patch


def _keys(key: tuple[str, ...]) -> Mapping[str, JsonValue]:
    single = {"x-kubernetes-patch-merge-key": key[0]} if len(key) == 1 else {}
    return {
        "x-kubernetes-patch-strategy": "merge",
        **single,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": list(key),
    }
