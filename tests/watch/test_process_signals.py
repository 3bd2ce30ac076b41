"""Signals to a controller: the first one stops it gracefully, the second one at once."""

from __future__ import annotations

import asyncio
import signal

import pytest
from tests.support.processes import WatchProcess, until
from tests.support.proxies import Exchange, delay_response, never_respond
from tests.support.scripted_server import AfterReply, Reply, scripted_server
from tests.support.watch_bench import QUICK, Bench

from octosync.model import Status
from octosync.state import JournalReader

EXIT_CODES = [(signal.SIGTERM, 143), (signal.SIGINT, 130)]


def _writes(exchange: Exchange) -> bool:
    return exchange.writes


async def _wait_until_held(bench: Bench, watch: WatchProcess) -> None:
    """Wait until the proxy holds a request."""
    await until(lambda: bench.proxy.injected, watch)


def _actions(bench: Bench) -> list[tuple[str, Status | None]]:
    """Return the address and status of every action of the last run in the journal."""
    with JournalReader(bench.state) as recorded:
        return [(str(action.address), action.status) for action in recorded.actions(recorded.runs()[0].id)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_finishes_the_write_in_progress(bench: Bench, number: signal.Signals) -> None:
    """The write in progress is awaited and journaled, no other write is sent, and the exit code is 0."""
    bench.declare(targets=("com.demo",))
    bench.proxy.inject(delay_response, which=_writes)
    watch = bench.watch(*QUICK)
    await _wait_until_held(bench, watch)
    watch.send(number)
    await until(lambda: watch.logged("stopping"), watch)
    assert watch.code is None
    bench.proxy.restore()
    assert await watch.wait() == 0
    assert bench.proxy.writes() == ["POST /apps"]
    assert _actions(bench) == [("app/demo", Status.DONE)]
    restarted = bench.watch(*QUICK)
    await restarted.wait_until_in_sync()
    assert bench.proxy.writes() == ["POST /apps", "POST /apps/demo/targets", "PUT /apps/demo/slots/chat"]


@pytest.mark.parametrize(("number", "code"), EXIT_CODES)
async def test_the_second_signal_stops_it_at_once(bench: Bench, number: signal.Signals, code: int) -> None:
    """It waits for no response. The next start reads the result of the write and does not repeat it."""
    bench.declare()
    bench.proxy.inject(delay_response, which=_writes)
    watch = bench.watch(*QUICK)
    await _wait_until_held(bench, watch)
    watch.send(number)
    await until(lambda: watch.logged("stopping"), watch)
    watch.send(number)
    assert await watch.wait() == code
    assert bench.proxy.in_flight == 1  # the response never came
    bench.proxy.restore()
    restarted = bench.watch(*QUICK)
    await restarted.wait_until_in_sync()
    assert bench.proxy.writes() == ["POST /apps", "PUT /apps/demo/slots/chat"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_reads_are_cancelled(bench: Bench, number: signal.Signals) -> None:
    """A control plane that never answers a read delays nothing: the first signal stops the controller with exit code 0."""
    bench.declare()
    bench.proxy.inject(never_respond)
    watch = bench.watch(*QUICK)
    await _wait_until_held(bench, watch)
    assert await watch.stop(number) == 0
    assert bench.proxy.in_flight >= 1


async def test_a_signal_during_an_outage(bench: Bench) -> None:
    """While no control plane listens, one signal stops the controller with exit code 0."""
    bench.declare()
    await bench.proxy.stop_listening()
    watch = bench.watch(*QUICK)
    await watch.wait_until_started()
    assert await watch.stop() == 0


async def test_a_signal_with_an_open_page(bench: Bench) -> None:
    """An open connection of a browser does not delay the exit."""
    bench.declare()
    watch = bench.watch(*QUICK)
    await watch.wait_until_in_sync()
    with watch.http.stream("GET", f"{watch.url}/"):
        assert await watch.stop() == 0


@pytest.mark.soak
async def test_it_stops_within_25_seconds(bench: Bench) -> None:
    """If neither the control plane nor a receiver answers, the controller still stops in the promised time, with exit code 0."""
    async with scripted_server(Reply(then=AfterReply.HANG)) as receiver:
        (bench.folder / "octosync.yaml").write_text(
            f"notify: [{{url: '{receiver.url}/', events: [applied, failed]}}]\n"
        )
        bench.declare()
        watch = bench.watch(*QUICK)
        await watch.wait_until_in_sync()
        bench.proxy.inject(delay_response, which=_writes)
        bench.declare(slots={"chat": "cloud_first"})
        await _wait_until_held(bench, watch)
        async with asyncio.timeout(25):
            assert await watch.stop() == 0
    assert bench.proxy.in_flight == 1
