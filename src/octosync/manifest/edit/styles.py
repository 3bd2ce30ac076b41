"""Edits of what stands in lines of its own, one entry below the other: the lines of other entries stay as they are."""

from __future__ import annotations

from collections.abc import Sequence

from octosync.manifest.edit.layout import Laid, LaidMapping, LaidScalar, LaidSequence
from octosync.manifest.editing.lines import (
    begins_line,
    column,
    line_break,
    line_end,
    line_start,
    next_line,
    past_entry,
    with_comments_above,
)
from octosync.manifest.editing.splices import Splice
from octosync.manifest.editing.unplaceable import Unplaceable
from octosync.manifest.editing.values import block
from octosync.manifest.export.yaml_writer import entry, value_text
from octosync.model import JsonValue


def set_value(text: str, key: LaidScalar, old: Laid, value: JsonValue, *, compact: bool) -> list[Splice]:
    """Put another value behind a key."""
    return _set(text, _colon(text, key), column(text, key.start), old, value, of_list=False, compact=compact)


def set_item(text: str, old: Laid, value: JsonValue, *, compact: bool) -> list[Splice]:
    """Put another value behind a list's hyphen."""
    dash = _dash(text, old)
    return _set(text, dash + 1, column(text, dash), old, value, of_list=True, compact=compact)


def insert_entry(text: str, mapping: LaidMapping, after: str, name: str, value: JsonValue) -> list[Splice]:
    """Add an entry to an object, below another one."""
    indent = column(text, mapping.start)
    key, last = mapping.entries[after]
    return _insert(text, max(key.end, last.end), indent, entry(name, value, indent))


def insert_item(text: str, sequence: LaidSequence, index: int, value: JsonValue, *, compact: bool) -> list[Splice]:
    """Add an item to a list, so that it has an index."""
    dash = _dash(text, sequence.items[max(0, index - 1)])
    indent = column(text, dash)
    lines = _item_lines(value, indent, compact=compact)
    if index:
        return _insert(text, sequence.items[index - 1].end, indent, lines)
    if not begins_line(text, dash):
        raise Unplaceable("the list begins on the line of something else")
    place = line_start(text, dash)
    return [Splice(place, place, "".join(line + line_break(text) for line in lines))]


def remove_entry(text: str, mapping: LaidMapping, name: str) -> list[Splice]:
    """Take an entry out of an object that has others, and the comments that are its own."""
    key, value = mapping.entries[name]
    if begins_line(text, key.start):
        return _remove(text, key.start, max(key.end, value.end), column(text, key.start))
    names = list(mapping.entries)
    following = mapping.entries[names[names.index(name) + 1]][0]
    end = line_end(text, max(key.end, value.end))
    if text[next_line(text, end) : following.start].strip():
        raise Unplaceable("comments stand between it and what comes next")
    return [Splice(key.start, following.start, "")]


def remove_item(text: str, sequence: LaidSequence, index: int) -> list[Splice]:
    """Take an item out of a list that has others, and the comments that are its own."""
    old = sequence.items[index]
    dash = _dash(text, old)
    if not begins_line(text, dash):
        raise Unplaceable("it stands on the line of something else")
    return _remove(text, dash, max(dash + 1, old.end), column(text, dash))


def move_item(text: str, sequence: LaidSequence, index: int, before: int) -> list[Splice]:
    """Move an item up, before another one of its list, with the comments that are its own."""
    place, _ = _extent(text, sequence.items[before])
    start, end = _extent(text, sequence.items[index])
    lines, newline = text[start:end], line_break(text)
    if not lines.endswith("\n"):
        lines, start = lines + newline, start - len(newline)
    return [Splice(place, place, lines), Splice(start, end, "")]


def _extent(text: str, item: Laid) -> tuple[int, int]:
    """Return where the lines of an item begin and end, its own comments included."""
    dash = _dash(text, item)
    if not begins_line(text, dash):
        raise Unplaceable("it stands on the line of something else")
    indent = column(text, dash)
    past = past_entry(text, max(dash + 1, item.end), indent)
    return with_comments_above(text, line_start(text, dash), past, indent), past


def _set(
    text: str, head: int, indent: int, old: Laid, value: JsonValue, *, of_list: bool, compact: bool
) -> list[Splice]:
    """Put a value behind a colon or hyphen that ends at `head`. What is said on that line in a comment stays there."""
    style = old.style if isinstance(old, LaidScalar) else ""
    if compact and isinstance(value, list):
        lines = ["", *(line for one in value for line in _item_lines(one, indent + 2, compact=True))]
    else:
        lines = block(value, indent, of_list=of_list, style=style, body=_body(text, old))
    if of_list and "\n" in text[head : old.start]:
        raise Unplaceable("it doesn't begin on the line of its hyphen")
    between, end = text[head : old.start], old.end
    space, remark = between, ""
    if style in ("|", ">"):
        header = text[old.start : line_end(text, old.start)]
        remark = header[len(header.partition("#")[0].rstrip()) :] if "#" in header else ""
    elif "\n" in between:
        space, remark = " ", between.partition("\n")[0].rstrip()
        end = max(old.end, line_end(text, old.end))
    elif len(lines) > 1:
        end = line_end(text, old.end)
        remark = text[old.end : end].rstrip()
    first = f"{space or ' '}{lines[0]}" if lines[0] else ""
    return [Splice(head, end, line_break(text).join([first + remark, *lines[1:]]))]


def _insert(text: str, end: int, indent: int, lines: Sequence[str]) -> list[Splice]:
    place, newline = past_entry(text, end, indent), line_break(text)
    if place == len(text) and not text.endswith("\n"):
        return [Splice(place, place, "".join(newline + line for line in lines))]
    return [Splice(place, place, "".join(line + newline for line in lines))]


def _remove(text: str, start: int, end: int, indent: int) -> list[Splice]:
    past = past_entry(text, end, indent)
    first = with_comments_above(text, line_start(text, start), past, indent)
    if past == len(text) and not text.endswith("\n") and first:
        first -= len(line_break(text))  # the text ends without a line break, and shall go on to
    return [Splice(first, past, "")]


def _item_lines(value: JsonValue, indent: int, *, compact: bool) -> list[str]:
    first, *rest = block(value, indent, of_list=True) if not compact else [value_text(value)]
    return [f"{' ' * indent}- {first}", *rest]


def _colon(text: str, key: LaidScalar) -> int:
    place = key.end
    while text[place : place + 1] == " ":
        place += 1
    if text[place : place + 1] != ":":
        raise Unplaceable("its key is written with a question mark")
    return place + 1


def _dash(text: str, old: Laid) -> int:
    before = text[: old.start].rstrip(" ")
    if old.start == old.end and before.endswith("-"):
        return len(before) - 1
    if not before.endswith("-"):
        raise Unplaceable("it doesn't begin on the line of its hyphen")
    return len(before) - 1


def _body(text: str, old: Laid) -> str:
    """Return the indentation of a text in several lines."""
    if not isinstance(old, LaidScalar) or old.style not in ("|", ">"):
        return ""
    lines = text[old.start : old.end].split("\n")[1:]
    first = next((line for line in lines if line.strip()), "")
    return first[: len(first) - len(first.lstrip(" "))]
