"""The reference of the fields of manifests and octosync.yaml: a heading for each field, from the models that the loader uses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Final, Union, cast

from docs.markdown import code, codes, escaped, heading_anchor, inline_yaml

from octosync.contract import PRESETS
from octosync.manifest.config.schema import ConfigurationFile
from octosync.manifest.schema.explain import type_words
from octosync.manifest.schema.models import GROUP, KINDS
from octosync.manifest.schema.shapes import Field, ObjectModel, Shape, fields_of

# Values of the vocabulary of JSON that begin a description.
_LITERALS: Final = ("true", "false", "null", "[]")

# What happens to a name of an open set that octosync doesn't know.
_UNKNOWN: Final = {
    "platform": "Others are an error ([`unknown-platform`](rules.md#unknown-platform)), unless `api.platforms` in "
    "[octosync.yaml](configuration.md#apiplatforms) lists them.",
    "capability": "Others are accepted, with a warning ([`unknown-capability`](rules.md#unknown-capability)).",
    "preferredEngines": "Others are accepted, with a warning ([`unknown-engine`](rules.md#unknown-engine)).",
}

# What the models don't express, by heading.
_NOTES: Final = {
    "metadata.annotations": "See [Annotations](#annotations).",
    "spec.slots[].servingPolicy": "The names are those of the [presets](#presets-of-serving-policies).",
    "spec.slots[].servingPolicy.routingPreference": "Required with `routingMode: auto`, and an error with other modes "
    "([`preference-without-auto`](rules.md#preference-without-auto)).",
    "spec.slots[].servingPolicy.fallback": "It must not contradict the mode: no cloud fallback with `local_only`, no local "
    "fallback with `cloud_only` ([`contradictory-policy`](rules.md#contradictory-policy)).",
    "spec.slots[].deploy.optimize": "`auto` needs a slot without a pinned `variant`, and has no effect in `development`. See "
    "[Canaries](../how-to/canaries.md).",
    "contexts.NAME.tokenEnv": "In a file that octosync discovers itself, the name must begin with `OCTOMIL_` or `OCTOSYNC_`: see "
    "[Trust](#trust).",
    "contexts.NAME.tokenFile": "In a file that octosync discovers itself, it must be in its own repository or folder: see "
    "[Trust](#trust).",
    "contexts.NAME.vars": "See [Variables](manifest.md#variables).",
    "env": "See [Variables](manifest.md#variables).",
    "guards": "[Guards](guards.md) lists the guards.",
    "guards.trailers": "See [Guards](guards.md#overrides-in-commits).",
    "freeze": "See [Freeze windows](#freeze-windows).",
    "policies": "See [Policies](../how-to/policies.md).",
    "notify": "See [Notifications](notifications.md).",
    "rate": "See [Rate limit](#rate-limit).",
    "sensitiveKeys": "See [Secrets](#secrets).",
    "api": "See [If Octomil's API differs](../how-to/api-differs.md).",
    "api.operations": "[Operations](operations.md) lists the IDs.",
}


def headings_of(kind: str) -> Iterator[str]:
    """Yield the headings of all fields of a kind of manifests, or of octosync.yaml for the kind `config`."""
    for path, _ in _walk("", _model(kind)):
        yield path


def field_section(kind: str, within: str = "") -> Iterator[str]:
    """Yield a section for each field of a kind of documents that is `within` a field, or is that field."""
    lines: list[str] = []
    for path, field in _walk("", _model(kind)):
        if path == within or path.startswith((f"{within}.", f"{within}[")) or not within:
            lines += ("", *_section(path, field))
    yield from lines[1:]


def _model(kind: str) -> type[ObjectModel]:
    return ConfigurationFile if kind == "config" else KINDS[kind]


def _walk(prefix: str, model: type[ObjectModel]) -> Iterator[tuple[str, Field]]:
    """Yield each field below a model with its path; `[]` marks the items of a list, `NAME` names of the author's own."""
    for key, field in fields_of(model).items():
        path = f"{prefix}{key}"
        yield path, field
        step, shape = _inner(field.shape)
        if shape.is_model:
            yield from _walk(f"{path}{step}.", shape.type)


def _inner(shape: Shape) -> tuple[str, Shape]:
    """Return the step to the values inside a field, and their shape."""
    if shape.type is Union:
        return "", shape.parts[1]
    if shape.type is list:
        return "[]", shape.parts[0]
    if shape.type is dict and not shape.is_opaque:
        return ".NAME", shape.parts[0]
    return "", shape


def _section(path: str, field: Field) -> Iterator[str]:
    """Yield the section of a field: heading, meaning, facts."""
    depth = min(path.replace(".NAME", "").count("."), 1)
    text = field.shape.parts[0].text if field.shape.type in (list, Union) else field.shape.text
    choices, known = (text.choices, text.known) if text else ((), ())
    yield f"{'#' * (3 + depth)} `{path}`"
    yield ""
    yield " ".join(filter(None, (_sentence(field.about, (*choices, *known, field.default)), _NOTES.get(path, ""))))
    yield ""
    yield f"- **Type:** {_type(field.shape)}{', **required**' if field.required else ''}"
    if field.default not in (None, ""):
        yield f"- **Default:** `{inline_yaml(field.default)}`"
    if len(choices) > 1:
        yield f"- **Values:** {codes(choices)}"
    elif known:
        key = path.rpartition(".")[2]
        yield f"- **Known values:** {codes(known)}. {_UNKNOWN[key]}"
    elif text and text.meaning and not choices:
        yield f"- **Expected:** {text.meaning}"
    if field.owns:
        yield f"- **Owns:** {field.owns}"
    if field.example is not None:
        key = re.sub(r"\[\]$", "", path).rpartition(".")[2]
        yield f"- **Example:** {code(f'{key}: {inline_yaml(field.example)}')}"


def _type(shape: Shape) -> str:
    words = type_words(shape)
    return f"{words} or null" if shape.nullable and "null" not in words else words


def _sentence(about: str, names: Iterable[object]) -> str:
    """Return a description as a sentence. A first word that is a value, or a name, is code and keeps its case."""
    about = re.sub(rf"{GROUP}/\w+", r"`\g<0>`", about)
    first, space, rest = about.partition(" ")
    if first in (*map(str, names), *_LITERALS) or re.search(r"^[^`]*[^\w`-]", first.rstrip(",;")):
        return f"`{first}`{space}{escaped(rest)}."
    return f"{about[:1].upper()}{escaped(about[1:])}."


def _presets() -> Iterator[str]:
    """Yield the table of the presets of serving policies."""
    yield "| preset | routing mode | preference | fallback |"
    yield "|---|---|---|---|"
    for name, preset in PRESETS.items():
        fallback = cast("Mapping[str, bool]", preset["fallback"])
        allowed = [to for to in ("cloud", "local") if fallback[f"allow_{to}_fallback"]]
        preference = preset.get("routing_preference")
        yield " | ".join(
            (
                f"| `{name}`",
                f"`{preset['routing_mode']}`",
                f"`{preference}`" if preference else "none",
                f"{' and '.join(allowed) or 'none'} |",
            )
        )


def links_to(headings: Iterable[str]) -> str:
    """Return links to the sections of fields."""
    return ", ".join(f"[`{heading}`](#{heading_anchor(heading)})" for heading in headings)


# The parts of the pages about manifests and octosync.yaml.
PARTS: Final[Mapping[str, Callable[[], Iterable[str]]]] = {
    "fields of metadata": partial(field_section, "App", "metadata"),
    "fields of spec": partial(field_section, "App", "spec"),
    "presets": _presets,
    "fields of octosync.yaml": partial(field_section, "config"),
}
