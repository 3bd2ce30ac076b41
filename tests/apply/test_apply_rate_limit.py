"""A tight rate limit, in virtual time: reads stay fresh, moves stay whole, and every write is sent or fails clearly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.clients import KEY, connection_to
from tests.support.harness import EVERYTHING_ALLOWED, NOW, RESUME, status_by_action
from tests.support.sample_reports import run_info
from tests.support.states import desired_app
from tests.support.virtual_time import run_in_virtual_time, virtual_clock

from octosync.apply import FRESH_FOR_SECONDS, ApplyResult
from octosync.model import App, Sensitivity, State, Status
from octosync.octomil import Octomil, RateOptions
from octosync.plan import PlanOptions
from octosync.reconcile import ReviewedPlan, apply_reviewed, observe_and_review
from octosync.server import ServerSettings, Token, create_app
from octosync.state import Journal, Record

URL = "http://127.0.0.1:8787"
TEAMMATE = "oct_test_teammate"
LOCAL_ONLY = {"serving_policy": "local_only"}


class Timed(httpx.AsyncBaseTransport):
    """Records when each request was answered, and with which status."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.log: list[tuple[float, str, int]] = []
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Forward a request and record its response."""
        response = await self._inner.handle_async_request(request)
        self.log.append((virtual_clock(), f"{request.method} {request.url.path}", response.status_code))
        return response


@dataclass
class Metered:
    """A control plane in this event loop with a rate limit, our client to it, and a teammate with a key of their own."""

    remote: Octomil
    teammate: httpx.AsyncClient
    timed: Timed
    journal: Path
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def app(self, slug: str, *capabilities: str, target: str = "") -> None:
        """Create an app with slots and a target."""
        await self.send("POST", "/apps", {"slug": slug, "name": slug.title()})
        for capability in capabilities:
            await self.send("PUT", f"/apps/{slug}/slots/{capability}", {"bindings": []})
        if target:
            await self.send("POST", f"/apps/{slug}/targets", {"platform": "ios", "identifier": target})

    async def send(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request as a teammate."""
        response = await self.teammate.request(method, f"/api/v1{path}", json=body)
        return response.raise_for_status().json()

    async def break_with(self, *rules: dict[str, Any]) -> None:
        """Set the active faults."""
        (await self.teammate.put("/_local/faults", json={"rules": rules})).raise_for_status()

    async def recheck(self, *desired: App) -> ReviewedPlan:
        """Observe, plan and check the guards."""
        return await observe_and_review(
            State.from_apps(*desired), self.remote, EVERYTHING_ALLOWED, PlanOptions(now=NOW)
        )

    async def act(self, reviewed: ReviewedPlan) -> ApplyResult:
        """Apply a reviewed plan."""
        with Journal(self.journal) as journal:
            record = Record.begin(journal, control_plane=URL, org_id=None, digest="sha256:0")
            return await apply_reviewed(
                reviewed, self.remote, record=record, resume=RESUME, sensitivity=Sensitivity(), stop=self.stop
            )

    def at(self, line: str) -> list[float]:
        """Return the times of the successful responses to requests of this kind."""
        return [when for when, what, status in self.timed.log if what.startswith(line) and status < 400]


@asynccontextmanager
async def metered(directory: Path, limit: int, **connection: Any) -> AsyncIterator[Metered]:
    """Open a control plane that allows `limit` requests per minute, with a client configured for that rate."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    settings = ServerSettings(
        tokens=(Token("us", KEY), Token("ana", TEAMMATE)),
        rate_limit=limit,
        clock=lambda: start + timedelta(seconds=virtual_clock()),
    )
    app = create_app(settings)
    timed = Timed(httpx.ASGITransport(app))
    remote = Octomil(
        connection_to(URL, requests_per_minute=limit, **connection),
        rate=RateOptions(clock=virtual_clock),
        transport=timed,
    )
    headers = {"Authorization": f"Bearer {TEAMMATE}"}
    teammate = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL, headers=headers)
    try:
        async with remote, teammate:
            yield Metered(remote, teammate, timed, directory / "state.db")
            assert all(status != 429 for _, _, status in timed.log)
    finally:
        app.state.plane.store.close()


async def minutes(number: int) -> None:
    """Let all rate limit windows pass."""
    await asyncio.sleep(60.1 * number)


async def await_one_per_minute(*calls: Awaitable[Any]) -> None:
    """Await each call a minute apart, so that any limit suffices."""
    for call in calls:
        await call
        await minutes(1)


@pytest.mark.parametrize("limit", [3, 4, 5, 100])
def test_both_halves_of_a_move_are_sent_together(tmp_path: Path, limit: int) -> None:
    """However little of the window is left, a target is registered right after its removal."""

    async def main() -> None:
        async with metered(tmp_path, limit) as plane:
            await await_one_per_minute(plane.app("left", target="com.left"), plane.app("right", target="com.right"))
            reviewed = await plane.recheck(
                desired_app("left", targets=["ios:com.right"]), desired_app("right", targets=["ios:com.left"])
            )
            assert set(status_by_action(await plane.act(reviewed)).values()) == {"done"}
            for removed, registered in zip(plane.at("DELETE"), plane.at("POST"), strict=True):
                assert registered - removed < 1

    run_in_virtual_time(main())


def test_the_second_half_keeps_its_place_when_the_first_is_retried(tmp_path: Path) -> None:
    """If the removal fails once and is resent after a read, the registration still follows it at once."""

    async def main() -> None:
        async with metered(tmp_path, 4) as plane:
            await await_one_per_minute(plane.app("from", target="com.a"), plane.app("to"))
            reviewed = await plane.recheck(desired_app("from", targets=[]), desired_app("to", targets=["ios:com.a"]))
            await minutes(1)
            await plane.break_with({"operation": "apps.delete_target", "action": "status", "status": 503})
            assert set(status_by_action(await plane.act(reviewed)).values()) == {"done"}
            (removed,), (registered,) = plane.at("DELETE"), plane.at("POST")
            assert registered - removed < 1

    run_in_virtual_time(main())


@pytest.mark.parametrize("limit", [2, 3, 10])
def test_a_write_that_waits_for_the_rate_limit_is_preceded_by_another_read(tmp_path: Path, limit: int) -> None:
    """Writes that wait for minutes are all sent, each at most 30 s after its read."""

    async def main() -> None:
        async with metered(tmp_path, limit) as plane:
            capabilities = ("chat", "tts", "vision")
            await await_one_per_minute(plane.app("a", "chat"), plane.app("b", "chat"))
            for slug in ("a", "b"):
                await await_one_per_minute(
                    *(plane.send("PUT", f"/apps/{slug}/slots/{c}", {"bindings": []}) for c in capabilities)
                )
            slots = dict.fromkeys(capabilities, LOCAL_ONLY)
            reviewed = await plane.recheck(*(desired_app(slug, slots=slots, config={"n": 1}) for slug in ("a", "b")))
            applied = await plane.act(reviewed)
            assert set(status_by_action(applied).values()) == {"done"}
            read_at: dict[str, float] = {}
            for when, line, _ in plane.timed.log:
                method, section = line.split(" ")
                section = section.partition("/slots/")[0].removesuffix("/slots")
                if method == "GET":
                    read_at[section] = when
                else:
                    assert when - read_at[section] <= FRESH_FOR_SECONDS

    run_in_virtual_time(main())


def test_a_foreign_write_during_a_wait_is_not_overwritten(tmp_path: Path) -> None:
    """If another user changes a slot while our write to it waits for the rate limit, the action is stale."""

    async def main() -> None:
        async with metered(tmp_path, 3) as plane:
            await await_one_per_minute(plane.app("a", "chat"), plane.app("b"))
            reviewed = await plane.recheck(
                desired_app("a", slots={"chat": LOCAL_ONLY}), desired_app("b", fields={"name": "B, then"})
            )
            acting = asyncio.ensure_future(plane.act(reviewed))
            await asyncio.sleep(20)
            await plane.send("PUT", "/apps/a/slots/chat", {"bindings": [], "preferred_engines": ["mlx"]})
            applied = await acting
            assert virtual_clock() > 60
            assert status_by_action(applied)["update app/a/slot/chat"] == "stale"
            there = await plane.send("GET", "/apps/a/slots/chat")
            assert there["preferred_engines"] == ["mlx"]

    run_in_virtual_time(main())


def test_a_lost_response_is_verified_before_all_waiting_writes(tmp_path: Path) -> None:
    """With dozens of writes in the queue, the read that verifies a lost write is sent first."""

    async def main() -> None:
        async with metered(tmp_path, 5) as plane:
            reviewed = await plane.recheck(*(desired_app(f"app-{n:02}") for n in range(20)))
            await minutes(1)
            await plane.break_with({"operation": "apps.create", "action": "status", "status": 503, "skip": 1})
            applied = await plane.act(reviewed)
            assert set(status_by_action(applied).values()) == {"done"}
            (lost,) = [when for when, _, status in plane.timed.log if status == 503]
            (verified,) = [when for when, line, _ in plane.timed.log if line.startswith("GET") and when >= lost]
            assert verified - lost <= 60.1

    run_in_virtual_time(main())


def test_a_stop_cancels_writes_that_wait_for_the_rate_limit(tmp_path: Path) -> None:
    """When the run is stopped, unsent writes do not wait for the rate limit: the run ends at once."""

    async def main() -> None:
        async with metered(tmp_path, 3) as plane:
            reviewed = await plane.recheck(*(desired_app(f"app-{n}") for n in range(2)))
            acting = asyncio.ensure_future(plane.act(reviewed))
            await asyncio.sleep(10)
            plane.stop.set()
            applied = await acting
            assert virtual_clock() < 11
            assert list(status_by_action(applied).values()) == ["done", "not_attempted"]

    run_in_virtual_time(main())


def test_a_limit_too_low_for_a_read_and_a_write_fails_clearly(tmp_path: Path) -> None:
    """At one request per minute no write can follow its read within 30 s: the action fails and the hint names --rate."""

    async def main() -> None:
        async with metered(tmp_path, 1) as plane:
            await plane.send("POST", "/apps", {"slug": "a", "name": "A"})
            reviewed = await plane.recheck(desired_app("a", fields={"name": "Other"}))
            (outcome,) = (await plane.act(reviewed)).outcomes
            assert (outcome.status.value, outcome.reference) == ("failed", "no-time-to-write")
            assert "--rate" in outcome.hints[0]

    run_in_virtual_time(main())


@pytest.mark.parametrize(
    ("limit", "apps", "minutes_from_reading", "minutes_after_it"), [(100, 12, 0, 0), (20, 12, 1, 1), (7, 6, 2, 2)]
)
def test_the_estimate_of_a_plan_is_how_long_its_apply_takes(
    tmp_path: Path, limit: int, apps: int, minutes_from_reading: int, minutes_after_it: int
) -> None:
    """With a window that nothing else uses: reads, writes, and the reads of objects that were read a minute ago."""
    slugs = [f"app-{number:02}" for number in range(apps)]

    async def main() -> None:
        async with metered(tmp_path, limit) as plane:
            for slug in slugs:
                await await_one_per_minute(plane.app(slug, "chat"))
            start = virtual_clock()
            reviewed = await plane.recheck(*(desired_app(slug, slots={"chat": LOCAL_ONLY}) for slug in slugs))
            read = virtual_clock()
            applied = await plane.act(reviewed)
            assert {outcome.status for outcome in applied.outcomes} == {Status.DONE}
            about = run_info(requests_per_minute=limit)
            took = [round((virtual_clock() - began) / 60) for began in (start, read)]
            estimated = [about.seconds_to_apply(reviewed.plan, reads=reads) // 60 for reads in (True, False)]
            assert took == estimated == [minutes_from_reading, minutes_after_it]

    run_in_virtual_time(main())
