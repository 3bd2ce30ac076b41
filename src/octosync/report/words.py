"""Words: counts, values and reasons as people read them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from octosync.contract import SLOT, preset_of
from octosync.model import ELLIPSIS, SENSITIVE, SENSITIVE_CHANGED, JsonObject, JsonValue, Reason, Sensitivity, clipped
from octosync.plan import Absent, ControlPlane, FieldChange, LastChange
from octosync.report.text import visible

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
