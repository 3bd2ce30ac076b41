"""The journal: what it records, what it never records, and its errors when it can't be used."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from octosync.errors import LeaseLost, OctosyncError
from octosync.model import Address, Outcome, RecordedOverride, RecordedPolicy, RunAudit, Status
from octosync.state import DEFAULT_PATH, Journal, JournalReader, StateLocation

AT = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=2)))
APP = Address.of_app("a")


def begin(journal: Journal, **more: Any) -> str:
    """Begin a run."""
    facts: dict[str, Any] = {
        "control_plane": "http://127.0.0.1/api/v1",
        "org_id": "org-1",
        "digest": "sha256:00",
        **more,
    }
    return journal.begin_run(at=AT, **facts)


def begin_action(journal: Journal, run: str, number: int = 1) -> None:
    """Begin an action."""
    journal.begin_action(run, number, address=APP, verb="create", operation="apps.create", at=AT)


def test_a_run_and_its_actions_are_kept(location: StateLocation) -> None:
    """A run has its control plane, time and end; an action has its address, operation, status, reference and request ids."""
    outcome = Outcome(
        address=APP, verb="create", status=Status.FAILED, reference="rejected", request_ids=("req_1", "req_2")
    )
    with Journal(location) as journal:
        run = begin(journal)
        begin_action(journal, run, 1)
        begin_action(journal, run, 2)
        journal.end_action(run, 1, outcome, AT)
        journal.end_run(run, 5, AT)
    with Journal(location) as journal:
        (recorded,) = journal.runs()
        ended, begun = journal.actions(run)
    assert run.startswith("20300102T010405Z-")
    assert (recorded.id, recorded.control_plane, recorded.org_id) == (run, "http://127.0.0.1/api/v1", "org-1")
    assert (recorded.started_at, recorded.ended_at) == (AT.replace(microsecond=678000),) * 2
    assert (recorded.digest, recorded.exit_code) == ("sha256:00", 5)
    assert (ended.number, ended.address, ended.verb, ended.operation) == (1, "app/a", "create", "apps.create")
    assert (ended.status, ended.reference, ended.request_ids) == (Status.FAILED, "rejected", ("req_1", "req_2"))
    assert (begun.number, begun.status, begun.ended_at, begun.request_ids) == (2, None, None, ())


def test_facts_that_can_not_be_recorded_now_are_recorded_later(location: StateLocation) -> None:
    """The error is raised, and the next transaction records them first. Recorded twice, they are the same."""

    def lost(_: object) -> None:
        raise LeaseLost("lease-lost", "another process leads")

    def end(journal: Journal, run: str) -> None:
        with journal.facts():
            journal.end_action(run, 1, Outcome(address=APP, verb="create", status=Status.DONE), AT)
            journal.end_run(run, 0, AT)

    with Journal(location) as journal:
        run = begin(journal)
        begin_action(journal, run)
        journal.fence = lost
        for _ in range(2):
            with pytest.raises(LeaseLost):
                end(journal, run)
        assert [action.status for action in journal.actions(run)] == [None]
        journal.fence = None
        begin(journal, digest="sha256:11")
        assert [action.status for action in journal.actions(run)] == [Status.DONE]
        assert [recorded.exit_code for recorded in journal.runs()] == [None, 0]


def test_a_fact_that_can_never_be_recorded_prevents_one_write(location: StateLocation) -> None:
    """Nothing of that transaction is written. The next one works, without the fact."""
    with Journal(location) as journal:
        journal.record_later([("insert into run (id) values (?)", ("x",))], LeaseLost("lease-lost", ""))
        with pytest.raises(OctosyncError, match="journal-unusable"):
            begin(journal)
        begin(journal)
        assert len(journal.runs()) == 1


AUDIT = RunAudit(
    command="apply",
    actor="ana\udcff",
    host="build-7",
    context="production",
    revision="1a2b",
    dirty=False,
    base=None,
    overrides=(RecordedOverride("deletes", "3", "--allow-deletes"),),
    flags=("--insecure",),
    plan_digest="sha256:11",
    policies=(RecordedPolicy("no-cloud", "error", "violated"),),
)


def test_the_audit_of_a_run_is_kept(location: StateLocation) -> None:
    """Who started it, from what and under which overrides; None if it was not given."""
    with Journal(location) as journal:
        begin(journal, audit=AUDIT)
        begin(journal, audit=RunAudit(command="watch", actor="controller", host="pod"))
        begin(journal)
    with JournalReader(location) as recorded:
        first, second, third = reversed(recorded.runs())
    assert first.audit == AUDIT
    assert second.audit == RunAudit(command="watch", actor="controller", host="pod")
    assert third.audit is None


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "[" * 100_000, '{"overrides": 1}', '{"overrides": [1]}'])
def test_an_audit_that_is_malformed_is_an_error(tmp_path: Path, text: str) -> None:
    """A journal that was changed by hand is one clear error."""
    with Journal(tmp_path / "state.db") as journal:
        begin(journal, audit=AUDIT)
        journal.database.execute("update run set audit = ?", (text,))
        with pytest.raises(OctosyncError, match="journal-unusable"):
            journal.runs()


def test_what_is_written_is_there_at_once(location: StateLocation) -> None:
    """Every write is committed when the method returns: another process sees it, even if this one ends."""
    with Journal(location) as journal, Journal(location) as other:
        run = begin(journal)
        begin_action(journal, run)
        assert [recorded.exit_code for recorded in other.runs()] == [None]
        assert [action.status for action in other.actions(run)] == [None]
        assert other.actions("another") == ()


def test_runs_are_shown_newest_first(location: StateLocation) -> None:
    """Even runs within one second keep their order."""
    with Journal(location) as journal:
        runs = [begin(journal) for _ in range(5)]
        assert [run.id for run in journal.runs()] == runs[::-1]


def test_a_message_is_not_kept(tmp_path: Path) -> None:
    """Messages and hints may quote values of objects, so the file contains none of them."""
    path = tmp_path / "state.db"
    outcome = Outcome(
        address=APP, verb="create", status=Status.NOT_KEPT, message="sent as hunter2", hints=("hunter2 is wrong",)
    )
    with Journal(path) as journal:
        run = begin(journal)
        begin_action(journal, run)
        journal.end_action(run, 1, outcome, AT)
        held = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"hunter2" not in held
    assert b"not_kept" in held


def test_the_file_is_the_owners_alone(tmp_path: Path) -> None:
    """File, log and folder are created without permissions for others, wherever the journal is."""
    path = tmp_path / DEFAULT_PATH
    with Journal(path) as journal:
        begin(journal)
        files = sorted(path.parent.glob("state.db*"))
        assert len(files) == 3
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def directory(path: Path) -> None:
    path.mkdir()


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database at all, and long enough to see that" * 100)


def other_schema(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("pragma user_version = 99")


def other_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("create table precious (value text)")
        database.execute("insert into precious values ('mine')")
        database.commit()


@pytest.mark.parametrize("make", [directory, garbage, other_schema, other_program])
def test_an_unusable_journal_is_one_clear_error(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A file that is no journal is named with the reason, and left exactly as it is."""
    path = tmp_path / "state.db"
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(OctosyncError) as raised:
        Journal(path)
    assert raised.value.reference == "journal-unusable"
    assert str(path) in raised.value.message
    assert "--state" in raised.value.hints[0]
    assert (path.read_bytes() if path.is_file() else b"") == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.db"]


def test_a_journal_below_a_file_is_unusable(tmp_path: Path) -> None:
    """If its folder can't be created, the error names the journal."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OctosyncError, match=r"file/state\.db: the journal can't be used"):
        Journal(tmp_path / "file" / "state.db")


@contextmanager
def as_somebody_without_rights() -> Iterator[None]:
    """Drop the superuser's right to write everywhere, if the process has it, during the block."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if before == 0:
            os.seteuid(before)


def test_a_read_only_journal_is_unusable(tmp_path: Path) -> None:
    """A read-only file can record nothing, so it is refused before any request is sent."""
    path = tmp_path / "state.db"
    Journal(path).__exit__(None, None, None)
    path.chmod(0o400)
    with as_somebody_without_rights(), pytest.raises(OctosyncError) as raised:
        Journal(path)
    assert raised.value.reference == "journal-unusable"


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_journal_that_is_taken_away_takes_nothing_any_more(tmp_path: Path, comes_back: bool) -> None:
    """Nothing is recorded in a file that can't be found again because it was removed or replaced."""
    path = tmp_path / "state.db"
    with Journal(path) as journal:
        run = begin(journal)
        for file in tmp_path.glob("state.db*"):
            file.rename(file.with_name(f"old-{file.name}"))
        if comes_back:
            Journal(path).__exit__(None, None, None)
        with pytest.raises(OctosyncError, match=r"journal-unusable: .*state\.db: .* removed or replaced") as raised:
            begin_action(journal, run)
        assert raised.value.hints == ("Start octosync again.",)
        with pytest.raises(OctosyncError, match="removed or replaced"), journal.transaction():
            raise AssertionError("nothing is begun")


def test_a_journal_that_fails_later_says_so(tmp_path: Path) -> None:
    """Any error of SQLite while a run is recorded or read becomes the same error."""
    path = tmp_path / "state.db"
    with Journal(path) as journal:
        run = begin(journal)
        with closing(sqlite3.connect(path)) as database:
            database.execute("drop table action")
        for use in (lambda: begin_action(journal, run), lambda: journal.actions(run)):
            with pytest.raises(OctosyncError, match="no such table: action"):
                use()


def test_times_are_utc(location: StateLocation) -> None:
    """Whatever the clock's time zone is, the journal is in UTC."""
    with Journal(location) as journal:
        run = journal.begin_run(
            control_plane="p", org_id=None, digest="d", at=datetime(2030, 1, 1, 2, tzinfo=AT.tzinfo)
        )
        assert journal.runs()[0].started_at == datetime(2030, 1, 1, tzinfo=UTC)
        assert journal.runs()[0].started_at.utcoffset() == timedelta()
        assert journal.runs()[0].org_id is None
        assert run.startswith("20300101T000000Z-")


def test_the_journal_keeps_itself_out_of_the_repository(tmp_path: Path) -> None:
    """A folder that octosync creates ignores itself in Git; an existing folder is left as it is."""
    for path in (tmp_path / DEFAULT_PATH, tmp_path / "logs" / "runs.db"):
        with Journal(path):
            pass
    assert (tmp_path / ".octosync/.gitignore").read_text() == "*\n"
    assert not (tmp_path / "logs/.gitignore").exists()
