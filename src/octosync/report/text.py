"""Text of reports: safe characters, column widths, colour, bars, and the words for values, times and reasons.

All text from manifests and the control plane passes through `visible`, so that no escape sequence reaches a terminal. Widths
come from rich's tables, so that the same input gives the same bytes everywhere. Colours and bars only repeat the words.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from octosync.model import ELLIPSIS, SENSITIVE, SENSITIVE_CHANGED, JsonValue

if TYPE_CHECKING:
    from octosync.model import RunUnderWay
    from octosync.plan import Absent, ControlPlane, LastChange

# Joiners are parts of words and emoji, not control characters.
_JOINERS: Final = frozenset("\u200c\u200d")
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_NAMED: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    """Return the text on one line, with control and invisible characters written as escapes."""
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
    """Return the width of a visible text in columns: wide characters count two, combining ones none."""
    return len(text) if text.isascii() else _cell_len()(text)


@cache
def _cell_len() -> Callable[[str], int]:
    from rich.cells import cell_len

    return cell_len


def padded(text: str, width: int) -> str:
    """Return a text padded with spaces to a width in columns; a wider one is unchanged."""
    return text + " " * (width - cells(text))


def cut(text: str, width: int | None) -> str:
    """Return a visible text cut to `width` columns, with an ellipsis if it was longer; None is no limit."""
    if width is None or cells(text) <= width:
        return text
    kept, room = "", max(0, width - 1)
    for character in text:
        room -= cells(character)
        if room < 0:
            break
        kept += character
    return kept + ELLIPSIS


def text_of(lines: Iterable[str]) -> str:
    """Return lines as one text without trailing spaces, which ends in a line break."""
    return "".join(f"{line.rstrip()}\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Style:
    """How text for a terminal is drawn: with the sixteen ANSI colours or without, bars with block characters or in ASCII."""

    colour: bool
    blocks: bool = True

    def red(self, text: str) -> str:
        """Return the text in the colour of errors and destructive changes."""
        return self._paint("31", text)

    def green(self, text: str) -> str:
        """Return the text in the colour of creation and success."""
        return self._paint("32", text)

    def yellow(self, text: str) -> str:
        """Return the text in the colour of updates and warnings."""
        return self._paint("33", text)

    def cyan(self, text: str) -> str:
        """Return the text in the colour of information."""
        return self._paint("36", text)

    def bold(self, text: str) -> str:
        """Return the text in bold, for headings."""
        return self._paint("1", text)

    def dim(self, text: str) -> str:
        """Return the text dimmed, for positions and reasons."""
        return self._paint("2", text)

    def gauge(self, share: float | None) -> str:
        """Return a bar of a share, and its percentage."""
        return f"{bar(share, blocks=self.blocks)} {percent_words(share)}"

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text else text


_WIDTH: Final = 10
_EIGHTHS: Final = "▏▎▍▌▋▊▉"


def bar(share: float | None, *, blocks: bool, width: int = _WIDTH) -> str:
    """Return the bar of a share (0 to 1), blank for an unknown one; in ASCII without `blocks`.

    Only a share of 1 looks full, and only a share of 0 looks empty.
    """
    if share is None or not math.isfinite(share):
        return " " * width
    parts = min(max(share, 0.0), 1.0) * width * 8
    eighths = width * 8 if share >= 1 else 0 if share <= 0 else min(max(round(parts), 1), width * 8 - 1)
    if not blocks:
        hashes = width if share >= 1 else 0 if share <= 0 else min(max(round(parts / 8), 1), width - 1)
        return "#" * hashes + "." * (width - hashes)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest - 1] if rest else "")).ljust(width, "░")


def percent_words(share: float | None) -> str:
    """Return a share as a right-aligned whole percentage, 0 or 100 only if exact: `  0%`, ` 78%`, `100%`."""
    if share is None or not math.isfinite(share):
        return "  ?%"
    percent = 100 if share >= 1 else 0 if share <= 0 else min(max(round(share * 100), 1), 99)
    return f"{percent:>3}%"


def share_of(part: int | None, whole: int | None) -> float | None:
    """Return a part of a whole as a share; None if either is unknown, or the whole is 0."""
    return part / whole if part is not None and whole else None


NONE: Final = "(none)"
LIMIT: Final = 60  # characters of a value, unless the report is full

# A string that needs no quotes: it contains no space, and is not mistaken for another type, a list or an object.
_BARE: Final = re.compile(r"(?!(?:true|false|null)$)[^\W\d][\w./:@+-]*|[@/.][\w./:@+-]+")


def last_change_words(last: LastChange) -> str:
    """Return the author, time and type of the last change, of the app if the feed does not name the object."""
    event = last.event
    what = "last change of the app by" if last.of_app else "last changed by"
    type_ = f" ({visible(event.type)})" if event.type else ""
    return f"{what} {visible(event.actor or '?')}, {time_words(event.at)}{type_}"


def time_words(at: datetime | None) -> str:
    """Return a time to the minute, in UTC: `2026-03-01 14:02 UTC`."""
    return "at an unknown time" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def seconds_words(seconds: float | None) -> str:
    """Return a duration: `34 ms`, `1.2 s`, `48 s`, `3 min 20 s`, `2 h 5 min`; a dash if it is unknown."""
    if seconds is None:
        return "-"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


_ORG_LENGTH: Final = 8


def org_words(org_id: str) -> str:
    """Return the first characters of an org's ID, which people know it by."""
    return visible(org_id[:_ORG_LENGTH])


def about_seconds_words(seconds: float) -> str:
    """Return an estimated duration, rounded up: `about 40 s`, `about 9 min`, `about 2 h 5 min`."""
    if seconds < 60:
        return f"about {max(1, math.ceil(seconds))} s"
    minutes = math.ceil(seconds / 60)
    return f"about {minutes} min" if minutes < 120 else f"about {minutes // 60:,} h {minutes % 60} min"


_COMMIT: Final = 7  # characters of a commit's ID


def under_way_words(run: RunUnderWay) -> str:
    """Name a run: `run 20261130T145412Z-3fa9c1 by ana on runner-7, commit 0a1b2c3, since 2026-11-30 14:54:12 UTC`."""
    commit = f", commit {run.revision[:_COMMIT]}" if run.revision else ""
    return visible(f"run {run.run} by {run.actor} on {run.host}{commit}, since {run.since:%Y-%m-%d %H:%M:%S} UTC")


def plane_words(plane: ControlPlane) -> str:
    """Return the name of a control plane: `production (api.octomil.com, org 8f1c)`."""
    where = f"{plane.host}, org {org_words(plane.org_id)}" if plane.org_id is not None else plane.host
    return visible(f"{plane.context} ({where})" if plane.context is not None else where)


def listed(items: Iterable[str], *, at_most: int) -> str:
    """Return at most `at_most` items, and the number of the rest."""
    words = tuple(items)
    more = len(words) - at_most
    return ", ".join(words) if more <= 0 else f"{', '.join(words[:at_most])} and {more:,} more"


def value_words(value: JsonValue | Absent, names: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return a value in an unambiguous short form: `auto`, `[coreml, mlx]`, `{max_tokens: 512}`, `"two words"`.

    `names` are the names of keys that are shown as others.
    """
    if isinstance(value, str):
        return visible(_text(value))
    if isinstance(value, Mapping):
        fields = (f"{key_words(names.get(key, key))}: {value_words(value[key], names)}" for key in sorted(value))
        return "{" + ", ".join(fields) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(value_words(item, names) for item in value) + "]"
    from octosync.plan import Absent

    return NONE if isinstance(value, Absent) else json.dumps(value)


def key_words(name: str) -> str:
    """Return a key, quoted if necessary: `""`, `"two words"`."""
    return visible(_text(name))


def _text(value: str) -> str:
    if _BARE.fullmatch(value) or value in {SENSITIVE, SENSITIVE_CHANGED}:
        return value
    return json.dumps(value, ensure_ascii=False)
