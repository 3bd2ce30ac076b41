"""Validates objects against the schemas of Kubernetes and of custom resources.

Unknown fields are problems, because an API server would drop them silently.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import kubernetes_validate
from deploy.kustomizations import KUBERNETES, Object
from jsonschema import Draft202012Validator

# The oldest supported Kubernetes (1.29 has sidecar containers), and the newest one with schemas.
VERSIONS: Final = ("1.29", kubernetes_validate.latest_version())

_SCHEMAS: Final = KUBERNETES / "schemas"


def problems(rendered: Object) -> tuple[str, ...]:
    """Return the problems of an object, each with its path."""
    return _problems(json.dumps(rendered))


@cache  # most objects are the same in every rendering, and each validation parses megabytes of schemas
def _problems(text: str) -> tuple[str, ...]:
    return tuple(_found(json.loads(text)))


def _found(rendered: Object) -> Iterator[str]:
    name = f"{rendered['kind']}/{rendered['metadata']['name']}"
    path = _SCHEMAS / f"{rendered['apiVersion'].replace('/', '_')}_{rendered['kind'].lower()}.json"
    if path.exists():
        schema = closed(json.loads(path.read_text(encoding="utf-8")))
        for error in sorted(Draft202012Validator(schema).iter_errors(rendered), key=lambda error: error.json_path):
            yield f"{name}: {error.json_path}: {error.message}"
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(rendered, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{name}, Kubernetes {version}: {error.json_path}: {error.message}"
        except kubernetes_validate.SchemaNotFoundError:
            kind = f"{rendered['apiVersion']} {rendered['kind']}"
            yield f"{name}: no schema of {kind}; add the schema of a custom resource to {_SCHEMAS.name}/"
            return


def closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema that forbids unknown properties unless it allows them explicitly."""
    made = {key: _closed(key, value) for key, value in schema.items()}
    if "properties" in schema:
        made.setdefault("additionalProperties", False)
    return made


def _closed(key: str, value: Any) -> Any:  # noqa: ANN401 — JSON
    if key == "properties":
        return {name: closed(schema) for name, schema in value.items()}
    if isinstance(value, Mapping):
        return closed(value)
    if isinstance(value, list):
        return [closed(item) if isinstance(item, Mapping) else item for item in value]
    return value
