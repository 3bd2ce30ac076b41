"""What is live, as text: by app its coverage, traffic and last change, then its slots; last what reading it has cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from octosync.errors import RemoteError
from octosync.model import AppStatus, Awaited, Kind, Section, counted
from octosync.plan import ControlPlane
from octosync.report.bars import share_of
from octosync.report.errors import error_lines
from octosync.report.ink import Ink
from octosync.report.status_slots import NOTHING, UNREAD, Pen, coverage_word, failed_words, slot_lines
from octosync.report.text import cells, padded, text_of, visible
from octosync.report.words import plane_words, time_words

_LISTS: Final = {Section.SLOTS: "slots", Section.DEPLOYMENTS: "deployments"}
_NAMES: Final = ("first request", "routing", "last change", "awaiting")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFacts:
    """What a report of statuses needs beside them: where they were read, at what cost, and what awaits a person.

    `awaiting` None: not known.
    """

    control_plane: ControlPlane
    requests: int
    awaiting: tuple[Awaited, ...] | None = ()


def render_status(statuses: Sequence[AppStatus], facts: StatusFacts, *, colour: bool, blocks: bool = True) -> str:
    """Render the statuses of apps, in their order. `blocks` False draws bars in ASCII."""
    pen = Pen(Ink(colour), blocks)
    head = f"{pen.ink.bold('octosync status')} · {plane_words(facts.control_plane)} · {counted(len(statuses), 'app')}"
    lines = [head, *_errors(statuses, pen.ink)]
    for status in statuses:
        lines += ["", *_app(status, [one for one in facts.awaiting or () if one.address.app == status.slug], pen)]
    return text_of((*lines, *_not_there_yet(statuses, facts), "", _closing(statuses, facts, pen.ink)))


def _not_there_yet(statuses: Iterable[AppStatus], facts: StatusFacts) -> Iterator[str]:
    """Yield what awaits approval of apps that do not exist yet."""
    shown = {status.slug for status in statuses}
    for one in facts.awaiting or ():
        if one.address.app not in shown:
            yield from ("", f"{visible(one.address.app)}   not there yet", f"  awaiting  {_awaiting(one)}")


def _errors(statuses: Iterable[AppStatus], ink: Ink) -> Iterator[str]:
    """Yield the first error of each kind in full, and how many more there are of it."""
    every = [(f"{one.slug}, {part}", error) for one in statuses for part, error in one.errors.items()]
    kinds = Counter(error.reference for _, error in every)
    for where, error in every:
        if count := kinds.pop(error.reference, 0):
            yield from ("", *error_lines(error, ink, about=where.replace("_", " ")))
            if count > 1:
                yield f"  The same of {counted(count - 1, 'more part')}."


def _app(status: AppStatus, awaiting: Iterable[Awaited], pen: Pen) -> Iterator[str]:
    environments = (visible(one.environment) for name in status.capabilities for one in status.deployments_of(name))
    label = max(map(cells, (*_NAMES, *environments)))
    yield f"{pen.ink.bold(visible(status.slug))}   {' · '.join(_state(status, pen.ink))}"
    for name, words in (
        ("first request", _first_request(status)),
        ("routing", _routing(status, pen)),
        ("last change", _last_change(status)),
        *(("awaiting", _awaiting(one)) for one in awaiting),
    ):
        yield f"  {padded(name, label)}  {words}"
    yield from slot_lines(status, label, pen)
    for section in sorted(status.cut, key=lambda one: one.value):
        yield f"  Only the first page of its {_LISTS[section]} was read: what is not shown may be there all the same."


def _state(status: AppStatus, ink: Ink) -> Iterator[str]:
    """Yield what an app is called, and in a word or two how it is."""
    if isinstance(status.app, RemoteError):
        yield failed_words(status.app)
    else:
        name = status.app.fields.get("name")
        yield from [visible(name)] if isinstance(name, str) and name not in {"", status.slug} else []
        yield from [ink.yellow("archived")] if status.app.archived else []
    health = status.health
    yield f"coverage {failed_words(health)}" if isinstance(health, RemoteError) else coverage_word(health.status, ink)


def _first_request(status: AppStatus) -> str:
    first = status.first_request
    if isinstance(first, RemoteError):
        return failed_words(first)
    if not first.received:
        return "not seen yet"
    return "seen" if first.at is None else f"seen {time_words(first.at)}"


def _routing(status: AppStatus, pen: Pen) -> str:
    stats = status.routing
    if isinstance(stats, RemoteError):
        return failed_words(stats)
    if not stats.total:
        return "no requests"
    sides = ((stats.local, "local"), (stats.cloud, "cloud"))
    split = ", ".join(f"{count:,} {word}" for count, word in sides if count is not None)
    share = share_of(stats.local, stats.total)
    drawn = f"{pen.gauge(share)} local, " if share is not None else ""
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


def _awaiting(one: Awaited) -> str:
    what = f"{one.verb} {one.address.kind.value} {one.address.name}"
    if one.address.kind is Kind.CAPABILITY:
        what = f"{one.verb} {' in '.join(one.address.placement)}"
    return f"approval to {visible(what)}, since {time_words(one.at)}"


def _closing(statuses: Sequence[AppStatus], facts: StatusFacts, ink: Ink) -> str:
    """Say how the apps are in one line, and what it cost to know."""
    words = Counter(one.health.status for one in statuses if not isinstance(one.health, RemoteError))
    running = [
        one
        for app in statuses
        for name in app.capabilities
        for one in app.deployments_of(name)
        if one.canary is not None
    ]
    unread = sum(bool(one.errors) for one in statuses)
    parts = [f"{count:,} {visible(word)}" for word, count in sorted(words.items())]
    parts += [f"{counted(len(running), 'canary', 'canaries')} running"] if running else []
    parts += [f"{len(facts.awaiting):,} awaiting approval"] if facts.awaiting else []
    parts += [ink.red(f"{unread:,} not read in full")] if unread else []
    said = f": {', '.join(parts)}" if parts else ""
    return f"{counted(len(statuses), 'app')}{said}. Read with {counted(facts.requests, 'request')}."
