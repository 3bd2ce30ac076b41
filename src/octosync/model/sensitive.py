"""What counts as sensitive, and what is shown in its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

from octosync.model.values import SENSITIVE, JsonValue, Undisclosed

SENSITIVE_CHANGED = "(sensitive, changed)"

DEFAULT_SENSITIVE_KEYS = ("*key*", "*token*", "*secret*", "*password*", "authorization")

# Keys of the contract, which has no secrets under them. No pattern makes them sensitive.
_CONTRACT_KEYS = frozenset({"binding_key", "deployment_key", "bindingkey", "deploymentkey", "maxtokens"})

# Words of models and media that contain the letters of a default pattern. The rest of the name is still matched.
_HARMLESS_WORDS: Final = re.compile(r"key_?(?:boards?|frames?|points?|words?)|tokeni[sz](?:ers?|ation|e[ds]?|ing)")
# Parameters of language models: `stop_tokens`, `eos_token_id`, `bos_token`.
_MODEL_TOKENS: Final = re.compile(
    r"(?:^|_)token_ids?$|_tokens$|(?:^|_)(?:audio|bos|cls|eos|image|mask|pad|sep|stop|unk)_token$"
)
# With one of these words, a name that ends like such a parameter holds credentials after all: `access_tokens`.
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
    """Which keys hold values that are never shown: shell patterns, matched without regard to case.

    Numbers, booleans and null are shown under any key. An object or a list with a text in it is covered as a whole, with
    its keys and its numbers.
    """

    patterns: tuple[str, ...] = DEFAULT_SENSITIVE_KEYS

    def covers(self, key: str) -> bool:
        """Return whether a text, list or object under this key is never shown."""
        return _covers(self.patterns, key)

    def hides(self, key: str, value: JsonValue) -> bool:
        """Return whether this value is never shown under this key."""
        return may_be_secret(value) and self.covers(key)

    def cut(self, path: tuple[str, ...]) -> tuple[str, ...]:
        """Return a path no deeper than its first sensitive key: the names below it are as sensitive as the values."""
        end = next((place for place, key in enumerate(path) if self.covers(key)), len(path))
        return tuple(map(self.shown_key, path[: end + 1]))

    def shown_key(self, key: str) -> str:
        """Return a key as it may be shown: `api_key:abc` is probably a key and its value, typed without a space."""
        colon = _COLON.search(key)
        if colon is None or colon.end() == len(key) or not self.covers(key[: colon.start()]):
            return key
        return f"{key[: colon.end()]}{SENSITIVE}"

    def hides_at(self, path: tuple[str, ...], value: JsonValue) -> bool:
        """Return whether a value is never shown at the end of a path."""
        place = next((place for place, key in enumerate(path) if self.covers(key)), None)
        return place is not None and (place + 1 < len(path) or may_be_secret(value))

    def occurs_in(self, value: JsonValue) -> bool:
        """Return whether a value or a key that is never shown occurs at any depth."""
        if isinstance(value, Mapping):
            return any(
                self.hides(key, item) or self.shown_key(key) != key or self.occurs_in(item)
                for key, item in value.items()
            )
        if isinstance(value, list | tuple):
            return any(map(self.occurs_in, value))
        return False

    def redact(self, value: JsonValue, replacement: JsonValue = None) -> JsonValue:
        """Return the value with what is never shown replaced, at any depth."""
        if isinstance(value, Mapping):
            return {
                self.shown_key(key): replacement if self.hides(key, item) else self.redact(item, replacement)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.redact(item, replacement) for item in value]
        return str(value) if isinstance(value, Undisclosed) else value


def may_be_secret(value: JsonValue) -> bool:
    """Return whether a value holds any text: numbers, booleans and null are no secrets. The keys of an object are texts."""
    if isinstance(value, list | tuple):
        return any(map(may_be_secret, value))
    return isinstance(value, str | Undisclosed) or (isinstance(value, Mapping) and bool(value))


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
    telling = _telling_part(key)
    return any(fnmatchcase(telling, pattern) for pattern in chosen.intersection(DEFAULT_SENSITIVE_KEYS))


def _telling_part(key: str) -> str:
    """Return a key in snake case, without the words that only look like a default pattern."""
    words = _HARMLESS_WORDS.sub("", _CAPITAL.sub("_", key).lower().replace("-", "_"))
    return words if _CREDENTIALS.search(words) else _MODEL_TOKENS.sub("", words)
