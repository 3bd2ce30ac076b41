"""The planned changes of an app as rows: one per action, with its field changes, created fields or lost fields below it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC
from enum import Enum
from typing import Final

from octosync.contract import preset_of
from octosync.model import Address, App, Assignment, JsonObject, JsonValue, Kind, Origin, Reason, Sensitivity, counted
from octosync.plan import (
    ABSENT,
    Action,
    ActionKey,
    ArchiveApp,
    CreateApp,
    DeleteInferenceConfig,
    DeleteSlot,
    EnableCapability,
    FieldChange,
    HeldChange,
    LastChange,
    OptimizeCapability,
    PutInferenceConfig,
    PutSlot,
    Recommendation,
    RegisterTarget,
    RemoveTarget,
    Verb,
    declared_of,
    minute_words,
    needs_author,
    shown_changes,
)
from octosync.report.differences import Difference, differences
from octosync.report.fields import brief, brief_opaque
from octosync.report.text import (
    LIMIT,
    Style,
    cells,
    last_change_words,
    visible,
)

_SEPARATOR = " · "


def enable_words(action: EnableCapability) -> Iterator[str]:
    """Yield the preview of enabling a capability: variant, devices, reason and warnings."""
    preview = action.preview
    if preview is None:
        variant = f"deploys {visible(action.pin)}; " if action.pin is not None else ""
        yield f"{variant}no preview: {visible(action.no_preview)}" if action.no_preview else variant.rstrip("; ")
        return
    if preview.variant is None:
        yield "Octomil finds no suitable variant"
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
    """Yield the canary of an optimization: current and suggested variant, and the improvement."""
    before = (action.before or {}).get("model_variant_id")
    current = visible(str(before)) if before is not None else "the current variant"
    yield f"canary {current} → {visible(action.suggested)}{improvement_words(action.check.improvement)}"
    if action.check.reason:
        yield f"because: {visible(action.check.reason)}"


def recommendation_lines(recommendations: Iterable[Recommendation]) -> Iterator[str]:
    """Yield the recommendation variants that a plan does not roll out, and the reason why an automatic rollout waits."""
    for number, recommendation in enumerate(recommendations):
        if not number:
            yield "Better variants, not rolled out by this plan:"
        current = visible(recommendation.current) if recommendation.current is not None else "the current variant"
        suggested = visible(recommendation.suggested) if recommendation.suggested is not None else "another variant"
        waiting = f"; waiting: {visible(recommendation.waiting)}" if recommendation.waiting else ""
        where = f"{visible(recommendation.address.app)}/{visible(recommendation.address.name)}"
        yield f"  {where}  {current} → {suggested}{improvement_words(recommendation.improvement)}{waiting}"


def improvement_words(improvement: Mapping[str, JsonValue]) -> str:
    """Return the improvement of a variant by metric: ` (latency 18% better, quality 2% worse)`."""
    parts = [f"{visible(metric)} {_percent(improvement[metric])}" for metric in sorted(improvement)]
    return f" ({', '.join(parts)})" if parts else ""


def _percent(value: JsonValue) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return visible(value if isinstance(value, str) else json.dumps(value))
    if not value:
        return "the same"
    return f"{abs(value) * 100:.3g}% {'better' if value > 0 else 'worse'}"


def _platforms(assignments: Iterable[Assignment]) -> str:
    """Return the devices by platform, most first: `ios 900 · android 340`."""
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


class Weight(Enum):
    """How much a change deserves attention, most first; the value is the title of its section."""

    REMOVALS = "Removals and archives"
    UPDATES = "Updates"
    CAPABILITIES = "Capability changes"
    CREATIONS = "Creations"
    UNCHANGED = "Unchanged"


_WEIGHTS: Final[Mapping[Verb | None, Weight]] = {
    Verb.DELETE: Weight.REMOVALS,
    Verb.ARCHIVE: Weight.REMOVALS,
    Verb.UPDATE: Weight.UPDATES,
    Verb.ENABLE: Weight.CAPABILITIES,
    Verb.OPTIMIZE: Weight.CAPABILITIES,
    Verb.CREATE: Weight.CREATIONS,
    None: Weight.UNCHANGED,
}
_ORDER: Final = {weight: number for number, weight in enumerate(Weight)}
_WIDEST: Final = 72  # columns of the left side; a longer one widens only its own line
_NAME_WIDEST: Final = 48  # the longest field path of the contract, in the fallback of a policy
_LOST_DEVICES: Final = "loses its device assignments"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a group: the action, the position in the manifests, and a remark; `details` are shown below it.

    `is_held`: the action is not part of the plan yet.
    """

    left: str
    place: str
    remark: str
    verb: Verb | None
    destructive: bool = False
    details: tuple[str | Difference, ...] = ()
    origin: Origin | None = None
    is_held: bool = False

    @property
    def weight(self) -> Weight:
        """The section that the row belongs to."""
        return _WEIGHTS[self.verb]

    @property
    def lines(self) -> tuple[str, ...]:
        """The details as lines of text, with the names of fields in a column."""
        width = column((detail.name for detail in self.details if isinstance(detail, Difference)), widest=_NAME_WIDEST)
        return tuple(
            f"      {line}"
            for detail in self.details
            for line in ([detail] if isinstance(detail, str) else detail.text_lines(width))
        )


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of an app, under its slug and the file that declares it, by weight."""

    slug: str
    file: str
    rows: tuple[Row, ...] = ()
    origin: Origin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOptions:
    """How actions are shown: `blocked` ones get a mark, `full` shows values unclipped, `last_changes` names authors.

    Without `names_difference`, actions have no remark that live and declared state differ.
    """

    sensitivity: Sensitivity
    full: bool = False
    blocked: frozenset[ActionKey] = frozenset()
    last_changes: Mapping[Address, LastChange] = field(default_factory=dict)
    names_difference: bool = True


def group_of(
    slug: str,
    actions: Sequence[Action],
    app: App,
    options: RowOptions,
    *,
    unchanged: Sequence[Address] = (),
    held: Sequence[HeldChange] = (),
) -> Group:
    """Return the group of an app: a row for each action, and for each `unchanged` or `held` object."""
    every = (*actions, *(change.action for change in held))
    origins = [origin for origin in (app.origin, *(action.origin for action in every)) if origin is not None]
    origin = origins[0] if origins else None
    file = origin.file if origin is not None else ""
    unblocked = replace(options, blocked=frozenset())
    rows = [(action.address, _row(action, file, options)) for action in actions]
    rows += [(change.action.address, _held(change, _row(change.action, file, unblocked))) for change in held]
    rows += [(address, _unchanged(address, app, file)) for address in unchanged]
    rows.sort(key=lambda pair: (_ORDER[pair[1].weight], pair[1].verb is Verb.ARCHIVE, pair[0].sort_key))
    return Group(slug, file, tuple(row for _, row in rows), origin)


def group_lines(groups: Iterable[Group], style: Style) -> Iterator[str]:
    """Yield the lines of groups: each position follows the name of its object."""
    for group in groups:
        yield f"{style.bold(visible(group.slug))}  {style.dim(visible(group.file))}"
        for row in group.rows:
            yield _painted(row, style)
            yield from (style.red(line) if row.destructive else line for line in row.lines)


def _painted(row: Row, style: Style) -> str:
    place = f"  {row.place}" if row.place else ""
    remark = f"   {row.remark}" if row.remark else ""
    if row.destructive:
        return style.red(f"{row.left}{place}{remark}")
    if row.verb is None:
        return style.dim(f"{row.left}{place}{remark}")
    paint = style.green if row.verb is Verb.CREATE else style.yellow
    return f"{paint(row.left[:3])}{row.left[3:]}{style.dim(place)}{remark}"


def column(texts: Iterable[str], *, widest: int = _WIDEST) -> int:
    """Return the width of a column of texts; texts wider than `widest` do not count, and exceed it."""
    return max((width for width in map(cells, texts) if width <= widest), default=0)


def _row(action: Action, file: str, options: RowOptions) -> Row:
    mark = "!" if action.key in options.blocked else " "
    limit = None if options.full else LIMIT
    last = options.last_changes.get(action.address)
    author = (last_change_words(last),) if last is not None and needs_author(action) else ()
    details = (*author, *_details(action, options.sensitivity, limit))
    is_obvious = not options.names_difference and action.reason is Reason.DIFFERS and action.verb is Verb.UPDATE
    verb = f"{action.verb.value} " if isinstance(action, EnableCapability | OptimizeCapability) else ""
    return Row(
        left=f"{mark} {SYMBOLS[action.verb]} {verb}{_named(action.address)}",
        place=_place(action.origin, file),
        remark="" if is_obvious else _remark(action),
        verb=action.verb,
        destructive=action.destructive,
        details=tuple(filter(None, details)),
        origin=action.origin,
    )


def _held(change: HeldChange, row: Row) -> Row:
    """Return the row of a held change, with the end of the hold; it destroys nothing until then."""
    end = (
        "held, not reverted automatically"
        if change.until is None
        else f"held until {minute_words(change.until.astimezone(UTC))}"
    )
    remark = f"{row.remark}, {end}".removeprefix(", ")
    return replace(row, remark=remark, destructive=False, is_held=True)


def _unchanged(address: Address, app: App, file: str) -> Row:
    _, origin = declared_of(address, app)
    remark = "deployed" if address.kind is Kind.CAPABILITY else "as declared"
    return Row(left=f"    {_named(address)}", place=_place(origin, file), remark=remark, verb=None, origin=origin)


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


# Why an action is planned, for its row.
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


def _remark(action: Action) -> str:
    match action:
        case RemoveTarget(moves_to=Address(app=app)):
            return f"moves to {visible(app)}, {_LOST_DEVICES}"
        case RegisterTarget(moves_from=Address(app=app)):
            return f"moves from {visible(app)}"
        case ArchiveApp(reason=Reason.DIFFERS):
            return "declared as archived: archiving can't be undone"
        case ArchiveApp():
            return f"{_REASONS[action.reason]}: archiving can't be undone"
        case RemoveTarget(reason=Reason.DIFFERS):
            return f"not in the manifest, {_LOST_DEVICES}"
        case RemoveTarget():
            return f"{_REASONS[action.reason]}, {_LOST_DEVICES}"
        case DeleteSlot(reason=Reason.DIFFERS):
            return "not in the manifest"
        case DeleteInferenceConfig(reason=Reason.DIFFERS):
            return "declared as none"
    return _REASONS[action.reason]


def _details(action: Action, sensitivity: Sensitivity, limit: int | None) -> Iterator[str | Difference]:
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
            yield from _field_differences(action, sensitivity, limit)


def _in_brief(action: Action, fields: JsonObject, sensitivity: Sensitivity, limit: int | None) -> str:
    match action:
        case PutInferenceConfig() | DeleteInferenceConfig():
            return brief_opaque(fields, sensitivity, limit=limit)
        case CreateApp() if fields.get("name") == action.address.app:
            fields = {key: value for key, value in fields.items() if key != "name"}
    preset = None
    if isinstance(action, PutSlot | DeleteSlot):
        preset = action.preset if isinstance(action, PutSlot) else action.preset_before
    return brief(action.address.kind, fields, sensitivity, limit=limit, preset=preset)


def _field_differences(action: Action, sensitivity: Sensitivity, limit: int | None) -> Iterator[Difference]:
    changes = shown_changes(_with_presets(action) if isinstance(action, PutSlot) else action.fields, sensitivity)
    for change in changes:
        yield from differences(action.address.kind, change, sensitivity, limit=limit)


def _with_presets(action: PutSlot) -> tuple[FieldChange, ...]:
    """Return the fields, with the serving policy by the names of its presets.

    The fields of a policy follow if only one side is a preset.
    """
    before, after = (_policy(side) for side in (action.before, action.after))
    old, new = action.preset_before or preset_of(before), action.preset or preset_of(after)
    within = [change for change in action.fields if change.path[0] == "serving_policy"]
    if not within or (old is None and new is None):
        return action.fields
    whole = FieldChange(
        ("serving_policy",),
        *(ABSENT if side is None else name or _CUSTOM for side, name in ((before, old), (after, new))),
    )
    has_fields = _CUSTOM in {whole.before, whole.after}
    shown: list[FieldChange] = []
    for change in action.fields:
        shown += [whole] if change is within[0] else []
        shown += [change] if has_fields or change not in within else []
    return tuple(shown)


_CUSTOM: Final = "custom"  # a serving policy that is no preset


def _policy(fields: JsonObject | None) -> JsonValue:
    return fields.get("serving_policy") if fields else None
