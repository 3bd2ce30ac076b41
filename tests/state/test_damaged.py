"""A damaged state file is kept aside; every other file that can't be used is refused and left alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.states import desired_app

from octosync.errors import OctosyncError
from octosync.plan import ControlPlane
from octosync.state import Journal, WatchState, open_or_replace_journal, state_lock

NOW = datetime(2030, 3, 1, 10, 15, tzinfo=UTC)
PLANE = ControlPlane(url="https://api.example.com/api/v1")


def _used(path: Path) -> None:
    """Use a file as a watch does, and close it."""
    with Journal(path) as journal, state_lock(path):
        memory = WatchState(journal).for_control_plane(PLANE)
        for number in range(200):
            memory.store(desired_app(f"app-{number:03}", slots={"chat": {}}))


def _over(path: Path, at: int, what: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(what)


def _lose_a_row(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("update base set document = x'7b' where app = 'app-100'")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "its header": lambda path: _over(path, 0, b"\0" * 4096),
    "its end": lambda path: path.write_bytes(path.read_bytes()[:8192]),
    "a page": lambda path: _over(path, 4 * 4096, b"\xa5" * 4096),
    "a row": _lose_a_row,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_kept_and_an_empty_one_begins(path: Path, damage: str) -> None:
    """Its new name has the time; no byte of it is lost, and the new file has none of its content."""
    _used(path)
    DAMAGES[damage](path)
    damaged = path.read_bytes()
    journal, aside = open_or_replace_journal(path, NOW)
    with journal:
        assert aside is not None
        assert aside.path == path.with_name("state.db.damaged-20300301T101500Z")
        assert aside.path.read_bytes() == damaged
        assert str(path) in aside.why
        assert WatchState(journal).planes() == ()
    again, none = open_or_replace_journal(path, NOW)
    again.close()
    assert none is None


def test_a_sound_file_stays(path: Path) -> None:
    """An intact file keeps its content."""
    _used(path)
    journal, aside = open_or_replace_journal(path, NOW)
    with journal:
        assert aside is None
        assert len(WatchState(journal).for_control_plane(PLANE).baseline()) == 200


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("pragma user_version = 99")


@pytest.mark.parametrize("foreign", ["text", "newer", "another's"])
def test_what_is_no_damaged_state_file_is_refused(path: Path, foreign: str) -> None:
    """A file that no watch has used, or one of a newer octosync, is left unchanged under its name."""
    if foreign == "text":
        path.write_text("no state file\n" * 1000)
    else:
        _used(path)
        DAMAGES["a page"](path) if foreign == "another's" else _newer(path)
    if foreign == "another's":
        path.with_name("state.db.lock").unlink()
    before = path.read_bytes()
    with pytest.raises(OctosyncError, match="journal-unusable"):
        open_or_replace_journal(path, NOW)
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.damaged-*"))
