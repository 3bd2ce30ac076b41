"""The feeds: activity of an app or the org, and routing decisions; read once, or polled for new entries.

The control plane returns the newest entries first. A feed grows at its front while it is read page by page, so pages
overlap: an entry is identified by its id, and returned once.
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
    """A page of a feed; with `is_last`, there are no older events."""

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


# The most pages that one poll reads: more than a person can follow, and a part of the rate limit of a minute.
MAX_NEW_PAGES = 5
_REMEMBERED = 20 * PAGE  # ids; far more than could appear again
_LONGEST_PAUSE = 60.0  # seconds
# Errors that the next poll would have, too.
_FINAL = (CredentialRefused, Forbidden, Missing, Rejected)


class FeedEntry(Protocol):
    """An entry of a feed."""

    @property
    def id(self) -> str:
        """The entry's id in its feed."""


E = TypeVar("E", bound=FeedEntry)
ReadPage = Callable[[int, int], Awaitable[tuple[Sequence[E], bool]]]
Pause = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class FeedTail(Generic[E]):
    """The newest entries of a feed, newest last; `complete` if the feed has no older ones."""

    entries: tuple[E, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class NewEntries(Generic[E]):
    """The entries that are new in a feed, newest last; with `gap`, older new entries were not read."""

    entries: tuple[E, ...]
    gap: bool = False


class Feed(Generic[E]):
    """A feed, with the ids of the entries that were returned.

    `read` takes an offset and a limit, and returns a page, newest first, and whether it is the last one. One poll reads at
    most `most_pages`; further new entries are a gap.
    """

    def __init__(self, read: ReadPage[E], *, most_pages: int = MAX_NEW_PAGES) -> None:
        self._read = read
        self._most_pages = most_pages
        self._known: dict[str, None] = {}

    async def read_newest(self, count: int, *, to_follow: bool = False) -> FeedTail[E]:
        """Read the newest `count` entries, with as few pages as possible. Raises `RemoteError`.

        With `to_follow`, all entries of the page are recorded as known: entries of the same time may change places, and a
        later poll must not return them as new.
        """
        wanted = max(count, 1, PAGE if to_follow else 1)
        found: dict[str, E] = {}
        offset, complete = 0, False
        while len(found) < wanted and not complete:
            limit = PAGE if offset else min(PAGE, wanted)
            page, is_last = await self._read(offset, limit)
            complete = is_last or len(page) > limit  # more entries than requested: the control plane doesn't paginate
            before = len(found)
            for entry in page:
                found.setdefault(entry.id, entry)
            offset += len(page)
            if len(found) == before:
                break  # the control plane ignores the offset
        entries = tuple(found.values())
        self._keep(entries)
        return FeedTail(entries[:count][::-1], complete and len(entries) <= count)

    async def read_new(self) -> NewEntries[E]:
        """Read the entries since the last poll: one page, and further ones only while no entry on it is known.

        Raises `RemoteError`; then nothing is recorded, and the next poll returns the entries.
        """
        found: dict[str, E] = {}
        offset, gap = 0, True
        for _ in range(self._most_pages):
            page, is_last = await self._read(offset, PAGE)
            known = [index for index, entry in enumerate(page) if entry.id in self._known]
            # Entries before the oldest known one are new, even after a newer known one.
            for entry in page[: known[-1] if known else None]:
                if entry.id not in self._known:
                    found.setdefault(entry.id, entry)
            offset += len(page)
            if known or is_last or not page:
                gap = False
                break
        entries = tuple(found.values())
        self._keep(entries)
        return NewEntries(entries[::-1], gap)

    def _keep(self, entries: Sequence[E]) -> None:
        self._known |= dict.fromkeys(entry.id for entry in reversed(entries))
        for id_ in list(self._known)[:-_REMEMBERED]:
            del self._known[id_]


async def follow_feed(
    feed: Feed[E],
    *,
    every: float,
    failed: Callable[[RemoteError, float], None],
    pause: Pause = asyncio.sleep,
) -> AsyncIterator[NewEntries[E]]:
    """Poll a feed `every` that many seconds, without end, and yield the new entries.

    For a failed poll, `failed` is called with the error and the seconds until the next poll, which grow. Raises
    `RemoteError` for an error that the next poll would have, too, such as a rejected credential.
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
    """Return the activity feed of an app, not yet read. Its reads raise `Missing` if there is no such app."""

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
    """Return `read` with an explained 404: either there is no such app, or the control plane has no such feed."""

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
            f"app {slug} does not exist at {client.connection.host}",
            hints=(error.message, "Check the slug, the org (--org) and the context."),
            operation=error.operation,
            response=error.response,
        )
    operation = client.contract.operations[error.operation]
    return Rejected(
        "feed-absent",
        f"{client.connection.host} has no {what}: app {slug} exists, but {operation.method} {operation.path} does not",
        hints=(
            error.message,
            f"If it is elsewhere, set api.operations.{operation.id}: {{method, path}} in octosync.yaml.",
        ),
        operation=error.operation,
        response=error.response,
    )
