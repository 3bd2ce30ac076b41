"""What counts as sensitive, and what is shown in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from octosync.model.jsonvalue import JsonValue

SENSITIVE = "(sensitive)"
SENSITIVE_CHANGED = "(sensitive, changed)"

DEFAULT_SENSITIVE_KEYS = ("*key*", "*token*", "*secret*", "*password*", "authorization")

# Contract and manifest keys that the patterns catch by their letters only.
_NEVER_SENSITIVE = frozenset(
    {"binding_key", "deployment_key", "max_tokens", "bindingkey", "deploymentkey", "maxtokens", "keyboard_prediction"}
)


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Which keys hold values that are never shown: shell patterns, matched without regard to case."""

    patterns: tuple[str, ...] = DEFAULT_SENSITIVE_KEYS

    def covers(self, key: str) -> bool:
        """Say whether a value under this key is never shown, whatever is nested in it."""
        lowered = key.lower()
        if lowered in _NEVER_SENSITIVE:
            return False
        return any(fnmatchcase(lowered, pattern.lower()) for pattern in self.patterns)

    def covers_path(self, path: tuple[str | int, ...]) -> bool:
        """Say whether any key on the path is sensitive."""
        return any(isinstance(key, str) and self.covers(key) for key in path)

    def occurs_in(self, value: JsonValue) -> bool:
        """Say whether a sensitive key occurs at any depth."""
        if isinstance(value, Mapping):
            return any(self.covers(key) or self.occurs_in(item) for key, item in value.items())
        if isinstance(value, list | tuple):
            return any(map(self.occurs_in, value))
        return False

    def redact(self, value: JsonValue, replacement: JsonValue = None) -> JsonValue:
        """Return the value with everything under a sensitive key replaced, at any depth."""
        if isinstance(value, Mapping):
            return {
                key: replacement if self.covers(key) else self.redact(item, replacement) for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.redact(item, replacement) for item in value]
        return value
