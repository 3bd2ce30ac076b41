"""Routing: where an app's requests went, and whether there were any."""

from __future__ import annotations

from dataclasses import dataclass

from octosync.contract import DECISIONS
from octosync.contract.responses import WireFirstRequest, WireRoutingDecision, WireRoutingStats
from octosync.model import FirstRequest, JsonObject, RoutingDecision, RoutingStats
from octosync.octomil.answers import parsed, time_of
from octosync.octomil.client import Octomil
from octosync.octomil.pagination import PAGE, read_page


@dataclass(frozen=True, slots=True)
class DecisionsPage:
    """A page of an app's routing decisions; `is_last`: nothing is older."""

    decisions: tuple[RoutingDecision, ...]
    is_last: bool


async def routing_stats(client: Octomil, slug: str) -> RoutingStats:
    """Read how many requests an app had and where they went. Raises `RemoteError`."""
    answer = await client.call("apps.routing_stats", {"slug": slug})
    found = parsed(client, "apps.routing_stats", WireRoutingStats, answer.body, answer.request_id)
    return RoutingStats(
        total=found.total_requests,
        local=found.local_requests,
        cloud=found.cloud_requests,
        average_latency_ms=found.average_latency_ms,
    )


async def routing_decisions(client: Octomil, slug: str, *, offset: int = 0, limit: int = PAGE) -> DecisionsPage:
    """Read a page of an app's routing decisions, newest first (stated: recent). Raises `RemoteError`."""
    page = await read_page(
        client, "apps.routing_decisions", {"slug": slug}, plural=DECISIONS, offset=offset, limit=limit
    )
    decisions = tuple(_decision(client, item, page.request_id) for item in page.items)
    return DecisionsPage(decisions, page.is_last(offset))


async def first_request(client: Octomil, slug: str) -> FirstRequest:
    """Ask whether any request of an app was seen, on the device or in the cloud (stated). Raises `RemoteError`."""
    answer = await client.call("apps.first_request", {"slug": slug})
    found = parsed(client, "apps.first_request", WireFirstRequest, answer.body, answer.request_id)
    return FirstRequest(received=found.received, at=time_of(found.first_request_at))


def _decision(client: Octomil, item: JsonObject, request_id: str | None) -> RoutingDecision:
    found = parsed(client, "apps.routing_decisions", WireRoutingDecision, item, request_id)
    return RoutingDecision(
        id=found.id,
        route=found.route,
        capability=found.capability,
        variant=found.model_variant_id,
        latency_ms=found.latency_ms,
        at=time_of(found.created_at),
    )
