"""What is live, as text: by app its coverage, traffic and last change, then its slots; last what reading it has cost.

An app's slots as text: each with the reference that its developer uses, its devices, and what is deployed where.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from octosync.contract import ENVIRONMENTS, preset_of
from octosync.contract.normalize import known_policy
from octosync.errors import RemoteError
from octosync.model import AppStatus, Deployment, JsonValue, Kind, PendingApproval, Section, counted
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

NOTHING: Final = "—"  # there is none: a read said so
UNREAD: Final = "?"  # a read failed, or did not go that far
_HEADINGS: Final = ("MODEL REFERENCE", "VARIANT", "POLICY")


def model_reference(slug: str, capability: str) -> str:
    """Return what an app's developer passes to the SDK for a slot (public)."""
    return f"@app/{slug}/{capability}"


def policy_name(policy: JsonValue) -> str | None:
    """Name a slot's serving policy: its preset, else `custom`; None where none is set."""
    if policy is None:
        return None
    known = known_policy(policy) if isinstance(policy, Mapping) else policy
    return preset_of(known) or "custom"


def failed_words(error: RemoteError) -> str:
    """Say in a part's place that it could not be read."""
    return f"{UNREAD} not read: {visible(error.reference)}"


def coverage_word(status: str, style: Style) -> str:
    """Write a coverage's status; one that is not known is shown as it is."""
    paint = {"covered": style.green, "partial": style.yellow, "uncovered": style.red}.get(status, style.cyan)
    return paint(visible(status))


def slot_lines(status: AppStatus, label: int, style: Style) -> Iterator[str]:
    """Yield an app's capabilities; `label` is how wide the names are that stand before what is said of each."""
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
            said = (*_devices(status, capability, style), *_deployments(status, capability, style))
            yield from (f"    {padded(name, label - 2)}  {words}" for name, words in said)


def _columns(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(padded(text, width) for text, width in zip(row, widths, strict=True)).rstrip()


def _row(status: AppStatus, capability: str) -> tuple[str, str, str]:
    """Return a slot's reference, variant and policy."""
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
    """Yield how many of the app's devices have a capability."""
    one = status.coverage(capability)
    if isinstance(status.health, RemoteError):
        yield "devices", failed_words(status.health)
    elif one is not None:
        word, covered, total = coverage_word(one.status, style), one.covered_devices, one.total_devices
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
        yield "devices", f"{UNREAD} the coverage does not name it"


def _deployments(status: AppStatus, capability: str, style: Style) -> Iterator[tuple[str, str]]:
    """Yield by environment what is deployed."""
    if isinstance(status.deployments, RemoteError):
        yield "deployments", failed_words(status.deployments)
        return
    found = sorted(status.deployments_of(capability), key=_by_environment)
    yield from ((visible(one.environment), _deployment(one, style)) for one in found)
    if not found:
        cut = Section.DEPLOYMENTS in status.cut
        yield "deployments", f"{UNREAD} none on the page that was read" if cut else "not deployed"


def _by_environment(one: Deployment) -> tuple[int, str]:
    known = ENVIRONMENTS.index(one.environment) if one.environment in ENVIRONMENTS else len(ENVIRONMENTS)
    return known, one.environment


def _deployment(one: Deployment, style: Style) -> str:
    status, variant = visible(one.status), _variant(one.variant)
    if one.canary is not None:
        percentage, candidate = one.canary.percentage, _variant(one.canary.candidate)
        word = style.cyan("canary") if status == "active" else f"{style.cyan('canary')}, {status}"
        return f"{style.gauge(None if percentage is None else percentage / 100)}  {word}: {variant} → {candidate}"
    return f"{status if one.live else style.red(status)}: {variant}"


_LISTS: Final = {Section.SLOTS: "slots", Section.DEPLOYMENTS: "deployments"}
_NAMES: Final = ("first request", "routing", "last change", "awaiting")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFacts:
    """What a report of statuses needs beside them: where they were read, at what cost, and what awaits a person.

    `awaiting` None: not known.
    """

    control_plane: ControlPlane
    requests: int
    awaiting: tuple[PendingApproval, ...] | None = ()


def render_status(statuses: Sequence[AppStatus], facts: StatusFacts, *, colour: bool, blocks: bool = True) -> str:
    """Render the statuses of apps, in their order. `blocks` False draws bars in ASCII."""
    style = Style(colour, blocks)
    head = f"{style.bold('octosync status')} · {plane_words(facts.control_plane)} · {counted(len(statuses), 'app')}"
    lines = [head, *_errors(statuses, style)]
    for status in statuses:
        lines += ["", *_app(status, [one for one in facts.awaiting or () if one.address.app == status.slug], style)]
    return text_of((*lines, *_not_there_yet(statuses, facts), "", _closing(statuses, facts, style)))


def _not_there_yet(statuses: Iterable[AppStatus], facts: StatusFacts) -> Iterator[str]:
    """Yield what awaits approval of apps that do not exist yet."""
    shown = {status.slug for status in statuses}
    for one in facts.awaiting or ():
        if one.address.app not in shown:
            yield from ("", f"{visible(one.address.app)}   not there yet", f"  awaiting  {_awaiting(one)}")


def _errors(statuses: Iterable[AppStatus], style: Style) -> Iterator[str]:
    """Yield the first error of each kind in full, and how many more there are of it."""
    every = [(f"{status.slug}, {part}", error) for status in statuses for part, error in status.errors.items()]
    kinds = Counter(error.reference for _, error in every)
    for where, error in every:
        if count := kinds.pop(error.reference, 0):
            yield from ("", *error_lines(error, style, about=where.replace("_", " ")))
            if count > 1:
                yield f"  The same of {counted(count - 1, 'more part')}."


def _app(status: AppStatus, awaiting: Iterable[PendingApproval], style: Style) -> Iterator[str]:
    environments = (visible(one.environment) for name in status.capabilities for one in status.deployments_of(name))
    label = max(map(cells, (*_NAMES, *environments)))
    yield f"{style.bold(visible(status.slug))}   {' · '.join(_state(status, style))}"
    for name, words in (
        ("first request", _first_request(status)),
        ("routing", _routing(status, style)),
        ("last change", _last_change(status)),
        *(("awaiting", _awaiting(one)) for one in awaiting),
    ):
        yield f"  {padded(name, label)}  {words}"
    yield from slot_lines(status, label, style)
    for section in sorted(status.cut, key=lambda one: one.value):
        yield f"  Only the first page of its {_LISTS[section]} was read: what is not shown may be there all the same."


def _state(status: AppStatus, style: Style) -> Iterator[str]:
    """Yield what an app is called, and in a word or two how it is."""
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


def _awaiting(one: PendingApproval) -> str:
    what = f"{one.verb} {one.address.kind.value} {one.address.name}"
    if one.address.kind is Kind.CAPABILITY:
        what = f"{one.verb} {' in '.join(one.address.placement)}"
    return f"approval to {visible(what)}, since {time_words(one.at)}"


def _closing(statuses: Sequence[AppStatus], facts: StatusFacts, style: Style) -> str:
    """Say how the apps are in one line, and what it cost to know."""
    words = Counter(status.health.status for status in statuses if not isinstance(status.health, RemoteError))
    running = [
        one
        for app in statuses
        for name in app.capabilities
        for one in app.deployments_of(name)
        if one.canary is not None
    ]
    unread = sum(bool(status.errors) for status in statuses)
    parts = [f"{count:,} {visible(word)}" for word, count in sorted(words.items())]
    parts += [f"{counted(len(running), 'canary', 'canaries')} running"] if running else []
    parts += [f"{len(facts.awaiting):,} awaiting approval"] if facts.awaiting else []
    parts += [style.red(f"{unread:,} not read in full")] if unread else []
    said = f": {', '.join(parts)}" if parts else ""
    return f"{counted(len(statuses), 'app')}{said}. Read with {counted(facts.requests, 'request')}."
