"""Restarts: only what may have changed is read before the controller is ready, and the resync follows when it is due."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.controllers import FastClock, RunningController, run_controller
from tests.support.examples import THOROUGH
from tests.support.local_app import TransportWrapper
from tests.support.plane import Plane, writes_in
from tests.support.watched_apps import (
    CLOUD,
    NEVER,
    TICK,
    app_slugs,
    create_live,
    declare,
    plane_of_ana,
    requests_of,
    wait_for_resync,
    wait_for_ticks,
)

from octosync.plan import DeployPolicy
from octosync.watch import checkpoint
from octosync.watch.settings import WriteMode
from octosync.watch.status import AppState

LIST = "GET /api/v1/apps"
SEEDS = range(4 if THOROUGH else 2)  # the same for all processes that run the tests
QUIET: Any = {"interval": NEVER, "resync": NEVER}


class FeedTransport(TransportWrapper):
    """Removes a field from the events of the activity feed."""

    def __init__(self, field: str) -> None:
        self._field = field

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        response = await self.inner.handle_async_request(request)
        if not request.url.path.endswith("/activity"):
            return response
        document = json.loads(await response.aread())
        for event in document["events"]:
            event.pop(self._field, None)
        return httpx.Response(response.status_code, json=document)


def reads_of(slug: str) -> list[str]:
    """Return the requests that read an app of `declare` with drift, whose deployments guards need."""
    path = f"GET /api/v1/apps/{slug}"
    return [path, f"{path}/deployments", f"{path}/slots", f"{path}/targets"]


def apps_read(requests: list[str]) -> Counter[str]:
    """Return how often the slots of each app were read."""
    return Counter(line.split("/")[4] for line in requests if line.startswith("GET ") and line.endswith("/slots"))


async def requests_until_ready(watch: RunningController, plane: Plane) -> list[str]:
    """Wait until the controller is ready, and return its requests until then."""
    await watch.until(lambda: watch.status.ready)
    return requests_of(plane, "octosync")


def has_in_sync(watch: RunningController, count: int) -> bool:
    """Return whether this number of apps is in sync."""
    return watch.status.count(AppState.IN_SYNC) >= count


def copy_state(folder: Path, name: str) -> Path:
    """Copy the state file, as a kill at this moment would leave it."""
    copy = folder / name
    with closing(sqlite3.connect(folder / "state.db")) as current, closing(sqlite3.connect(copy)) as target:
        current.backup(target)
    return copy


def use_state(folder: Path, copy: Path) -> None:
    """Replace the state file by a copy."""
    for suffix in ("", "-wal", "-shm"):
        (folder / f"state.db{suffix}").unlink(missing_ok=True)
    copy.rename(folder / "state.db")


async def run_once(folder: Path, plane: Plane, clock: FastClock, **arguments: Any) -> None:
    """Run a controller until everything was read and is in sync, and forget its requests."""
    async with run_controller(folder, plane, clock, **arguments) as watch:
        await watch.until_in_sync()
    plane.log()


async def test_a_restart_without_changes_is_one_request(tmp_path: Path) -> None:
    """However many apps and recent events there are, the controller is ready after one page of the activity feed.

    Each app is in sync as of its last read, and the time of the last resync is that of before the restart. A read of 60 apps
    takes more requests than six pages of the feed, so after many events these are read to find the position.
    """
    clock = FastClock(60)
    slugs = app_slugs(60)
    declare(tmp_path, *slugs)
    with plane_of_ana(clock) as plane:
        create_live(plane, *slugs)
        async with run_controller(tmp_path, plane, clock, **QUIET) as watch:
            await watch.until_in_sync()
            resynced = watch.status.full_read_at
        plane.log()
        began = clock.now()
        async with run_controller(tmp_path, plane, clock, **QUIET, connection={"requests_per_minute": 100}) as watch:
            assert await requests_until_ready(watch, plane) == [TICK]
            assert watch.is_in_sync
            assert watch.status.full_read_at == resynced
            assert all(app.read_at is not None and app.read_at < began for app in watch.status.apps.values())
            (ready,) = watch.logged("ready")
            assert (ready["by"], ready["unchanged"], ready["read"]) == ("feed", 60, 0)
        plane.app("elsewhere")
        for number in range(505):
            plane.send("PATCH", "/apps/elsewhere", {"name": f"Name {number}"})
        plane.log()
        async with run_controller(tmp_path, plane, clock, **QUIET) as watch:
            assert await requests_until_ready(watch, plane) == [TICK] * 6


async def test_what_changed_while_it_was_off_is_read_before_it_is_ready(tmp_path: Path) -> None:
    """A manual change, a commit and a new manifest cost the reads of these three apps, and the commits are applied at once."""
    clock = FastClock(60)
    slugs = app_slugs(20)
    declare(tmp_path, *slugs)
    with plane_of_ana(clock) as plane:
        create_live(plane, *slugs)
        await run_once(tmp_path, plane, clock, **QUIET)
        plane.send("PUT", f"/apps/{slugs[3]}/slots/chat", CLOUD)
        declare(tmp_path, slugs[5], chat="cloud_first")
        declare(tmp_path, "new")
        plane.log()
        async with run_controller(tmp_path, plane, clock, **QUIET) as watch:
            requests = await requests_until_ready(watch, plane)
            assert apps_read(requests).keys() == {slugs[3], slugs[5]}
            assert LIST not in requests
            assert sorted(line for line in requests if f"/{slugs[3]}" in line) == reads_of(slugs[3])
            assert requests.count(TICK) == 1
            await watch.until(lambda: watch.app("new").state is AppState.IN_SYNC)
            assert watch.app(slugs[3]).state is AppState.HELD
            assert watch.app(slugs[3]).drift[0].actor == "ana"
            assert watch.app(slugs[5]).state is AppState.IN_SYNC
            writes = writes_in(requests_of(plane, "octosync"))
            assert {line.split("/")[4] for line in writes if line.count("/") > 3} == {slugs[5], "new"}


async def test_many_changes_while_it_was_off_cost_only_the_reads_of_their_apps(tmp_path: Path) -> None:
    """Changed apps are read one by one at once, so the list of all apps is not read for them, however many there are."""
    clock = FastClock(60)
    slugs = app_slugs(20)
    declare(tmp_path, *slugs)
    with plane_of_ana(clock) as plane:
        create_live(plane, *slugs)
        await run_once(tmp_path, plane, clock, **QUIET)
        for slug in slugs[:8]:
            plane.send("PUT", f"/apps/{slug}/slots/chat", CLOUD)
        plane.log()
        async with run_controller(tmp_path, plane, clock, **QUIET) as watch:
            requests = await requests_until_ready(watch, plane)
            assert sorted(requests) == sorted([TICK, *(line for slug in slugs[:8] for line in reads_of(slug))])


async def test_apps_that_were_not_in_sync_are_read_again(tmp_path: Path) -> None:
    """Held drift is read, although no event is new; the hold continues, and no other app is read.

    A controller that was killed before receivers learned that a problem is over notifies them after its restart.
    """
    clock = FastClock(60)
    slugs = app_slugs(8)
    declare(tmp_path, *slugs)
    with plane_of_ana(clock) as plane:
        create_live(plane, *slugs)
        async with run_controller(tmp_path, plane, clock, resync=NEVER) as watch:
            await watch.until_in_sync()
            plane.send("PUT", f"/apps/{slugs[2]}/slots/chat", CLOUD)
            await watch.until(lambda: watch.app(slugs[2]).state is AppState.HELD)
            until = watch.app(slugs[2]).drift[0].until
            memory = watch.controller.memory
            memory.state.for_control_plane(memory.plane).record_notification(slugs[5], "failed", "a fact")
        plane.log()
        async with run_controller(tmp_path, plane, clock, **QUIET) as watch:
            requests = await requests_until_ready(watch, plane)
            notified = [line for line in reads_of(slugs[5]) if not line.endswith("/deployments")]
            assert sorted(requests) == sorted([TICK, *reads_of(slugs[2]), *notified])
            assert watch.app(slugs[2]).state is AppState.HELD
            assert watch.app(slugs[2]).drift[0].until == until


async def test_a_feed_that_does_not_reach_back_means_that_everything_is_read(tmp_path: Path) -> None:
    """After more events than are read, every app is read before the controller is ready, and the log says why."""
    clock = FastClock(60)
    slugs = app_slugs(8)
    declare(tmp_path, *slugs)
    with plane_of_ana(clock) as plane:
        create_live(plane, *slugs)
        await run_once(tmp_path, plane, clock, **QUIET)
        plane.send("PATCH", f"/apps/{slugs[3]}", {"name": "Renamed"})
        plane.app("elsewhere")
        for number in range(500):
            plane.send("PATCH", "/apps/elsewhere", {"name": f"Name {number}"})
        plane.log()
        async with run_controller(tmp_path, plane, clock, **QUIET) as watch:
            requests = await requests_until_ready(watch, plane)
            assert apps_read(requests) == dict.fromkeys(slugs, 1)
            assert requests.count(TICK) == 5
            assert watch.app(slugs[3]).state is AppState.HELD
            assert "does not reach back" in watch.logged("reading_all")[0]["why"]
            assert watch.logged("ready")[0]["by"] == "full_read"


async def test_the_log_of_a_start_does_not_grow_with_the_apps(tmp_path: Path) -> None:
    """Apps that are in sync from the start are counted in one line; only the others have a line each, and none is a warning."""
    clock = FastClock(60)
    slugs = app_slugs(12)
    declare(tmp_path, *slugs)
    with plane_of_ana(clock) as plane:
        create_live(plane, *slugs)
        plane.send("PATCH", f"/apps/{slugs[3]}", {"name": "Renamed"})
        async with run_controller(tmp_path, plane, clock, **QUIET) as watch:
            await requests_until_ready(watch, plane)
            assert [line["app"] for line in watch.logged("app_moved")] == [slugs[3]]
            assert watch.logged("nothing_remembered")[0]["@level"] == "info"
            (ready,) = watch.logged("ready")
            assert ready["@message"] == "ready: 12 apps read; 1 held, 11 in sync"


async def test_without_a_feed_everything_is_read(tmp_path: Path) -> None:
    """If the feed can't be read after the restart, every app is read. The next restart with a feed reads none."""
    clock = FastClock(60)
    slugs = app_slugs(8)
    declare(tmp_path, *slugs)
    with plane_of_ana(clock) as plane:
        create_live(plane, *slugs)
        await run_once(tmp_path, plane, clock, **QUIET)
        plane.send("PATCH", f"/apps/{slugs[3]}", {"name": "Renamed"})
        plane.break_with({"operation": "activity.list", "action": "not_found", "times": None})
        async with run_controller(tmp_path, plane, clock, **QUIET) as watch:
            assert apps_read(await requests_until_ready(watch, plane)).keys() == {*slugs}
            await watch.until(lambda: watch.app(slugs[3]).state is not AppState.IN_SYNC)
        plane.break_with()
        plane.log()
        async with run_controller(tmp_path, plane, clock, **QUIET) as watch:
            assert apps_read(await requests_until_ready(watch, plane)).keys() == {slugs[3]}


@pytest.mark.parametrize(
    "changed",
    [
        {"deploy": DeployPolicy(previews=False, retry_rolled_back=True)},
        {"apps": ("app-*",)},
        {"sensitive": True},
        {"read_only": True},
    ],
    ids=lambda changed: next(iter(changed)),
)
async def test_another_configuration_means_that_everything_is_read(tmp_path: Path, changed: dict[str, Any]) -> None:
    """If the selection, the deployment settings, sensitive keys or the API's fields differ, no app is known to be in sync."""
    clock = FastClock(60)
    slugs = app_slugs(6)
    config = tmp_path / "octosync.yaml"
    config.write_text("drift: {hold: 30m}\n")
    declare(tmp_path, *slugs)
    with plane_of_ana(clock) as plane:
        create_live(plane, *slugs)
        await run_once(tmp_path, plane, clock, config=config, **QUIET)
        if changed.pop("sensitive", False):
            config.write_text("sensitiveKeys: [nickname]\n")
        if changed.pop("read_only", False):
            config.write_text("api: {readOnly: {slot: [comment]}}\n")
        async with run_controller(tmp_path, plane, clock, config=config, **QUIET, **changed) as watch:
            assert apps_read(await requests_until_ready(watch, plane)) == dict.fromkeys(slugs, 1)
            assert "this configuration" in watch.logged("reading_all")[0]["why"]


async def test_settings_that_only_concern_changes_cost_no_reads(tmp_path: Path) -> None:
    """Another hold, another guard's limit or another mode leaves an app in sync as it is."""
    clock = FastClock(60)
    slugs = app_slugs(6)
    config = tmp_path / "octosync.yaml"
    config.write_text("drift: {hold: 30m}\n")
    declare(tmp_path, *slugs)
    with plane_of_ana(clock) as plane:
        create_live(plane, *slugs)
        await run_once(tmp_path, plane, clock, config=config, **QUIET)
        config.write_text("drift: {hold: 5m}\nguards: {maxDeletes: 3}\n")
        mode = WriteMode.MANIFEST
        async with run_controller(tmp_path, plane, clock, config=config, write_mode=mode, **QUIET) as watch:
            assert await requests_until_ready(watch, plane) == [TICK]


async def test_another_version_is_ready_at_once_and_reads_everything_in_the_background(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new version of octosync may compare differently, so its first resync begins directly after it is ready."""
    clock = FastClock(60)
    slugs = app_slugs(8)
    declare(tmp_path, *slugs)
    with plane_of_ana(clock) as plane:
        create_live(plane, *slugs)
        await run_once(tmp_path, plane, clock, **QUIET)
        monkeypatch.setattr(checkpoint, "__version__", "99.0.0")
        async with run_controller(tmp_path, plane, clock, **QUIET) as watch:
            await watch.until(lambda: watch.logged("full_read"))
            assert watch.logged("ready")[0]["read"] == 0
            assert apps_read(requests_of(plane, "octosync")) == dict.fromkeys(slugs, 1)
        plane.log()
        async with run_controller(tmp_path, plane, clock, **QUIET) as watch:
            assert await requests_until_ready(watch, plane) == [TICK]


async def test_an_interrupted_resync_is_continued(tmp_path: Path) -> None:
    """However often the controller is restarted during its first resync, each app is read once until it is ready."""
    clock = FastClock(60)
    slugs = app_slugs(40)
    declare(tmp_path, *slugs)
    limited: Any = {**QUIET, "connection": {"requests_per_minute": 40}}
    with plane_of_ana(clock) as plane:
        create_live(plane, *slugs)
        plane.log()
        for count in (8, 20):
            async with run_controller(tmp_path, plane, clock, **limited) as watch:
                await watch.until(partial(has_in_sync, watch, count))
                assert not watch.status.ready
        async with run_controller(tmp_path, plane, clock, **limited) as watch:
            await watch.until(lambda: watch.logged("full_read"))
            counts = apps_read(requests_of(plane, "octosync"))
            assert counts.keys() == {*slugs}
            # Those that were being read at a stop are read again: at most one for each worker.
            assert sum(counts.values()) <= len(slugs) + 2 * 4
            assert watch.controller.memory.is_whole


async def test_a_controller_that_is_killed_at_once_gets_on_with_its_resync(tmp_path: Path) -> None:
    """What was read is saved while the resync runs, without a poll of the feed or an orderly stop."""
    clock = FastClock(60)
    slugs = app_slugs(40)
    declare(tmp_path, *slugs)
    limited: Any = {**QUIET, "connection": {"requests_per_minute": 40}}
    with plane_of_ana(clock) as plane:
        create_live(plane, *slugs)
        async with run_controller(tmp_path, plane, clock, **limited) as watch:
            await watch.until(partial(has_in_sync, watch, 21))
            copy_state(tmp_path, "killed.db")
        use_state(tmp_path, tmp_path / "killed.db")
        plane.log()
        async with run_controller(tmp_path, plane, clock, **limited) as watch:
            await watch.until(lambda: watch.logged("full_read"))
            assert len(apps_read(requests_of(plane, "octosync"))) <= len(slugs) - 20


async def test_many_commits_while_it_was_off_are_read_once(tmp_path: Path) -> None:
    """Apps that are being read for their commits when the list of all apps is returned are not read again.

    The list is read for the apps with held drift, of which there are enough, and these are not read one by one.
    """
    clock = FastClock(60)
    slugs = app_slugs(30)
    held = slugs[12:20]
    declare(tmp_path, *slugs)
    with plane_of_ana(clock) as plane:
        create_live(plane, *slugs)
        async with run_controller(tmp_path, plane, clock, resync=NEVER) as watch:
            await watch.until_in_sync()
            for slug in held:
                plane.send("PUT", f"/apps/{slug}/slots/chat", CLOUD)
            await watch.until(lambda: watch.status.count(AppState.HELD) == len(held))
        plane.log()
        declare(tmp_path, *slugs[:12], chat="cloud_first")
        async with run_controller(tmp_path, plane, clock, **QUIET) as watch:
            requests = await requests_until_ready(watch, plane)
            assert requests.count(LIST) == 1
            assert not {f"{LIST}/{slug}" for slug in held}.intersection(requests)
            await watch.until(lambda: watch.status.count(AppState.IN_SYNC) == len(slugs) - len(held))
        requests = requests_of(plane, "octosync")
        assert apps_read(requests) == dict.fromkeys(slugs[:20], 1)
        assert sorted(writes_in(requests)) == sorted(f"PUT /api/v1/apps/{slug}/slots/chat" for slug in slugs[:12])


@pytest.mark.parametrize("field", ["app_id", "app_slug"])
async def test_apps_that_octosync_has_created_are_known_after_a_restart(tmp_path: Path, field: str) -> None:
    """A restart soon after the first rollout reads none of them, unless the feed names apps by ids, which are unknown then."""
    clock = FastClock(60)
    slugs = app_slugs(6)
    declare(tmp_path, *slugs)
    with plane_of_ana(clock) as plane:
        transport = FeedTransport(field)
        async with run_controller(
            tmp_path, plane, clock, transport=transport, resync=NEVER, interval=timedelta(seconds=10)
        ) as watch:
            await watch.until_in_sync()
            plane.log()
            await wait_for_ticks(watch, 2)  # one has the events of the writes
        plane.log()
        async with run_controller(tmp_path, plane, clock, transport=FeedTransport(field), **QUIET) as watch:
            requests = await requests_until_ready(watch, plane)
            assert apps_read(requests).keys() == ({*slugs} if field == "app_slug" else set())


@pytest.mark.parametrize("field", ["app_id", "app_slug"])
async def test_events_that_name_apps_in_one_way_only_are_understood(tmp_path: Path, field: str) -> None:
    """If the feed has only ids or only slugs, the change while the controller was off is found all the same."""
    clock = FastClock(60)
    slugs = app_slugs(6)
    declare(tmp_path, *slugs)
    with plane_of_ana(clock) as plane:
        create_live(plane, *slugs)
        plane.app("unmanaged")
        await run_once(tmp_path, plane, clock, transport=FeedTransport(field), **QUIET)
        plane.send("PATCH", f"/apps/{slugs[4]}", {"name": "Renamed"})
        plane.send("PATCH", "/apps/unmanaged", {"name": "Renamed"})
        plane.log()
        async with run_controller(tmp_path, plane, clock, transport=FeedTransport(field), **QUIET) as watch:
            assert apps_read(await requests_until_ready(watch, plane)).keys() == {slugs[4]}
            assert watch.app(slugs[4]).state is AppState.HELD


async def test_restarts_neither_repeat_nor_prevent_resyncs(tmp_path: Path) -> None:
    """A controller that is restarted every few minutes makes a resync in each interval, and not at each start."""
    clock = FastClock(60)
    slugs = app_slugs(8)
    declare(tmp_path, *slugs)
    settings: Any = {"interval": NEVER, "resync": timedelta(minutes=30)}
    with plane_of_ana(clock) as plane:
        create_live(plane, *slugs)
        plane.log()
        resyncs = 0
        for _ in range(12):  # two hours
            async with run_controller(tmp_path, plane, clock, **settings) as watch:
                await watch.until(lambda: watch.status.ready and watch.status.next_full_read is not None)
                await clock.advance(timedelta(minutes=10))
                await watch.until(lambda: watch.status.next_full_read is not None)
                if watch.status.next_full_read < clock.now():  # type: ignore[operator]
                    await wait_for_resync(watch)
                resyncs += len(watch.logged("full_read"))
        assert 4 <= resyncs <= 6
        assert max(apps_read(requests_of(plane, "octosync")).values()) == resyncs


async def test_a_clock_that_was_ahead_means_that_apps_are_read_again(tmp_path: Path) -> None:
    """What is dated in the future is not taken for known."""
    ahead, clock = FastClock(60), FastClock(60)
    ahead.skip(timedelta(days=2))
    slugs = app_slugs(6)
    declare(tmp_path, *slugs)
    with plane_of_ana(clock) as plane:
        create_live(plane, *slugs)
        await run_once(tmp_path, plane, ahead, **QUIET)
        async with run_controller(tmp_path, plane, clock, **QUIET) as watch:
            assert apps_read(await requests_until_ready(watch, plane)).keys() == {*slugs}


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_killed_controller_never_takes_a_changed_app_for_one_in_sync(tmp_path: Path, seed: int) -> None:
    """Whatever is in the state file at any moment, with the feed it leads to the same states as reading everything."""
    chance = random.Random(seed)  # noqa: S311 — the same changes every time
    clock = FastClock(60)
    slugs = app_slugs(6)
    declare(tmp_path, *slugs)
    copies: list[Path] = []

    async def keep_copies() -> None:
        while True:
            copies.append(copy_state(tmp_path, f"copy-{len(copies)}.db"))
            await asyncio.sleep(0.05)

    with plane_of_ana(clock) as plane:
        create_live(plane, *slugs)
        settings: Any = {"interval": timedelta(seconds=10), "resync": timedelta(minutes=1)}
        async with run_controller(tmp_path, plane, clock, **settings, write_mode=WriteMode.NONE) as watch:
            await watch.until_in_sync()
            copying = asyncio.ensure_future(keep_copies())
            for number in range(12):
                slug = chance.choice(slugs)
                if chance.random() < 0.3:
                    plane.send("PATCH", f"/apps/{slug}", {"name": slug.title()})
                    plane.send("PUT", f"/apps/{slug}/slots/chat", {"serving_policy": "local_first", "bindings": []})
                else:
                    plane.send("PATCH", f"/apps/{slug}", {"name": f"Name {number}"})
                await asyncio.sleep(chance.uniform(0.0, 0.3))
            copying.cancel()
        changed = {slug for slug in slugs if plane.send("GET", f"/apps/{slug}")["name"] != slug.title()}
        assert changed
        for copy in chance.sample(copies, 6):
            use_state(tmp_path, copy)
            async with run_controller(tmp_path, plane, clock, **QUIET, write_mode=WriteMode.NONE) as watch:
                await watch.until(lambda: watch.status.ready)
                assert {slug for slug, app in watch.status.apps.items() if app.state is not AppState.IN_SYNC} == changed
