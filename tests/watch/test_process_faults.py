"""A network and a control plane that misbehave: under every fault the controller converges and repeats no write."""

from __future__ import annotations

import signal

import pytest
from tests.support.processes import until
from tests.support.proxies import Way, cut_off, lost, piecemeal, repeated, replied, swallowed
from tests.support.sockets import Reply, Then, answers, http
from tests.support.watch_bench import QUICK, Bench

APPS = tuple(f"app-{number}" for number in range(8))
FAILED = replied(answers({"error": {"code": "internal", "message": "oh"}}, 500))
THROTTLED = replied(answers({"error": {"code": "rate_limited", "message": "slow down"}}, 429, Retry_After="1"))
FAULTS = {
    "reset before the request": swallowed,
    "reset before the response": lost,
    "reset in the response": cut_off,
    "in pieces": piecemeal,
    "not HTTP": replied(Reply(b"\x00\x01 not http\r\n\r\n", Then.RESET)),
    "not JSON": replied(http(200, "<html>Welcome to nginx!</html>", headers={"Content-Type": "application/json"})),
    "a proxy's page": replied(http(502, "<html>Bad gateway</html>", headers={"Content-Type": "text/html"})),
    "throttled": THROTTLED,
    "failed": FAILED,
}


async def test_a_control_plane_that_starts_later(bench: Bench) -> None:
    """Without a listening control plane the controller runs and reports the outage.

    Once it listens, everything is applied exactly once.
    """
    bench.declare(targets=("com.demo",))
    await bench.proxy.close_door()
    watch = bench.watch(*QUICK)
    await until(lambda: watch.logged("everything_waits"), watch)
    assert not watch.status["ready"]
    assert watch.status["alarms"]["outage"]
    assert bench.proxy.exchanges == []
    await bench.proxy.open_door()
    await watch.in_sync()
    assert bench.proxy.writes() == ["POST /apps", "POST /apps/demo/targets", "PUT /apps/demo/slots/chat"]


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_during_a_commit(bench: Bench, name: str) -> None:
    """The fault hits the first request after the start and the first write of a commit.

    Each change is applied once, without a defect.
    """
    way: Way = FAULTS[name]
    bench.declare(targets=("com.demo",))
    bench.proxy.treat(way, times=1)
    watch = bench.watch(*QUICK)
    await watch.in_sync()
    assert bench.proxy.acted == 1
    bench.proxy.treat(way, which=lambda exchange: exchange.writes, times=1)
    bench.declare(targets=("com.demo", "com.more"), slots={"chat": "cloud_first"})
    await until(lambda: bench.live() == "cloud_first", watch)
    await until(lambda: bench.proxy.acted == 1, watch)
    await watch.in_sync()
    assert len(bench.plane.send("GET", "/apps/demo/targets")["targets"]) == 2
    assert repeated(bench.proxy.exchanges) == []


async def test_an_outage_opens_the_circuit_breaker(bench: Bench) -> None:
    """While every response is a 500, it sends only one probe at a time and blames no app. Afterwards it continues."""
    for slug in APPS:
        bench.declare(slug)
    watch = bench.watch(*QUICK)
    await watch.in_sync()
    bench.proxy.treat(FAILED)
    for slug in APPS:
        bench.declare(slug, slots={"chat": "cloud_first"})
    await until(lambda: watch.logged("everything_waits"), watch)
    assert watch.logged("everything_waits")[0]["why"] == "outage"
    await until(lambda: bench.proxy.underway == 0, watch)
    sent_before = len(bench.proxy.exchanges)
    for probes in (1, 2):
        watch.send(signal.SIGHUP)
        await until(lambda probes=probes: len(bench.proxy.exchanges) == sent_before + probes, watch)  # type: ignore[misc]
    assert bench.proxy.lines()[sent_before:] == ["GET /apps"] * 2
    assert watch.status["alarms"]["outage"]
    bench.proxy.heal()
    watch.post("/reconcile")
    for slug in APPS:
        await until(lambda slug=slug: bench.live(slug) == "cloud_first", watch)  # type: ignore[misc]
    await watch.in_sync()
    assert watch.logged("control_plane_back")
    assert repeated(bench.proxy.exchanges) == []


async def test_throttling_of_every_request(bench: Bench) -> None:
    """While all requests are throttled for a while, it waits as asked, applies everything once and blames no app."""
    for slug in APPS:
        bench.declare(slug)
    bench.proxy.treat(THROTTLED, times=3)
    watch = bench.watch(*QUICK)
    await watch.in_sync()
    assert bench.proxy.acted == 3
    assert repeated(bench.proxy.exchanges) == []
    assert sorted(bench.proxy.lines()).count("POST /apps") == len(APPS)
    assert "octosync_api_throttled_seconds_total 0.0" not in watch.get("/metrics").text


async def test_a_damaged_state_file_is_reported_at_startup(bench: Bench) -> None:
    """It starts and reverts nothing blindly. Log, page and metric report what is lost and where the damaged file is kept."""
    bench.declare(targets=("com.demo",))
    watch = bench.watch(*QUICK)
    await watch.in_sync()
    watch.send(signal.SIGTERM)
    await watch.ended()
    with bench.state.open("r+b") as file:
        file.write(b"\0" * 4096)
    bench.declare(targets=())
    watch = bench.watch(*QUICK)
    await watch.in_sync()
    (line,) = watch.logged("state_damaged")
    (kept,) = bench.state.parent.glob("state.db.damaged-*Z")
    assert str(kept.name) in line["@message"]
    assert "no object counts as removed" in watch.status["alarms"]["state_damaged"]
    assert "octosync_state_damaged 1.0" in watch.get("/metrics").text
    assert "The state file was damaged" in watch.get("/").text
