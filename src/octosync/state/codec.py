"""The stored form of a declared app: JSON as bytes, the same bytes for the same app, with the origins of its declarations.

Reading is strict: a key that is missing or has another type is an error, never "not declared". A key that a later version
added is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from octosync.model import (
    App,
    Deploy,
    InferenceConfig,
    JsonObject,
    JsonValue,
    Optimize,
    Origin,
    Section,
    Slot,
    Suspension,
    Target,
    UndisclosedValue,
)

_T = TypeVar("_T")

# Half of a surrogate pair is no valid text, but JSON may contain it.
_ENCODING = ("utf-8", "surrogatepass")


def bytes_of(document: JsonValue) -> bytes:
    """Return the bytes of a document. Raises `ValueError` if it isn't JSON."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode(*_ENCODING)


def document_of(data: bytes) -> Any:  # noqa: ANN401  the readers below check the types
    """Return the document of bytes that `bytes_of` returned. Raises `ValueError` for anything else."""
    return json.loads(data.decode(*_ENCODING))


def object_of(value: object) -> dict[str, Any]:
    """Return an object. Raises `TypeError` for anything else."""
    return _of(dict, value)


def items_of(value: object) -> list[Any]:
    """Return a list. Raises `TypeError` for anything else."""
    return _of(list, value)


def list_of(value: object, length: int) -> list[Any]:
    """Return a list of a length. Raises `TypeError` or `ValueError` for anything else."""
    found = items_of(value)
    if len(found) != length:
        raise ValueError(f"a list of {length} is {len(found)} long")
    return found


def text_of(value: object) -> str:
    """Return a text. Raises `TypeError` for anything else."""
    return _of(str, value)


def flag_of(value: object) -> bool:
    """Return a boolean. Raises `TypeError` for anything else."""
    return _of(bool, value)


def _of(kind: type[_T], value: object) -> _T:
    if not isinstance(value, kind):
        raise TypeError(f"{type(value).__name__} instead of {kind.__name__}")
    return value


Write = Callable[[JsonObject], JsonValue]
Read = Callable[[JsonValue], JsonObject]


def app_document(app: App, write: Write) -> JsonObject:
    """Return an app as a document. `write` returns the stored form of an object with any content. Live state is not stored."""
    config = app.inference_config
    return {
        "slug": app.slug,
        "fields": write(app.fields),
        "archived": app.archived,
        "declared": app.declared,
        "whole": sorted(section.value for section in app.complete_sections),
        "targets": [_target_document(target, write) for target in app.targets],
        "slots": [_slot_document(slot, write) for slot in app.slots],
        "inference_config": None if config is None else _config_document(config, write),
        "labels": write(app.labels),
        "protected": app.protected,
        "suspension": None if app.suspension is None else {"until": _time_text(app.suspension.until)},
        "identity": write(app.server_fields),
        "origin": _origin_document(app.origin),
    }


def app_of(document: Any, read: Read) -> App:  # noqa: ANN401  JSON as it was stored
    """Return the app that a document is of. Raises `KeyError`, `TypeError` or `ValueError` for anything else."""
    stored = object_of(document)
    slug = text_of(stored["slug"])
    suspension, config = stored["suspension"], stored["inference_config"]
    return App(
        slug=slug,
        fields=read(stored["fields"]),
        archived=flag_of(stored["archived"]),
        declared=flag_of(stored["declared"]),
        complete_sections=frozenset(map(Section, items_of(stored["whole"]))),
        targets=tuple(_target_of(slug, target, read) for target in items_of(stored["targets"])),
        slots=tuple(_slot_of(slug, slot, read) for slot in items_of(stored["slots"])),
        inference_config=None if config is None else _config_of(slug, config, read),
        labels={key: _label_of(value) for key, value in read(stored["labels"]).items()},
        protected=flag_of(stored["protected"]),
        suspension=None if suspension is None else Suspension(_time_of(object_of(suspension)["until"])),
        server_fields=read(stored["identity"]),
        origin=_origin_of(stored["origin"]),
    )


def with_values(app: App, there: App | None, change: Callable[[JsonObject, JsonObject], JsonObject]) -> App:
    """Return an app with each object of any content changed; `change` gets the object of the other app, too."""
    there = there or App(slug=app.slug)
    slots = tuple(
        replace(slot, fields=change(slot.fields, partner.fields if partner else {}))
        for slot in app.slots
        for partner in (there.slot(slot.capability),)
    )
    config = app.inference_config
    if config is not None and config.config is not None:
        partner_config = there.inference_config.config if there.inference_config else None
        config = replace(config, config=change(config.config, partner_config or {}))
    return replace(app, fields=change(app.fields, there.fields), slots=slots, inference_config=config)


def values_of(app: App) -> tuple[JsonObject, ...]:
    """Return the objects of an app that may have any content."""
    config = app.inference_config.config if app.inference_config else None
    return (app.fields, app.labels, app.server_fields, *(slot.fields for slot in app.slots), config or {})


def _target_document(target: Target, write: Write) -> JsonObject:
    return {
        "platform": target.platform,
        "identifier": target.identifier,
        "identity": write(target.server_fields),
        "origin": _origin_document(target.origin),
    }


def _target_of(slug: str, document: object, read: Read) -> Target:
    stored = object_of(document)
    return Target(
        app=slug,
        platform=text_of(stored["platform"]),
        identifier=text_of(stored["identifier"]),
        server_fields=read(stored["identity"]),
        origin=_origin_of(stored["origin"]),
    )


def _slot_document(slot: Slot, write: Write) -> JsonObject:
    return {
        "capability": slot.capability,
        "fields": write(slot.fields),
        "identity": write(slot.server_fields),
        "preset": slot.preset,
        "deploy": None if slot.deploy is None else _deploy_document(slot.deploy),
        "origin": _origin_document(slot.origin),
    }


def _slot_of(slug: str, document: object, read: Read) -> Slot:
    stored = object_of(document)
    preset, deploy = stored["preset"], stored["deploy"]
    return Slot(
        app=slug,
        capability=text_of(stored["capability"]),
        fields=read(stored["fields"]),
        server_fields=read(stored["identity"]),
        preset=None if preset is None else text_of(preset),
        deploy=None if deploy is None else _deploy_of(deploy),
        origin=_origin_of(stored["origin"]),
    )


def _deploy_document(deploy: Deploy) -> JsonObject:
    return {
        "environments": list(deploy.environments),
        "optimize": deploy.optimize.value,
        "min_improvement": deploy.min_improvement,
        **({} if deploy.max_regression is None else {"max_regression": deploy.max_regression}),
        "origin": _origin_document(deploy.origin),
    }


def _deploy_of(document: object) -> Deploy:
    stored = object_of(document)
    improvement, regression = stored["min_improvement"], stored.get("max_regression")
    for ratio in (improvement, regression):
        if ratio is not None and (isinstance(ratio, bool) or not isinstance(ratio, int | float)):
            raise TypeError("an improvement or a regression is a number")
    return Deploy(
        environments=tuple(map(text_of, items_of(stored["environments"]))),
        optimize=Optimize(stored["optimize"]),
        min_improvement=improvement,
        max_regression=regression,
        origin=_origin_of(stored["origin"]),
    )


def _config_document(config: InferenceConfig, write: Write) -> JsonObject:
    return {
        "config": None if config.config is None else write(config.config),
        "origin": _origin_document(config.origin),
    }


def _config_of(slug: str, document: object, read: Read) -> InferenceConfig:
    stored = object_of(document)
    config = stored["config"]
    return InferenceConfig(
        app=slug, config=None if config is None else read(config), origin=_origin_of(stored["origin"])
    )


def _origin_document(origin: Origin | None) -> JsonValue:
    return None if origin is None else [origin.file, origin.line, origin.column]


def _origin_of(document: object) -> Origin | None:
    if document is None:
        return None
    file, line, column = list_of(document, 3)
    return Origin(text_of(file), int(line), int(column))


def _label_of(value: Any) -> Any:  # noqa: ANN401  a sealed label is no text
    return value if isinstance(value, UndisclosedValue) else text_of(value)


def _time_text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _time_of(text: object) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text_of(text))
