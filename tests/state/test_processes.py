"""Several processes with one state, a killed process, and a full disk."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.states import NOW, ORG, desired_app

from octosync.model import Address
from octosync.plan import ControlPlane
from octosync.state import Journal, JournalReader, StateLocation, WatchState

PLANE = ControlPlane(url="https://octomil.example/api/v1", org_id=ORG)
LARGEST = 400_000  # bytes that are left on the full disk

_BEGIN = f"""
import sys
from datetime import UTC, datetime
from itertools import count
from octosync.errors import OctosyncError
from octosync.model import Address, App
from octosync.plan import ControlPlane
from octosync.state import Journal, WatchState
from pathlib import Path

NOW = datetime(2030, 1, 1, tzinfo=UTC)
PLANE = ControlPlane(url={PLANE.url!r}, org_id={ORG!r})
journal = Journal(Path(sys.argv[1]))
memory = WatchState(journal).for_control_plane(PLANE)
"""
# Prints the number of each write after it has returned.
_WRITES = """
for number in count():
    memory.store(App(slug=f"app-{number:06}", fields={"description": "x" * 200}))
    memory.record_drift(f"app-{number:06}", {Address.of_app(f"app-{number:06}"): "x"}, NOW)
    print(number, flush=True)
"""
_UNTIL_FULL = """
try:
    for number in count():
        memory.store(App(slug=f"app-{number:06}", fields={"description": "x" * 2000}))
        print(number, flush=True)
except OctosyncError as error:
    print(f"{error}\\n{error.hints}", file=sys.stderr)
"""


def test_what_was_written_survives_a_kill(path: Path) -> None:
    """SIGKILL during writes loses nothing that a method has returned for, and leaves nothing incomplete."""
    with subprocess.Popen(
        [sys.executable, "-c", _BEGIN + _WRITES, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 50:
                process.kill()
                break
        rest = process.stdout.read().split()
    assert process.returncode == -signal.SIGKILL
    last = int(rest[-1]) if rest else 50
    with Journal(path) as journal:
        base, drift = (memory := WatchState(journal).for_control_plane(PLANE)).baseline(), memory.drift()
    assert set(base) >= set(drift) >= {f"app-{number:06}" for number in range(last + 1)}
    assert all(app.fields == {"description": "x" * 200} for app in base.values())


def test_an_apply_and_a_watch_share_the_state(location: StateLocation) -> None:
    """Both processes write while history is read: none of them fails, and no record is lost."""
    app = Address.of_app("a")
    count = 150 if isinstance(location, Path) else 30

    def watch() -> None:
        with Journal(location) as journal:
            state = WatchState(journal)
            memory = state.for_control_plane(PLANE)
            for number in range(count):
                memory.store(desired_app(f"app-{number}"))
            state.prune(NOW)

    def apply() -> None:
        with Journal(location) as journal:
            run = journal.begin_run(control_plane=PLANE.url, org_id=ORG, digest="", at=NOW)
            for number in range(count):
                journal.begin_action(run, number, address=app, verb="update", operation="apps.update", at=NOW)

    def history() -> None:
        for _ in range(count // 3):
            with JournalReader(location) as recorded:
                for run in recorded.runs():
                    recorded.actions(run.id)

    with (
        Journal(location),
        ThreadPoolExecutor(4) as pool,
    ):  # SQLite locks belong to a connection, as they belong to a process
        for done in [pool.submit(work) for work in (watch, apply, history)]:
            done.result()
    with Journal(location) as journal:
        (run,) = journal.runs()
        assert len(journal.actions(run.id)) == count
        assert len(WatchState(journal).for_control_plane(PLANE).baseline()) == count


def test_a_full_disk_is_one_clear_error(path: Path) -> None:
    """The error names the file and states what to do; earlier records are kept, and the next start continues."""

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST, LARGEST))

    ran = subprocess.run(
        [sys.executable, "-c", _BEGIN + _UNTIL_FULL, str(path)],
        preexec_fn=small_disk,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"journal-unusable: {path}: the journal can't be used: " in ran.stderr
    assert "--state FILE" in ran.stderr
    assert "Traceback" not in ran.stderr
    written = ran.stdout.split()
    with Journal(path) as journal:
        memory = WatchState(journal).for_control_plane(PLANE)
        assert len(memory.baseline()) == len(written) > 10
        memory.store(desired_app("one-more"))
        assert len(memory.baseline()) == len(written) + 1
