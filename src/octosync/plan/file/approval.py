"""Approvals: a saved plan shows what was approved. It is never an authority.

`octosync apply FILE` takes manifests, base and everything else from the command line and octosync.yaml, plans again, and
continues only if nothing relevant differs from the file. The new plan is always the one that is applied, so a file that was
changed can stop a run and never steer it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from pydantic import ValidationError

from octosync.errors import PlanFileError, StalePlan
from octosync.model import JsonObject, JsonValue, Optimize, canonical_json, clipped, json_equal
from octosync.plan.actions import PLAN_KEY, Absent, FingerprintScheme, field_changes, value_at
from octosync.plan.file.schema import FORMAT_VERSION, NO_OP, PlanDocument
from octosync.plan.plan import Invocation

_AGAIN: Final = ("Make the plan again: octosync plan … --plan-out FILE",)
# What an approval approves beside its rows: label, place in the document.
_WHOLE: Final = (
    ("control plane", ("control_plane", "url")),
    ("org", ("control_plane", "org_id")),
)
# What is compared of a part of the document that is missing as a whole.
_NEEDED: Final = {
    "control_plane": "control_plane.url",
    "manifests": "manifests.digest",
    "fingerprinting": "fingerprinting.key_check",
}
_NO_INVOCATION: Final = "its `invocation` is incomplete"
_OPTIMIZE: Final = frozenset({None, *(level.value for level in Optimize)})
_MOST_LEVELS: Final = 100  # live values may be nested, too
_CLIP: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A plan that was saved: what it was made from, and the whole document.

    `base_commit` is the commit of the base that it was made with. `key_check` identifies the key of its
    fingerprints, None for none.
    """

    invocation: Invocation
    document: JsonObject
    base_commit: str | None = None
    key_check: str | None = None

    @property
    def apps(self) -> frozenset[str]:
        """The apps that the approved plan changes."""
        return frozenset(address.partition("/")[2].partition("/")[0] for address, _ in _rows_of(self.document))


def read_approval(text: str | bytes, *, file: str, octosync_version: str) -> Approval:
    """Read what `--plan-out` wrote; `file` is its name for people.

    Raises `PlanFileError` for what is no whole plan, or the plan of a read that failed; `StalePlan` for a plan of another
    format or another octosync version, which may mean other actions by the same words.
    """
    document = _parse(text, file)
    _check_versions(document, octosync_version, file)
    plan = _validated(document, file)
    if plan.errored:
        raise PlanFileError(
            "plan-was-errored",
            f"{file}: some apps could not be read when this plan was made, so it approves nothing",
            hints=_AGAIN,
        )
    asked, git = plan.invocation, plan.manifests.git
    sets = {name: tuple(getattr(asked, name)) for name in ("paths", "apps", "objects")}
    return Approval(
        invocation=Invocation(**{**asked.model_dump(), **sets}),
        document=document,
        base_commit=None if git is None else git.base,
        key_check=plan.fingerprinting.key_check,
    )


def _check_versions(document: JsonObject, octosync_version: str, file: str) -> None:
    version, maker = document.get("format_version"), document.get("octosync_version")
    if not isinstance(version, str) or not isinstance(maker, str):
        raise _not_a_plan(file, "it lacks `format_version` and `octosync_version`")
    if version.partition(".")[0] != FORMAT_VERSION.partition(".")[0]:
        raise StalePlan(
            "plan-of-another-format",
            f"{file}: a plan of format {version}; this octosync reads {FORMAT_VERSION}",
            hints=_AGAIN,
        )
    if maker != octosync_version:
        raise StalePlan(
            "plan-of-another-version",
            f"{file}: made by octosync {maker}, and this is {octosync_version}",
            hints=(f"Apply it with octosync {maker}, or make the plan again with this one.",),
        )


def _validated(document: JsonObject, file: str) -> PlanDocument:
    """Return the document as the model that it was written from. Raises `PlanFileError` if it doesn't fit."""
    try:
        plan = PlanDocument.model_validate(document)
    except ValidationError as error:
        raise _not_a_plan(file, _misfit(error)) from None
    if plan.invocation.optimize not in _OPTIMIZE:
        raise _not_a_plan(file, _NO_INVOCATION)
    seen: set[tuple[str, str]] = set()
    for index, row in enumerate(plan.resource_changes):
        address, actions = row.address, " ".join(row.change.actions)
        if not actions:
            raise _not_a_plan(file, f"its `resource_changes[{index}]` is no planned change")
        if (address, actions) in seen:
            raise _not_a_plan(file, f"it plans {actions} {address} twice")
        seen.add((address, actions))
    return plan


def _misfit(error: ValidationError) -> str:
    """Return what is wrong with a document: the first place that doesn't fit the model."""
    match error.errors()[0]["loc"]:
        case ("invocation", *_):
            return _NO_INVOCATION
        case ("resource_changes", int(index), *_):
            return f"its `resource_changes[{index}]` is no planned change"
        case (str(part),):
            return f"it lacks `{_NEEDED.get(part, part)}`"
        case place:
            return f"it lacks `{'.'.join(map(str, place))}`"


def check_plan_key(approval: Approval, scheme: FingerprintScheme, *, file: str) -> None:
    """Raise `StalePlan` if the plan's fingerprints were made with another key, or with one and now without, or vice versa."""
    then, now = approval.key_check, scheme.key_check
    if then == now:
        return
    if now is None:
        why, hint = f"was made with {PLAN_KEY}, which is not set here", f"Set {PLAN_KEY} to the same key."
    elif then is None:
        why, hint = f"was made without {PLAN_KEY}, which is set here", f"Make the plan with {PLAN_KEY} set as here."
    else:
        why, hint = f"was made with another {PLAN_KEY} than the one set here", f"Set {PLAN_KEY} to the same key."
    raise StalePlan("plan-of-another-key", f"{file} {why}", hints=(hint,))


def what_moved(approved: Approval, current: JsonObject) -> tuple[str, ...]:
    """Return every relevant difference between what was approved and what would be applied now, before and after.

    Empty: the same. Reasons, labels, sources, counts, times and costs are not relevant, nor is what no row contains: the same
    changes may follow from other manifests. An org that was not read is not relevant, either.
    """
    return tuple(_differences(approved.document, current))


def _differences(then: JsonObject, now: JsonObject) -> Iterator[str]:
    for label, place in _WHOLE:
        before, after = value_at(then, place), value_at(now, place)
        is_unread = label == "org" and after is None and value_at(now, ("cost", "requests_used")) == 0
        if not is_unread and not _same(before, after):
            yield _moved(label, before, after)
    approved, planned = _rows_of(then), _rows_of(now)
    for key in sorted({*approved, *planned}):
        name = f"{key[1]} {key[0]}"
        if key not in planned:
            yield f"{name}: approved, and no longer planned"
        elif key not in approved:
            yield f"{name}: planned now, and not approved"
        else:
            for part, before, after in _parts_that_differ(then, now, approved[key], planned[key]):
                yield _moved(f"{name}: {part}", before, after)


def _parts_that_differ(
    then: JsonObject, now: JsonObject, approved: JsonObject, planned: JsonObject
) -> Iterator[tuple[str, JsonValue | Absent, JsonValue | Absent]]:
    values = [
        *_value_differs("before", value_at(approved, ("change", "before")), value_at(planned, ("change", "before"))),
        *_value_differs("after", value_at(approved, ("change", "after")), value_at(planned, ("change", "after"))),
    ]
    yield from values
    address = str(planned["address"])
    others = [
        ("operation", value_at(approved, ("operation",)), value_at(planned, ("operation",))),
        ("previewed variant", value_at(approved, ("preview", "variant")), value_at(planned, ("preview", "variant"))),
    ]
    if not values:
        # All follow from the values; if those are the same, what differs is sensitive or undeclared.
        declared = ("fingerprinting", "declared", address)
        others += [
            ("fields", value_at(approved, ("change", "fields")), value_at(planned, ("change", "fields"))),
            ("fingerprint", value_at(then, ("fingerprints", address)), value_at(now, ("fingerprints", address))),
            ("sensitive values", value_at(then, declared), value_at(now, declared)),
        ]
    yield from ((part, before, after) for part, before, after in others if not _same(before, after))


def _value_differs(
    part: str, then: JsonValue | Absent, now: JsonValue | Absent
) -> Iterator[tuple[str, JsonValue | Absent, JsonValue | Absent]]:
    if _same(then, now):
        return
    changes = field_changes(then, now) if isinstance(then, Mapping) and isinstance(now, Mapping) else ()
    yield from ((f"{part} {'.'.join(change.path)}", change.before, change.after) for change in changes)
    if not changes:
        yield part, then, now


def _rows_of(document: JsonObject) -> dict[tuple[str, str], JsonObject]:
    """Return the rows of changes that apply makes: what is held or unchanged is not approved."""
    rows = document["resource_changes"]
    changes = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list | tuple) else []
    return {
        _key(row): row for row in changes if _key(row)[1] != NO_OP and not (row.get("held_until") or row.get("held"))
    }


def _key(row: JsonValue) -> tuple[str, str]:
    actions = value_at(row, ("change", "actions"))
    return str(value_at(row, ("address",))), " ".join(map(str, actions)) if isinstance(actions, list | tuple) else ""


def _parse(text: str | bytes, file: str) -> JsonObject:
    try:
        document = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except UnicodeDecodeError:
        raise _not_a_plan(file, "it is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        # A text that ends within a string is reported at the string's beginning.
        if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string"):
            raise _not_a_plan(file, "it is empty or cut off") from None
        where = f"line {error.lineno}, column {error.colno}"
        raise _not_a_plan(file, f"it is not JSON: {error.msg} at {where}") from None
    except (ValueError, RecursionError):
        raise _not_a_plan(file, "it has numbers that are too large, or exceeds the nesting depth of a plan") from None
    if not isinstance(document, dict):
        raise _not_a_plan(file, "it is not a JSON object")
    if _is_deeper(document, _MOST_LEVELS):
        raise _not_a_plan(file, "it has numbers that are too large, or exceeds the nesting depth of a plan")
    return document


def _is_deeper(value: JsonValue, levels: int) -> bool:
    """Return whether a value has more levels of objects and lists."""
    inner: list[JsonValue] = [value]
    for _ in range(levels + 1):
        inner = [
            item
            for outer in inner
            if isinstance(outer, dict | list)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(inner)


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"not a JSON number: {text}")


def _not_a_plan(file: str, why: str) -> PlanFileError:
    return PlanFileError("plan-file-unreadable", f"{file}: not a complete octosync plan: {why}", hints=_AGAIN)


def _same(left: JsonValue | Absent, right: JsonValue | Absent) -> bool:
    if isinstance(left, Absent) or isinstance(right, Absent):
        return left is right
    return json_equal(left, right)


def _moved(what: str, before: JsonValue | Absent, after: JsonValue | Absent) -> str:
    return f"{what}: {_shown(before)} → {_shown(after)}"


def _shown(value: JsonValue | Absent) -> str:
    if isinstance(value, Absent):
        return "(none)"
    text = value if isinstance(value, str) else canonical_json(value)
    return clipped(text, _CLIP)
