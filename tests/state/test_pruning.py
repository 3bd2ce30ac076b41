"""The counts from the journal, and its pruning: history stays correct, and the disk space is freed."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.support.journals import make_version_1
from tests.support.states import NOW, ORG, desired_app

from octosync.model import Address, Hold, Kind, Outcome, Status
from octosync.plan import ControlPlane
from octosync.state import ControlPlaneState, Journal, JournalReader, StateLocation, WatchState

PLANE = ControlPlane(url="https://octomil.example/api/v1", org_id=ORG)
DAY = timedelta(days=1)


def run_of(
    journal: Journal,
    at: datetime,
    actions: Iterable[tuple[str, Address, Status | None]] = (),
    *,
    plane: ControlPlane = PLANE,
) -> str:
    """Record a run at a time, with actions as (verb, address, status); an action without a status is unfinished."""
    run = journal.begin_run(control_plane=plane.url, org_id=plane.org_id, digest="sha256:00", at=at)
    for number, (verb, address, status) in enumerate(actions, 1):
        journal.begin_action(run, number, address=address, verb=verb, operation="x", at=at)
        if status is not None:
            journal.end_action(run, number, Outcome(address=address, verb=verb, status=status), at)
    journal.end_run(run, 0, at)
    return run


def kinds(addresses: Iterable[Address]) -> dict[Kind, int]:
    return dict(Counter(address.kind for address in addresses))


def test_removals_are_counted_from_what_runs_did(state: WatchState, memory: ControlPlaneState) -> None:
    """Only completed actions since a time on this control plane count, by kind; a run without a known org may belong to it."""
    target, slot = Address.of_target("a", "ios", "1"), Address.of_slot("a", "chat")
    config, app = Address.of_inference_config("a"), Address.of_app("a")
    journal = memory.journal
    run_of(
        journal,
        NOW,
        [
            ("delete", target, Status.DONE),
            ("delete", Address.of_target("b", "ios", "2"), Status.DONE),
            ("delete", config, Status.DONE),
            ("delete", slot, Status.FAILED),
            ("delete", slot, Status.NOT_ATTEMPTED),
            ("delete", slot, None),
            ("update", slot, Status.DONE),
            ("archive", app, Status.DONE),
            ("archive", app, Status.FAILED),
        ],
    )
    run_of(journal, NOW - DAY, [("delete", slot, Status.DONE), ("archive", app, Status.DONE)])
    run_of(journal, NOW, [("delete", slot, Status.DONE)], plane=ControlPlane(url=PLANE.url))
    for control_plane in (
        ControlPlane(url=PLANE.url, org_id="org-2"),
        ControlPlane(url="https://staging.example/api/v1", org_id=ORG),
    ):
        run_of(journal, NOW, [("delete", target, Status.DONE), ("archive", app, Status.DONE)], plane=control_plane)
    assert kinds(memory.recent_removals(NOW)) == {Kind.TARGET: 2, Kind.SLOT: 1, Kind.INFERENCE_CONFIG: 1}
    assert memory.recent_archives(NOW) == [app]
    # The org is unknown: count too many rather than too few.
    everywhere = state.for_control_plane(ControlPlane(url=PLANE.url)).recent_removals(NOW)
    assert kinds(everywhere) == {Kind.TARGET: 3, Kind.SLOT: 1, Kind.INFERENCE_CONFIG: 1}
    assert memory.recent_removals(NOW + timedelta(milliseconds=1)) == []
    assert memory.recent_archives(NOW - DAY) == [app, app]


def test_pruning_drops_what_is_old(state: WatchState, memory: ControlPlaneState, location: StateLocation) -> None:
    """Pruning deletes old runs with their actions, reverts, unused approvals and ended holds, and no newer ones."""
    slot = Address.of_slot("a", "chat")
    for at in (NOW - 100 * DAY, NOW):
        run_of(memory.journal, at, [("delete", slot, Status.DONE)])
        memory.record_revert(slot, at)
        memory.approve(f"guard-{at:%j}", [(slot, "delete", "x")], at)
        memory.hold(Hold(app=f"app-{at:%j}", until=at, reason="", at=at - 200 * DAY))
    memory.store(desired_app("a"))
    memory.record_drift("a", {slot: "x"}, NOW - 100 * DAY)
    memory.record_contested(slot, NOW - 100 * DAY)
    memory.suspend(NOW - 100 * DAY, "")
    state.prune(NOW - 90 * DAY)
    with JournalReader(location) as recorded:
        (run,) = recorded.runs()
        assert run.started_at == NOW
        assert len(recorded.actions(run.id)) == 1
    assert memory.journal.database.execute("select count(*) from action").fetchone() == (1,)
    assert memory.reverts(NOW - 200 * DAY) == {slot: (NOW,)}
    assert [approval.at for approval in memory.approvals()] == [NOW]
    assert [hold.until for hold in memory.holds()] == [NOW]
    assert list(memory.baseline()) == ["a"]
    assert memory.drift()["a"][slot][1] == NOW - 100 * DAY
    assert list(memory.contested()) == [slot]
    assert memory.suspension() is not None


@pytest.mark.parametrize("count", [0, 3, 1200])
def test_only_the_newest_runs_are_kept(state: WatchState, memory: ControlPlaneState, count: int) -> None:
    """The newest runs are returned in their order, whatever the number of runs is. Many are deleted in several steps."""
    with memory.journal.transaction():
        runs = [f"run-{number:05}" for number in range(count)]
        memory.journal.database.executemany(
            "insert into run (id, started_at, control_plane, digest) values (?, '2030-01-01T00:00:00.000+00:00', '', '')",
            [(run,) for run in runs],
        )
    assert state.prune(NOW - 365 * DAY, runs=2, batches=1) is (count < 500)
    assert len(memory.journal.runs()) == max(min(count, 2), count - 500)
    assert state.prune(NOW - 365 * DAY, runs=2)
    assert [run.id for run in memory.journal.runs()] == runs[:-3:-1]


@pytest.mark.parametrize("version", [1, 2])
def test_the_room_is_given_back(path: Path, version: int) -> None:
    """After pruning the file is smaller, whichever version created it, and later runs are still the newest."""
    if version == 1:
        make_version_1(path)
    with Journal(path) as journal:
        with journal.transaction():
            journal.database.executemany(
                "insert into run (id, started_at, control_plane, digest) values (?, '2030-01-01', '', ?)",
                [(f"run-{number}", "x" * 1000) for number in range(1000)],
            )
        kept = [run_of(journal, NOW) for _ in range(3)]
        journal.database.execute("pragma wal_checkpoint (truncate)")
        before = path.stat().st_size
        WatchState(journal).prune(NOW, runs=3)
        journal.database.execute("pragma wal_checkpoint (truncate)")
        assert path.stat().st_size < before / 4
        kept.append(run_of(journal, NOW - DAY))
        assert [run.id for run in journal.runs()] == kept[::-1]
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
