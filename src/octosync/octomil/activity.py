"""The activity feeds: what was done to an app, or in the org, newest first."""

from __future__ import annotations

from dataclasses import dataclass

from octosync.contract import EVENTS
from octosync.contract.responses import WireActor, WireEvent
from octosync.model import Event, JsonObject
from octosync.octomil.answers import parsed, time_of
from octosync.octomil.client import Octomil
from octosync.octomil.pagination import PAGE, read_page


@dataclass(frozen=True, slots=True)
class EventsPage:
    """A page of a feed; `is_last`: nothing is older."""

    events: tuple[Event, ...]
    is_last: bool


async def app_events(client: Octomil, slug: str, *, offset: int = 0, limit: int = PAGE) -> EventsPage:
    """Read a page of an app's feed, newest first (stated). Raises `RemoteError`."""
    return await _events(client, "apps.activity", slug, offset, limit)


async def org_events(client: Octomil, *, offset: int = 0, limit: int = PAGE) -> EventsPage:
    """Read a page of the org's feed, newest first. Raises `RemoteError`."""
    return await _events(client, "activity.list", None, offset, limit)


async def _events(client: Octomil, operation_id: str, slug: str | None, offset: int, limit: int) -> EventsPage:
    parameters = {} if slug is None else {"slug": slug}
    page = await read_page(client, operation_id, parameters, plural=EVENTS, offset=offset, limit=limit)
    events = tuple(_event(client, operation_id, slug, item, page.request_id) for item in page.items)
    return EventsPage(events, page.is_last(offset))


def _event(client: Octomil, operation_id: str, slug: str | None, item: JsonObject, request_id: str | None) -> Event:
    found = parsed(client, operation_id, WireEvent, item, request_id)
    about = found.resource
    return Event(
        id=found.id,
        type=found.type,
        app=found.app_slug or slug,
        app_id=found.app_id,
        resource=(about.type, about.key or "") if about is not None and about.type is not None else None,
        actor=_name(found.actor),
        message=found.message,
        at=time_of(found.created_at),
    )


def _name(actor: WireActor | None) -> str | None:
    return None if actor is None else actor.name or actor.id
