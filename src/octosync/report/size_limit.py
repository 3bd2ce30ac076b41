"""The size limit of a document: parts that do not fit are shown in a shorter form or omitted, and counted at their place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

MAX_BYTES: Final = 60_000  # of Markdown: a comment on GitHub takes 65,536 characters

_BETWEEN: Final = "\n\n"
_NOTE_ROOM: Final = 240  # bytes that are kept free for the note
_GAP_ROOM: Final = 120  # bytes that are kept free for the count of what is omitted of a rank


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a document: its forms, the longest first. Parts of a lower rank have precedence.

    If not all parts of a rank fit, those of higher ranks are omitted, and of this rank only the first are shown, in their
    shortest form, after the parts of lower ranks got their longest.
    """

    rank: int
    forms: tuple[str, ...]


Note = Callable[[Sequence[int | None]], str]
Gap = Callable[[Sequence[int]], str]


def _no_gap(_: Sequence[int]) -> str:
    return ""


def fit_parts(parts: Sequence[Part], most: int, note: Note, *, gap: Gap = _no_gap, ordered: range = range(0)) -> str:
    """Return the parts, separated by empty lines, in at most `most` bytes of UTF-8.

    `note` gets the index of each part's form, None for an omitted one, and returns a note about what was shortened; it is
    added after the parts if there is room. `gap` gets the indexes of successive parts of a rank that are omitted, and returns
    the text in their place. The last of the ranks in `ordered` gets only what all others leave, and more than its shortest
    forms only if the others have their longest. If not even the shortest forms of the first rank fit, the text is empty.
    """
    whole = _joined(part.forms[0] for part in parts)
    if len(whole.encode()) <= most:
        return whole
    chosen = _FormSelection(parts, most)
    chosen.select(ordered)
    texts = list(_shown(parts, chosen.forms, gap))
    shown = [text for text, is_gap in texts if not is_gap]
    every = [text for text, _ in texts]
    noted = note(chosen.forms)
    for fitting in ((*every, noted), every, (*shown, noted)):
        if shown and len((text := _joined(fitting)).encode()) <= most:
            return text
    return _joined(shown)


def _shown(parts: Sequence[Part], forms: Sequence[int | None], gap: Gap) -> Iterator[tuple[str, bool]]:
    """Yield the text of each part that is shown, and of each gap."""
    for (is_omitted, _), group in groupby(
        range(len(parts)), key=lambda at: (forms[at] is None, parts[at].rank if forms[at] is None else None)
    ):
        places = list(group)
        if is_omitted:
            yield gap(places), True
        else:
            yield from ((parts[at].forms[forms[at] or 0], False) for at in places)


class _FormSelection:
    """The form in which each part is shown, and the bytes that are left."""

    def __init__(self, parts: Sequence[Part], most: int) -> None:
        self._parts = parts
        # Each part counts with the separator after it; the last has a line break instead.
        self._left = most + len(_BETWEEN) - 1
        self._order = sorted(range(len(parts)), key=lambda at: parts[at].rank)
        self.forms: list[int | None] = [None] * len(parts)

    def select(self, ordered: range) -> None:
        """Choose the forms; `ordered` is as in `fit_parts`."""
        last = ordered[-1] if ordered else None
        rank = [part.rank for part in self._parts]
        first = [at for at in self._order if rank[at] != last]
        self._take_shortest(first, _NOTE_ROOM + len(ordered) * _GAP_ROOM)
        if not self._order or self.forms[self._order[0]] is None:
            return  # not even the first rank fits
        before = [at for at in first if last is None or rank[at] < last]
        self._lengthen(before)
        self._fill(before)
        if last is None:
            return
        bulk = [at for at in self._order if rank[at] == last]
        self._fill(bulk)
        if all(self.forms[at] == 0 for at in before if rank[at] in ordered):
            self._lengthen(bulk)
        after = [at for at in first if rank[at] > last]
        self._lengthen(after)
        self._fill(after)

    def _take_shortest(self, order: Sequence[int], room: int) -> None:
        """Take parts in their shortest form, rank by rank, while they fit.

        After the first rank, `room` is reserved for the note and the gaps, if there is enough.
        """
        for number, (_, group) in enumerate(groupby(order, key=lambda at: self._parts[at].rank)):
            if number == 1 and self._left > 2 * room:
                self._left -= room
            places = list(group)
            size = sum(self._size(at, len(self._parts[at].forms) - 1) for at in places)
            if size > self._left:
                return
            self._left -= size
            for at in places:
                self.forms[at] = len(self._parts[at].forms) - 1

    def _lengthen(self, order: Sequence[int]) -> None:
        """Give each chosen part its longest form that fits, in order."""
        for at in order:
            shortest = self.forms[at]
            for form in range(shortest or 0):
                more = self._size(at, form) - self._size(at, shortest or 0)
                if more <= self._left:
                    self._left -= more
                    self.forms[at] = form
                    break

    def _fill(self, order: Sequence[int]) -> None:
        """Take omitted parts in order while they fit."""
        for at in order:
            if self.forms[at] is None:
                shortest = len(self._parts[at].forms) - 1
                size = self._size(at, shortest)
                if size > self._left:
                    return
                self._left -= size
                self.forms[at] = shortest

    def _size(self, at: int, form: int) -> int:
        text = self._parts[at].forms[form]
        return len(text.encode()) + len(_BETWEEN) if text else 0


def _joined(texts: Iterable[str]) -> str:
    shown = list(filter(None, texts))
    return _BETWEEN.join(shown) + "\n" if shown else ""
