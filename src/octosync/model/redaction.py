"""What of a foreign text may be shown: no secret, no control characters, not too much."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from urllib.parse import quote

from octosync.model.secret import Secret
from octosync.model.sensitive import Sensitivity
from octosync.model.text import truncated
from octosync.model.values import SENSITIVE, JsonValue

LONGEST_SHOWN = 300  # characters

# Shorter ones would blot out half of every message, and are no secrets.
_SHORTEST_CONCEALED = 4
# Shorter ones are looked for only as they are: what encodes them could stand for anything.
_SHORTEST_DECODED = 8
_URL_SAFE = str.maketrans("+/", "-_")
_BEARER = re.compile(r"(?i)\b(bearer|basic)(\s+)[^\s\"',;]+")


class Concealer:
    """Mask keys, and the values that a request carried under sensitive keys, wherever a response echoes them."""

    def __init__(
        self, keys: Iterable[Secret] = (), sensitivity: Sensitivity | None = None, body: JsonValue = None
    ) -> None:
        values = set(_sensitive_strings(body, sensitivity or Sensitivity()))
        revealed = sorted({key.reveal() for key in keys})
        values.update(revealed)
        spellings = {
            spelling for value in values if len(value) >= _SHORTEST_CONCEALED for spelling in _spellings(value)
        }
        longest_first = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))
        patterns = [re.compile("|".join(map(re.escape, longest_first)))] if longest_first else []
        patterns += [_encoded(key) for key in revealed if len(key) >= _SHORTEST_DECODED]
        self._patterns = tuple(patterns)

    def masked(self, value: JsonValue) -> JsonValue:
        """Return a JSON value without what is masked, and otherwise as it came."""
        if not self._patterns:
            return value
        if isinstance(value, str):
            return self._masked(value)
        if isinstance(value, Mapping):
            return {self._masked(key): self.masked(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.masked(item) for item in value]
        return value

    def text(self, text: str, longest: int = LONGEST_SHOWN) -> str:
        """Return one line of at most `longest` characters that is safe to show."""
        text = _BEARER.sub(rf"\1\2{SENSITIVE}", self._masked(text))
        text = " ".join("".join(character if character.isprintable() else " " for character in text).split())
        return truncated(text, longest)

    def value(self, value: JsonValue) -> JsonValue:
        """Return a JSON value with every string in it made safe to show, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value

    def _masked(self, text: str) -> str:
        for pattern in self._patterns:
            text = pattern.sub(SENSITIVE, text)
        return text


def show(text: str, longest: int = LONGEST_SHOWN) -> str:
    """Return one line of what an answer says, safe to show where nothing in it has to be masked."""
    return Concealer().text(text, longest)


@lru_cache(maxsize=64)
def _encoded(key: str) -> re.Pattern[str]:
    """Return what finds a key in any case, percent-encoded in any part, reversed, in hexadecimal, and within base64."""
    data = key.encode("utf-8", "surrogatepass")
    texts = {key, key[::-1], data.hex()}
    for before in range(3):  # how many bytes precede the key in its group of three
        text = b64encode(b"\0" * before + data).decode().rstrip("=")
        # A character at either end that also has bits of what stands beside the key is not the key's own.
        text = text[-(-before * 8 // 6) : len(text) - ((before + len(data)) % 3 != 0)]
        texts |= {text, text.translate(_URL_SAFE)}
    return re.compile("|".join(map(_maybe_percent_encoded, sorted(texts))), re.IGNORECASE)


def _maybe_percent_encoded(text: str) -> str:
    return "".join(f"(?:{re.escape(one)}|{_percent_encoded(one)})" for one in text)


def _percent_encoded(text: str) -> str:
    """Percent-encode every byte of a text."""
    return "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))


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
