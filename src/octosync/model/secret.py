"""A secret string that shows itself to nobody by accident."""

from __future__ import annotations

_SHOWN = 4
_SHOWN_FROM = 16


class Secret:
    """Wraps a string so that no repr, format, log record or traceback carries it; `reveal` is the one way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the string itself, for the header that needs it."""
        return self._value

    def ending(self) -> str:
        """Return `…a91f`, by which a person tells keys apart; "" for a secret so short that this would give it away."""
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
