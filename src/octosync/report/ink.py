"""Ink: colour for those who see it. It never carries a meaning that the words don't."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ink:
    """Paints text with the terminal's own sixteen colours, or leaves it as it is."""

    colour: bool

    def red(self, text: str) -> str:
        """Paint what stops, fails or destroys."""
        return self._paint("31", text)

    def green(self, text: str) -> str:
        """Paint what is new or went well."""
        return self._paint("32", text)

    def yellow(self, text: str) -> str:
        """Paint what changes or warns."""
        return self._paint("33", text)

    def cyan(self, text: str) -> str:
        """Paint what is just worth knowing."""
        return self._paint("36", text)

    def bold(self, text: str) -> str:
        """Stress the name of a group."""
        return self._paint("1", text)

    def dim(self, text: str) -> str:
        """Step back: places and reasons."""
        return self._paint("2", text)

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text else text
