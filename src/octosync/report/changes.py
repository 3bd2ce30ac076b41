"""One app's planned changes as lines: a row per action, and under it what changes, is created or is lost.

Capabilities as lines: what enabling and optimizing would do, and the better variants that are only shown.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from octosync.contract import preset_of
from octosync.model import Address, App, Assignment, JsonObject, JsonValue, Kind, Origin, Reason, Sensitivity, counted
from octosync.plan import (
    Action,
    ActionKey,
    ArchiveApp,
    CreateApp,
    DeleteInferenceConfig,
    DeleteSlot,
    EnableCapability,
    FieldChange,
    Held,
    LastChange,
    OptimizeCapability,
    PutInferenceConfig,
    PutSlot,
    Recommendation,
    RegisterTarget,
    RemoveTarget,
    Verb,
    declared_of,
    needs_author,
    shown_changes,
)
from octosync.report.text import (
    LIMIT,
    Style,
    brief,
    brief_opaque,
    cells,
    change_words,
    key_words,
    last_change_words,
    padded,
    reason_words,
    time_words,
    visible,
)

_SEPARATOR = " · "


def enable_words(action: EnableCapability) -> Iterator[str]:
    """Yield what the orchestrator says that enabling would do, and why it chooses so."""
    preview = action.preview
    if preview is None:
        variant = f"deploys {visible(action.pin)}; " if action.pin is not None else ""
        yield f"{variant}no preview: {visible(action.no_preview)}" if action.no_preview else variant.rstrip("; ")
        return
    if preview.variant is None:
        yield "Octomil finds no variant for it"
    else:
        platforms = _platforms(preview.assignments) if preview.devices else ""
        shown = f" ({platforms})" if platforms else ""
        yield f"would deploy {visible(preview.variant)} to {counted(preview.devices, 'device')}{shown}"
    if preview.reason:
        yield f"because: {visible(preview.reason)}"
    yield from (f"warning: {visible(warning)}" for warning in preview.warnings)
    if action.preview_note:
        yield f"({visible(action.preview_note)})"


def optimize_words(action: OptimizeCapability) -> Iterator[str]:
    """Yield which variant a canary brings, and how much better it is."""
    before = (action.before or {}).get("model_variant_id")
    current = visible(str(before)) if before is not None else "what runs"
    yield f"canary {current} → {visible(action.suggested)}{improvement_words(action.check.improvement)}"
    if action.check.reason:
        yield f"because: {visible(action.check.reason)}"


def recommendation_lines(recommendations: Iterable[Recommendation]) -> Iterator[str]:
    """Yield the better variants that a plan does not roll out, and what an automatic rollout waits for."""
    for number, one in enumerate(recommendations):
        if not number:
            yield "Better variants, not rolled out by this plan:"
        current = visible(one.current) if one.current is not None else "what runs"
        suggested = visible(one.suggested) if one.suggested is not None else "another one"
        waiting = f"; waiting: {visible(one.waiting)}" if one.waiting else ""
        where = f"{visible(one.address.app)}/{visible(one.address.name)}"
        yield f"  {where}  {current} → {suggested}{improvement_words(one.improvement)}{waiting}"


def improvement_words(improvement: Mapping[str, JsonValue]) -> str:
    """Write how much better a variant is, each metric by its name: ` (latency 18 % better, quality 2 % worse)`."""
    parts = [f"{visible(metric)} {_percent(improvement[metric])}" for metric in sorted(improvement)]
    return f" ({', '.join(parts)})" if parts else ""


def _percent(value: JsonValue) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return visible(value if isinstance(value, str) else json.dumps(value))
    if not value:
        return "the same"
    return f"{abs(value) * 100:.3g} % {'better' if value > 0 else 'worse'}"


def _platforms(assignments: Iterable[Assignment]) -> str:
    """Sum devices by platform: `ios 900 · android 340`, most first."""
    counts: Counter[str] = Counter()
    for assignment in assignments:
        counts[assignment.platform or "unknown platform"] += assignment.devices
    return _SEPARATOR.join(
        f"{visible(name)} {count:,}" for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    )


SYMBOLS: Final = {
    Verb.CREATE: "+",
    Verb.UPDATE: "~",
    Verb.DELETE: "-",
    Verb.ARCHIVE: "x",
    Verb.ENABLE: "»",
    Verb.OPTIMIZE: "»",
}
_WIDEST: Final = 72  # columns for the left side; what is longer pushes its own line only
_NAME_WIDEST: Final = 48  # as wide as the longest path that the contract knows, within a policy's fallback
_LOST_DEVICES: Final = "loses its device assignments"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a group: what, where it is declared, and a remark; `details` are the lines under it."""

    left: str
    place: str
    remark: str
    verb: Verb | None
    destructive: bool = False
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """An app's rows under its name and the file that declares it."""

    slug: str
    file: str
    rows: tuple[Row, ...] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOptions:
    """How actions are shown as rows: `blocked` ones with a mark, long values whole if `full`, and who made `last_changes`."""

    sensitivity: Sensitivity
    full: bool = False
    blocked: frozenset[ActionKey] = frozenset()
    last_changes: Mapping[Address, LastChange] = field(default_factory=dict)


def group_of(
    slug: str,
    actions: Sequence[Action],
    app: App,
    options: RowOptions,
    *,
    unchanged: Sequence[Address] = (),
    held: Sequence[Held] = (),
) -> Group:
    """Return an app's group: a row for each of its actions, and of its `unchanged` and `held` objects."""
    every = (*actions, *(one.action for one in held))
    origins = [origin for origin in (app.origin, *(action.origin for action in every)) if origin is not None]
    file = origins[0].file if origins else ""
    rows = [((action.verb is Verb.ARCHIVE, action.address.sort_key), _row(action, file, options)) for action in actions]
    unblocked = replace(options, blocked=frozenset())
    rows.extend(
        ((False, change.action.address.sort_key), _held(change, _row(change.action, file, unblocked)))
        for change in held
    )
    rows.extend(((False, address.sort_key), _unchanged(address, app, file)) for address in unchanged)
    return Group(slug, file, tuple(row for _, row in sorted(rows, key=lambda pair: pair[0])))


def group_lines(groups: Sequence[Group], style: Style) -> Iterator[str]:
    """Yield all groups' lines, their columns aligned over the whole plan."""
    rows = [row for group in groups for row in group.rows]
    left = column(row.left for row in rows)
    place = column(row.place for row in rows)
    for group in groups:
        # Right-aligned to the end of the rows' places, so that files and lines stand in one column.
        name, file = visible(group.slug), visible(group.file)
        gap = max(2, left + 2 + place - cells(name) - cells(file))
        yield f"{style.bold(name)}{' ' * gap}{style.dim(file)}"
        for row in group.rows:
            line = f"{padded(row.left, left)}  {' ' * (place - cells(row.place))}{row.place}   {row.remark}".rstrip()
            yield _painted(line, row, style)
            yield from (style.red(detail) if row.destructive else detail for detail in row.details)


def _painted(line: str, row: Row, style: Style) -> str:
    if row.destructive:
        return style.red(line)
    head, rest = line[:3], line[3:]
    match row.verb:
        case Verb.CREATE:
            return f"{style.green(head)}{rest}"
        case None:
            return style.dim(line)
        case _:
            return f"{style.yellow(head)}{rest}"


def column(texts: Iterable[str], *, widest: int = _WIDEST) -> int:
    """Return how wide a column of texts is; those that are far too long for one do not count, and stand out of it."""
    return max((width for width in map(cells, texts) if width <= widest), default=0)


def _row(action: Action, file: str, options: RowOptions) -> Row:
    mark = "!" if action.key in options.blocked else " "
    limit = None if options.full else LIMIT
    last = options.last_changes.get(action.address)
    author = (last_change_words(last),) if last is not None and needs_author(action) else ()
    details = (*author, *_details(action, options.sensitivity, limit))
    return Row(
        left=f"{mark} {SYMBOLS[action.verb]} {_done_to(action)}",
        place=_place(action.origin, file),
        remark=_remark(action),
        verb=action.verb,
        destructive=action.destructive,
        details=tuple(f"      {line}" for line in details if line),
    )


def _held(one: Held, row: Row) -> Row:
    """Say until when a change waits; nothing is lost until then."""
    end = "held, and not changed back by itself" if one.until is None else f"held until {time_words(one.until)}"
    remark = f"{row.remark}, {end}".removeprefix(", ")
    return replace(row, remark=remark, destructive=False)


def _unchanged(address: Address, app: App, file: str) -> Row:
    _, origin = declared_of(address, app)
    remark = "deployed" if address.kind is Kind.CAPABILITY else "as declared"
    return Row(left=f"    {_named(address)}", place=_place(origin, file), remark=remark, verb=None)


def _done_to(action: Action) -> str:
    match action:
        case EnableCapability(address=address) | OptimizeCapability(address=address):
            return f"{action.verb.value} {_named(address)}"
    return _named(action.address)


def _named(address: Address) -> str:
    match address.kind:
        case Kind.CAPABILITY:
            capability, environment = address.placement
            return f"{visible(capability)} in {visible(environment)}"
        case Kind.INFERENCE_CONFIG:
            return "inference config"
        case kind:
            return f"{kind.value} {visible(address.name)}"


def _place(origin: Origin | None, file: str) -> str:
    if origin is None:
        return ""
    return f":{origin.line}" if origin.file == file else f"{visible(origin.file)}:{origin.line}"


def _remark(action: Action) -> str:
    match action:
        case RemoveTarget(moves_to=Address(app=app)):
            return f"moves to {visible(app)}, {_LOST_DEVICES}"
        case RegisterTarget(moves_from=Address(app=app)):
            return f"moves from {visible(app)}"
        case ArchiveApp(reason=Reason.DIFFERS):
            return "declared as archived: archiving can't be undone"
        case ArchiveApp():
            return f"{reason_words(action.reason)}: archiving can't be undone"
        case RemoveTarget(reason=Reason.DIFFERS):
            return f"not in the manifest, {_LOST_DEVICES}"
        case RemoveTarget():
            return f"{reason_words(action.reason)}, {_LOST_DEVICES}"
        case DeleteSlot(reason=Reason.DIFFERS):
            return "not in the manifest"
        case DeleteInferenceConfig(reason=Reason.DIFFERS):
            return "declared as none"
    return reason_words(action.reason)


def _details(action: Action, sensitivity: Sensitivity, limit: int | None) -> Iterator[str]:
    match action:
        case ArchiveApp() | RegisterTarget() | RemoveTarget():
            return
        case EnableCapability():
            yield from enable_words(action)
        case OptimizeCapability():
            yield from optimize_words(action)
        case DeleteSlot() | DeleteInferenceConfig():
            if lost := _in_brief(action, action.before or {}, sensitivity, limit):
                yield f"loses {lost}"
        case _ if action.before is None:
            yield _in_brief(action, action.after or {}, sensitivity, limit)
        case _:
            yield from _field_lines(action, sensitivity, limit)


def _in_brief(action: Action, fields: JsonObject, sensitivity: Sensitivity, limit: int | None) -> str:
    match action:
        case PutInferenceConfig() | DeleteInferenceConfig():
            return brief_opaque(fields, sensitivity, limit=limit)
        case CreateApp() if fields.get("name") == action.address.app:
            fields = {key: value for key, value in fields.items() if key != "name"}
    return brief(fields, sensitivity, limit=limit, preset=action.preset if isinstance(action, PutSlot) else None)


def _field_lines(action: Action, sensitivity: Sensitivity, limit: int | None) -> Iterator[str]:
    changes = shown_changes(_with_presets(action) if isinstance(action, PutSlot) else action.fields, sensitivity)
    names = [".".join(map(key_words, change.path)) for change in changes]
    width = column(names, widest=_NAME_WIDEST)
    for name, change in zip(names, changes, strict=True):
        yield f"{padded(name, width)}   {change_words(change, sensitivity, limit=limit)}"


def _with_presets(action: PutSlot) -> tuple[FieldChange, ...]:
    """Replace the changes within a serving policy by one, where a preset's name says all of it on both sides."""
    policies = [_policy(side) for side in (action.before, action.after)]
    before, after = (preset_of(policy) for policy in policies)
    after = action.preset or after
    within = [change for change in action.fields if change.path[0] == "serving_policy"]
    if not within or before is None or after is None:
        return action.fields
    whole = FieldChange(("serving_policy",), before, after)
    return tuple(
        whole if change is within[0] else change
        for change in action.fields
        if change is within[0] or change not in within
    )


def _policy(fields: JsonObject | None) -> JsonValue:
    return fields.get("serving_policy") if fields else None
