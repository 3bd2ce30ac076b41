"""Edits in block style and flow style (braces and brackets, JSON included), and values as text.

A value is written in the style of the value that it replaces, and as JSON if the manifest is JSON. The lines of other entries
stay unchanged. An element is a list item, or an entry with its key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from octosync.manifest.edit.layout import (
    EditError,
    MappingSpan,
    NodeSpan,
    ScalarSpan,
    SequenceSpan,
    Splice,
    begins_line,
    column,
    line_break,
    line_end,
    line_start,
    next_line,
    past_entry,
    with_comments_above,
)
from octosync.manifest.export.yaml_writer import entry, escaped, item, literal_style, quoted_text, under, value_text
from octosync.model import JsonValue


def inline(value: JsonValue, style: str = "", *, as_json: bool = False) -> str:
    """Return a value on one line; a string in the quotes of `style` if it can be written in them."""
    if as_json:
        return _json(value)
    if isinstance(value, str) and style == '"':
        return quoted_text(value)
    if isinstance(value, str) and style == "'" and value.isprintable():
        return "'" + escaped(value).replace("'", "''") + "'"
    return value_text(value)


def block(value: JsonValue, indent: int, *, of_list: bool, style: str = "", body: str = "") -> list[str]:
    """Return a value as lines. The first follows its colon or, with `of_list`, its hyphen, which are indented by `indent`.

    If `style` is that of a block scalar, a string is written as one; `body` is the indentation of its lines.
    """
    if isinstance(value, str) and style in ("|", ">") and value and (header := literal_style(value, of_one_line=True)):
        lines = escaped(value).removesuffix("\n").split("\n")
        return [header, *(f"{body or ' ' * (indent + 2)}{line}" if line else "" for line in lines)]
    if isinstance(value, str) and style in ('"', "'"):
        return [inline(value, style)]
    return item(value, indent) if of_list else under(value, indent)


def _json(value: JsonValue) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_json(name)}: {_json(member)}" for name, member in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_json, value)) + "]"
    if isinstance(value, str):
        return json.dumps(escaped(value), ensure_ascii=not value.isprintable())
    return json.dumps(value)


def set_value(text: str, key: ScalarSpan, old: NodeSpan, value: JsonValue, *, compact: bool) -> list[Splice]:
    """Replace the value of a key."""
    return _set(text, _colon(text, key), column(text, key.start), old, value, of_list=False, compact=compact)


def set_item(text: str, old: NodeSpan, value: JsonValue, *, compact: bool) -> list[Splice]:
    """Replace the value of a list item."""
    dash = _dash(text, old)
    return _set(text, dash + 1, column(text, dash), old, value, of_list=True, compact=compact)


def insert_entry(text: str, mapping: MappingSpan, after: str, name: str, value: JsonValue) -> list[Splice]:
    """Add an entry to an object, below the entry `after`."""
    indent = column(text, mapping.start)
    key, last = mapping.entries[after]
    return _insert(text, max(key.end, last.end), indent, entry(name, value, indent))


def insert_item(text: str, sequence: SequenceSpan, index: int, value: JsonValue, *, compact: bool) -> list[Splice]:
    """Add an item to a list at an index."""
    dash = _dash(text, sequence.items[max(0, index - 1)])
    indent = column(text, dash)
    lines = _item_lines(value, indent, compact=compact)
    if index:
        return _insert(text, sequence.items[index - 1].end, indent, lines)
    if not begins_line(text, dash):
        raise EditError("the list begins on the line of something else")
    position = line_start(text, dash)
    return [Splice(position, position, "".join(line + line_break(text) for line in lines))]


def remove_entry(text: str, mapping: MappingSpan, name: str) -> list[Splice]:
    """Remove an entry and the comments that belong to it from an object that has other entries."""
    key, value = mapping.entries[name]
    if begins_line(text, key.start):
        return _remove(text, key.start, max(key.end, value.end), column(text, key.start))
    names = list(mapping.entries)
    following = mapping.entries[names[names.index(name) + 1]][0]
    end = line_end(text, max(key.end, value.end))
    if text[next_line(text, end) : following.start].strip():
        raise EditError("there are comments between it and the next entry")
    return [Splice(key.start, following.start, "")]


def remove_item(text: str, sequence: SequenceSpan, index: int) -> list[Splice]:
    """Remove an item and the comments that belong to it from a list that has other items."""
    old = sequence.items[index]
    dash = _dash(text, old)
    if not begins_line(text, dash):
        raise EditError("it is not on a line of its own")
    return _remove(text, dash, max(dash + 1, old.end), column(text, dash))


def move_item(text: str, sequence: SequenceSpan, index: int, before: int) -> list[Splice]:
    """Move an item up to the index `before`, with the comments that belong to it."""
    position, _ = _extent(text, sequence.items[before])
    start, end = _extent(text, sequence.items[index])
    lines, newline = text[start:end], line_break(text)
    if not lines.endswith("\n"):
        lines, start = lines + newline, start - len(newline)
    return [Splice(position, position, lines), Splice(start, end, "")]


def _extent(text: str, item: NodeSpan) -> tuple[int, int]:
    """Return the start and end of the lines of an item, including the comments that belong to it."""
    dash = _dash(text, item)
    if not begins_line(text, dash):
        raise EditError("it is not on a line of its own")
    indent = column(text, dash)
    past = past_entry(text, max(dash + 1, item.end), indent)
    return with_comments_above(text, line_start(text, dash), past, indent), past


def _set(
    text: str, head: int, indent: int, old: NodeSpan, value: JsonValue, *, of_list: bool, compact: bool
) -> list[Splice]:
    """Replace the value after a colon or hyphen that ends at `head`. A comment on that line stays on it."""
    style = old.style if isinstance(old, ScalarSpan) else ""
    if compact and isinstance(value, list):
        lines = ["", *(line for element in value for line in _item_lines(element, indent + 2, compact=True))]
    else:
        lines = block(value, indent, of_list=of_list, style=style, body=_body(text, old))
    if of_list and "\n" in text[head : old.start]:
        raise EditError("it doesn't begin on the line of its hyphen")
    between, end = text[head : old.start], old.end
    space, trailing = between, ""
    if style in ("|", ">"):
        header = text[old.start : line_end(text, old.start)]
        trailing = header[len(header.partition("#")[0].rstrip()) :] if "#" in header else ""
    elif "\n" in between:
        space, trailing = " ", between.partition("\n")[0].rstrip()
        end = max(old.end, line_end(text, old.end))
    elif len(lines) > 1:
        end = line_end(text, old.end)
        trailing = text[old.end : end].rstrip()
    first = f"{space or ' '}{lines[0]}" if lines[0] else ""
    return [Splice(head, end, line_break(text).join([first + trailing, *lines[1:]]))]


def _insert(text: str, end: int, indent: int, lines: Sequence[str]) -> list[Splice]:
    position, newline = past_entry(text, end, indent), line_break(text)
    if position == len(text) and not text.endswith("\n"):
        return [Splice(position, position, "".join(newline + line for line in lines))]
    return [Splice(position, position, "".join(line + newline for line in lines))]


def _remove(text: str, start: int, end: int, indent: int) -> list[Splice]:
    past = past_entry(text, end, indent)
    first = with_comments_above(text, line_start(text, start), past, indent)
    if past == len(text) and not text.endswith("\n") and first:
        first -= len(line_break(text))  # the text ends without a line break, and stays so
    return [Splice(first, past, "")]


def _item_lines(value: JsonValue, indent: int, *, compact: bool) -> list[str]:
    first, *rest = block(value, indent, of_list=True) if not compact else [value_text(value)]
    return [f"{' ' * indent}- {first}", *rest]


def _colon(text: str, key: ScalarSpan) -> int:
    position = key.end
    while text[position : position + 1] == " ":
        position += 1
    if text[position : position + 1] != ":":
        raise EditError("its key is written with a question mark")
    return position + 1


def _dash(text: str, old: NodeSpan) -> int:
    before = text[: old.start].rstrip(" ")
    if old.start == old.end and before.endswith("-"):
        return len(before) - 1
    if not before.endswith("-"):
        raise EditError("it doesn't begin on the line of its hyphen")
    return len(before) - 1


def _body(text: str, old: NodeSpan) -> str:
    """Return the indentation of a block scalar's lines, "" for other values."""
    if not isinstance(old, ScalarSpan) or old.style not in ("|", ">"):
        return ""
    lines = text[old.start : old.end].split("\n")[1:]
    first = next((line for line in lines if line.strip()), "")
    return first[: len(first) - len(first.lstrip(" "))]


@dataclass(frozen=True, slots=True)
class Element:
    """The span of an element, its key included."""

    start: int
    end: int


def elements_of(container: MappingSpan | SequenceSpan) -> list[Element]:
    """Return the elements of an object or a list."""
    if isinstance(container, SequenceSpan):
        return [Element(item.start, item.end) for item in container.items]
    return [Element(key.start, max(key.end, value.end)) for key, value in container.entries.values()]


def set_flow(text: str, old: NodeSpan, value: str) -> list[Splice]:
    """Replace a value."""
    if old.start == old.end and not text[: old.start].rstrip(" ").endswith(":"):
        raise EditError("its key has no value")
    space = " " if text[: old.start].endswith(":") else ""
    return [Splice(old.start, old.end, space + value)]


def insert_flow(text: str, container: MappingSpan | SequenceSpan, index: int, element: str) -> list[Splice]:
    """Add an element at an index."""
    elements = elements_of(container)
    if not elements:
        inside = text[container.start + 1 : container.end - 1]
        if inside.strip():
            raise EditError("there is a comment where it belongs")
        return [Splice(container.start + 1, container.end - 1, element)]
    if not index:
        first = elements[0].start
        if not begins_line(text, first):
            return [Splice(first, first, f"{element}, ")]
        return [Splice(first, first, f"{element},{line_break(text)}{_indentation(text, first)}")]
    before = elements[index - 1]
    comma, end = _comma(text, before.end), line_end(text, before.end)
    rest = text[(comma + 1 if comma is not None else before.end) : end].strip()
    if not begins_line(text, before.start) or (comma or 0) > end or (rest and not rest.startswith("#")):
        return [Splice(before.end, before.end, f", {element}")]
    line = f"{line_break(text)}{_indentation(text, before.start)}{element}"
    if comma is None:
        between = text[before.end : end]  # a comment, or nothing
        return [Splice(before.end, end, f",{between}{line}")]
    return [Splice(end, end, f"{line},")]


def remove_flow(text: str, container: MappingSpan | SequenceSpan, index: int) -> list[Splice]:
    """Remove one of several elements."""
    elements = elements_of(container)
    old, comma = elements[index], _comma(text, elements[index].end)
    behind = comma + 1 if comma is not None else old.end
    rest = text[behind : line_end(text, behind)].strip()
    if begins_line(text, old.start) and (not rest or rest.startswith("#")):
        splices = [Splice(line_start(text, old.start), next_line(text, behind), "")]
        if comma is None:
            before = _comma(text, elements[index - 1].end)
            splices += [Splice(before, before + 1, "")] if before is not None else []
        return splices
    if index + 1 < len(elements):
        splice = Splice(old.start, elements[index + 1].start, "")
        between = text[old.end : splice.end]
    else:
        splice = Splice(elements[index - 1].end, old.end, "")
        between = text[splice.start : old.start]
    if between.strip() not in ("", ","):
        raise EditError("there are comments beside it")
    return [splice]


def _comma(text: str, position: int) -> int | None:
    """Return the position of the comma after an element; None if there is none."""
    found = re.compile(r"(?:\s|(?<=\s)#[^\n]*+)*+,").match(text, position)
    return found.end() - 1 if found else None


def _indentation(text: str, position: int) -> str:
    return text[line_start(text, position) : position]
