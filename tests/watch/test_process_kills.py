"""Repeated SIGKILL at any request of a controller: it converges, and no write is repeated.

The requests show this, in the order in which they passed, with those of other clients among them: none of our writes
repeats the write before it to the same object, creates an object that exists or deletes one that does not.
`OCTOSYNC_SEED` repeats the run that a failure reports.
"""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable

import pytest
from tests.support.processes import WatchProcess, until
from tests.support.proxies import Behavior, Exchange, PendingExchange, repeated_writes
from tests.support.watch_bench import QUICK, Bench
from tests.support.watched_fleet import Fleet, failed_writes, is_ours


def _killer(watch: WatchProcess, chance: random.Random) -> tuple[Callable[[Exchange], bool], Behavior]:
    """Return the request at which a controller is killed, and how: before it, after it, or once its response is delivered."""
    left = [chance.randrange(1, 30)]
    phase = chance.randrange(3)

    def is_due(exchange: Exchange) -> bool:
        left[0] -= is_ours(exchange)
        return left[0] == 0 and is_ours(exchange)

    async def behavior(passage: PendingExchange) -> bool:
        if phase == 0:
            watch.send(signal.SIGKILL)
        data = await passage.forward()
        if phase == 1:
            watch.send(signal.SIGKILL)
        passage.answer(data)
        await passage.writer.drain()
        watch.send(signal.SIGKILL)
        return True

    return is_due, behavior


async def _round(bench: Bench, fleet: Fleet, number: int) -> None:
    """Start a controller, perhaps change something, and kill it: at a request, or else once it is ready."""
    watch = bench.watch(*QUICK)
    which, behavior = _killer(watch, fleet.chance)
    bench.proxy.inject(behavior, which=which)
    if fleet.chance.random() < 0.5:
        await until(lambda: bench.proxy.in_flight or watch.code is not None)
        await fleet.interfere(bench, number)
        fleet.commit(bench, number)
    await until(lambda: watch.code is not None or watch.logged("ready"))
    await watch.stop(signal.SIGKILL)
    await until(lambda: not bench.proxy.in_flight)


@pytest.mark.parametrize("rounds", [5, pytest.param(50, marks=pytest.mark.soak)])
async def test_repeated_kills(bench: Bench, rounds: int) -> None:
    """After rounds of commits, foreign writes and kills, everything is as declared, and each write was sent once."""
    seed = int(os.environ.get("OCTOSYNC_SEED") or random.SystemRandom().getrandbits(32))
    print(f"OCTOSYNC_SEED={seed}")  # noqa: T201 — shown with a failure
    chance = random.Random(seed)  # noqa: S311 — choices of a test
    fleet = Fleet(chance)
    fleet.declare_all(bench)
    for number in range(rounds):
        await _round(bench, fleet, number)
        fleet.commit(bench, rounds + number)
        await fleet.interfere(bench, rounds + number)
    bench.proxy.restore()
    watch = bench.watch(*QUICK)
    await until(lambda: watch.logged("ready"), watch)
    before = len(watch.logged("full_read"))
    watch.post("/reconcile")  # contested objects are left alone until a reconcile is requested
    await until(lambda: len(watch.logged("full_read")) > before, watch)
    await watch.wait_until_in_sync()
    await watch.stop()
    plan = bench.start("plan", "-f", "apps", "--url", bench.proxy.url, "-o", "json")
    await plan.wait()
    assert json.loads(plan.stdout)["resource_changes"] == [], plan.stderr
    assert repeated_writes(bench.proxy.exchanges, is_ours) == []
    # A target that moves may be requested while another app has it: a killed controller knew that, its successor does not yet.
    assert failed_writes(bench.proxy.exchanges) <= {("targets", 409)}
