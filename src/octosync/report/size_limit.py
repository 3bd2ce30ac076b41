"""The size limit of a document: parts that do not fit are shown in a shorter form or omitted, and never cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

_BETWEEN: Final = "\n\n"
_NOTE_ROOM: Final = 240  # bytes that are kept free for the note


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a document: its forms, the longest first. Parts of a lower rank have precedence.

    If not all parts of a rank fit, those of higher ranks are omitted, and of this rank only the first are shown, in their
    shortest form, after the parts of lower ranks got their longest.
    """

    rank: int
    forms: tuple[str, ...]


Note = Callable[[Sequence[int | None]], str]


def fit_parts(parts: Sequence[Part], most: int, note: Note) -> str:
    """Return the parts, separated by empty lines, in at most `most` bytes of UTF-8.

    `note` gets the index of each part's form, None for an omitted one, and returns a note about what was shortened; it is
    added after the parts if there is room. If not even the shortest forms of the first rank fit, the text is empty.
    """
    whole = _joined(part.forms[0] for part in parts)
    if len(whole.encode()) <= most:
        return whole
    chosen = _FormSelection(parts, most)
    chosen.take_shortest()
    chosen.lengthen()
    chosen.fill()
    shown = [parts[at].forms[form] for at, form in enumerate(chosen.forms) if form is not None]
    noted = _joined((*shown, note(chosen.forms)))
    return noted if shown and len(noted.encode()) <= most else _joined(shown)


class _FormSelection:
    """The form in which each part is shown, and the bytes that are left."""

    def __init__(self, parts: Sequence[Part], most: int) -> None:
        self._parts = parts
        # Each part counts with the separator after it; the last has a line break instead.
        self._left = most + len(_BETWEEN) - 1
        self._order = sorted(range(len(parts)), key=lambda at: parts[at].rank)
        self.forms: list[int | None] = [None] * len(parts)

    def take_shortest(self) -> None:
        """Take all parts in their shortest form, rank by rank, while they fit.

        After the first rank, room is reserved for the note, if there is enough.
        """
        for number, (_, group) in enumerate(groupby(self._order, key=lambda at: self._parts[at].rank)):
            if number == 1 and self._left > 2 * _NOTE_ROOM:
                self._left -= _NOTE_ROOM
            places = list(group)
            size = sum(self._size(at, len(self._parts[at].forms) - 1) for at in places)
            if size > self._left:
                return
            self._left -= size
            for at in places:
                self.forms[at] = len(self._parts[at].forms) - 1

    def lengthen(self) -> None:
        """Give each chosen part its longest form that fits, the first ranks first."""
        for at in self._order:
            shortest = self.forms[at]
            for form in range(shortest or 0):
                more = self._size(at, form) - self._size(at, shortest or 0)
                if more <= self._left:
                    self._left -= more
                    self.forms[at] = form
                    break

    def fill(self) -> None:
        """Take omitted parts in their order while they fit."""
        if self._order and self.forms[self._order[0]] is None:
            return  # not even the first rank fits
        for at in self._order:
            if self.forms[at] is None:
                shortest = len(self._parts[at].forms) - 1
                self._left -= self._size(at, shortest)
                if self._left < 0:
                    return
                self.forms[at] = shortest

    def _size(self, at: int, form: int) -> int:
        text = self._parts[at].forms[form]
        return len(text.encode()) + len(_BETWEEN) if text else 0


def _joined(texts: Iterable[str]) -> str:
    shown = list(filter(None, texts))
    return _BETWEEN.join(shown) + "\n" if shown else ""
