"""The live state of apps as text: coverage, traffic and last change in a line, then a table of slots and deployments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from octosync.contract import ENVIRONMENTS, preset_of
from octosync.contract.resources import known_policy
from octosync.errors import RemoteError
from octosync.model import (
    App,
    AppOverview,
    AppStatus,
    Deployment,
    FirstRequest,
    JsonValue,
    Kind,
    PendingApproval,
    Section,
    counted,
)
from octosync.plan import ControlPlane, SharedState, hold_words
from octosync.report.errors import error_lines
from octosync.report.text import (
    Style,
    cells,
    padded,
    percent_words,
    plane_words,
    share_of,
    text_of,
    time_words,
    under_way_words,
    visible,
)

NOTHING: Final = "—"  # was read, and there is none
UNREAD: Final = "?"  # was not read, or the read failed
_MANY: Final = 10  # more apps have one line each


def model_reference(slug: str, capability: str) -> str:
    """Return the reference that the developer of an app passes to the SDK for a slot (public)."""
    return f"@app/{slug}/{capability}"


def policy_name(policy: JsonValue) -> str | None:
    """Return the name of a serving policy: its preset, else `custom`; None if none is set."""
    if policy is None:
        return None
    known = known_policy(policy) if isinstance(policy, Mapping) else policy
    return preset_of(known) or "custom"


def failed_words(error: RemoteError) -> str:
    """Return the words for a part that could not be read."""
    return f"{UNREAD} not read: {visible(error.reference)}"


@dataclass(frozen=True, slots=True)
class Cell:
    """A text in a table, and its colour."""

    text: str
    paint: Callable[[str], str] = str

    def __str__(self) -> str:
        return self.paint(self.text)


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its titles, and a row for each slot or app."""

    titles: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def fits(self, width: int | None) -> bool:
        """Return whether the table, indented by two columns, fits a width; None is no limit."""
        return width is None or sum(self._widths) + 2 * len(self.titles) <= width

    def lines(self, style: Style) -> Iterator[str]:
        """Yield the titles and the rows."""
        widths = self._widths
        yield style.dim("  ".join(map(padded, self.titles, widths)).rstrip())
        for row in self.rows:
            spaces = (" " * (width - cells(cell.text)) for width, cell in zip(widths, row, strict=True))
            yield "  ".join(f"{cell}{space}" for cell, space in zip(row, spaces, strict=True)).rstrip()

    @property
    def _widths(self) -> list[int]:
        columns = zip(self.titles, *([cell.text for cell in row] for row in self.rows), strict=True)
        return [max(map(cells, column)) for column in columns]


def _slot_lines(status: AppStatus, style: Style, width: int | None) -> Iterator[str]:
    """Yield the table of an app's capabilities, with a column for each environment.

    If it is wider than `width`, slots have only their names, and if that is not enough, deployments are below their slots.
    """
    names = status.capabilities
    if not names:
        return
    every = sorted((found for name in names for found in status.deployments_of(name)), key=_by_environment)
    environments = tuple(dict.fromkeys(deployment.environment for deployment in every)) or ("deployed",)
    facts = {name: (*_slot_cells(status, name), _devices(status, name, style)) for name in names}
    deployed = {name: tuple(_deployed(status, name, place, style) for place in environments) for name in names}
    places = tuple(map(visible, environments))

    def table(title: str, name_of: Callable[[str], str], *, has_places: bool) -> Table:
        titles = (title, "VARIANT", "POLICY", "DEVICES", *(place.upper() for place in places if has_places))
        rows = (
            (_slot_name(status, name, name_of(name)), *facts[name], *(deployed[name] if has_places else ()))
            for name in names
        )
        return Table(titles, tuple(rows))

    shown = table("MODEL REFERENCE", lambda name: model_reference(status.slug, name), has_places=True)
    if not shown.fits(width):
        shown = table("SLOT", str, has_places=True)
    if is_narrow := not shown.fits(width):
        shown = table("SLOT", str, has_places=False)
    head, *rows = shown.lines(style)
    yield f"  {head}"
    for name, row in zip(names, rows, strict=True):
        yield f"  {row}"
        below = zip(places, deployed[name], strict=True) if is_narrow else ()
        yield from (f"    {place}  {cell}" for place, cell in below if cell.text != NOTHING)


def _slot_name(status: AppStatus, capability: str, name: str) -> Cell:
    is_missing = status.slot(capability) is None and not _is_unread(status, status.slots, Section.SLOTS)
    return Cell(f"{visible(name)}{' (no slot)' if is_missing else ''}")


def _is_unread(status: AppStatus, part: object, section: Section | None = None) -> bool:
    """Return whether a part, or the rest of its list, was not read."""
    return isinstance(part, RemoteError) or section in status.cut


def _slot_cells(status: AppStatus, capability: str) -> tuple[Cell, Cell]:
    """Return the variant and the policy of a slot."""
    slot = status.slot(capability)
    if slot is None:
        nothing = Cell(UNREAD if _is_unread(status, status.slots, Section.SLOTS) else NOTHING)
        return nothing, nothing
    policy = policy_name(slot.fields.get("serving_policy"))
    return Cell(_variant(slot.fields.get("model_variant_id"))), Cell(policy or NOTHING)


def _variant(variant: JsonValue) -> str:
    return NOTHING if variant is None else visible(str(variant))


def _devices(status: AppStatus, capability: str, style: Style) -> Cell:
    """Return how many devices a capability covers: `all 1,240`, `1 of 1,240`."""
    coverage = status.coverage(capability)
    if coverage is None:
        return Cell(UNREAD if status.slot(capability) is not None or _is_unread(status, status.health) else NOTHING)
    covered, total = coverage.covered_devices, coverage.total_devices
    if covered is None or total is None:
        words = visible(coverage.status)
    elif total == 0:
        words = "none seen"
    else:
        words = f"all {total:,}" if covered == total else f"{covered:,} of {total:,}"
    return Cell(words, _coverage_paint(coverage.status, style, _has_deployments(status, capability)))


def _has_deployments(status: AppStatus, *capabilities: str) -> bool:
    unread = _is_unread(status, status.deployments, Section.DEPLOYMENTS)
    return unread or any(status.deployments_of(name) for name in capabilities)


def _coverage_paint(status: str, style: Style, is_deployed: bool) -> Callable[[str], str]:
    """Return the colour of a coverage status. What was never deployed can't be covered, so that is no alarm."""
    uncovered = style.red if is_deployed else str
    return {"covered": style.green, "partial": style.yellow, "uncovered": uncovered}.get(status, style.cyan)


def _by_environment(deployment: Deployment) -> tuple[int, str]:
    known = ENVIRONMENTS.index(deployment.environment) if deployment.environment in ENVIRONMENTS else len(ENVIRONMENTS)
    return known, deployment.environment


def _deployed(status: AppStatus, capability: str, environment: str, style: Style) -> Cell:
    """Return the deployments of a capability in an environment, with the variants that the slot doesn't have."""
    found = [item for item in status.deployments_of(capability) if item.environment == environment]
    if not found:
        return Cell(UNREAD if _is_unread(status, status.deployments, Section.DEPLOYMENTS) else NOTHING)
    slot = status.slot(capability)
    variant = slot.fields.get("model_variant_id") if slot is not None else None
    paint = style.cyan if any(item.canary for item in found) else str if all(item.live for item in found) else style.red
    return Cell(", ".join(_deployment(item, variant) for item in found), paint)


def _deployment(deployment: Deployment, variant: JsonValue) -> str:
    status = visible(deployment.status)
    if deployment.canary is None:
        return status if deployment.variant == variant else f"{status}: {_variant(deployment.variant)}"
    share = deployment.canary.percentage
    paused = "" if status == "active" else f", {status}"
    return f"canary {'?' if share is None else f'{share:g}'}% → {_variant(deployment.canary.candidate)}{paused}"


_LISTS: Final = {Section.SLOTS: "slots", Section.DEPLOYMENTS: "deployments"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFacts:
    """The context of a status report: the control plane, the number of requests, and the pending approvals.

    `awaiting` is None if that is unknown, `shared` without a shared state.
    """

    control_plane: ControlPlane
    requests: int
    awaiting: tuple[PendingApproval, ...] | None = ()
    shared: SharedState | None = None


def render_status(
    statuses: Sequence[AppStatus],
    facts: StatusFacts,
    *,
    colour: bool,
    full: bool = False,
    width: int | None = None,
) -> str:
    """Render the statuses of apps, in their order: one line for each of many apps unless `full`, else also their slots.

    Tables leave out what `width` has no space for, or show it below their rows.
    """
    style = Style(colour)
    head = f"{style.bold('octosync status')} · {plane_words(facts.control_plane)} · {counted(len(statuses), 'app')}"
    lines = [head, *_shared(facts.shared, style), *_errors(statuses, style)]
    short = len(statuses) > _MANY and not full
    if short:
        lines += ["", *_summary_table(statuses, style).lines(style), *_all_awaiting(facts)]
    for status in () if short else statuses:
        awaiting = [approval for approval in facts.awaiting or () if approval.address.app == status.slug]
        hold = facts.shared.controls.holds.get(status.slug) if facts.shared is not None else None
        held = [visible(hold_words(hold))] if hold is not None else []
        lines += ["", *_app(status, (*held, *map(_awaits, awaiting)), style, width)]
    more = ("Slots: octosync status APP, or --full",) if short else ()
    return text_of((*lines, *_missing_apps(statuses, facts), "", _closing(statuses, facts, style), *more))


def _summary_table(statuses: Iterable[AppStatus], style: Style) -> Table:
    rows = []
    for status in statuses:
        overview = AppOverview(
            slug=status.slug, app=status.app, deployments=status.deployments, last_change=status.last_change
        )
        coverage = Cell(UNREAD)
        if not isinstance(status.health, RemoteError):
            is_deployed = _has_deployments(status, *status.capabilities)
            coverage = Cell(visible(status.health.status), _coverage_paint(status.health.status, style, is_deployed))
        plain = (visible(status.slug), _deployed_words(overview), _traffic(status), _changed_words(overview))
        slug, deployed, traffic, changed = map(Cell, plain)
        rows.append((slug, coverage, deployed, traffic, changed))
    return Table(("APP", "COVERAGE", "DEPLOYMENTS", "REQUESTS", "LAST CHANGE"), tuple(rows))


def _all_awaiting(facts: StatusFacts) -> Iterator[str]:
    if facts.awaiting:
        yield ""
    yield from (f"{visible(approval.address.app)} awaits {_awaiting(approval)}" for approval in facts.awaiting or ())


def _missing_apps(statuses: Iterable[AppStatus], facts: StatusFacts) -> Iterator[str]:
    """Yield the pending approvals of apps that do not exist yet."""
    shown = {status.slug for status in statuses}
    for approval in facts.awaiting or ():
        if approval.address.app not in shown:
            yield from (
                "",
                f"{visible(approval.address.app)}  does not exist yet",
                f"  awaits {_awaiting(approval)}",
            )


def _errors(statuses: Iterable[AppStatus], style: Style) -> Iterator[str]:
    """Yield the first error of each reference in full, and the number of further ones."""
    errors = [(f"{status.slug}, {part}", error) for status in statuses for part, error in status.errors.items()]
    kinds = Counter(error.reference for _, error in errors)
    for where, error in errors:
        if count := kinds.pop(error.reference, 0):
            yield from ("", *error_lines(error, style, about=where.replace("_", " ")))
            if count > 1:
                yield f"  The same error for {counted(count - 1, 'more part')}."


def _shared(shared: SharedState | None, style: Style) -> Iterator[str]:
    """Yield the location of a shared state, the run that is under way, and a suspension."""
    if shared is None:
        return
    yield f"State {visible(shared.location or '')}{' (it can not be read)' if shared.error is not None else ''}"
    if shared.under_way is not None:
        yield style.yellow(f"Under way: {under_way_words(shared.under_way)}")
    if (suspension := shared.controls.suspension) is not None:
        reason = f": {suspension.reason}" if suspension.reason else ""
        yield style.yellow(visible(f"The controller is suspended since {time_words(suspension.at)}{reason}"))


def _awaits(approval: PendingApproval) -> str:
    return f"awaits {_awaiting(approval)}"


def _app(status: AppStatus, facts: Iterable[str], style: Style, width: int | None) -> Iterator[str]:
    yield f"{style.bold(visible(status.slug))}  {' · '.join(filter(None, _state(status, style)))}"
    yield from (f"  {fact}" for fact in facts)
    yield from _slot_lines(status, style, width)
    for section in sorted(status.cut, key=lambda section: section.value):
        yield f"  Only the first page of its {_LISTS[section]} was read: there may be more."


def render_overviews(overviews: Sequence[AppOverview], facts: StatusFacts, *, colour: bool) -> str:
    """Render one line for each app: its deployments by environment, and its last change."""
    style = Style(colour)
    rows = [
        (Cell(visible(overview.slug)), Cell(_deployed_words(overview)), Cell(_changed_words(overview)))
        for overview in overviews
    ]
    head = f"{style.bold('octosync status')} · {plane_words(facts.control_plane)} · {counted(len(overviews), 'app')}"
    lines = [head, "", *Table(("APP", "DEPLOYMENTS", "LAST CHANGE"), tuple(rows)).lines(style)]
    read = f"Read with {counted(facts.requests, 'request')}. Coverage, traffic and slots: octosync status APP"
    unread = dict.fromkeys(
        part for app in overviews for part in (app.deployments, app.last_change) if isinstance(part, RemoteError)
    )
    # An empty place must not look like an app that never changed.
    older = ["No last change: the newest page of the activity feed has none."] if _lacks_a_change(overviews) else []
    return text_of((*lines, "", *(line for error in unread for line in error_lines(error, style)), *older, read))


def _lacks_a_change(overviews: Sequence[AppOverview]) -> bool:
    return any(overview.last_change is None for overview in overviews)


def _deployed_words(overview: AppOverview) -> str:
    """Return the counts of an app's live deployments by environment, of canaries, and of deployments that are not active."""
    found = overview.deployments
    archived = ["archived"] if isinstance(overview.app, App) and overview.app.archived else []
    if isinstance(found, RemoteError):
        return ", ".join((*archived, failed_words(found)))
    live = [deployment for deployment in found if deployment.live]
    environments = Counter(deployment.environment for deployment in sorted(live, key=_by_environment))
    parts = [f"{visible(environment)} {count:,}" for environment, count in environments.items()]
    canaries = sum(deployment.canary is not None for deployment in live)
    parts += [counted(canaries, "canary", "canaries")] if canaries else []
    states = Counter(deployment.status for deployment in live if deployment.status != "active")
    parts += [f"{count:,} {visible(state)}" for state, count in sorted(states.items())]
    return ", ".join((*archived, *parts)) or NOTHING


def _changed_words(overview: AppOverview) -> str:
    """Return the time and the author of an app's last change; nothing for one that the newest events don't contain."""
    event = overview.last_change
    if isinstance(event, RemoteError):
        return failed_words(event)
    return "" if event is None else f"{time_words(event.at)}  {visible(event.actor or UNREAD)}"


def _state(status: AppStatus, style: Style) -> Iterator[str]:
    """Yield the state of an app in a few words: coverage, traffic and last change, and what could not be read."""
    if isinstance(status.app, App) and status.app.archived:
        yield style.yellow("archived")
    if not isinstance(status.health, RemoteError):
        coverage, is_deployed = status.health.status, _has_deployments(status, *status.capabilities)
        yield _coverage_paint(coverage, style, is_deployed)(visible(coverage))
    yield _traffic(status)
    yield _last_change(status)
    if not status.capabilities and not _is_unread(status, status.slots, Section.SLOTS):
        yield "no slots"
    if status.errors:
        parts = ", ".join(name.replace("_", " ") for name in status.errors)
        references = ", ".join(sorted({visible(error.reference) for error in status.errors.values()}))
        yield style.red(f"{UNREAD} not read: {parts} ({references})")


def _traffic(status: AppStatus) -> str:
    """Return the share of requests that devices served, or whether there was a request at all; "" if it is not known."""
    stats, first = status.routing, status.first_request
    if isinstance(stats, RemoteError):
        return ""
    if not stats.total:
        seen = isinstance(first, FirstRequest) and first.received
        return "first request seen" if seen else "" if isinstance(first, RemoteError) else "no requests"
    if stats.local is None:
        return counted(stats.total, "request")
    return f"{percent_words(share_of(stats.local, stats.total)).strip()} local"


def _last_change(status: AppStatus) -> str:
    event = status.last_change
    if event is None or isinstance(event, RemoteError):
        return ""
    return f"changed {time_words(event.at).removeprefix('at ')} by {visible(event.actor or UNREAD)}"


def _awaiting(approval: PendingApproval) -> str:
    what = f"{approval.verb} {approval.address.kind.value} {approval.address.name}"
    if approval.address.kind is Kind.CAPABILITY:
        what = f"{approval.verb} {' in '.join(approval.address.placement)}"
    return f"approval to {visible(what)}, since {time_words(approval.at)}"


def _closing(statuses: Sequence[AppStatus], facts: StatusFacts, style: Style) -> str:
    """Return the last line: the counts of the apps by state, and the cost of reading."""
    words = Counter(status.health.status for status in statuses if not isinstance(status.health, RemoteError))
    running = [
        deployment
        for app in statuses
        for name in app.capabilities
        for deployment in app.deployments_of(name)
        if deployment.canary is not None
    ]
    unread = sum(bool(status.errors) for status in statuses)
    parts = [f"{count:,} {visible(word)}" for word, count in sorted(words.items())]
    parts += [f"{counted(len(running), 'canary', 'canaries')} running"] if running else []
    parts += [f"{len(facts.awaiting):,} awaiting approval"] if facts.awaiting else []
    parts += [style.red(f"{unread:,} not read in full")] if unread else []
    counts = f": {', '.join(parts)}" if parts else ""
    return f"{counted(len(statuses), 'app')}{counts}. Read with {counted(facts.requests, 'request')}."
