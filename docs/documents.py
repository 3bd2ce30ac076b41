"""The reference of JSON documents: a table of keys for each object, from their JSON Schemas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, cast

from docs.executing import ROOT
from docs.markdown import cell, codes, escaped, heading_anchor

from octosync.model import Address, JsonObject
from octosync.plan import ControlPlane, plan_schema
from octosync.report import json_text
from octosync.report.show.status_json import StatusDocument
from octosync.watch.status import AppReconcileStatus, AppState, BudgetStatus, ControllerStatus, DriftStatus
from octosync.watch.web import watch_schema
from octosync.watch.web.document import watch_document

_REFERENCE: Final = "#/$defs/"
_EXAMPLE: Final = "tests/scenarios/106-an-app-outside-every-freeze-window/plan.json"
_PLURALS: Final = {"string": "strings", "integer": "integers", "number": "numbers", "address": "addresses"}
_NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)


def document_sections(schema: JsonObject, prefix: str = "", level: int = 2) -> Iterator[str]:
    """Yield the sections of a document: its own keys, then each object in it, in the order of their first use.

    The headings of objects begin with `prefix`.
    """
    definitions = cast("Mapping[str, Any]", schema.get("$defs", {}))
    yield from _keys(schema, definitions, prefix)
    for name in _used(schema, definitions, {}):
        yield from ("", f"{'#' * level} {prefix}`{name}`", "", escaped(str(definitions[name]["description"])), "")
        yield from _keys(definitions[name], definitions, prefix)


def _used(value: object, definitions: Mapping[str, Any], found: dict[str, None]) -> Iterable[str]:
    """Return the names of the objects that a part of a schema refers to, directly or by others."""
    if isinstance(value, list):
        for item in value:
            _used(item, definitions, found)
    elif isinstance(value, Mapping):
        name = str(value.get("$ref", "")).removeprefix(_REFERENCE)
        if name and name not in found and "properties" in definitions[name]:
            found[name] = None
            _used(definitions[name], definitions, found)
        for key, below in value.items():
            if key != "$defs":
                _used(below, definitions, found)
    return found


def _keys(schema: Mapping[str, Any], definitions: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Yield the table of an object's keys."""
    required = schema.get("required", ())
    yield from ("| key | meaning |", "|---|---|")
    for key, value in cast("Mapping[str, Any]", schema["properties"]).items():
        optional = "" if key in required else ", absent if it was not set"
        about = escaped(str(value.get("description") or _description(value, definitions)).removesuffix("."))
        yield f"| `{key}` | {cell(about)}. *{cell(_type(value, definitions, prefix))}{optional}* |"


def _description(value: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Return the description of the object that a value refers to."""
    references = [value, value.get("items", {}), *value.get("anyOf", ())]
    names = [part["$ref"].removeprefix(_REFERENCE) for part in references if "$ref" in part]
    return str(definitions[names[0]]["description"])


def _type(value: Mapping[str, Any], definitions: Mapping[str, Any], prefix: str) -> str:
    """Return the type of a value in words."""
    type_of = partial(_type, definitions=definitions, prefix=prefix)
    if "anyOf" in value:
        return " or ".join(type_of(part) for part in value["anyOf"])
    if reference := value.get("$ref"):
        name = reference.removeprefix(_REFERENCE)
        is_object = "properties" in definitions[name]
        return f"[{name}](#{heading_anchor(prefix + name)})" if is_object else name
    if "enum" in value:
        names = [name for name in value["enum"] if name is not None]
        return f"one of {codes(names)}"
    if "const" in value:
        return f"`{value['const']}`"
    types = [value["type"]] if isinstance(value.get("type"), str) else list(value.get("type", ["anything"]))
    return " or ".join(_simple(name, value, type_of) for name in types)


def _simple(name: str, value: Mapping[str, Any], type_of: Callable[[Mapping[str, Any]], str]) -> str:
    if name == "array":
        item = type_of(value.get("items", {}))
        return f"list of {_PLURALS.get(item, item)}"
    if name == "object" and isinstance(values := value.get("additionalProperties"), Mapping):
        return f"object with {type_of(values)} values"
    if name == "string" and value.get("format") == "date-time":
        return "time"
    return name


def _plan_example() -> Iterator[str]:
    """Yield a plan document, that of a scenario."""
    yield from ("```json", *(ROOT / _EXAMPLE).read_text(encoding="utf-8").splitlines(), "```")


def _status_example() -> Iterator[str]:
    """Yield a status document of a controller with two apps."""
    notes = AppReconcileStatus(slug="notes", state=AppState.IN_SYNC, since=_NOW, read_at=_NOW, source="apps/notes.yaml")
    drift = DriftStatus(
        address=Address.of_slot("search", "chat"),
        first_seen=_NOW,
        actor="ana@example.com",
        at=_NOW,
        until=_NOW + timedelta(minutes=30),
    )
    search = replace(notes, slug="search", state=AppState.HELD, drift=(drift,), source="apps/search.yaml")
    status = ControllerStatus(
        now=_NOW,
        started=_NOW - timedelta(hours=1),
        version="0.1.0",
        control_plane=ControlPlane(url="https://api.octomil.com/api/v1", org_id=None, context="production"),
        ready=True,
        apps={app.slug: app for app in (notes, search)},
        files=2,
        loaded_at=_NOW - timedelta(hours=1),
        changed_at=_NOW - timedelta(hours=1),
        budget=BudgetStatus(limit=100, used=2, remaining=98),
        queue={"changed": 0, "resync": 0},
        full_read_at=_NOW,
        last_success=_NOW,
    )
    yield from ("```json", *json_text(watch_document(status)).splitlines(), "```")


PARTS: Final[Mapping[str, Callable[[], Iterable[str]]]] = {
    "plan document": lambda: document_sections(plan_schema()),
    "example of a plan document": _plan_example,
    "example of a status document": _status_example,
    "status document of the controller": lambda: document_sections(watch_schema(), level=3),
    "status document of the command": lambda: document_sections(
        StatusDocument.json_schema("octosync status"), "status ", level=3
    ),
}
