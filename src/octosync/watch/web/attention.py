"""Attention cards: each shows a problem that needs a person, its objects, time and author, and the suggested commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl

from octosync.model import Address, counted
from octosync.plan import RunInfo, Verb
from octosync.report.changes import Row, RowOptions, group_of
from octosync.watch.approvals import SUSPENDING, SuggestedCommand, accept_line, approve_path, post_line
from octosync.watch.coverage import UNCOVERED_HINTS, coverage_words
from octosync.watch.status import AppReconcileStatus, AppState, BlockedSet, ControllerStatus, DriftStatus, Hold
from octosync.watch.web.summary import NEEDS_ATTENTION, Line
from octosync.watch.web.views import Sides, sides_of, texts_of

_SHOWN: Final = 6  # cards of a state on the main page
_NAMED: Final = 10  # apps and drifted objects that a card names
_ADDRESSES: Final = 3  # of a refusal; the app's page marks all of them
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_ERRORS: Final = frozenset({AppState.FAILING, AppState.REFUSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftView:
    """An object that a person changed, and how: `live` is by whom and when, `sides` are its fields in Git and live.

    `place` is the line that declares it.
    """

    name: str
    change: str
    live: Line
    place: str = ""
    sides: tuple[Sides, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A problem. `key` identifies it within a page, `apps` and `guard` are its heading, `drift` are the objects that differ.

    `named` are addresses, `more` and `more_apps` count those that are not named. `reference` is that of the error.
    """

    key: str
    state: AppState
    apps: tuple[str, ...]
    more_apps: int = 0
    guard: str = ""
    reference: str = ""
    lines: tuple[Line, ...] = ()
    drift: tuple[DriftView, ...] = ()
    named: tuple[str, ...] = ()
    more: int = 0
    hints: tuple[str, ...] = ()
    commands: tuple[SuggestedCommand, ...] = ()

    @property
    def buttons(self) -> tuple[SuggestedCommand, ...]:
        """The commands that call a POST endpoint."""
        return tuple(command for command in self.commands if command.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionCards:
    """The cards of a page, most urgent first, what is reverted next before the rest; and how many are left out per state."""

    cards: tuple[Card, ...] = ()
    left_out: tuple[tuple[AppState, int], ...] = ()


@dataclass(frozen=True, slots=True)
class _CardContext:
    """The status and the origin that suggested commands depend on."""

    status: ControllerStatus
    origin: str

    @property
    def about(self) -> RunInfo | None:
        return self.status.about

    def post(self, label: str, path: str, **parameters: str) -> Iterator[SuggestedCommand]:
        if self.status.can_post:
            line, (bare, _, query) = post_line(self.origin, path, **parameters), path.partition("?")
            yield SuggestedCommand(label, line, path=bare, parameters={**dict(parse_qsl(query)), **parameters})


def attention_cards(
    status: ControllerStatus, apps: Iterable[AppReconcileStatus], *, origin: str, at_most: int = _SHOWN
) -> AttentionCards:
    """Return the cards of some apps; `origin` is the target of POSTs (`http://127.0.0.1:9900`)."""
    context = _CardContext(status, origin)
    by_state: dict[AppState, list[Card]] = {state: [] for state in NEEDS_ATTENTION}
    shown = sorted(apps, key=lambda app: (_first_revert(app), app.slug))
    by_state[AppState.BLOCKED] = list(_blocked_cards(shown, context))
    for app in shown:
        if app.state in _ERRORS:
            by_state[app.state].append(_error_card(app, context))
        if app.state is AppState.ORPHANED:
            by_state[app.state].append(_orphan_card(app))
        if app.uncovered:
            by_state[AppState.UNCOVERED].append(_coverage_card(app, context))
        if app.drift:
            card = _drift_card(app, context)
            by_state[card.state].append(card)
    return AttentionCards(
        cards=tuple(card for cards in by_state.values() for card in cards[:at_most]),
        left_out=tuple((state, len(cards) - at_most) for state, cards in by_state.items() if len(cards) > at_most),
    )


def _first_revert(app: AppReconcileStatus) -> datetime:
    return min((drift.until for drift in app.drift if drift.until is not None), default=_NEVER)


def _blocked_cards(apps: Sequence[AppReconcileStatus], context: _CardContext) -> Iterator[Card]:
    """Yield a card for each set that is approved as a whole, with its own command."""
    shown = {app.slug for app in apps}
    for blocked in context.status.blocked:
        if shown.isdisjoint(blocked.apps):
            continue
        yield Card(
            key=f"blocked-{blocked.guard}-{blocked.seen or blocked.apps[0]}",
            state=AppState.BLOCKED,
            apps=blocked.apps[:_NAMED],
            more_apps=max(0, len(blocked.apps) - _NAMED),
            guard=blocked.guard,
            lines=((f"{blocked.message}.",),),
            named=tuple(map(str, blocked.addresses[:_ADDRESSES])),
            more=max(0, len(blocked.addresses) - _ADDRESSES),
            hints=tuple(_hints_past(blocked)),
            commands=tuple(_commands_past(blocked, context)),
        )


def _hints_past(blocked: BlockedSet) -> Iterator[str]:
    if blocked.override is not None:
        yield "If the change isn't intended, revert the commit."
    if blocked.way_out is not None:
        yield f"{blocked.way_out.removesuffix('.')}."


def _commands_past(blocked: BlockedSet, context: _CardContext) -> Iterator[SuggestedCommand]:
    about, path = context.about, approve_path(blocked)
    if path is not None:
        yield from context.post("Approve exactly this, once", path)
    if about is not None and blocked.override is not None:
        yield SuggestedCommand("Apply it by hand", f"{about.apply_command} {blocked.override}")
    if about is not None and blocked.way_out is not None and blocked.look_at:
        yield SuggestedCommand("Show its status", about.status_command(blocked.look_at))


def _error_card(app: AppReconcileStatus, context: _CardContext) -> Card:
    lines: list[Line] = [(_sentence(app.error),)] if app.error else []
    if app.state is AppState.REFUSED:
        lines.append(("It is retried when its manifest or live state changes.",))
    elif app.next_try is not None:
        lines.append(("Next attempt at ", app.next_try, "."))
    return Card(
        key=f"{app.state.value}-{app.slug}",
        state=app.state,
        apps=(app.slug,),
        reference=app.reference,
        lines=tuple(lines),
        hints=app.hints,
        commands=tuple(context.post("Retry now", "/reconcile", app=app.slug)),
    )


def _sentence(error: str) -> str:
    return error if error[-1:] in ".)" else f"{error}."


def _orphan_card(app: AppReconcileStatus) -> Card:
    return Card(
        key=f"orphaned-{app.slug}",
        state=AppState.ORPHANED,
        apps=(app.slug,),
        lines=(
            ("No manifest declares it any more. It is left unchanged: removing a manifest does not archive its app.",),
        ),
        commands=(
            SuggestedCommand("Archive it in a manifest", "spec: {archived: true}"),
            SuggestedCommand(
                "Or by hand, with the base set to a commit that declares it", "octosync apply --base REV --prune"
            ),
        ),
    )


def _coverage_card(app: AppReconcileStatus, context: _CardContext) -> Card:
    return Card(
        key=f"uncovered-{app.slug}",
        state=AppState.UNCOVERED,
        apps=(app.slug,),
        lines=tuple((f"{coverage_words(coverage)}.",) for coverage in app.uncovered),
        hints=UNCOVERED_HINTS,
        commands=tuple(context.post("Reconcile now", "/reconcile", app=app.slug)),
    )


def _drift_card(app: AppReconcileStatus, context: _CardContext) -> Card:
    contested = any(drift.contested for drift in app.drift)
    waits = any(drift.until is not None for drift in app.drift) or app.hold is not None
    state = AppState.CONTESTED if contested else AppState.HELD if waits else AppState.DRIFTED
    return Card(
        key=f"drift-{app.slug}",
        state=state,
        apps=(app.slug,),
        lines=tuple(_drift_lines(app, context)),
        drift=tuple(drift_views(app, context.status)),
        commands=tuple(_commands_for_drift(app, contested, context)),
    )


def _drift_lines(app: AppReconcileStatus, context: _CardContext) -> Iterator[Line]:
    """Yield what happens to the objects next: one line if it is the same for all of them."""
    hold = app.hold
    shown = [(drift, _until(drift, hold, context)) for drift in app.drift[:_NAMED]]
    is_same = len({line for _, line in shown}) == 1
    for drift, line in shown[:1] if is_same else shown:
        yield line if is_same else (f"{_name_of(drift)}: ", *line)
    if len(app.drift) > _NAMED:
        yield (f"and {counted(len(app.drift) - _NAMED, 'object')} more.",)
    if hold is not None:
        reason = f": {hold.reason}" if hold.reason else ""
        is_shown = any(hold.until in line for _, line in shown)
        yield (f"A person holds it{reason}.",) if is_shown else ("Held until ", hold.until, f"{reason}.")


def _name_of(drift: DriftStatus) -> str:
    return f"{drift.address.kind.value.replace('_', ' ')} {drift.address.name}"


def _live_words(drift: DriftStatus) -> Line:
    """Return who changed the live object, and when, as far as it is known."""
    if drift.at is not None:
        return (f"{drift.actor or 'author unknown'}, ", drift.at)
    return (f"{drift.actor or 'author unknown'}, first seen ", drift.first_seen)


def _until(drift: DriftStatus, hold: Hold | None, context: _CardContext) -> Line:
    if drift.contested:
        times = f"{counted(drift.reverts, 'time')} in 24 hours" if drift.reverts else "several times"
        return (f"It was reverted {times} and changed again each time. It is left alone until its manifest changes.",)
    if drift.until is not None:
        # A hold counts at once, before the app is reconciled with it.
        return ("Reverts at ", drift.until if hold is None else max(drift.until, hold.until), ".")
    return (f"It is not reverted automatically (--heal {context.status.mode}).",)


def _commands_for_drift(app: AppReconcileStatus, contested: bool, context: _CardContext) -> Iterator[SuggestedCommand]:
    accept = accept_line(tuple(sorted(drift.address for drift in app.drift)), context.about)
    if accept is not None:
        yield SuggestedCommand("Keep it: accept it into Git", accept)
    if contested:
        yield from context.post("Revert it once more", "/reconcile", app=app.slug)
    elif app.hold is not None:
        yield from context.post("End the hold", "/release", app=app.slug)
    elif any(drift.until is not None for drift in app.drift):
        yield from context.post(
            "Keep it for some hours (give a reason)", "/hold", app=app.slug, **{"for": "4h", "reason": "WHY"}
        )
    yield SuggestedCommand("Suspend the app: an annotation in its manifest", SUSPENDING)


# What a person did to an object, by what its revert does.
_CHANGES: Final = {Verb.CREATE: "deleted", Verb.DELETE: "added", Verb.ARCHIVE: "unarchived", Verb.UPDATE: "changed"}


def drift_views(app: AppReconcileStatus, status: ControllerStatus) -> Iterator[DriftView]:
    """Yield the objects of an app that drifted, with their fields in Git and live, once the app was planned."""
    rows = _drift_rows(app, status)
    folder = app.source.rpartition(":")[0]
    for drift in app.drift[:_NAMED]:
        row = rows.get(drift.address)
        verb = row.verb if row is not None else None
        place = "" if row is None else row.place
        yield DriftView(
            name=_name_of(drift),
            change=_CHANGES.get(verb, "changed") if verb is not None else "changed",
            live=_live_words(drift),
            place=f"{folder}{place}" if place.startswith(":") else status.clone.path(place),
            sides=() if row is None else tuple(_drift_sides(row)),
        )


def _drift_rows(app: AppReconcileStatus, status: ControllerStatus) -> dict[Address, Row]:
    plan = app.plan
    if plan is None or app.slug not in plan.desired.apps:
        return {}
    drifted = {drift.address for drift in app.drift[:_NAMED]}
    options = RowOptions(sensitivity=status.sensitivity)
    desired = plan.desired.apps[app.slug]
    reverts = [*plan.actions, *(change.action for change in plan.held)]
    return {
        action.address: group_of(app.slug, [action], desired, options).rows[0]
        for action in reverts
        if action.address in drifted
    }


def _drift_sides(row: Row) -> Iterator[Sides]:
    """Yield the fields of a changed object; of one that was added or deleted, the whole object."""
    yield from sides_of(row)
    whole = "; ".join(texts_of(row))
    if row.verb is Verb.CREATE:
        yield Sides("", git=whole or "declared", live="deleted")
    elif row.verb is Verb.DELETE:
        yield Sides("", git="not declared", live=whole.removeprefix("loses ") or "added")
    elif whole:
        yield Sides("", whole=whole)
