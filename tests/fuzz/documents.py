"""Documents for the fuzzer: valid ones drawn from octosync's own schemas, and the values of mutations."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, Union

import yaml
from hypothesis import strategies as st

from octosync.manifest.schema.shapes import Field, Shape

CANARY: Final = "CANARY-7f3a"  # a secret: only under sensitive keys, and must not be in any output
SENSITIVE: Final = ("api_key", "access_token", "db_password")
Draw = Callable[..., Any]
Path = tuple[str | int, ...]

_WORDS: Final = ("a", "notes", "search-1", "com.acme.notes", "Voice notes", "https://demo.example.com", "é 😀", "1")
_MARK: Final = "FRAGMENT"
# What a mutation puts in place of a value, as YAML source.
FRAGMENTS: Final = (
    "null", "true", "0", "-1", "3.5", "1e999", ".nan", "9" * 5000, "''", "'  '", '"\\ud83d\\ude00"', '"\\ud83d"',
    '"\\u0000"', '"\\e"', "'${NOPE}'", "'${A:=b}'", "'${'", "'${API_KEY}'", "'$${A}'", "[]", "{}", "[1]", "{a: 1}",
    "{a: 1, a: 2}", "[[[[[[[[]]]]]]]]", "*nope", "&a [*a]", "&a {b: &c [1], d: *c}", "!!str x", "!x {a: 1}", "<<", "{<<: {a: 1}}",
    "? a", "'@app/a/b'", "2024-01-01", "0o17", "~", "- a", "|\n  x", "'" + "w" * 3000 + "'", "'a/**/**/**/b'", "'*'", "'['",
    "'../../etc/passwd'", "'/etc/hostname'", "'http://[::1'", "'http://x\\y'", "'10675199d'", "'61 25 32 13 8'", "Mars/Olympus",
    "[" * 40 + "]" * 40, "{api_key: " + CANARY + "}", "'" + "\U0001f600" * 500 + "'", "yes", "0x1F", "!!binary aGk=",
)  # fmt: skip
BYTES: Final = (
    b"\x00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r", b"\xc2\x85", b"\t", b"\n", b"  ", b": ", b"- ", b"[", b"{", b'"',
    b"'", b"|", b">", b"&a ", b"*a ", b"#", b"---\n", b"...\n", b"%YAML 1.1\n", b"!!", b"? ", b"<<: ", b"\\ud83d", b"\\ude00",
    b"${", b"\xe2\x80\xa8", b"@", b"`", b"\x1b[31m", b"\x07",
)  # fmt: skip
_JSON_LEAVES: Final = st.sampled_from((None, True, 0, 1.5, "x", "", "@app/a/chat", 10**30, -1))


def opaque_object(draw: Draw) -> dict[str, Any]:
    """Draw a wire object, with a canary under a sensitive key in most of them."""
    found: dict[str, Any] = {key: draw(_JSON_LEAVES) for key in draw(st.sets(st.sampled_from("abc"), max_size=2))}
    if draw(st.integers(0, 3)):
        key = draw(st.sampled_from(SENSITIVE))
        nest = draw(st.integers(0, 2))
        found[key] = CANARY if nest == 0 else [CANARY] if nest == 1 else {"deep": [{"x": CANARY}]}
    if draw(st.booleans()):
        found["nested"] = [{"b": draw(_JSON_LEAVES)}]
    return found


def value_of(shape: Shape, draw: Draw) -> Any:
    """Draw a value that a shape accepts, as far as the shape defines it."""
    if shape.text is not None:
        text = shape.text
        if text.choices or text.known:
            return draw(st.sampled_from(text.choices or text.known))
        if text.pattern is not None:
            return draw(st.from_regex(text.pattern, fullmatch=True).filter(lambda drawn: len(drawn) < 70))
        return draw(st.sampled_from(_WORDS))
    if shape.type is bool:
        return draw(st.booleans())
    if shape.type in (int, float):
        return draw(st.integers(int(shape.bounds.least), 20 if shape.bounds.most is None else int(shape.bounds.most)))
    if shape.type is list:
        return [value_of(shape.parts[0], draw) for _ in range(draw(st.integers(int(shape.bounds.least), 2)))]
    if shape.is_opaque:
        return opaque_object(draw)
    if shape.type is dict:
        return {key: value_of(shape.parts[0], draw) for key in draw(st.sets(st.sampled_from("xyz"), max_size=2))}
    if shape.type is Union:
        return value_of(draw(st.sampled_from(shape.parts)), draw)
    return record_of(shape.fields, draw) if shape.is_model else draw(_JSON_LEAVES)


def record_of(fields: Any, draw: Draw) -> dict[str, Any]:
    """Draw an object with all required fields and some of the rest."""
    chosen: list[tuple[str, Field]] = [
        (name, field) for name, field in fields.items() if field.required or draw(st.booleans())
    ]
    return {name: value_of(field.shape, draw) for name, field in chosen}


def places(value: Any, path: Path = ()) -> list[Path]:
    """Return the path of every value in a document, starting with the document itself."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, item in inner for found in places(item, (*path, key)))]


def replaced(value: Any, path: Path, new: Any) -> Any:
    """Return a copy of a document with another value at a path."""
    if not path:
        return new
    first, *rest = path
    if isinstance(value, dict):
        return {key: replaced(item, tuple(rest), new) if key == first else item for key, item in value.items()}
    return [replaced(item, tuple(rest), new) if index == first else item for index, item in enumerate(value)]


def removed(value: Any, path: Path) -> Any:
    """Return a copy of a document without the value at a path."""
    first, *rest = path
    if isinstance(value, dict):
        return {
            key: removed(item, tuple(rest)) if key == first else item
            for key, item in value.items()
            if rest or key != first
        }
    return [
        removed(item, tuple(rest)) if index == first else item
        for index, item in enumerate(value)
        if rest or index != first
    ]


class Fragments:
    """YAML source in places of a document: drawn as marks, inserted after the document was written."""

    def __init__(self) -> None:
        self._sources: list[str] = []

    def mark(self, source: str) -> str:
        """Return the mark of a fragment."""
        self._sources.append(source)
        return f"{_MARK}{len(self._sources) - 1}Z"

    def text(self, document: Any, *, flow: bool | None) -> str:
        """Write a document with its fragments: as JSON-like flow (True), as block (False), or mixed (None)."""
        text: str = (
            json.dumps(document)
            if flow
            else yaml.safe_dump(document, default_flow_style=flow, allow_unicode=True, sort_keys=False, width=10**6)
        )
        for index, source in enumerate(self._sources):
            mark = f"{_MARK}{index}Z"
            text = text.replace(f'"{mark}"', source).replace(mark, source)
        return text


def mutate(document: Any, draw: Draw, fragments: Fragments) -> Any:
    """Replace, remove, rename, repeat or nest a value of a document."""
    if not (paths := places(document)):
        return document
    path = draw(st.sampled_from(paths))
    match draw(st.sampled_from(("fragment", "fragment", "fragment", "remove", "rename", "nest", "repeat"))):
        case "remove" if path:
            return removed(document, path)
        case "rename" if path and isinstance(path[-1], str):
            key = draw(
                st.sampled_from((path[-1].upper(), "unknown", "", "k" * 2000, "\u202e", f"{path[-1]} ", "1", "null"))
            )
            holder = at(document, path[:-1])
            return replaced(document, path[:-1], {**holder, key: holder[path[-1]]})
        case "nest":
            return replaced(document, path, draw(st.sampled_from(([at(document, path)], {"x": at(document, path)}))))
        case "repeat" if path and isinstance(path[-1], int):
            holder = at(document, path[:-1])
            return replaced(document, path[:-1], holder * draw(st.sampled_from((2, 300))))
        case _:
            return replaced(document, path, fragments.mark(draw(st.sampled_from(FRAGMENTS))))


def at(value: Any, path: Path) -> Any:
    """Return the value at a path of a document."""
    for key in path:
        value = value[key]
    return value


def edit_bytes(data: bytes, draw: Draw) -> bytes:
    """Edit some bytes at random positions."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from((0, 0, 1, 3, 12)))
        data = data[:start] + draw(st.sampled_from(BYTES)) + data[start + length :]
    return data
