"""The reports of `octosync explain`: a field, a name from a message, or the list of all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Final

from octosync.model import FieldExplanation, JsonObject, JsonValue, NameExplanation
from octosync.plan import FORMAT_VERSION
from octosync.report.text import Style, padded, text_of

_WIDTH: Final = 80


def render_explained_field(field: FieldExplanation, *, colour: bool) -> str:
    """Render a field: its meaning, its allowed values, and the fields below it."""
    style = Style(colour)
    facts = [
        ("type", field.type),
        ("required", "yes" if field.required else ""),
        ("default", _written(field.default)),
        ("values", ", ".join(field.choices)),
        ("known", f"{', '.join(field.known)}; {field.others}" if field.known else ""),
        ("expected", field.meaning if not field.choices else ""),
        ("owns", field.owns),
    ]
    lines = [style.bold(field.path), *_wrapped(field.about, "  "), ""]
    for name, words in facts:
        lines.extend(_wrapped(words, f"  {padded(name, 9)}", "           ") if words else ())
    if field.example is not None and (field.choices or not field.fields):
        lines.extend(("", "For example:", "", *_example(field)))
    if field.fields:
        lines.extend(("", "Fields (* = required):", "", *_rows(_below(field.fields))))
    return text_of(lines)


def render_explained_variables(variables: FieldExplanation, *, colour: bool) -> str:
    """Render the variables of rules: all of them with their types, and an example of a rule."""
    style = Style(colour)
    rows = (
        (field.path.removeprefix(f"{variables.path}."), f"{field.about} ({field.type})") for field in variables.fields
    )
    lines = [style.bold(variables.path), *_wrapped(variables.about, "  "), "", *_rows(rows)]
    lines += ["", "In octosync.yaml:", "", *(f"  {line}" for line in str(variables.example).splitlines())]
    return text_of(lines)


def render_explained_names(names: Iterable[NameExplanation], *, colour: bool) -> str:
    """Render each meaning of a name from a message."""
    style = Style(colour)
    lines: list[str] = []
    for name in names:
        of = f"{name.category}, {name.severity}" if name.severity else name.category
        lines.extend(("", f"{style.bold(name.name)} ({of})", *_wrapped(name.meaning, "  ")))
        if name.ways_out:
            lines.extend(("", "What to do:", *(f"  - {way}" for way in name.ways_out)))
        if name.situation:
            lines.extend(("", f"For example: {name.situation}"))
        for title, text in (("In octosync.yaml:", name.configuration), ("For example:", name.example)):
            lines.extend(("", title, "", *(f"  {line}" for line in text.splitlines())) if text else ())
    return text_of(lines[1:])


def render_explained_group(names: Sequence[NameExplanation], *, colour: bool) -> str:
    """Render the names of one category with their meanings, without the details of each."""
    heading = Style(colour).bold(f"{names[0].category.capitalize()}s")
    return text_of(
        [
            f"{heading} (`octosync explain NAME` explains each in detail):",
            "",
            *_rows((n.name, n.meaning) for n in names),
        ]
    )


def render_explained_roots(
    roots: Sequence[FieldExplanation], names: Mapping[str, Sequence[str]], *, colour: bool
) -> str:
    """Render the roots of field paths, and the other names by category."""
    style = Style(colour)
    lines = [
        "Fields, for example `octosync explain app.spec.slots.servingPolicy`:",
        "",
        *_rows((f.path, f.about) for f in roots),
    ]
    for heading, group in names.items():
        lines.extend(("", style.bold(heading), *_wrapped(", ".join(group), "  ")))
    return text_of(lines)


def explained_document(explained: Sequence[FieldExplanation | NameExplanation]) -> JsonObject:
    """Return explanations as JSON: `fields` and `names`, each possibly empty."""
    return {
        "format_version": FORMAT_VERSION,
        "fields": [_field(field) for field in explained if isinstance(field, FieldExplanation)],
        "names": [_name(name) for name in explained if isinstance(name, NameExplanation)],
    }


def _field(field: FieldExplanation) -> JsonObject:
    return {
        "path": field.path,
        "about": field.about,
        "type": field.type,
        "required": field.required,
        "default": field.default,
        "choices": list(field.choices),
        "known": list(field.known),
        "wanted": field.meaning or None,
        "owns": field.owns or None,
        "example": field.example,
        "fields": [_field(inner) for inner in field.fields],
    }


def _name(name: NameExplanation) -> JsonObject:
    return {
        "name": name.name,
        "of": name.category,
        "meaning": name.meaning,
        "severity": name.severity or None,
        "situation": name.situation or None,
        "example": name.example or None,
        "configuration": name.configuration or None,
        "ways_out": list(name.ways_out),
    }


def _below(fields: Iterable[FieldExplanation]) -> Iterator[tuple[str, str]]:
    for field in fields:
        yield f"{field.path.rpartition('.')[2]}{'*' if field.required else ''}", field.about


def _rows(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    shown = list(rows)
    width = max((len(name) for name, _ in shown), default=0) + 2
    for name, about in shown:
        yield from _wrapped(about, f"  {padded(name, width)}", " " * (width + 2))


def _wrapped(text: str, first: str, further: str | None = None) -> list[str]:
    later = first if further is None else further
    return wrap(text, _WIDTH, initial_indent=first, subsequent_indent=later, break_on_hyphens=False)


def _example(field: FieldExplanation) -> Iterator[str]:
    yield f"  {field.path.rpartition('.')[2]}: {_written(field.example)}"


def _written(value: JsonValue) -> str:
    """Return a value in the flow style of YAML, as JSON; a plain word has no quotes."""
    if value is None:
        return ""
    return (
        value if isinstance(value, str) and value.replace("-", "").isalnum() else json.dumps(value, ensure_ascii=False)
    )
