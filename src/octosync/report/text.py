"""Plain text: what comes from manifests and the control plane, made safe to show, and how wide it is on a screen.

Whatever a report shows passes through `visible` first: an escape sequence in an app's description must not reach the
terminal as one. Widths are rich's tables, not what a terminal answers, so that the same input gives the same bytes everywhere.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final

from rich.cells import cell_len

from octosync.model import ELLIPSIS

# Joiners are parts of words and emoji, not orders to the terminal.
_JOINERS: Final = frozenset("\u200c\u200d")
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_NAMED: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    """Return the text with everything that a terminal would act on, or hide, written as an escape; on one line."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    if unicodedata.category(character) not in _UNSAFE or character in _JOINERS:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def cells(text: str) -> int:
    """Return how many columns of a screen a visible text takes: wide characters two, combining ones none."""
    return len(text) if text.isascii() else cell_len(text)


def padded(text: str, width: int) -> str:
    """Fill a text with spaces up to a width in columns; a wider one is left as it is."""
    return text + " " * (width - cells(text))


def cut(text: str, width: int | None) -> str:
    """Cut a visible text to so many columns, with an ellipsis for what is gone; None: no limit."""
    if width is None or cells(text) <= width:
        return text
    kept, room = "", max(0, width - 1)
    for character in text:
        room -= cell_len(character)
        if room < 0:
            break
        kept += character
    return kept + ELLIPSIS


def text_of(lines: Iterable[str]) -> str:
    """Join lines into a report: none of them ends in spaces, the last ends in a line break."""
    return "".join(f"{line.rstrip()}\n" for line in lines)
