"""Edits of what stands in braces and brackets, JSON included. An element is an item, or an entry with its key."""

from __future__ import annotations

import re
from dataclasses import dataclass

from octosync.manifest.edit.layout import Laid, LaidMapping, LaidSequence
from octosync.manifest.editing.lines import begins_line, line_break, line_end, line_start, next_line
from octosync.manifest.editing.splices import Splice
from octosync.manifest.editing.unplaceable import Unplaceable


@dataclass(frozen=True, slots=True)
class Element:
    """Where an element stands, its key included."""

    start: int
    end: int


def elements_of(container: LaidMapping | LaidSequence) -> list[Element]:
    """Return the elements of an object or a list."""
    if isinstance(container, LaidSequence):
        return [Element(one.start, one.end) for one in container.items]
    return [Element(key.start, max(key.end, one.end)) for key, one in container.entries.values()]


def set_flow(text: str, old: Laid, value: str) -> list[Splice]:
    """Put another value in the place of one."""
    if old.start == old.end and not text[: old.start].rstrip(" ").endswith(":"):
        raise Unplaceable("its key stands without a value")
    space = " " if text[: old.start].endswith(":") else ""
    return [Splice(old.start, old.end, space + value)]


def insert_flow(text: str, container: LaidMapping | LaidSequence, index: int, element: str) -> list[Splice]:
    """Add an element, so that it has an index."""
    elements = elements_of(container)
    if not elements:
        inside = text[container.start + 1 : container.end - 1]
        if inside.strip():
            raise Unplaceable("there is a comment where it belongs")
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


def remove_flow(text: str, container: LaidMapping | LaidSequence, index: int) -> list[Splice]:
    """Take an element out of several."""
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
        raise Unplaceable("comments stand beside it")
    return [splice]


def _comma(text: str, place: int) -> int | None:
    """Return where the comma behind an element is, None where there is none."""
    found = re.compile(r"(?:\s|(?<=\s)#[^\n]*+)*+,").match(text, place)
    return found.end() - 1 if found else None


def _indentation(text: str, place: int) -> str:
    return text[line_start(text, place) : place]
