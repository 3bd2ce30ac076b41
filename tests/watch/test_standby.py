"""What a standby knows by itself: the manifests, and the shared state."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.controller_http import BROWSER, app_client
from tests.support.controller_statuses import NOW, PLANE, RecordingApi, ago, soon
from tests.support.states import desired_app

from octosync.errors import OctosyncError, StateUnavailable
from octosync.manifest import Cache, Manifests
from octosync.model import Address, Hold, Outcome, State, Status
from octosync.state import CheckpointChanges, InSyncApp, Journal, StoredRefusal, StoredResync, WatchState
from octosync.watch.log import Log
from octosync.watch.manifests.desired import DesiredState, ManifestLoad
from octosync.watch.manifests.file_snapshot import WatchedPaths
from octosync.watch.settings import Settings
from octosync.watch.standby import StandbyView
from octosync.watch.status import AppState, ControllerStatus, ReplicaRole, ReplicaStatus

STANDBY = ReplicaStatus(role=ReplicaRole.STANDBY, name="b", since=ago(minutes=1))
DECLARED = State.from_apps(
    *(desired_app(slug, slots={"chat": {}}) for slug in ("billing", "camera", "search", "voice"))
)


class _SteppingClock:
    """A clock that goes on by ten seconds whenever it is read."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        self._seconds += 10
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        self._seconds += seconds
        await asyncio.sleep(0)


def load_declared(cache: Cache) -> ManifestLoad:
    del cache
    return ManifestLoad(manifests=Manifests(state=DECLARED, files=4), revision="3f9d2c1")


def fail_to_load(cache: Cache) -> ManifestLoad:
    del cache
    return ManifestLoad(error=OctosyncError("manifests-unreadable", "apps/: permission denied"), fails=True)


async def view_of(
    open_journal: Callable[[], Journal],
    gather: Callable[[Cache], ManifestLoad] = load_declared,
    *,
    written: io.StringIO | None = None,
) -> StandbyView:
    """Return what a standby shows, with its manifests loaded."""
    clock = _SteppingClock()
    desired = DesiredState(gather, WatchedPaths(), clock)
    await desired.load()
    settings = Settings(drift_hold=timedelta(minutes=30))
    return StandbyView(
        desired=desired,
        settings=settings,
        control_plane=PLANE,
        open_journal=open_journal,
        clock=clock,
        log=Log(written or io.StringIO(), clock),
    )


def used_state(path: Path) -> None:
    """Write what a leader writes: apps in sync, drift, a refusal, a hold, a suspension and a run."""
    with Journal(path) as journal:
        state = WatchState(journal).for_control_plane(PLANE)
        in_sync = {"billing": InSyncApp(ago(minutes=2), "basis")}
        state.save_checkpoint(CheckpointChanges(("event",), StoredResync(ago(minutes=9), "1", ago(minutes=3)), in_sync))
        state.record_drift("camera", {Address.of_slot("camera", "vision"): "print"}, ago(minutes=5))
        target = Address.of_target("search", "ios", "com.acme.search")
        refusal = StoredRefusal(target, "delete", "deletes", "basis", "14 deletes, and 10 are allowed", None, None)
        state.store_refusals("search", [refusal])
        state.hold(Hold(app="camera", until=soon(hours=3), reason="incident 4711", at=ago(minutes=4)))
        state.suspend(ago(minutes=1), "the vendor works on it")
        run = journal.begin_run(control_plane=PLANE.url, org_id=PLANE.org_id, digest="", at=ago(minutes=7))
        slot = Address.of_slot("billing", "chat")
        journal.begin_action(run, 1, address=slot, verb="update", operation="apps.put_slot", at=ago(minutes=7))
        outcome = Outcome(address=slot, verb="update", status=Status.DONE, request_ids=("req_77c0",))
        journal.end_action(run, 1, outcome, ago(minutes=7))
        journal.end_run(run, 0, ago(minutes=7))
        journal.begin_run(control_plane="https://another.example/api/v1", org_id=None, digest="", at=ago(minutes=6))


async def page_of(status: ControllerStatus) -> str:
    async with app_client(RecordingApi(current=status)) as client:
        return (await client.get("/", headers=BROWSER)).text


async def test_a_standby_shows_what_the_shared_state_has(tmp_path: Path) -> None:
    """Apps in sync, drift with its start, what is blocked, holds, the suspension and the runs of this control plane."""
    used_state(tmp_path / "state.db")
    view = await view_of(lambda: Journal(tmp_path / "state.db"))
    await view.refresh()
    status = view.status(STANDBY)
    assert {slug: app.state for slug, app in status.apps.items()} == {
        "billing": AppState.IN_SYNC,
        "camera": AppState.HELD,
        "search": AppState.BLOCKED,
        "voice": AppState.UNREAD,
    }
    assert status.apps["camera"].drift[0].first_seen == ago(minutes=5)
    assert [(run.apps, run.outcomes[0].request_ids) for run in status.runs] == [(("billing",), ("req_77c0",))]
    page = await page_of(status)
    for words in (
        "2 of 4 apps need attention: 1 blocked, 1 held. 1 unknown, 1 in sync",
        "the vendor works on it",
        "incident 4711",
        "14 deletes, and 10 are allowed",
        "No replica leads",
        "req_77c0",
    ):
        assert words in page


async def test_a_shared_state_that_fails_leaves_what_was_known(tmp_path: Path) -> None:
    """The page stays as it was, and names the problem; later the state is read again."""
    used_state(tmp_path / "state.db")
    failures = [StateUnavailable("journal-unusable", "db.example:5432 does not respond")]

    def open_journal() -> Journal:
        if failures and reads.is_set():
            raise failures.pop()
        return Journal(tmp_path / "state.db")

    reads = threading.Event()
    view = await view_of(open_journal)
    await view.refresh()
    reads.set()
    await view.refresh()
    status = view.status(STANDBY)
    assert (status.replica.problem, status.counts()[AppState.IN_SYNC]) == ("db.example:5432 does not respond", 1)
    await view.refresh()
    assert not view.status(STANDBY).replica.problem


@pytest.mark.parametrize(
    ("gather", "known", "code", "words"),
    [
        (load_declared, {"leader": "a"}, 200, "ok\n"),
        (load_declared, {"since": NOW}, 200, "ok\n"),
        (load_declared, {}, 503, "who leads has not been read yet"),
        (fail_to_load, {"leader": "a"}, 503, "the manifests can't be loaded, and none are in use yet"),
        (
            load_declared,
            {"problem": "db.example: refused"},
            503,
            "the shared state can't be used: db.example: refused\n",
        ),
    ],
)
async def test_a_standby_is_ready_if_it_could_take_over(
    gather: Callable[[Cache], ManifestLoad], known: dict[str, Any], code: int, words: str
) -> None:
    """It needs manifests and the shared state, and has read who leads. It is healthy without."""
    view = await view_of(lambda: Journal(Path()), gather)
    status = view.status(ReplicaStatus(role=ReplicaRole.STANDBY, **known))
    async with app_client(RecordingApi(current=status)) as client:
        ready = await client.get("/readyz")
        assert (ready.status_code, words in ready.text) == (code, True)
        assert (await client.get("/healthz")).status_code == 200


async def test_a_standby_loads_the_manifests_and_logs_their_errors_once() -> None:
    """It loads them again when they change, and logs the same error once. A leader loads them itself."""
    loads, written, is_standby = (
        [load_declared, fail_to_load, fail_to_load, fail_to_load],
        io.StringIO(),
        asyncio.Event(),
    )

    def load_next(cache: Cache) -> ManifestLoad:
        return loads.pop()(cache)

    view = await view_of(lambda: Journal(Path()), load_next, written=written)
    running = asyncio.create_task(view.run(is_standby.is_set))
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(loads) == 3
    is_standby.set()
    async with asyncio.timeout(30):
        while not view.status(STANDBY).ready:  # noqa: ASYNC110 — it loads in a thread
            await asyncio.sleep(0)
    running.cancel()
    assert written.getvalue().count("permission denied") == 1
