"""Plain text: what comes from manifests and the control plane, made safe to show, and how wide it is on a screen.

Whatever a report shows passes through `visible` first: an escape sequence in an app's description must not reach the
terminal as one. Widths are rich's tables, not what a terminal answers, so that the same input gives the same bytes everywhere.

Ink: colour for those who see it. It never carries a meaning that the words don't.

Bars and shares: how much of a whole, to look at. The words beside a bar say the same, for those who can't see it.

Words: counts, values and reasons as people read them.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from rich.cells import cell_len

from octosync.contract import SLOT, preset_of
from octosync.model import ELLIPSIS, SENSITIVE, SENSITIVE_CHANGED, JsonObject, JsonValue, Reason, Sensitivity, clipped
from octosync.plan import Absent, ControlPlane, FieldChange, LastChange

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


@dataclass(frozen=True, slots=True)
class Style:
    """How text for a terminal is drawn: with the sixteen ANSI colours or without, bars with block characters or in ASCII."""

    colour: bool
    blocks: bool = True

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

    def gauge(self, share: float | None) -> str:
        """Return a bar of a share, and its percentage."""
        return f"{bar(share, blocks=self.blocks)} {percent_words(share)}"

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text else text


_WIDTH: Final = 10
_EIGHTHS: Final = "▏▎▍▌▋▊▉"


def bar(share: float | None, *, blocks: bool, width: int = _WIDTH) -> str:
    """Draw a share (0 to 1) so many columns wide; blank for an unknown one. `blocks` False: in ASCII.

    Nothing looks full that isn't, and nothing empty that isn't.
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
    """Write a share as a whole percentage, right-aligned, that is 0 or 100 for just that: `  0 %`, ` 78 %`, `100 %`."""
    if share is None or not math.isfinite(share):
        return "  ? %"
    percent = 100 if share >= 1 else 0 if share <= 0 else min(max(round(share * 100), 1), 99)
    return f"{percent:>3} %"


def share_of(part: int | None, whole: int | None) -> float | None:
    """Return a part of a whole as a share; None where either is unknown, or the whole is nothing."""
    return part / whole if part is not None and whole else None


NONE: Final = "(none)"
LIMIT: Final = 60  # characters of a value, unless all of it is asked for

# A text that reads as itself: no space, nothing that could be taken for another type, a list or an object.
_BARE: Final = re.compile(r"(?!(?:true|false|null)$)[^\W\d][\w./:@+-]*|[@/.][\w./:@+-]+")

_REASONS: Final[Mapping[Reason, str]] = {
    Reason.NEW: "",
    Reason.MANIFEST_CHANGED: "changed in the manifest",
    Reason.DRIFT: "drift: changed on the control plane",
    Reason.DIVERGED: "changed in the manifest and on the control plane",
    Reason.DIFFERS: "differs from the manifest",
    Reason.REMOVED: "no longer in the manifest",
    Reason.MOVED: "moves",
    Reason.NOT_DEPLOYED: "not deployed",
    Reason.BETTER_VARIANT: "a better variant is available",
}


def reason_words(reason: Reason) -> str:
    """Say why an action is planned; "" where its symbol says it all."""
    return _REASONS[reason]


def last_change_words(last: LastChange) -> str:
    """Say who made the last change, when, and by which event; of the app, where the feed does not say more."""
    event = last.event
    what = "last change of the app by" if last.of_app else "last changed by"
    facts = ", ".join(visible(part) for part in (event.type, event.id) if part)
    return f"{what} {visible(event.actor or '?')}, {time_words(event.at)} ({facts})"


def time_words(at: datetime | None) -> str:
    """Write a time to the minute, in UTC: `2026-03-01 14:02 UTC`."""
    return "at an unknown time" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def seconds_words(seconds: float | None) -> str:
    """Write how long something took: `34 ms`, `1.2 s`, `48 s`, `3 min 20 s`, `2 h 5 min`; a dash where it isn't known."""
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


def plane_words(plane: ControlPlane) -> str:
    """Name a control plane: `production (api.octomil.com, org 8f1c)`."""
    where = f"{plane.host}, org {plane.org_id}" if plane.org_id is not None else plane.host
    return visible(f"{plane.context} ({where})" if plane.context is not None else where)


def listed(items: Iterable[str], *, at_most: int) -> str:
    """List a few items, and say how many more there are."""
    every = tuple(items)
    more = len(every) - at_most
    return ", ".join(every) if more <= 0 else f"{', '.join(every[:at_most])} and {more:,} more"


def value_words(value: JsonValue | Absent) -> str:
    """Write a value in as few signs as leave no doubt: `auto`, `[coreml, mlx]`, `{max_tokens: 512}`, `"two words"`."""
    if isinstance(value, Absent):
        return NONE
    if isinstance(value, str):
        return visible(_text(value))
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key_words(key)}: {value_words(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(value_words, value)) + "]"
    return json.dumps(value)


def key_words(name: str) -> str:
    """Write a key as it is, quoted where it would not read as one: `""`, `"two words"`."""
    return visible(_text(name))


def _text(value: str) -> str:
    if _BARE.fullmatch(value) or value in {SENSITIVE, SENSITIVE_CHANGED}:
        return value
    return json.dumps(value, ensure_ascii=False)


def change_words(change: FieldChange, sensitivity: Sensitivity, *, limit: int | None) -> str:
    """Write one field's change: `auto → local_only`, both sides clipped around their first difference."""
    before, after = change.before, change.after
    hidden = [not isinstance(side, Absent) and sensitivity.hides_at(change.path, side) for side in (before, after)]
    if all(hidden):
        return SENSITIVE_CHANGED
    before, after = (SENSITIVE if hides else side for hides, side in zip(hidden, (before, after), strict=True))
    old, new = _hidden(before, sensitivity, SENSITIVE), _hidden(after, sensitivity, SENSITIVE)
    if value_words(old) == value_words(new):
        new = _hidden(after, sensitivity, SENSITIVE_CHANGED)
    return _both(value_words(old), value_words(new), limit)


def brief(fields: JsonObject, sensitivity: Sensitivity, *, limit: int | None, preset: str | None = None) -> str:
    """Write an object in one line, without what is default anyway: `serving_policy local_first · bindings [{…}]`.

    `preset` is what its serving policy is called, where somebody said so.
    """
    shown = []
    for name, value in fields.items():
        if value is None or (name in SLOT.defaults and value == SLOT.defaults[name]):
            continue
        called = preset or preset_of(value) if name == "serving_policy" else None
        words = called or _safe_words(name, value, sensitivity)
        shown.append((_SHOWN_FIRST.get(name, len(_SHOWN_FIRST)), name, words))
    return _in_one_line(((name, words) for _, name, words in sorted(shown)), limit)


def brief_opaque(value: JsonObject, sensitivity: Sensitivity, *, limit: int | None) -> str:
    """Write an object whose keys are not ours in one line: every key of it, since none has a meaning or a default."""
    shown = ((sensitivity.shown_key(name), _safe_words(name, value[name], sensitivity)) for name in sorted(value))
    return _in_one_line(shown, limit)


def _in_one_line(shown: Iterable[tuple[str, str]], limit: int | None) -> str:
    return " · ".join(f"{key_words(name)} {clipped(words, limit)}" for name, words in shown)


def _safe_words(name: str, value: JsonValue, sensitivity: Sensitivity) -> str:
    return value_words(SENSITIVE if sensitivity.hides(name, value) else sensitivity.redact(value, SENSITIVE))


_SHOWN_FIRST: Final = {name: rank for rank, name in enumerate(("name", "description", *SLOT.writable))}


def _hidden(value: JsonValue | Absent, sensitivity: Sensitivity, replacement: str) -> JsonValue | Absent:
    return value if isinstance(value, Absent) else sensitivity.redact(value, replacement)


def _both(before: str, after: str, limit: int | None) -> str:
    if limit is None or max(len(before), len(after)) <= limit:
        return f"{before} → {after}"
    # Cutting both at the same length could leave two equal heads: start a little before they part.
    shorter = min(len(before), len(after))
    common = next((at for at in range(shorter) if before[at] != after[at]), shorter)
    start = max(0, common - limit // 3) if common > limit // 2 else 0
    return " → ".join(_window(side, start, limit) for side in (before, after))


def _window(text: str, start: int, limit: int) -> str:
    if len(text) <= limit:
        return text
    cut = f"{ELLIPSIS if start else ''}{text[start : start + limit]}{ELLIPSIS if start + limit < len(text) else ''}"
    return f"{cut} ({len(text):,} characters)"
