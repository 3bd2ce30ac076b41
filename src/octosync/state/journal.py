"""The journal: which runs there were, and what each set out to do and did, written before and after every action.

An action that has a beginning and no end was in flight when the process died: whether it took effect is for the next run
to find out by reading, as it always does.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from octosync.errors import OctosyncError, StateDamaged, StateLocked
from octosync.model import Address, Outcome, Secret
from octosync.state.migrations import bring_up
from octosync.state.recorded import RecordedRuns
from octosync.state.times import journal_time_text

DEFAULT_PATH: Final = Path(".octosync/state.db")


class Journal(RecordedRuns):
    """An open journal file, to be read and written, used as a context manager; made where there is none.

    Every write is committed before the method returns. Raises `OctosyncError` (`journal-unusable`) where the file can't be
    opened, is no journal, or can't be written: apply opens it before its first write, so nothing is sent unrecorded. A file
    that was removed or replaced meanwhile is one that can't be written: SQLite would go on with what nobody finds again.
    """

    hint = "Make the file writable, move it away, or name another one: --state FILE"

    def __init__(self, path: Path, *, seal_key: Secret | None = None) -> None:
        """Open it. `seal_key` is what a watch seals values with, beside the file's own key."""
        self.seal_key = seal_key
        super().__init__(path)

    def _open(self) -> sqlite3.Connection:
        _make_folder(self.path.parent)
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        database = sqlite3.connect(self.path, isolation_level=None, timeout=10)
        self._file = _identity(self.path)
        return database

    def begin_run(
        self, *, control_plane: str, org_id: str | None, digest: str, at: datetime, run: str | None = None
    ) -> str:
        """Record that a run starts, and return its id: the one that it has by now, or a new one."""
        run = run or new_run_id(at)
        self._write(
            "insert into run (id, started_at, control_plane, org_id, digest) values (?, ?, ?, ?, ?)",
            (run, journal_time_text(at), control_plane, org_id, digest),
        )
        return run

    def begin_action(self, run: str, number: int, *, address: Address, verb: str, operation: str, at: datetime) -> None:
        """Record that an action is about to be sent."""
        self._write(
            "insert into action (run, number, address, verb, operation, begun_at) values (?, ?, ?, ?, ?, ?)",
            (run, number, str(address), verb, operation, journal_time_text(at)),
        )

    def end_action(self, run: str, number: int, outcome: Outcome, at: datetime) -> None:
        """Record what became of an action that was begun; not its message, which may quote values."""
        self._write(
            "update action set ended_at = ?, status = ?, reference = ?, request_ids = ? where run = ? and number = ?",
            (
                journal_time_text(at),
                outcome.status.value,
                outcome.reference,
                " ".join(outcome.request_ids),
                run,
                number,
            ),
        )

    def end_run(self, run: str, exit_code: int, at: datetime) -> None:
        """Record that a run ended by itself."""
        self._write("update run set ended_at = ?, exit_code = ? where id = ?", (journal_time_text(at), exit_code, run))

    def wait_at_most(self, seconds: float) -> None:
        """Wait for another process's lock for so long only: who runs in an event loop must not wait in here.

        Later it raises `StateLocked`; `wait_until_free` is for threads.
        """
        self._database.execute(f"pragma busy_timeout = {int(seconds * 1000)}")

    def wait_until_free(self, seconds: float) -> None:
        """Wait until no other process keeps the file locked, in any thread. Raises `StateLocked`, and nothing else."""
        place = f"{self.path.absolute().as_uri()}?mode=rw"
        try:
            with (
                self.documented(),
                closing(sqlite3.connect(place, uri=True, isolation_level=None, timeout=seconds)) as database,
            ):
                database.execute("begin immediate")
                database.execute("rollback")
        except StateLocked:
            raise
        except OctosyncError:  # whatever else is wrong with it, the next write finds out
            return

    def check(self) -> None:
        """Have SQLite check the whole file. Raises `StateDamaged`."""
        with self.documented():
            (result,) = self._database.execute("pragma quick_check(1)").fetchone()
        if result != "ok":
            raise StateDamaged(
                "journal-unusable", f"{self.path}: the journal can't be used: {result}", hints=(self.hint,)
            )

    @property
    def database(self) -> sqlite3.Connection:
        """The connection, for what else this room keeps in the file."""
        return self._database

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write several things as one: all of it is committed when the block ends, none of it where it raises."""
        with self.documented():
            self._check_that_it_is_there()
            self._database.execute("begin immediate")
            try:
                yield self._database
                self._database.execute("commit")
            except BaseException:
                if self._database.in_transaction:  # SQLite itself has rolled back where the disk is full
                    self._database.execute("rollback")
                raise

    def _prepare(self) -> None:
        """Make the schema in an empty file, bring up an earlier one, and refuse any other before anything in it is changed."""
        if self._version() == 0:
            # Only possible before the first table is there: pruned rows give their room back.
            self._database.execute("pragma auto_vacuum = incremental")
        with self.transaction() as database:  # another run may be making it
            bring_up(database, self._version())
        self._database.execute("pragma journal_mode = wal")
        # Durable against the death of this process; a power cut may lose the last action, never corrupt the file.
        self._database.execute("pragma synchronous = normal")
        self._database.execute("pragma secure_delete = on")  # what is gone from the file is gone

    def _check_that_it_is_there(self) -> None:
        if _identity(self.path) != self._file:
            raise OctosyncError(
                "journal-unusable",
                f"{self.path}: the journal can't be used: it was removed or replaced while it is in use",
                hints=("Start it again: it begins with what is there then.",),
            )

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        with self.documented():
            self._check_that_it_is_there()
            self._database.execute(statement, values)


def new_run_id(at: datetime) -> str:
    """Return an id for a run that begins: sortable by time, unique without asking anyone."""
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from any other that is put in its place; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _make_folder(folder: Path) -> None:
    """Make a folder where there is none; one of our own is kept out of the repository that it stands in."""
    if folder.exists():
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.name == DEFAULT_PATH.parent.name:
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
