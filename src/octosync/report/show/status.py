"""The live state of apps as text: coverage, traffic and last change, then the slots with their devices and deployments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from octosync.contract import ENVIRONMENTS, preset_of
from octosync.contract.resources import known_policy
from octosync.errors import RemoteError
from octosync.model import App, AppOverview, AppStatus, Deployment, JsonValue, Kind, PendingApproval, Section, counted
from octosync.plan import ControlPlane
from octosync.report.errors import error_lines
from octosync.report.text import (
    Style,
    cells,
    padded,
    plane_words,
    share_of,
    text_of,
    time_words,
    visible,
)

NOTHING: Final = "—"  # was read, and there is none
UNREAD: Final = "?"  # was not read, or the read failed
_HEADINGS: Final = ("MODEL REFERENCE", "VARIANT", "POLICY")


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


def coverage_word(status: str, style: Style) -> str:
    """Return a coverage status in its colour; an unknown one is shown as it is."""
    paint = {"covered": style.green, "partial": style.yellow, "uncovered": style.red}.get(status, style.cyan)
    return paint(visible(status))


def slot_lines(status: AppStatus, label: int, style: Style) -> Iterator[str]:
    """Yield the lines of the capabilities of an app; `label` is the width of the labels."""
    rows = [_row(status, capability) for capability in status.capabilities]
    if isinstance(status.slots, RemoteError):
        yield f"  {padded('slots', label)}  {failed_words(status.slots)}"
    elif not rows:
        yield f"  {padded('slots', label)}  {UNREAD if Section.SLOTS in status.cut else NOTHING}"
    if rows:
        widths = [max(map(cells, column)) for column in zip(_HEADINGS, *rows, strict=True)]
        yield from ("", style.dim(f"  {_columns(_HEADINGS, widths)}"))
        for capability, row in zip(status.capabilities, rows, strict=True):
            yield f"  {_columns(row, widths)}"
            details = (*_devices(status, capability, style), *_deployments(status, capability, style))
            yield from (f"    {padded(name, label - 2)}  {words}" for name, words in details)


def _columns(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(padded(text, width) for text, width in zip(row, widths, strict=True)).rstrip()


def _row(status: AppStatus, capability: str) -> tuple[str, str, str]:
    """Return the reference, variant and policy of a slot."""
    reference, slot = visible(model_reference(status.slug, capability)), status.slot(capability)
    if slot is not None:
        policy = policy_name(slot.fields.get("serving_policy"))
        return reference, _variant(slot.fields.get("model_variant_id")), policy or NOTHING
    if isinstance(status.slots, RemoteError) or Section.SLOTS in status.cut:
        return reference, UNREAD, UNREAD
    return f"{reference} (no slot)", NOTHING, NOTHING


def _variant(variant: JsonValue) -> str:
    return NOTHING if variant is None else visible(str(variant))


def _devices(status: AppStatus, capability: str, style: Style) -> Iterator[tuple[str, str]]:
    """Yield the coverage of a capability, with its label."""
    coverage = status.coverage(capability)
    if isinstance(status.health, RemoteError):
        yield "devices", failed_words(status.health)
    elif coverage is not None:
        word, covered, total = coverage_word(coverage.status, style), coverage.covered_devices, coverage.total_devices
        if covered is None or total is None:
            yield "devices", word
        elif total == 0:
            yield "devices", f"{word}: no devices seen"
        else:
            yield (
                "devices",
                f"{style.gauge(share_of(covered, total))}  {word}: {covered:,} of {counted(total, 'device')}",
            )
    elif status.slot(capability) is not None:
        yield "devices", f"{UNREAD} not in the coverage report"


def _deployments(status: AppStatus, capability: str, style: Style) -> Iterator[tuple[str, str]]:
    """Yield the deployments of a capability, by environment."""
    if isinstance(status.deployments, RemoteError):
        yield "deployments", failed_words(status.deployments)
        return
    found = sorted(status.deployments_of(capability), key=_by_environment)
    yield from ((visible(deployment.environment), _deployment(deployment, style)) for deployment in found)
    if not found:
        cut = Section.DEPLOYMENTS in status.cut
        yield "deployments", f"{UNREAD} none on the page that was read" if cut else "not deployed"


def _by_environment(deployment: Deployment) -> tuple[int, str]:
    known = ENVIRONMENTS.index(deployment.environment) if deployment.environment in ENVIRONMENTS else len(ENVIRONMENTS)
    return known, deployment.environment


def _deployment(deployment: Deployment, style: Style) -> str:
    status, variant = visible(deployment.status), _variant(deployment.variant)
    if deployment.canary is not None:
        percentage, candidate = deployment.canary.percentage, _variant(deployment.canary.candidate)
        word = style.cyan("canary") if status == "active" else f"{style.cyan('canary')}, {status}"
        return f"{style.gauge(None if percentage is None else percentage / 100)}  {word}: {variant} → {candidate}"
    return f"{status if deployment.live else style.red(status)}: {variant}"


_LISTS: Final = {Section.SLOTS: "slots", Section.DEPLOYMENTS: "deployments"}
_NAMES: Final = ("first request", "routing", "last change", "awaiting")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFacts:
    """The context of a status report: the control plane, the number of requests, and the pending approvals.

    `awaiting` is None if that is unknown.
    """

    control_plane: ControlPlane
    requests: int
    awaiting: tuple[PendingApproval, ...] | None = ()


def render_status(statuses: Sequence[AppStatus], facts: StatusFacts, *, colour: bool, blocks: bool = True) -> str:
    """Render the statuses of apps, in their order. Without `blocks`, bars are in ASCII."""
    style = Style(colour, blocks)
    head = f"{style.bold('octosync status')} · {plane_words(facts.control_plane)} · {counted(len(statuses), 'app')}"
    lines = [head, *_errors(statuses, style)]
    for status in statuses:
        awaiting = [approval for approval in facts.awaiting or () if approval.address.app == status.slug]
        lines += ["", *_app(status, awaiting, style)]
    return text_of((*lines, *_missing_apps(statuses, facts), "", _closing(statuses, facts, style)))


def _missing_apps(statuses: Iterable[AppStatus], facts: StatusFacts) -> Iterator[str]:
    """Yield the pending approvals of apps that do not exist yet."""
    shown = {status.slug for status in statuses}
    for approval in facts.awaiting or ():
        if approval.address.app not in shown:
            yield from (
                "",
                f"{visible(approval.address.app)}   does not exist yet",
                f"  awaiting  {_awaiting(approval)}",
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


def _app(status: AppStatus, awaiting: Iterable[PendingApproval], style: Style) -> Iterator[str]:
    environments = (
        visible(deployment.environment) for name in status.capabilities for deployment in status.deployments_of(name)
    )
    label = max(map(cells, (*_NAMES, *environments)))
    yield f"{style.bold(visible(status.slug))}   {' · '.join(_state(status, style))}"
    for name, words in (
        ("first request", _first_request(status)),
        ("routing", _routing(status, style)),
        ("last change", _last_change(status)),
        *(("awaiting", _awaiting(approval)) for approval in awaiting),
    ):
        yield f"  {padded(name, label)}  {words}"
    yield from slot_lines(status, label, style)
    for section in sorted(status.cut, key=lambda section: section.value):
        yield f"  Only the first page of its {_LISTS[section]} was read: there may be more."


def render_overviews(overviews: Sequence[AppOverview], facts: StatusFacts, *, colour: bool) -> str:
    """Render one line for each app: its deployments by environment, and its last change."""
    style = Style(colour)
    rows = [(visible(overview.slug), _deployed_words(overview), _changed_words(overview)) for overview in overviews]
    headings = ("APP", "DEPLOYMENTS", "LAST CHANGE")
    widths = [max(map(cells, column)) for column in zip(headings, *rows, strict=True)]
    head = f"{style.bold('octosync status')} · {plane_words(facts.control_plane)} · {counted(len(overviews), 'app')}"
    lines = [head, "", style.dim(_columns(headings, widths)), *(_columns(row, widths) for row in rows)]
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
    """Yield the name of an app, and its state in a few words."""
    if isinstance(status.app, RemoteError):
        yield failed_words(status.app)
    else:
        name = status.app.fields.get("name")
        yield from [visible(name)] if isinstance(name, str) and name not in {"", status.slug} else []
        yield from [style.yellow("archived")] if status.app.archived else []
    health = status.health
    yield f"coverage {failed_words(health)}" if isinstance(health, RemoteError) else coverage_word(health.status, style)


def _first_request(status: AppStatus) -> str:
    first = status.first_request
    if isinstance(first, RemoteError):
        return failed_words(first)
    if not first.received:
        return "not seen yet"
    return "seen" if first.at is None else f"seen {time_words(first.at)}"


def _routing(status: AppStatus, style: Style) -> str:
    stats = status.routing
    if isinstance(stats, RemoteError):
        return failed_words(stats)
    if not stats.total:
        return "no requests"
    sides = ((stats.local, "local"), (stats.cloud, "cloud"))
    split = ", ".join(f"{count:,} {word}" for count, word in sides if count is not None)
    share = share_of(stats.local, stats.total)
    drawn = f"{style.gauge(share)} local, " if share is not None else ""
    return f"{drawn}{counted(stats.total, 'request')}{f' ({split})' if split else ''}"


def _last_change(status: AppStatus) -> str:
    event = status.last_change
    if isinstance(event, RemoteError):
        return failed_words(event)
    if event is None:
        return NOTHING
    kind, key = event.resource or ("", "")
    what = " ".join(visible(part) for part in (event.type or kind, key) if part)
    return f"{visible(event.actor or UNREAD)}, {time_words(event.at)}{f' ({what})' if what else ''}"


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
