"""The examination of a control plane for `octosync doctor`: two GETs at most, each sent once and with short timeouts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from octosync.contract import Contract
from octosync.errors import RemoteError
from octosync.model import Sensitivity
from octosync.octomil.activity import EventsPage, read_org_events
from octosync.octomil.client import Octomil, TracedRequest
from octosync.octomil.pagination import read_page
from octosync.octomil.transport import Connection, open_transport

_CONNECT_SECONDS: Final = 5.0
_RESPONSE_SECONDS: Final = 10.0
_HALF_A_SECOND: Final = timedelta(seconds=0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What two GETs show about a control plane.

    `requests` were sent. `error` is that of the first one, the list of apps; after an error, the second is not sent. `apps` is
    the number of apps, None if it is not stated. `ahead` is how far the control plane's clock is ahead of the local one, None
    without a valid Date header. `limit` and `remaining` are those of the rate limit, if headers state them. `feed` is
    the newest page of the activity feed, or `feed_error` its error.
    """

    requests: int
    error: RemoteError | None = None
    apps: int | None = None
    ahead: timedelta | None = None
    limit: int | None = None
    remaining: int | None = None
    feed: EventsPage | None = None
    feed_error: RemoteError | None = None


async def examine(
    connection: Connection,
    contract: Contract,
    sensitivity: Sensitivity,
    now: Callable[[], datetime],
    *,
    trace: Callable[[TracedRequest], None] | None = None,
) -> Examination:
    """Examine a control plane. Raises `ConfigError` if the certificate authorities can't be loaded."""
    connection = replace(
        connection, attempts=1, connect_timeout=_CONNECT_SECONDS, response_timeout=_RESPONSE_SECONDS, read_timeout=None
    )
    recorder = _Recorder(open_transport(connection), now)
    async with Octomil(connection, contract, sensitivity=sensitivity, transport=recorder) as client:
        if trace is not None:
            client.trace_requests(trace)
        found = Examination(requests=0)
        try:
            page = await read_page(client, "apps.list", {}, plural="apps", limit=1)
            found = replace(found, apps=page.total)
        except RemoteError as error:
            found = replace(found, error=error)
        found = replace(
            found,
            ahead=recorder.ahead,
            limit=recorder.number("limit"),
            remaining=recorder.number("remaining"),
        )
        if found.error is None:
            try:
                found = replace(found, feed=await read_org_events(client))
            except RemoteError as error:
                found = replace(found, feed_error=error)
        return replace(found, requests=client.requests)


@dataclass(slots=True)
class _Recorder(httpx.AsyncBaseTransport):
    """A transport that records the headers of the first response, and the local time halfway between request and response."""

    inner: httpx.AsyncBaseTransport
    now: Callable[[], datetime]
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    at: datetime | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        sent = self.now()
        response = await self.inner.handle_async_request(request)
        if self.at is None:
            self.at, self.headers = sent + (self.now() - sent) / 2, response.headers
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        await self.inner.aclose()

    @property
    def ahead(self) -> timedelta | None:
        """How far the control plane's clock is ahead of the local one; None if it is not known, as for a cached response."""
        if self.at is None or "age" in self.headers:
            return None
        try:
            date = parsedate_to_datetime(self.headers.get("date", ""))
            # A date has whole seconds: on average, half of one is cut off.
            return (date if date.tzinfo else date.replace(tzinfo=UTC)) + _HALF_A_SECOND - self.at
        except (ValueError, TypeError, OverflowError):
            return None

    def number(self, name: str) -> int | None:
        """Return the number in a header about the rate limit: `RateLimit-Limit`, `X-RateLimit-Limit`; None without one."""
        for header in (f"ratelimit-{name}", f"x-ratelimit-{name}"):
            text = self.headers.get(header, "").strip()
            if text.isascii() and text.isdigit() and len(text) < 10:
                return int(text)
        return None
