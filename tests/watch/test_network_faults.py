"""A network and a control plane that misbehave: under every fault the controller converges and repeats no write."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.commits import commit
from tests.support.controllers import FastClock, RunningController, run_controller, served_plane_at
from tests.support.plane import Plane
from tests.support.proxies import (
    Proxy,
    cut_response,
    drop_request,
    lose_response,
    repeated_writes,
    reply_with,
    run_proxy,
    send_piecemeal,
)
from tests.support.scripted_server import AfterReply, Reply, http_reply, json_reply

FAILED = reply_with(json_reply({"error": {"code": "internal", "message": "failed"}}, 500))
THROTTLED = reply_with(json_reply({"error": {"code": "rate_limited", "message": "slow down"}}, 429, Retry_After="1"))
FAULTS = {
    "reset before the request": drop_request,
    "reset before the response": lose_response,
    "reset in the response": cut_response,
    "in pieces": send_piecemeal,
    "not HTTP": reply_with(Reply(b"\x00\x01 not http\r\n\r\n", AfterReply.RESET)),
    "not JSON": reply_with(
        http_reply(200, "<html>Welcome to nginx!</html>", headers={"Content-Type": "application/json"})
    ),
    "a proxy's page": reply_with(http_reply(502, "<html>Bad gateway</html>", headers={"Content-Type": "text/html"})),
    "throttled": THROTTLED,
    "failed": FAILED,
}
DEMO = {"targets": ("com.demo",), "slots": {"chat": "local_first"}}


@asynccontextmanager
async def behind_a_proxy(
    folder: Path, plane: Plane, proxy: Proxy, clock: FastClock
) -> AsyncIterator[RunningController]:
    """Run a controller that uses the control plane through a proxy, and reverts drift at once."""
    settings: dict[str, Any] = {"resync": timedelta(hours=1), "drift_hold": timedelta()}
    async with run_controller(folder, replace(plane, url=proxy.url), clock, **settings) as watch:
        yield watch
    assert watch.logged("defect") == []


async def test_a_control_plane_that_starts_later(tmp_path: Path) -> None:
    """Without a listening control plane the controller runs and reports the outage.

    Once it listens, everything is applied exactly once.
    """
    clock = FastClock(30)
    commit(tmp_path, {"demo": DEMO})
    with served_plane_at(clock) as plane:
        async with run_proxy(plane.url) as proxy:
            await proxy.stop_listening()
            async with behind_a_proxy(tmp_path, plane, proxy, clock) as watch:
                await watch.until(lambda: watch.logged("everything_waits"))
                assert not watch.status.ready
                assert watch.status.outage
                assert proxy.exchanges == []
                await proxy.listen()
                await watch.until_in_sync()
                assert proxy.writes() == ["POST /apps", "POST /apps/demo/targets", "PUT /apps/demo/slots/chat"]


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_during_a_commit(tmp_path: Path, name: str) -> None:
    """The fault hits the first request after the start and the first write of a commit.

    Each change is applied once, without a defect.
    """
    clock, behavior = FastClock(30), FAULTS[name]
    commit(tmp_path, {"demo": DEMO})
    with served_plane_at(clock) as plane:
        async with run_proxy(plane.url) as proxy:
            proxy.inject(behavior, times=1)
            async with behind_a_proxy(tmp_path, plane, proxy, clock) as watch:
                await watch.until_in_sync()
                assert proxy.injected == 1
                proxy.inject(behavior, which=lambda exchange: exchange.writes, times=1)
                commit(tmp_path, {"demo": {"targets": ("com.demo", "com.more"), "slots": {"chat": "cloud_first"}}})
                await watch.until(lambda: proxy.injected == 1)
                await watch.until(lambda: watch.is_in_sync and len(watch.status.runs) > 1)
            (slot,) = plane.send("GET", "/apps/demo/slots")["slots"]
            assert slot["serving_policy"]["routing_preference"] == "cloud"
            assert len(plane.send("GET", "/apps/demo/targets")["targets"]) == 2
            assert repeated_writes(proxy.exchanges) == []


async def test_throttling_of_every_request(tmp_path: Path) -> None:
    """While all requests are throttled, it waits as long as it is asked to, applies everything once and blames no app."""
    clock = FastClock(30)
    slugs = [f"app-{number}" for number in range(8)]
    commit(tmp_path, {slug: {"slots": {"chat": "local_first"}} for slug in slugs})
    with served_plane_at(clock) as plane:
        async with run_proxy(plane.url) as proxy:
            proxy.inject(THROTTLED, times=3)
            async with behind_a_proxy(tmp_path, plane, proxy, clock) as watch:
                await watch.until_in_sync()
                assert proxy.injected == 3
                assert repeated_writes(proxy.exchanges) == []
                assert proxy.lines().count("POST /apps") == len(slugs)
                assert not any("failing" in line["@message"] for line in watch.logged("app_moved"))
                assert b"octosync_api_throttled_seconds_total 0.0" not in watch.controller.metrics.render()
