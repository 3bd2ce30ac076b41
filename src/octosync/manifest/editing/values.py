"""Values as text: in the spelling of what they replace, and in JSON where the manifest is JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping

from octosync.manifest.export.yaml_writer import escaped, item, literal_style, quoted_text, under, value_text
from octosync.model import JsonValue


def inline(value: JsonValue, style: str = "", *, as_json: bool = False) -> str:
    """Return a value on one line; a text in the quotes that `style` says, where it can stand in them."""
    if as_json:
        return _json(value)
    if isinstance(value, str) and style == '"':
        return quoted_text(value)
    if isinstance(value, str) and style == "'" and value.isprintable():
        return "'" + escaped(value).replace("'", "''") + "'"
    return value_text(value)


def block(value: JsonValue, indent: int, *, of_list: bool, style: str = "", body: str = "") -> list[str]:
    """Return a value as lines: the first goes behind its colon or, `of_list`, hyphen, which stand at so many spaces.

    A text in several lines stays one where `style` says so; `body` is then the indentation of its lines.
    """
    if isinstance(value, str) and style in ("|", ">") and value and (header := literal_style(value, of_one_line=True)):
        lines = escaped(value).removesuffix("\n").split("\n")
        return [header, *(f"{body or ' ' * (indent + 2)}{line}" if line else "" for line in lines)]
    if isinstance(value, str) and style in ('"', "'"):
        return [inline(value, style)]
    return item(value, indent) if of_list else under(value, indent)


def _json(value: JsonValue) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_json(name)}: {_json(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_json, value)) + "]"
    if isinstance(value, str):
        return json.dumps(escaped(value), ensure_ascii=not value.isprintable())
    return json.dumps(value)
