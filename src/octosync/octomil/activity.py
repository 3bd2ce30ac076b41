"""The activity feeds: what was done to an app, or in the org, newest first.

Feeds, which the control plane answers newest first: their newest end in the order of events, and what comes after it.

A feed grows at its front while it is read page by page, so pages overlap: an entry is known by its id, and told once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from octosync.contract import EVENTS, ErrorCode
from octosync.contract.responses import WireActor, WireEvent
from octosync.errors import CredentialRefused, Forbidden, Missing, OctosyncError, Rejected, RemoteError
from octosync.model import Backoff, Event, JsonObject, RoutingDecision
from octosync.octomil.client import Octomil
from octosync.octomil.deployments import read_routing_decisions
from octosync.octomil.pagination import PAGE, parse_model, parse_time, read_page
from octosync.octomil.resources import read_app


@dataclass(frozen=True, slots=True)
class EventsPage:
    """A page of a feed; `is_last`: nothing is older."""

    events: tuple[Event, ...]
    is_last: bool


async def read_app_events(client: Octomil, slug: str, *, offset: int = 0, limit: int = PAGE) -> EventsPage:
    """Read a page of an app's feed, newest first (stated). Raises `RemoteError`."""
    return await _events(client, "apps.activity", slug, offset, limit)


async def read_org_events(client: Octomil, *, offset: int = 0, limit: int = PAGE) -> EventsPage:
    """Read a page of the org's feed, newest first. Raises `RemoteError`."""
    return await _events(client, "activity.list", None, offset, limit)


async def _events(client: Octomil, operation_id: str, slug: str | None, offset: int, limit: int) -> EventsPage:
    parameters = {} if slug is None else {"slug": slug}
    page = await read_page(client, operation_id, parameters, plural=EVENTS, offset=offset, limit=limit)
    events = tuple(_event(client, operation_id, slug, item, page.request_id) for item in page.items)
    return EventsPage(events, page.is_last(offset))


def _event(client: Octomil, operation_id: str, slug: str | None, item: JsonObject, request_id: str | None) -> Event:
    found = parse_model(client, operation_id, WireEvent, item, request_id)
    about = found.resource
    return Event(
        id=found.id,
        type=found.type,
        app=found.app_slug or slug,
        app_id=found.app_id,
        resource=(about.type, about.key or "") if about is not None and about.type is not None else None,
        actor=_name(found.actor),
        message=found.message,
        at=parse_time(found.created_at),
    )


def _name(actor: WireActor | None) -> str | None:
    return None if actor is None else actor.name or actor.id


# So many pages are read at most for what came between two looks: more than a person follows, and a part of a minute's rate.
MAX_NEW_PAGES = 5
_REMEMBERED = 20 * PAGE  # ids; far more than what could come up again
_LONGEST_PAUSE = 60.0  # seconds
# What asking again does not change.
_FINAL = (CredentialRefused, Forbidden, Missing, Rejected)


class FeedEntry(Protocol):
    """What a feed is made of."""

    @property
    def id(self) -> str:
        """The entry's name in its feed."""


E = TypeVar("E", bound=FeedEntry)
ReadPage = Callable[[int, int], Awaitable[tuple[Sequence[E], bool]]]
Pause = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class FeedTail(Generic[E]):
    """The newest entries of a feed, newest last; `complete` where the feed has no older ones."""

    entries: tuple[E, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class NewEntries(Generic[E]):
    """What a feed had not had before, newest last; with a `gap` where older entries of it were not read."""

    entries: tuple[E, ...]
    gap: bool = False


class Feed(Generic[E]):
    """One feed, and what is known of it.

    `read` reads a page, newest first, from an offset, with at most so many entries; and says whether it is the last one.
    `most_pages` are read for what is new at once; what lies further back is a gap.
    """

    def __init__(self, read: ReadPage[E], *, most_pages: int = MAX_NEW_PAGES) -> None:
        self._read = read
        self._most_pages = most_pages
        self._known: dict[str, None] = {}

    async def read_newest(self, count: int, *, to_follow: bool = False) -> FeedTail[E]:
        """Read the newest entries, and no more pages than they take. Raises `RemoteError`.

        `to_follow`: further entries of the same page are kept in mind. They tell what is new from what only changes places,
        as entries of the same time may.
        """
        wanted = max(count, 1, PAGE if to_follow else 1)
        found: dict[str, E] = {}
        offset, complete = 0, False
        while len(found) < wanted and not complete:
            limit = PAGE if offset else min(PAGE, wanted)
            page, is_last = await self._read(offset, limit)
            complete = is_last or len(page) > limit  # more than asked for is a whole list, from what doesn't page
            before = len(found)
            for one in page:
                found.setdefault(one.id, one)
            offset += len(page)
            if len(found) == before:
                break  # whatever the offset, the answer is the same
        entries = tuple(found.values())
        self._keep(entries)
        return FeedTail(entries[:count][::-1], complete and len(entries) <= count)

    async def read_new(self) -> NewEntries[E]:
        """Read what is new since the last look: one page, and further ones only where nothing on it is known.

        Raises `RemoteError`; then nothing counts as seen, and the next look brings it.
        """
        found: dict[str, E] = {}
        offset, gap = 0, True
        for _ in range(self._most_pages):
            page, is_last = await self._read(offset, PAGE)
            known = [place for place, one in enumerate(page) if one.id in self._known]
            # What stands before the oldest known entry is new, even where a newer one is known.
            for one in page[: known[-1] if known else None]:
                if one.id not in self._known:
                    found.setdefault(one.id, one)
            offset += len(page)
            if known or is_last or not page:
                gap = False
                break
        entries = tuple(found.values())
        self._keep(entries)
        return NewEntries(entries[::-1], gap)

    def _keep(self, entries: Sequence[E]) -> None:
        self._known |= dict.fromkeys(one.id for one in reversed(entries))
        for id_ in list(self._known)[:-_REMEMBERED]:
            del self._known[id_]


async def follow_feed(
    feed: Feed[E],
    *,
    every: float,
    failed: Callable[[RemoteError, float], None],
    pause: Pause = asyncio.sleep,
) -> AsyncIterator[NewEntries[E]]:
    """Look at a feed every so many seconds, for ever, and yield what is new.

    A look that fails is told to `failed`, with the seconds until the next one, which grow. Raises `RemoteError` for what
    will not change by asking again, a refused credential above all.
    """
    backoff = Backoff(first=2.0 * every, longest=_LONGEST_PAUSE)
    wait, failures = every, 0
    while True:
        await pause(wait)
        try:
            news = await feed.read_new()
        except _FINAL:
            raise
        except RemoteError as error:
            failures += 1
            wait = max(every, backoff.bound(failures))
            failed(error, wait)
            continue
        wait, failures = every, 0
        if news.entries or news.gap:
            yield news


def activity_feed(client: Octomil, slug: str) -> Feed[Event]:
    """Return the activity feed of an app, not yet read. Its reads raise `Missing` where there is no such app."""

    async def read(offset: int, limit: int) -> tuple[Sequence[Event], bool]:
        page = await read_app_events(client, slug, offset=offset, limit=limit)
        return page.events, page.is_last

    return Feed(_explained(client, slug, "activity feed", read))


def decisions_feed(client: Octomil, slug: str) -> Feed[RoutingDecision]:
    """Return the feed of an app's routing decisions, likewise."""

    async def read(offset: int, limit: int) -> tuple[Sequence[RoutingDecision], bool]:
        page = await read_routing_decisions(client, slug, offset=offset, limit=limit)
        return page.decisions, page.is_last

    return Feed(_explained(client, slug, "feed of routing decisions", read))


def _explained(client: Octomil, slug: str, what: str, read: ReadPage[E]) -> ReadPage[E]:
    """Have a 404 looked into: either there is no such app, or the control plane has no such feed."""

    async def explained(offset: int, limit: int) -> tuple[Sequence[E], bool]:
        try:
            return await read(offset, limit)
        except RemoteError as error:
            if error.status != 404:
                raise
            problem = await _why_missing(client, slug, what, error)
        raise problem

    return explained


async def _why_missing(client: Octomil, slug: str, what: str, error: RemoteError) -> OctosyncError:
    if error.code == ErrorCode.APP_NOT_FOUND or (await read_app(client, slug)).value is None:
        return Missing(
            "app-not-found",
            f"there is no app {slug} at {client.connection.host}",
            hints=(error.message, "Check the slug, the org (--org) and the context."),
            operation=error.operation,
            response=error.response,
        )
    operation = client.contract.operations[error.operation]
    return Rejected(
        "feed-absent",
        f"{client.connection.host} has no {what}: app {slug} is there, and {operation.method} {operation.path} is not",
        hints=(
            error.message,
            f"If it is elsewhere, say so in octosync.yaml: api.operations.{operation.id}: {{method, path}}.",
        ),
        operation=error.operation,
        response=error.response,
    )
