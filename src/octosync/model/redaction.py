"""Redaction: which values are sensitive, and what is shown in their place."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from octosync.model.values import SENSITIVE, JsonValue, UndisclosedValue, truncated

_SHOWN = 4
_SHOWN_FROM = 16


class Secret:
    """A string that no repr, format, log record or traceback contains; only `reveal` returns it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the string itself."""
        return self._value

    def ending(self) -> str:
        """Return `…a91f`, by which a person recognises a key; "" if the secret is too short to show any of it."""
        return f"…{self._value[-_SHOWN:]}" if len(self._value) >= _SHOWN_FROM else ""

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return "Secret(…)"

    def __str__(self) -> str:
        return "(secret)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret is not pickled")


SENSITIVE_CHANGED = "(sensitive, changed)"

DEFAULT_SENSITIVE_KEYS = ("*key*", "*token*", "*secret*", "*password*", "authorization")

# Keys of the contract whose values are never secrets. No pattern makes them sensitive.
_CONTRACT_KEYS = frozenset({"binding_key", "deployment_key", "bindingkey", "deploymentkey", "maxtokens"})

# Words about models and media that contain "key" or "token". The rest of the name is still matched.
_HARMLESS_WORDS: Final = re.compile(r"key_?(?:boards?|frames?|points?|words?)|tokeni[sz](?:ers?|ation|e[ds]?|ing)")
# Parameters of language models: `stop_tokens`, `eos_token_id`, `bos_token`.
_MODEL_TOKENS: Final = re.compile(
    r"(?:^|_)token_ids?$|_tokens$|(?:^|_)(?:audio|bos|cls|eos|image|mask|pad|sep|stop|unk)_token$"
)
# With one of these words, a name that ends like such a parameter is a credential: `access_tokens`.
_CREDENTIALS: Final = re.compile(
    r"(?:^|_)(?:access|admin|api|apns|app|auth|aws|azure|bearer|bot|ci|client|cloud|csrf|deploy|deployment|device|fcm|gcp"
    r"|gh|git|github|gitlab|hf|http|huggingface|id|identity|jwt|login|oauth|octomil|openai|personal|private|provider|proxy"
    r"|push|refresh|register|registration|registry|security|server|service|session|signing|slack|sso|user|vault|webhook"
    r")(?=_)"
)
_CAPITAL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_COLON: Final = re.compile(r"\s*:")


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Which keys have sensitive values, which are never shown: shell patterns, matched case-insensitively.

    Numbers, booleans and null are shown under any key. An object or a list that contains a text is hidden as a whole,
    including its keys and numbers.
    """

    patterns: tuple[str, ...] = DEFAULT_SENSITIVE_KEYS

    def covers(self, key: str) -> bool:
        """Return whether a text, list or object under this key is sensitive."""
        return _covers(self.patterns, key)

    def covers_none(self, keys: tuple[str, ...]) -> bool:
        """Return whether none of these keys covers a value or contains one: most objects have nothing to redact."""
        return _sorted_keys(self.patterns, keys) is not None

    def sorted_keys(self, keys: tuple[str, ...]) -> tuple[str, ...] | None:
        """Return the keys of an object in order; None if one of them covers a value or contains one."""
        return _sorted_keys(self.patterns, keys)

    def hides(self, key: str, value: JsonValue) -> bool:
        """Return whether this value is sensitive under this key."""
        return may_be_secret(value) and self.covers(key)

    def cut(self, path: tuple[str, ...]) -> tuple[str, ...]:
        """Return a path no deeper than its first sensitive key: the names below it are sensitive too."""
        if self.covers_none(path):
            return path
        end = next((index for index, key in enumerate(path) if self.covers(key)), len(path))
        return tuple(map(self.shown_key, path[: end + 1]))

    def shown_key(self, key: str) -> str:
        """Return a key without a value in it: `api_key:abc` is probably a key and its value, typed without a space."""
        colon = _COLON.search(key)
        if colon is None or colon.end() == len(key) or not self.covers(key[: colon.start()]):
            return key
        return f"{key[: colon.end()]}{SENSITIVE}"

    def hides_at(self, path: tuple[str, ...], value: JsonValue) -> bool:
        """Return whether a value is sensitive at the end of a path."""
        if self.covers_none(path):
            return False
        index = next((index for index, key in enumerate(path) if self.covers(key)), None)
        return index is not None and (index + 1 < len(path) or may_be_secret(value))

    def occurs_in(self, value: JsonValue) -> bool:
        """Return whether there is a sensitive value or key at any depth."""
        inner: Iterable[JsonValue]
        if isinstance(value, _LISTS):
            inner = value
        elif isinstance(value, _OBJECTS):
            inner = value.values()
            if _sorted_keys(self.patterns, tuple(value)) is None and any(
                self.hides(key, item) or self.shown_key(key) != key for key, item in value.items()
            ):
                return True
        else:
            return False
        for item in inner:  # noqa: SIM110  `any` takes twice as long
            if type(item) not in _SCALARS and self.occurs_in(item):
                return True
        return False

    def redact(self, value: JsonValue, replacement: JsonValue = None) -> JsonValue:
        """Return the value with its sensitive parts replaced, at any depth."""
        if type(value) in _SCALARS:  # most values, and the check for a mapping is slow
            return value
        if isinstance(value, _OBJECTS):
            if self.covers_none(tuple(value)):
                return {
                    key: item if type(item) in _SCALARS else self.redact(item, replacement)
                    for key, item in value.items()
                }
            return {
                self.shown_key(key): replacement if self.hides(key, item) else self.redact(item, replacement)
                for key, item in value.items()
            }
        if isinstance(value, _LISTS):
            return [self.redact(item, replacement) for item in value]
        return str(value) if isinstance(value, UndisclosedValue) else value


def may_be_secret(value: JsonValue) -> bool:
    """Return whether a value contains any text, keys of objects included: numbers, booleans and null are not secrets."""
    if isinstance(value, _LISTS):
        return any(map(may_be_secret, value))
    return isinstance(value, str | UndisclosedValue) or (isinstance(value, Mapping) and bool(value))


_SCALARS: Final = frozenset({str, bool, int, float, type(None)})
# `isinstance(value, list | tuple)` would make the union anew at each call.
_LISTS: Final = (list, tuple)
_OBJECTS: Final = (dict, Mapping)  # the check for a dictionary is fast, the one for a mapping is slow


@lru_cache(maxsize=1_000)  # most objects of a plan have the keys of another one
def _sorted_keys(patterns: tuple[str, ...], keys: tuple[str, ...]) -> tuple[str, ...] | None:
    sensitivity = Sensitivity(patterns)
    has_secrets = any(sensitivity.covers(key) or sensitivity.shown_key(key) != key for key in keys)
    return None if has_secrets else tuple(sorted(keys))


@lru_cache(maxsize=10_000)
def _covers(patterns: tuple[str, ...], key: str) -> bool:
    name, colon, _ = key.partition(":")
    if colon and name and _covers(patterns, name.rstrip()):
        return True
    lowered = key.lower()
    if lowered in _CONTRACT_KEYS:
        return False
    chosen = {pattern.lower() for pattern in patterns}
    if any(fnmatchcase(lowered, pattern) for pattern in chosen.difference(DEFAULT_SENSITIVE_KEYS)):
        return True
    remainder = _without_harmless_words(key)
    return any(fnmatchcase(remainder, pattern) for pattern in chosen.intersection(DEFAULT_SENSITIVE_KEYS))


def _without_harmless_words(key: str) -> str:
    """Return a key in snake case, without the words that match a default pattern but are not secrets."""
    words = _HARMLESS_WORDS.sub("", _CAPITAL.sub("_", key).lower().replace("-", "_"))
    return words if _CREDENTIALS.search(words) else _MODEL_TOKENS.sub("", words)


LONGEST_SHOWN = 300  # characters

# Masking shorter values would mask half of every message; they are not secrets.
_SHORTEST_CONCEALED = 4
# Shorter keys are only found as they are: an encoding of them is too short to be distinctive.
_SHORTEST_DECODED = 8
_URL_SAFE = str.maketrans("+/", "-_")
_BEARER = re.compile(r"(?i)\b(bearer|basic)(\s+)[^\s\"',;]+")


class Redactor:
    """Masks API keys, and the values that a request has under sensitive keys, wherever a response echoes them."""

    def __init__(
        self, keys: Iterable[Secret] = (), sensitivity: Sensitivity | None = None, body: JsonValue = None
    ) -> None:
        self._keys = tuple(keys)
        self._sensitivity = sensitivity or Sensitivity()
        values = set(_sensitive_strings(body, self._sensitivity)) if body is not None else set()
        revealed = sorted({key.reveal() for key in self._keys})
        values.update(revealed)
        spellings = {
            spelling for value in values if len(value) >= _SHORTEST_CONCEALED for spelling in _spellings(value)
        }
        longest_first = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))
        patterns = [re.compile("|".join(map(re.escape, longest_first)))] if longest_first else []
        patterns += [_encoded(key) for key in revealed if len(key) >= _SHORTEST_DECODED]
        self._patterns = tuple(patterns)

    def including(self, body: JsonValue) -> Redactor:
        """Return a redactor that also masks the sensitive values of a request's body: this one if the body has none."""
        if not any(True for _ in _sensitive_strings(body, self._sensitivity)):
            return self
        return Redactor(self._keys, self._sensitivity, body)

    def masked(self, value: JsonValue) -> JsonValue:
        """Return a JSON value with API keys and sensitive values masked, and otherwise unchanged."""
        if not self._patterns:
            return value
        if isinstance(value, str):
            return self._masked(value)
        if isinstance(value, Mapping):
            return {self._masked(key): self.masked(item) for key, item in value.items()}
        if isinstance(value, _LISTS):
            return [self.masked(item) for item in value]
        return value

    def text(self, text: str, longest: int = LONGEST_SHOWN) -> str:
        """Return one line of at most `longest` characters that is safe to show."""
        text = _BEARER.sub(rf"\1\2{SENSITIVE}", self._masked(text))
        if not text.isprintable():
            text = "".join(character if character.isprintable() else " " for character in text)
        text = " ".join(text.split())
        return truncated(text, longest)

    def value(self, value: JsonValue) -> JsonValue:
        """Return a JSON value whose strings, keys included, are safe to show."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, _LISTS):
            return [self.value(item) for item in value]
        return value

    def _masked(self, text: str) -> str:
        for pattern in self._patterns:
            text = pattern.sub(SENSITIVE, text)
        return text


def safe_text(text: str, longest: int = LONGEST_SHOWN) -> str:
    """Return one line of a response's text, safe to show if nothing in it needs to be masked."""
    return Redactor().text(text, longest)


@lru_cache(maxsize=64)
def _encoded(key: str) -> re.Pattern[str]:
    """Return a pattern for a key in any case, percent-encoded in any part, reversed, in hexadecimal, and within base64."""
    data = key.encode("utf-8", "surrogatepass")
    texts = {key, key[::-1], data.hex()}
    for before in range(3):  # how many bytes precede the key in its group of three
        text = b64encode(b"\0" * before + data).decode().rstrip("=")
        # A character at either end that also has bits of the text beside the key doesn't belong to the key.
        text = text[-(-before * 8 // 6) : len(text) - ((before + len(data)) % 3 != 0)]
        texts |= {text, text.translate(_URL_SAFE)}
    return re.compile("|".join(map(_maybe_percent_encoded, sorted(texts))), re.IGNORECASE)


def _maybe_percent_encoded(text: str) -> str:
    return "".join(f"(?:{re.escape(character)}|{_percent_encoded(character)})" for character in text)


def _percent_encoded(text: str) -> str:
    """Return a text with every byte percent-encoded."""
    return "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))


def _spellings(value: str) -> Iterable[str]:
    """Return the forms in which a response may echo a value: unchanged, in JSON, in a URL."""
    return (value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], quote(value, safe=""))


def _sensitive_strings(value: JsonValue, sensitivity: Sensitivity, *, inside: bool = False) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if inside:
                yield key
            yield from _sensitive_strings(item, sensitivity, inside=inside or sensitivity.hides(key, item))
    elif isinstance(value, _LISTS):
        for item in value:
            yield from _sensitive_strings(item, sensitivity, inside=inside)
    elif inside and isinstance(value, str):
        yield value
    elif inside and isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
