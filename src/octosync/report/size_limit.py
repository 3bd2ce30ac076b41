"""Fitting: a document of whole parts within a number of bytes. What does not fit gets shorter, or is left out; nothing is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

_BETWEEN: Final = "\n\n"
_NOTE_ROOM: Final = 240  # bytes that are kept free for the note


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a document: its forms, the fullest first. The lower the rank, the later it gives way.

    Where not all parts of a rank find room, those of higher ranks are left out, and of its own only the first are there, in
    the shortest form: what comes before them is told in full first.
    """

    rank: int
    forms: tuple[str, ...]


Note = Callable[[Sequence[int | None]], str]


def fit_parts(parts: Sequence[Part], most: int, note: Note) -> str:
    """Join parts with an empty line between two, in at most so many bytes of UTF-8.

    `note` says what was shortened: it gets the index of each part's form, None for one that was left out, and its answer
    comes after all parts, where there is room. Where not even the shortest form of the first rank fits, the text is empty.
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
    """Which form of each part is shown, and how many bytes are left."""

    def __init__(self, parts: Sequence[Part], most: int) -> None:
        self._parts = parts
        self._left = (
            most + len(_BETWEEN) - 1
        )  # each part counts with what stands after it; after the last, a line break
        self._order = sorted(range(len(parts)), key=lambda at: parts[at].rank)
        self.forms: list[int | None] = [None] * len(parts)

    def take_shortest(self) -> None:
        """Take all parts of a rank in their shortest form, one rank after the other, while they fit.

        Once the first rank has its place, room is kept for the note, where that leaves any.
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
        """Give each part that is there the fullest form that still fits, the first ranks first."""
        for at in self._order:
            shortest = self.forms[at]
            for form in range(shortest or 0):
                more = self._size(at, form) - self._size(at, shortest or 0)
                if more <= self._left:
                    self._left -= more
                    self.forms[at] = form
                    break

    def fill(self) -> None:
        """Take of what was left out as much as there is room for now, in its order."""
        if self._order and self.forms[self._order[0]] is None:
            return  # not even the first rank has its place
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
