"""Enrich: further reads that a plan needs (deployments, routing, previews, feeds), added to an observation.

What can't be read is recorded as an error, never as absent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from octosync.errors import CredentialRefused, RemoteError
from octosync.model import (
    Address,
    Deployment,
    Event,
    FollowUpReads,
    Observation,
    OptimizationCheck,
    Preview,
    RoutingStats,
    Section,
    State,
)
from octosync.octomil.activity import read_app_events, read_org_events
from octosync.octomil.client import Octomil, Read, run_concurrently
from octosync.octomil.deployments import (
    check_optimization,
    count_running_canaries,
    preview_enable,
    read_deployments,
    read_org_deployments,
    read_org_deployments_if_cheaper,
    read_routing_stats,
)
from octosync.octomil.pagination import ReadResult

T = TypeVar("T")

# The most pages of the org's feed that are read.
MAX_FEED_PAGES = 5


async def enrich(
    client: Octomil,
    seen: Observation,
    questions: FollowUpReads,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Observation:
    """Return the observation with the results of the requested reads added.

    Deployments or routing that can't be read are that app's error, since guards need them; the error of a preview, a check
    or a feed is kept in its place. `progress` is called with the number of reads that are done and the number that is
    expected. Raises `CredentialRefused`.
    """
    reader = _EnrichmentReader(client, seen, questions, progress)
    requests_before = client.requests
    await reader.read_org_deployments()
    await run_concurrently(reader.reads(), client.connection.concurrency)
    return reader.observation(client.requests - requests_before)


@dataclass(slots=True)
class _EnrichmentReader:
    """The reads of one enrichment. Each result has a place of its own, so their order doesn't matter."""

    client: Octomil
    seen: Observation
    questions: FollowUpReads
    progress: Callable[[int, int], None] | None
    errors: dict[str, RemoteError] = field(default_factory=dict)
    deployments: dict[str, tuple[Deployment, ...]] = field(default_factory=dict)
    read_at: dict[str, float] = field(default_factory=dict)
    routing: dict[str, RoutingStats] = field(default_factory=dict)
    previews: dict[Address, Preview | RemoteError] = field(default_factory=dict)
    checks: dict[Address, OptimizationCheck | RemoteError] = field(default_factory=dict)
    canaries: int | RemoteError | None = None
    org_feed: tuple[Event, ...] | RemoteError | None = None
    org_feed_is_cut: bool = False
    app_feeds: dict[str, tuple[Event, ...]] = field(default_factory=dict)
    _done: int = 0
    _expected: int = 0

    async def read_org_deployments(self) -> None:
        """Read the deployments of all requested apps with the org's list, if that takes fewer requests."""
        wanted = {slug: self.seen.state.apps[slug] for slug in self.questions.deployments}
        reading = await read_org_deployments_if_cheaper(self.client, wanted)
        if not isinstance(reading, ReadResult):
            self.canaries = reading if self.seen.canaries is None else None
        else:
            self.canaries = count_running_canaries(reading.value)
            for slug in wanted:
                own = tuple(deployment for deployment in reading.value if deployment.app == slug)
                self._keep_deployments(slug, own, reading.at)

    def reads(self) -> list[Read]:
        """Return the reads that are still needed."""
        questions = self.questions
        reads = [
            *(self._deployments_read(slug) for slug in questions.deployments if slug not in self.deployments),
            *(self._routing_read(slug) for slug in questions.routing),
            *(self._preview_read(address) for address in questions.previews),
            *(self._check_read(address) for address in questions.checks),
            *([self._read_canaries] if questions.canaries and self.canaries is None else []),
            *([self._org_feed_read(since)] if (since := questions.org_feed_since) is not None else []),
            *(self._app_feed_read(slug) for slug in questions.app_feeds),
        ]
        self._expected = len(reads)
        return reads

    def observation(self, requests: int) -> Observation:
        """Return the observation with everything that was read."""
        seen = self.seen
        apps = (
            replace(
                app,
                deployments=self.deployments[app.slug],
                complete_sections=app.complete_sections | {Section.DEPLOYMENTS},
            )
            if app.slug in self.deployments
            else app
            for app in seen.state
        )
        read_at: dict[tuple[str, Section | None], float] = {
            (slug, Section.DEPLOYMENTS): at for slug, at in self.read_at.items()
        }
        return replace(
            seen,
            state=State.from_apps(*apps),
            errors=dict(sorted({**seen.errors, **self.errors}.items())),
            read_at={**seen.read_at, **read_at},
            requests=seen.requests + requests,
            routing=dict(sorted({**seen.routing, **self.routing}.items())),
            previews={**seen.previews, **self.previews},
            checks={**seen.checks, **self.checks},
            canaries=seen.canaries if self.canaries is None else self.canaries,
            org_feed=seen.org_feed if self.org_feed is None else self.org_feed,
            org_feed_is_cut=seen.org_feed_is_cut if self.org_feed is None else self.org_feed_is_cut,
            app_feeds={**seen.app_feeds, **self.app_feeds},
        )

    def _deployments_read(self, slug: str) -> Read:
        async def read() -> None:
            reading = await self._result_or_error(read_deployments(self.client, slug))
            if isinstance(reading, RemoteError):
                self.errors[slug] = reading
            else:
                self._keep_deployments(slug, reading.value, reading.at)

        return read

    def _routing_read(self, slug: str) -> Read:
        async def read() -> None:
            stats = await self._result_or_error(read_routing_stats(self.client, slug))
            if isinstance(stats, RemoteError):
                self.errors[slug] = stats
            else:
                self.routing[slug] = stats

        return read

    def _preview_read(self, address: Address) -> Read:
        async def read() -> None:
            self.previews[address] = await self._result_or_error(preview_enable(self.client, address))

        return read

    def _check_read(self, address: Address) -> Read:
        async def read() -> None:
            self.checks[address] = await self._result_or_error(check_optimization(self.client, address))

        return read

    async def _read_canaries(self) -> None:
        reading = await self._result_or_error(read_org_deployments(self.client, {}, worth=lambda _: True))
        if isinstance(reading, RemoteError):
            self.canaries = reading
        elif reading is not None:
            self.canaries = count_running_canaries(reading.value)

    def _org_feed_read(self, since: datetime) -> Read:
        async def read() -> None:
            feed = await self._result_or_error(_org_feed(self.client, since))
            if isinstance(feed, RemoteError):
                self.org_feed = feed
            else:
                self.org_feed, self.org_feed_is_cut = feed

        return read

    def _app_feed_read(self, slug: str) -> Read:
        async def read() -> None:
            page = await self._result_or_error(read_app_events(self.client, slug))
            self.app_feeds[slug] = () if isinstance(page, RemoteError) else page.events

        return read

    def _keep_deployments(self, slug: str, deployments: tuple[Deployment, ...], at: float) -> None:
        self.deployments[slug], self.read_at[slug] = deployments, at

    async def _result_or_error(self, reading: Awaitable[T]) -> T | RemoteError:
        try:
            answer: T | RemoteError = await reading
        except CredentialRefused:
            raise
        except RemoteError as error:
            answer = error
        self._done += 1
        if self.progress is not None:
            self.progress(self._done, self._expected)
        return answer


async def _org_feed(client: Octomil, since: datetime) -> tuple[tuple[Event, ...], bool]:
    """Read the org's feed, newest first, back to a time or for `MAX_FEED_PAGES`; return it, and whether it is cut off."""
    events: dict[str, Event] = {}
    read = 0
    for _ in range(MAX_FEED_PAGES):
        page = await read_org_events(client, offset=read)
        read += len(page.events)
        # New events shift the pages, so that they overlap.
        events |= {event.id: event for event in page.events if event.id not in events}
        oldest = page.events[-1].at if page.events else None
        if page.is_last or oldest is None or oldest < since:
            return tuple(events.values()), False
    return tuple(events.values()), True
