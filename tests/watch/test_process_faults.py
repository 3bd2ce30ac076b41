"""A network and a control plane that misbehave: under every fault the controller converges and repeats no write."""

from __future__ import annotations

import signal

import pytest
from tests.support.processes import until
from tests.support.proxies import (
    Behavior,
    cut_response,
    drop_request,
    lose_response,
    repeated_writes,
    reply_with,
    send_piecemeal,
)
from tests.support.scripted_server import AfterReply, Reply, http_reply, json_reply
from tests.support.watch_bench import QUICK, Bench

APPS = tuple(f"app-{number}" for number in range(8))
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


async def test_a_control_plane_that_starts_later(bench: Bench) -> None:
    """Without a listening control plane the controller runs and reports the outage.

    Once it listens, everything is applied exactly once.
    """
    bench.declare(targets=("com.demo",))
    await bench.proxy.stop_listening()
    watch = bench.watch(*QUICK)
    await until(lambda: watch.logged("everything_waits"), watch)
    assert not watch.status["ready"]
    assert watch.status["alarms"]["outage"]
    assert bench.proxy.exchanges == []
    await bench.proxy.listen()
    await watch.wait_until_in_sync()
    assert bench.proxy.writes() == ["POST /apps", "POST /apps/demo/targets", "PUT /apps/demo/slots/chat"]


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_during_a_commit(bench: Bench, name: str) -> None:
    """The fault hits the first request after the start and the first write of a commit.

    Each change is applied once, without a defect.
    """
    behavior: Behavior = FAULTS[name]
    bench.declare(targets=("com.demo",))
    bench.proxy.inject(behavior, times=1)
    watch = bench.watch(*QUICK)
    await watch.wait_until_in_sync()
    assert bench.proxy.injected == 1
    bench.proxy.inject(behavior, which=lambda exchange: exchange.writes, times=1)
    bench.declare(targets=("com.demo", "com.more"), slots={"chat": "cloud_first"})
    await until(lambda: bench.live() == "cloud_first", watch)
    await until(lambda: bench.proxy.injected == 1, watch)
    await watch.wait_until_in_sync()
    assert len(bench.plane.send("GET", "/apps/demo/targets")["targets"]) == 2
    assert repeated_writes(bench.proxy.exchanges) == []


async def test_an_outage_opens_the_circuit_breaker(bench: Bench) -> None:
    """While every response is a 500, it sends only one probe at a time and blames no app. Afterwards it continues."""
    for slug in APPS:
        bench.declare(slug)
    watch = bench.watch(*QUICK)
    await watch.wait_until_in_sync()
    bench.proxy.inject(FAILED)
    for slug in APPS:
        bench.declare(slug, slots={"chat": "cloud_first"})
    await until(lambda: watch.logged("everything_waits"), watch)
    assert watch.logged("everything_waits")[0]["why"] == "outage"
    await until(lambda: bench.proxy.in_flight == 0, watch)
    sent_before = len(bench.proxy.exchanges)
    for probes in (1, 2):
        watch.send(signal.SIGHUP)
        await until(lambda probes=probes: len(bench.proxy.exchanges) == sent_before + probes, watch)  # type: ignore[misc]
    assert bench.proxy.lines()[sent_before:] == ["GET /apps"] * 2
    assert watch.status["alarms"]["outage"]
    bench.proxy.restore()
    watch.post("/reconcile")
    for slug in APPS:
        await until(lambda slug=slug: bench.live(slug) == "cloud_first", watch)  # type: ignore[misc]
    await watch.wait_until_in_sync()
    assert watch.logged("control_plane_back")
    assert repeated_writes(bench.proxy.exchanges) == []


async def test_throttling_of_every_request(bench: Bench) -> None:
    """While all requests are throttled, it waits as long as it is asked to, applies everything once and blames no app."""
    for slug in APPS:
        bench.declare(slug)
    bench.proxy.inject(THROTTLED, times=3)
    watch = bench.watch(*QUICK)
    await watch.wait_until_in_sync()
    assert bench.proxy.injected == 3
    assert repeated_writes(bench.proxy.exchanges) == []
    assert sorted(bench.proxy.lines()).count("POST /apps") == len(APPS)
    assert "octosync_api_throttled_seconds_total 0.0" not in watch.get("/metrics").text


async def test_a_damaged_state_file_is_reported_at_startup(bench: Bench) -> None:
    """It starts and reverts nothing blindly. Log, page and metric report what is lost and where the damaged file is kept."""
    bench.declare(targets=("com.demo",))
    watch = bench.watch(*QUICK)
    await watch.wait_until_in_sync()
    watch.send(signal.SIGTERM)
    await watch.wait()
    with bench.state.open("r+b") as file:
        file.write(b"\0" * 4096)
    bench.declare(targets=())
    watch = bench.watch(*QUICK)
    await watch.wait_until_in_sync()
    (line,) = watch.logged("state_damaged")
    (kept,) = bench.state.parent.glob("state.db.damaged-*Z")
    assert str(kept.name) in line["@message"]
    assert "no object counts as removed" in watch.status["alarms"]["state_damaged"]
    assert "octosync_state_damaged 1.0" in watch.get("/metrics").text
    assert "The state file was damaged" in watch.get("/").text
