"""A control plane, a client with its own clock, and a journal: whole reconcile passes, as the commands run them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from tests.support.clients import connection_to
from tests.support.local_client import LocalClient
from tests.support.plane import Plane, writes_in
from tests.support.states import policy_of

from octosync.apply import ApplyResult, Listener, Progress
from octosync.model import App, JournalledAction, JournalledRun, Sensitivity, State
from octosync.octomil import Octomil, RateOptions
from octosync.plan import ALL, GuardPolicy, PlanOptions
from octosync.reconcile import ReviewedPlan, apply_reviewed, observe_and_review
from octosync.server import ServerSettings, running_server
from octosync.state import Journal, JournalReader, Record

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
RESUME = "octosync apply -f apps/"
EVERYTHING_ALLOWED = policy_of(
    allow_deletes=ALL,
    allow_archives=1000,
    allow_protected=True,
    allow_during_canary=True,
    allow_live_traffic=True,
)

Hook = Callable[[httpx.Request, int], None]


class Tap(httpx.AsyncBaseTransport):
    """A transport that records the writes, counts the requests in flight, and calls hooks for each write.

    `before` and `after` are called with a write and its number, from 1: before it is sent, and after its response.
    """

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport | None = None,
        *,
        before: Hook = lambda *_: None,
        after: Hook = lambda *_: None,
    ) -> None:
        self.writes: list[httpx.Request] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self._inner = inner or httpx.AsyncHTTPTransport(verify=False)  # loading certificates is slow
        self._before = before
        self._after = after

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        writes = request.method != "GET"
        if writes:
            self.writes.append(request)
        number = len(self.writes)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if writes:
                self._before(request, number)
                await asyncio.sleep(0)
            response = await self._inner.handle_async_request(request)
            await response.aread()
            if writes:
                self._after(request, number)
                await asyncio.sleep(0)
            return response
        finally:
            self.in_flight -= 1

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


@dataclass
class Harness:
    """Runs reconcile passes. `now` is the client's clock, in seconds; `connection` are settings of the client."""

    plane: Plane
    journal: Path
    now: float = 1000.0
    connection: dict[str, Any] = field(default_factory=dict)
    sensitivity: Sensitivity = field(default_factory=Sensitivity)

    def advance(self, seconds: float) -> None:
        """Move the client's clock forward."""
        self.now += seconds

    def client(self, transport: httpx.AsyncBaseTransport | None = None, **settings: Any) -> Octomil:
        """Return a client, not yet entered."""
        connection = connection_to(self.plane.url, **{**self.connection, **settings})
        return Octomil(
            connection, rate=RateOptions(clock=lambda: self.now), sensitivity=self.sensitivity, transport=transport
        )

    async def review(self, *desired: App, policy: GuardPolicy = EVERYTHING_ALLOWED, **options: Any) -> ReviewedPlan:
        """Observe, plan and check the guards. `options` are those of the plan."""
        async with self.client() as remote:
            return await observe_and_review(State.from_apps(*desired), remote, policy, PlanOptions(now=NOW, **options))

    async def apply(
        self,
        reviewed: ReviewedPlan,
        *,
        stop: asyncio.Event | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        **settings: Any,
    ) -> ApplyResult:
        """Apply a reviewed plan."""
        with Journal(self.journal) as journal:
            record = Record.begin(journal, control_plane=self.plane.url, org_id=None, digest="sha256:0")
            async with self.client(transport, **settings) as remote:
                applied = await apply_reviewed(
                    reviewed,
                    remote,
                    record=record,
                    resume=RESUME,
                    sensitivity=self.sensitivity,
                    stop=stop or asyncio.Event(),
                    listener=Listener(progressed=on_progress),
                )
            record.end(0)
            return applied

    async def reconcile(self, *desired: App, **more: Any) -> ApplyResult:
        """Run a whole reconcile pass."""
        return await self.apply(await self.review(*desired), **more)

    def writes(self) -> list[str]:
        """Return `METHOD path` of the writes that the control plane received since its log was last read."""
        return writes_in(self.plane.log())

    def last_run(self) -> tuple[JournalledRun, tuple[JournalledAction, ...]]:
        """Return the latest run in the journal."""
        with JournalReader(self.journal) as journal:
            run = journal.runs()[0]
            return run, journal.actions(run.id)

    def state(self) -> dict[str, Any]:
        """Return the state of the control plane, without ids and times."""
        apps = self.plane.send("GET", "/apps?include_archived=true&limit=100")["apps"]
        return {app["slug"]: self._app(app) for app in sorted(apps, key=lambda app: app["slug"])}

    def events(self) -> list[str]:
        """Return every event of the activity feed as `type resource`, oldest first."""
        events = self.plane.send("GET", "/activity?limit=100")["events"]
        return [f"{event['type']} {event['resource']['key']}" for event in reversed(events)]

    def _app(self, app: dict[str, Any]) -> dict[str, Any]:
        slug = app["slug"]
        config = self.plane.http.get(f"/api/v1/apps/{slug}/inference-config")
        return {
            "name": app["name"],
            "description": app["description"],
            "archived": app["archived_at"] is not None,
            "targets": sorted(
                f"{target['platform']}:{target['identifier']}"
                for target in self.plane.send("GET", f"/apps/{slug}/targets")["targets"]
            ),
            "slots": {
                slot["capability"]: {key: value for key, value in slot.items() if key not in _OF_THE_CONTROL_PLANE}
                for slot in self.plane.send("GET", f"/apps/{slug}/slots")["slots"]
            },
            "config": config.json() if config.status_code == 200 else None,
        }


_OF_THE_CONTROL_PLANE = {"id", "app_id", "created_at", "updated_at"}


@contextmanager
def open_harness(directory: Path) -> Iterator[Harness]:
    """Run a control plane for a harness whose journal is in a directory."""
    with running_server(ServerSettings()) as server, LocalClient(server.url, timeout=30) as http:
        yield Harness(Plane(server.url, http), directory / "state.db")


def status_by_action(applied: ApplyResult) -> dict[str, str]:
    """Return the status of each action by `verb address`, in order."""
    return {f"{outcome.verb} {outcome.address}": outcome.status.value for outcome in applied.outcomes}
