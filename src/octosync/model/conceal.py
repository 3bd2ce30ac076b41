"""What of a foreign text may be shown: no secret, no control characters, not too much."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

from octosync.model.jsonvalue import JsonValue
from octosync.model.secret import Secret
from octosync.model.sensitive import SENSITIVE, Sensitivity

LONGEST_SHOWN = 300  # characters

# Shorter ones would blot out half of every message, and are no secrets.
_SHORTEST_CONCEALED = 4
_BEARER = re.compile(r"(?i)\b(bearer|basic)(\s+)[^\s\"',;]+")


class Concealer:
    """Mask keys, and the values that a request carried under sensitive keys, wherever a response echoes them."""

    def __init__(
        self, keys: Iterable[Secret] = (), sensitivity: Sensitivity | None = None, body: JsonValue = None
    ) -> None:
        values = set(_sensitive_strings(body, sensitivity or Sensitivity()))
        values.update(key.reveal() for key in keys)
        spellings = {
            spelling for value in values if len(value) >= _SHORTEST_CONCEALED for spelling in _spellings(value)
        }
        longest_first = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def masked(self, value: JsonValue) -> JsonValue:
        """Return a JSON value without what is masked, and otherwise as it came."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self._pattern.sub(SENSITIVE, value)
        if isinstance(value, Mapping):
            return {self._pattern.sub(SENSITIVE, key): self.masked(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.masked(item) for item in value]
        return value

    def text(self, text: str, longest: int = LONGEST_SHOWN) -> str:
        """Return one line of at most `longest` characters that is safe to show."""
        if self._pattern is not None:
            text = self._pattern.sub(SENSITIVE, text)
        text = _BEARER.sub(rf"\1\2{SENSITIVE}", text)
        text = " ".join("".join(character if character.isprintable() else " " for character in text).split())
        return text if len(text) <= longest else f"{text[: longest - 1]}…"

    def value(self, value: JsonValue) -> JsonValue:
        """Return a JSON value with every string in it made safe to show, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value


def show(text: str, longest: int = LONGEST_SHOWN) -> str:
    """Return one line of what an answer says, safe to show where nothing in it has to be masked."""
    return Concealer().text(text, longest)


def _spellings(value: str) -> Iterable[str]:
    """How a value may come back: as it is, inside JSON, inside a URL."""
    return (value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], quote(value, safe=""))


def _sensitive_strings(value: JsonValue, sensitivity: Sensitivity, *, inside: bool = False) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if inside:
                yield key
            yield from _sensitive_strings(item, sensitivity, inside=inside or sensitivity.hides(key, item))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _sensitive_strings(item, sensitivity, inside=inside)
    elif inside and isinstance(value, str):
        yield value
    elif inside and isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
