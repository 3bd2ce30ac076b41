"""Whether an API server would take an object as it is written: Kubernetes' own schemas, and those of the custom resources.

Strictly: a field that the schema doesn't know is a problem, since a server would drop it without a word.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import kubernetes_validate
from deploy.kustomizations import KUBERNETES, Object
from jsonschema import Draft202012Validator

# The oldest Kubernetes that the overlays are for (sidecars are in 1.29), and the newest whose schemas are there.
VERSIONS: Final = ("1.29", kubernetes_validate.latest_version())

_SCHEMAS: Final = KUBERNETES / "schemas"


def problems(one: Object) -> tuple[str, ...]:
    """Return what is wrong with an object, each with its place in it."""
    return _problems(json.dumps(one))


@cache  # most objects are the same in every rendering, and Kubernetes' schemas are megabytes that are parsed each time
def _problems(text: str) -> tuple[str, ...]:
    return tuple(_found(json.loads(text)))


def _found(one: Object) -> Iterator[str]:
    name = f"{one['kind']}/{one['metadata']['name']}"
    path = _SCHEMAS / f"{one['apiVersion'].replace('/', '_')}_{one['kind'].lower()}.json"
    if path.exists():
        schema = closed(json.loads(path.read_text(encoding="utf-8")))
        for error in sorted(Draft202012Validator(schema).iter_errors(one), key=lambda error: error.json_path):
            yield f"{name}: {error.json_path}: {error.message}"
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(one, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{name}, Kubernetes {version}: {error.json_path}: {error.message}"
        except kubernetes_validate.SchemaNotFoundError:
            yield f"{name}: no schema of {one['apiVersion']} {one['kind']}; a custom resource's belongs into {_SCHEMAS.name}/"
            return


def closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema by which objects have the properties that it names, and no others, unless it says otherwise."""
    made = {key: _closed(key, value) for key, value in schema.items()}
    if "properties" in schema:
        made.setdefault("additionalProperties", False)
    return made


def _closed(key: str, value: Any) -> Any:  # noqa: ANN401 — JSON
    if key == "properties":
        return {name: closed(one) for name, one in value.items()}
    if isinstance(value, Mapping):
        return closed(value)
    if isinstance(value, list):
        return [closed(one) if isinstance(one, Mapping) else one for one in value]
    return value
