"""A database that fails: each failure is one clear error, nothing is written by halves, and the open journal recovers."""

from __future__ import annotations

import gc
import itertools
import random
import secrets
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, sleep
from types import FrameType
from typing import Any

import pytest
from tests.support.postgres import PASSWORD, USER, PostgresServer
from tests.support.proxies import TcpProxy, run_tcp_proxy
from tests.support.states import NOW, ORG, desired_app

from octosync.errors import OctosyncError, StateUnavailable
from octosync.model import Address, Outcome, Status
from octosync.plan import ControlPlane, Verb
from octosync.state import Journal, JournalReader, Record, StateLocation, WatchState, parse_location
from octosync.state.database import DatabaseError
from octosync.state.journal import Statement, action_end, action_start

PLANE = ControlPlane(url="https://octomil.example/api/v1", org_id=ORG)
APP = Address.of_app("a")
_DISK_FULL = """
create function octosync.disk_full() returns trigger language plpgsql as $$
begin raise 'could not extend file "base/16384/16397": No space left on device' using errcode = 'disk_full'; end $$;
create trigger disk_full before insert on octosync.action execute function octosync.disk_full()
"""


@dataclass(frozen=True)
class Database:
    """A database of a server behind a proxy, with an open journal in which a run has begun its first action."""

    server: PostgresServer
    proxy: TcpProxy
    name: str
    journal: Journal
    run: str

    def statements(self) -> list[Statement]:
        """Return the end of the first action and the start of the second, which are written together."""
        done = Outcome(address=APP, verb="update", status=Status.DONE)
        return [action_end(self.run, 1, done, NOW), start_of(self.run, 2)]

    def actions(self) -> list[Status | None]:
        """Return the status of each action as another process sees it."""
        with JournalReader(location_of(self.server.url(self.name))) as reader:
            return [action.status for action in reader.actions(self.run)]

    def alter(self, change: str) -> None:
        """Change the database, and end its connections, which would otherwise stay as they are."""
        self.server.execute(f"alter database {self.name} {change}")
        self.terminate()

    def terminate(self) -> None:
        """End all connections to the database."""
        ending = "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
        self.server.execute(f"{ending} where datname = '{self.name}' and backend_type = 'client backend'")


def location_of(url: str) -> StateLocation:
    return parse_location(url)


def start_of(run: str, number: int) -> Statement:
    return action_start(run, number, address=APP, verb="update", operation="apps.update", at=NOW)


@pytest.fixture
def database(postgres_server: PostgresServer, postgres_url: str) -> Iterator[Database]:
    name = postgres_url.rpartition("/")[2]
    with run_tcp_proxy(postgres_server.port) as proxy:
        yield from _with_journal(postgres_server, proxy, name)


@pytest.fixture
def private_database(private_postgres: PostgresServer) -> Iterator[Database]:
    with run_tcp_proxy(private_postgres.port) as proxy:
        yield from _with_journal(private_postgres, proxy, private_postgres.create_database(with_schema=True))


def _with_journal(server: PostgresServer, proxy: TcpProxy, name: str) -> Iterator[Database]:
    with Journal(location_of(server.url(name, port=proxy.port))) as journal:
        run = journal.begin_run(control_plane=PLANE.url, org_id=ORG, digest="", at=NOW)
        journal.write_together([start_of(run, 1)])
        yield Database(server, proxy, name, journal, run)


def check_error(error: OctosyncError, database: str) -> None:
    """Check that an error names the database and what to do, in one line and without credentials."""
    assert error.reference == "journal-unusable"
    assert f"/{database}: the journal can't be used: " in error.message
    assert "\n" not in error.message
    assert error.hints
    assert PASSWORD not in "".join(traceback.format_exception(error))


@dataclass(frozen=True)
class Failure:
    """A failure: how it begins, what its error states, and how it ends, unless it ends itself."""

    begin: Callable[[Database], object]
    states: str
    end: Callable[[Database], object] | None = None


FAILURES = {
    "cut": Failure(lambda database: database.proxy.cut(), "used: server closed the connection|reset by peer"),
    "refused": Failure(
        lambda database: database.proxy.refuse(),
        "closed the connection|reset by peer|refused",
        lambda database: database.proxy.restore(),
    ),
    "terminated": Failure(lambda database: database.terminate(), "terminating connection"),
    "full disk": Failure(
        lambda database: database.server.execute(_DISK_FULL, database.name),
        "No space left on device",
        lambda database: database.server.execute("drop trigger disk_full on octosync.action", database.name),
    ),
    "read-only": Failure(
        lambda database: database.alter("set default_transaction_read_only = on"),
        "terminating connection|session is read-only",
        lambda database: database.alter("reset default_transaction_read_only"),
    ),
    "too many connections": Failure(
        lambda database: database.alter("connection limit 0"),
        "terminating connection|too many connections",
        lambda database: database.server.execute(f"alter database {database.name} connection limit -1"),
    ),
}
# Failures of the server, which only a server of their own can have.
SERVER_FAILURES = {
    "restarted": Failure(lambda database: database.server.restart(), "terminating connection"),
    "crashed": Failure(
        lambda database: database.server.restart("immediate"),
        "closed the connection|reset by peer|terminating connection",
    ),
    "stopped": Failure(
        lambda database: database.server.stop(),
        "terminating connection|connection to server .* failed",
        lambda database: database.server.start(),
    ),
    "standby": Failure(
        lambda database: database.server.demote(),
        "terminating connection|session is read-only",
        lambda database: database.server.execute("select pg_promote()"),
    ),
    "set to read-only": Failure(
        lambda database: database.server.configure(default_transaction_read_only="on"),
        "cannot execute .* in a read-only transaction|session is read-only",
        lambda database: database.server.configure(default_transaction_read_only="off"),
    ),
}


def check_failure(database: Database, failure: Failure) -> None:
    """Check the errors while it lasts, that nothing was written, and that the same journal works afterwards."""
    journal, statements = database.journal, database.statements()
    failure.begin(database)
    for _ in range(1 if failure.end is None else 2):
        with pytest.raises(StateUnavailable, match=failure.states) as raised:
            journal.write_together(statements)
        check_error(raised.value, database.name)
    if failure.end is not None:
        failure.end(database)
    assert database.actions() == [None]
    journal.write_together(statements)
    assert database.actions() == [Status.DONE, None]


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_writes_nothing_by_halves_and_passes(database: Database, name: str) -> None:
    """While it lasts, each write is an error that names the database. The next one after it works, with the same journal."""
    check_failure(database, FAILURES[name])


@pytest.mark.failover
@pytest.mark.parametrize("name", SERVER_FAILURES)
def test_a_server_that_fails_writes_nothing_by_halves(private_database: Database, name: str) -> None:
    """The same for a server that ends, crashes, or becomes a standby."""
    check_failure(private_database, SERVER_FAILURES[name])


def test_a_transaction_is_two_messages(database: Database) -> None:
    """What is checked first is one, and all that is written another one, with the commit. If nothing was sent, nothing is."""
    journal, (end, start) = database.journal, database.statements()
    latest = f"select query from pg_stat_activity where datname = '{database.name}' and application_name = 'octosync'"  # noqa: S608 — our name

    def fail_before_it_is_sent() -> None:
        with journal.transaction() as transaction:
            transaction.execute(*end)
            raise LookupError

    journal.fence = lambda found: found.execute("select 7").fetchone()
    journal.write_together([end, start])
    ((written,),) = database.server.execute(latest)
    assert [words.split()[0] for words in written.split(";\n")] == ["update", "insert", "commit"]
    journal.fence = None
    with suppress(LookupError):
        fail_before_it_is_sent()
    assert database.server.execute(latest) == [(written,)]


@pytest.mark.parametrize("wrong", ["selec 7", "select 1/0"], ids=["the whole message", "a statement"])
@pytest.mark.parametrize("is_first", [True, False], ids=["first", "later"])
def test_a_transaction_with_a_caught_error_is_not_committed(database: Database, wrong: str, is_first: bool) -> None:
    """The server would execute what follows on its own, or report no error at the end."""
    journal, (end, start) = database.journal, database.statements()

    def write_in_spite_of_an_error() -> None:
        with journal.transaction() as transaction:
            if not is_first:
                assert transaction.execute(*end).rowcount == 1
            with suppress(DatabaseError):
                transaction.execute(wrong).fetchone()
            if is_first:
                transaction.execute(*end)

    with pytest.raises(OctosyncError, match=r"syntax error|division by zero"):
        write_in_spite_of_an_error()
    assert database.actions() == [None]
    journal.write_together([end, start])
    assert database.actions() == [Status.DONE, None]


def test_an_interrupted_rollback_leaves_nothing_to_commit(database: Database) -> None:
    """Wherever it is interrupted, the next transaction doesn't commit what was written before."""
    lines: Iterator[bool] = itertools.repeat(False)  # whether to interrupt there

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_globals["__name__"] != "octosync.state.postgres":
            return None
        if event == "line" and next(lines):
            raise KeyboardInterrupt
        return trace

    def fail(journal: Journal, line: int) -> None:
        nonlocal lines
        with journal.transaction() as transaction:
            assert transaction.execute(*start_of(database.run, 2)).rowcount == 1
            lines = itertools.chain([False] * line, [True], itertools.repeat(False))
            raise LookupError

    def interrupted_at(line: int) -> bool:
        with Journal(database.journal.location) as journal:
            before, is_interrupted = sys.gettrace(), False
            sys.settrace(trace)
            try:
                fail(journal, line)
            except LookupError:
                pass
            except KeyboardInterrupt:
                is_interrupted = True
            finally:
                sys.settrace(before)
            with suppress(OctosyncError):
                journal.confirm()
        return is_interrupted

    assert interrupted_at(0)
    assert any(not interrupted_at(line) for line in range(1, 100))
    assert database.actions() == [None]


def test_a_lost_connection_is_not_replaced_within_a_transaction(database: Database) -> None:
    """Its later statements fail too: on another connection they would be committed without the earlier ones."""
    journal, (end, start) = database.journal, database.statements()

    def lose_it_before_a_statement() -> None:
        with journal.transaction() as transaction:
            transaction.execute(*end)
            database.terminate()
            with pytest.raises(DatabaseError, match="terminating connection"):
                assert transaction.execute(*start).rowcount
            transaction.execute(*start)

    def lose_it_before_the_commit() -> None:
        with journal.transaction() as transaction:
            transaction.execute(*end)
            database.terminate()

    with pytest.raises(StateUnavailable, match="terminating connection"):
        lose_it_before_a_statement()
    with pytest.raises(StateUnavailable, match="terminating connection"):
        lose_it_before_the_commit()
    assert database.actions() == [None]
    journal.write_together(database.statements())
    assert database.actions() == [Status.DONE, None]


def test_a_database_that_hangs_is_waited_for_once(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """After the wait, an event loop is not blocked again: writes fail at once, until a thread has connected."""
    journal, proxy, (end, (statement, values)) = database.journal, database.proxy, database.statements()
    journal.wait_at_most(1)

    def write() -> None:
        with journal.transaction() as transaction:
            transaction.execute(*end)
            proxy.hang()
            transaction.executemany(statement, [values])

    with pytest.raises(StateUnavailable, match="did not respond in time") as raised:
        write()
    check_error(raised.value, database.name)
    assert caplog.messages == []  # what psycopg logs would be on standard error
    proxy.restore()
    connections = proxy.connections
    with pytest.raises(StateUnavailable, match="there is no connection") as raised:
        journal.write_together(database.statements())
    check_error(raised.value, database.name)
    assert proxy.connections == connections
    assert database.actions() == [None]
    with ThreadPoolExecutor(1) as pool:
        pool.submit(journal.wait_until_usable, 5).result()
    journal.write_together(database.statements())
    assert database.actions() == [Status.DONE, None]


def test_a_connection_that_a_thread_makes_is_closed_with_the_journal(database: Database) -> None:
    """A controller that stops in an outage doesn't wait for the thread that connects, and leaves no connection behind."""
    journal, proxy = database.journal, database.proxy
    journal.wait_at_most(1)
    connections = proxy.connections
    proxy.hang()
    with ThreadPoolExecutor(1) as pool:
        connecting = pool.submit(journal.wait_until_usable, 5)
        database.server.wait_for(lambda: proxy.connections > connections)
        journal.close()
        proxy.restore()
        connecting.result()
    statement = f"select 1 from pg_stat_activity where datname = '{database.name}'"  # noqa: S608 — our name
    database.server.wait_for(lambda: not database.server.execute(statement))


@pytest.mark.failover
def test_a_slow_database_blocks_for_two_waits_at_most(database: Database) -> None:
    """Each statement of the transaction is in time, and all of them together are not: none is written."""
    journal, (end, _) = database.journal, database.statements()
    journal.wait_at_most(1)
    database.proxy.delay(0.2)

    def write() -> None:
        with journal.transaction() as transaction:
            for _ in range(100):
                assert transaction.execute(*end).rowcount == 1  # which waits for the response

    with pytest.raises(StateUnavailable, match="did not respond in time"):
        write()
    database.proxy.restore()
    assert database.actions() == [None]


@pytest.mark.failover
def test_a_transaction_that_fails_after_its_time_is_one_error(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a process that was suspended: nothing is printed that would break the log of a controller."""
    printed: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", printed.append)
    journal, (end, _) = database.journal, database.statements()
    journal.wait_at_most(1)

    def write() -> None:
        with journal.transaction() as transaction:
            assert transaction.execute(*end).rowcount == 1
            sleep(2.1)  # longer than all waits of a transaction
            raise LookupError

    with suppress(LookupError):
        write()
    gc.collect()
    assert printed == []
    assert database.actions() == [None]
    journal.wait_until_usable(5)
    journal.write_together(database.statements())
    assert database.actions() == [Status.DONE, None]


@pytest.mark.failover
def test_a_transaction_that_waits_for_a_lock_is_not_left_behind(database: Database) -> None:
    """The server ends it soon after the client has given up. A leader's would keep others from the lease until then."""
    journal, server = database.journal, database.server
    journal.wait_at_most(1)
    with server.connect(database.name) as administrator, administrator.transaction():
        administrator.execute("lock table octosync.action")
        with pytest.raises(StateUnavailable, match="did not respond in time"):
            journal.write_together(database.statements())
        waiting = f"select pid from pg_stat_activity where datname = '{database.name}' and wait_event_type = 'Lock'"  # noqa: S608 — our own name
        assert server.execute(waiting)
        end = monotonic() + 10  # the limit for any statement is 30 s
        while server.execute(waiting):
            assert monotonic() < end
            sleep(0.1)
    assert database.actions() == [None]


@dataclass(frozen=True)
class Update:
    """An update of an app."""

    address: Address
    verb = Verb.UPDATE
    operation = "apps.update"


@pytest.mark.failover
def test_whatever_fails_the_journal_has_exactly_what_was_done(database: Database) -> None:
    """Each action that could start is in it once, with its outcome, and none that could not, even if its commit was lost."""
    proxy, record = database.proxy, Record(database.journal, database.run, _number=1)
    faults: list[Callable[[], object]] = [
        proxy.cut,
        proxy.refuse,
        database.terminate,
        lambda: proxy.lose_response(b"BEGIN"),
        lambda: proxy.lose_response(b"INSERT"),
        lambda: proxy.lose_response(b"UPDATE"),
        lambda: proxy.lose_response(b"COMMIT"),
    ]
    done = Outcome(address=APP, verb="update", status=Status.DONE)
    begun, failures = [], 0

    def fail_sometimes() -> None:
        if random.random() < 0.2:  # noqa: S311 — pytest-randomly seeds it
            random.choice(faults)()  # noqa: S311

    for number in range(200):
        fail_sometimes()
        try:
            end = record.begin_action(Update(Address.of_app(f"a{number}")))
        except StateUnavailable:
            failures += 1
            proxy.restore()
            continue
        begun.append(f"app/a{number}")
        fail_sometimes()
        try:
            end(done)
        except StateUnavailable:
            failures += 1
            proxy.restore()
    proxy.restore()
    with suppress(StateUnavailable):  # the last fault
        database.journal.confirm()
    record.begin_action(Update(APP))
    with JournalReader(location_of(database.server.url(database.name))) as reader:
        first, *actions, last = reader.actions(database.run)
    assert failures > 20
    assert [(action.address, action.status) for action in actions] == [(app, Status.DONE) for app in begun]
    assert (first.status, last.status) == (None, None)


def refused_urls(url: str) -> dict[str, tuple[str, str]]:
    """Return URLs at which no connection can be made, and what the error states."""
    address = url.rpartition("@")[2].partition("/")[0]
    return {
        "password": (url.replace(PASSWORD, "wr0ng-pa55"), "password authentication failed"),
        "database": (f"{url}-missing", "does not exist"),
        "sslmode": (f"{url}?sslmode=require", "server does not support SSL"),
        "hosts": (url.replace(address, f"127.0.0.1:1,{address}") + "?sslmode=require", "refused; .* not support SSL"),
    }


@pytest.mark.parametrize("name", refused_urls("@/"))
@pytest.mark.parametrize("opened_by", [Journal, JournalReader])
def test_a_connection_that_is_refused_is_a_clear_error(
    postgres_url: str, name: str, opened_by: type[JournalReader]
) -> None:
    """The error states the reason, for each host if there are several, and names what to check."""
    url, reason = refused_urls(postgres_url)[name]
    with pytest.raises(StateUnavailable, match=reason) as raised:
        opened_by(location_of(url))
    check_error(raised.value, url.rpartition("/")[2].partition("?")[0])
    assert "wr0ng" not in "".join(traceback.format_exception(raised.value))
    assert "host, port, database, user, password and sslmode" in raised.value.hints[0]


@pytest.fixture
def rows_url(postgres_server: PostgresServer, postgres_url: str) -> Iterator[str]:
    """Return the URL for a user who may read and change rows, and create nothing."""
    name, database = f"rows_{secrets.token_hex(6)}", postgres_url.rpartition("/")[2]
    with Journal(location_of(postgres_url)):
        pass
    postgres_server.execute(f"create role {name} login password '{PASSWORD}'")
    rights = "select, insert, update, delete"
    postgres_server.execute(
        f"grant usage on schema octosync to {name}; grant {rights} on all tables in schema octosync to {name}", database
    )
    yield postgres_url.replace(USER, name, 1)
    postgres_server.execute(f"drop owned by {name}", database)
    postgres_server.execute(f"drop role {name}")


def test_a_user_who_may_change_rows_is_enough(rows_url: str) -> None:
    """Only the first start, and one after an upgrade, needs the right to create."""
    with Journal(location_of(rows_url)) as journal:
        memory = WatchState(journal).for_control_plane(PLANE)
        memory.store(desired_app("a"))
        memory.record_revert(APP, NOW)
        assert journal.begin_run(control_plane=PLANE.url, org_id=ORG, digest="", at=NOW) == journal.runs()[0].id
        assert list(memory.baseline()) == ["a"]


def test_a_missing_right_is_a_clear_error(postgres_server: PostgresServer, rows_url: str, postgres_url: str) -> None:
    """The error names the table, schema or database, nothing is written, and with the right the same journal works."""
    user, database = rows_url.partition("//")[2].partition(":")[0], postgres_url.rpartition("/")[2]
    with Journal(location_of(rows_url)) as journal:
        memory = WatchState(journal).for_control_plane(PLANE)
        postgres_server.execute(f"revoke insert on octosync.base from {user}", database)
        with pytest.raises(OctosyncError, match="permission denied for table base") as raised:
            memory.store(desired_app("a"))
        check_error(raised.value, database)
        assert not isinstance(raised.value, StateUnavailable)
        assert "permissions" in raised.value.hints[0]
        postgres_server.execute(f"grant insert on octosync.base to {user}", database)
        postgres_server.execute(f"revoke usage on schema octosync from {user}", database)
        with pytest.raises(OctosyncError, match="permission denied for schema octosync"):
            journal.confirm()
        postgres_server.execute(f"grant usage on schema octosync to {user}", database)
        memory.store(desired_app("a"))
    postgres_server.execute(f"revoke usage on schema octosync from {user}", database)
    with pytest.raises(OctosyncError, match="permission denied for schema"):
        JournalReader(location_of(rows_url))
    gc.collect()  # a connection that is left open fails the test now
    postgres_server.execute("drop schema octosync cascade", database)
    with pytest.raises(OctosyncError, match="permission denied for database"):
        Journal(location_of(rows_url))
