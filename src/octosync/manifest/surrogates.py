"""Surrogate pairs: JSON writes 😀 as two escapes, which libyaml refuses one by one.

The pair is replaced, before parsing, by one escape of the same length, so that no column moves: ten characters for the
code point, and two for an escape that stands for a control character, dropped again from the scalar. Outside double
quotes, where the twelve characters are text, they are put back.
"""

from __future__ import annotations

import re
from bisect import bisect_left

_PAIR = re.compile(r"(?<!\\)((?:\\\\)*)(\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2}))")
# Escapes of control characters, and what they stand for; one that the text itself does not use in any spelling marks ours.
_FILLERS = {"\\e": "\x1b", "\\a": "\x07", "\\v": "\x0b", "\\0": "\x00", "\\f": "\x0c", "\\b": "\x08"}


def _spellings(filler: str) -> tuple[str, ...]:
    code = ord(_FILLERS[filler])
    return (filler, f"\\x{code:02x}", f"\\u{code:04x}", f"\\U{code:08x}")


class Joined:
    """A text with its surrogate pairs joined, and the way back."""

    def __init__(self, text: str) -> None:
        self._filler = "\\e"
        self._places: list[int] = []
        self._written: list[str] = []
        self.text = text
        if "\\u" in text and _PAIR.search(text):
            lowered = text.lower()
            unused = (one for one in _FILLERS if not any(form.lower() in lowered for form in _spellings(one)))
            self._filler = next(unused, self._filler)
            self.text = self._join(text)
        self._escaped = re.compile(rf"\\U[0-9A-F]{{8}}{re.escape(self._filler)}")

    def __bool__(self) -> bool:
        return bool(self._places)

    def quoted(self, value: str) -> str:
        """Return the value of a double-quoted scalar."""
        return value.replace(_FILLERS[self._filler], "")

    def unquoted(self, value: str, start: int, end: int) -> str:
        """Return the value of any other scalar, which stands between two indices of the text."""
        first, end = bisect_left(self._places, start), bisect_left(self._places, end)
        if first == end:
            return value
        written: dict[str, list[str]] = {}
        for index in range(first, end):
            written.setdefault(self._escape(self._written[index]), []).append(self._written[index])
        # From the end, since a comment in the header of a block scalar may hold pairs, too.
        parts: list[str] = []
        until = len(value)
        for found in reversed(list(self._escaped.finditer(value))):
            if forms := written.get(found.group()):
                parts += value[found.end() : until], forms.pop()
                until = found.start()
        return "".join((value[:until], *reversed(parts)))

    def _join(self, text: str) -> str:
        # The pattern can't see pairs one right after another at once: the second has the first one's last digit before it,
        # which is no backslash, so each is found all the same.
        def join(found: re.Match[str]) -> str:
            self._places.append(found.start(2))
            self._written.append(found[2])
            return found[1] + self._escape(found[2])

        return _PAIR.sub(join, text)

    def _escape(self, written: str) -> str:
        high, low = int(written[2:6], 16), int(written[8:12], 16)
        return f"\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08X}{self._filler}"
