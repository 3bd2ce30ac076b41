"""Emitting: JSON values as YAML lines that read as the same values, here and in every other YAML reader.

A text is written plainly only where no version of YAML takes it for anything else, in lines of its own where that is easier
to read, and in double quotes otherwise; a `${` in it is escaped, since it is no variable. What an editor would hide, or act
on, is written as an escape.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Final

from octosync.model import JsonValue

# It begins with a letter, so it is no number or date, and holds nothing that has a meaning inside braces or brackets.
_PLAIN: Final = re.compile(r"[^\W\d_](?:[\w ./()+'-]*[\w./()+'-])?")
_OTHER_READERS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_LONGEST_INLINE: Final = 100  # characters of a list on one line
_STEP: Final = 2

_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_JOINERS: Final = frozenset("\u200c\u200d")  # parts of words and emoji


def entry(name: str, value: JsonValue, indent: int) -> list[str]:
    """Return the lines of `name: value` at so many spaces. Objects are written in the order that they have."""
    return _after(f"{' ' * indent}{_text(name)}:", value, indent)


def flow(values: Mapping[str, JsonValue]) -> str:
    """Return an object of scalars and lists of scalars on one line: `{platform: ios, identifier: com.example}`."""
    return "{" + ", ".join(f"{_text(name)}: {_inline(value)}" for name, value in values.items()) + "}"


def comment(text: str, indent: int) -> str:
    """Return one line of comment, whatever the text holds."""
    return f"{' ' * indent}# {''.join(one if _shows(one) else _escape(one) for one in text)}"


def value_text(value: JsonValue) -> str:
    """Return a scalar, or a list of scalars, on one line."""
    return _inline(value)


def under(value: JsonValue, indent: int) -> list[str]:
    """Return the lines of a value whose key stands at so many spaces; the first goes behind the colon, and may be ""."""
    first, *rest = _after("", value, indent)
    return [first.lstrip(" "), *rest]


def item(value: JsonValue, indent: int) -> list[str]:
    """Return the lines of an item of a list whose hyphen stands at so many spaces; the first goes behind the hyphen."""
    first, *rest = _item(value, indent)
    return [first[indent + _STEP :], *rest]


def _after(head: str, value: JsonValue, indent: int) -> list[str]:
    if isinstance(value, Mapping) and value:
        return [head, *_entries(value, indent + _STEP)]
    if isinstance(value, list | tuple) and value and not _fits_on_a_line(value):
        return [head, *(line for one in value for line in _item(one, indent + _STEP))]
    if isinstance(value, str) and (style := literal_style(value)):
        lines = escaped(value).removesuffix("\n").split("\n")
        return [f"{head} {style}", *(f"{' ' * (indent + _STEP)}{line}" if line else "" for line in lines)]
    return [f"{head} {_inline(value)}"]


def _entries(values: Mapping[str, JsonValue], indent: int) -> Iterable[str]:
    return (line for name, value in values.items() for line in entry(name, value, indent))


def _item(value: JsonValue, indent: int) -> list[str]:
    """Return an item of a list; what is in it begins on the line of its hyphen."""
    dash = f"{' ' * indent}-"
    if isinstance(value, Mapping) and value:
        lines = list(_entries(value, indent + _STEP))
    elif isinstance(value, list | tuple) and value and not _fits_on_a_line(value):
        lines = [line for one in value for line in _item(one, indent + _STEP)]
    else:
        return _after(dash, value, indent)
    return [f"{dash} {lines[0].lstrip(' ')}", *lines[1:]]


def _fits_on_a_line(items: Iterable[JsonValue]) -> bool:
    values = list(items)
    if any(isinstance(one, Mapping | list | tuple) and one for one in values):
        return False
    return len(values) <= _LONGEST_INLINE and len(_inline(values)) <= _LONGEST_INLINE


def _inline(value: JsonValue) -> str:
    if isinstance(value, Mapping):
        return flow(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, str):
        return _text(escaped(value))
    if isinstance(value, float):
        # Older YAML takes an exponent without a point for text.
        return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))
    return json.dumps(value)


def escaped(text: str) -> str:
    """Return a text as it is written so that nothing in it is a variable."""
    return text.replace("${", "$${")


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _OTHER_READERS:
        return text
    return _quoted(text)


def quoted_text(text: str) -> str:
    """Return a text in double quotes."""
    return _quoted(escaped(text))


def _quoted(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(one) or (one if _shows(one) else _escape(one)) for one in text) + '"'


def _shows(character: str) -> bool:
    return character.isprintable() or character in _JOINERS


def _escape(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def literal_style(text: str, *, of_one_line: bool = False) -> str:
    """Return `|` or `|-` for a text of several lines (or of one, too) that can stand as it is, else ""."""
    lines = text.removesuffix("\n").split("\n")
    plain = (_shows_in_full(line) for line in lines)
    if (
        ("\n" not in text and not of_one_line)
        or not lines[0]
        or not lines[-1]
        or lines[0].startswith(" ")
        or not all(plain)
    ):
        return ""
    return "|" if text.endswith("\n") else "|-"


def _shows_in_full(line: str) -> bool:
    return all(map(_shows, line)) and not line.endswith(" ") and "\\u" not in line
