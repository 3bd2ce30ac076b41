"""A real PostgreSQL server for the whole test session, and private ones for tests that stop or pause theirs.

The first worker that needs the shared server starts it in a folder of its own, as an ordinary user. A shell process waits
for the end of the pipe that belongs to the session, or to the private server, and then stops the server and removes the
folder. So no server is left, even if the tests are killed.

pytest-postgresql doesn't do this: it starts one server per worker, none as root, and importing its plugin costs each run
0.1 s per worker, also a run without a database.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Literal

import pytest
from tests.support.proxies import free_port

if TYPE_CHECKING:
    from psycopg import Connection

REQUIRED = "OCTOSYNC_REQUIRE_POSTGRES"
USER = "octosync"
PASSWORD = "s3cret-pa55word"  # tests search for it in output
# What the server stores of it, with one iteration instead of 4096: that saves 2 ms of CPU time for each connection.
_VERIFIER = (
    "SCRAM-SHA-256$1:b2N0b3N5bmMncyB0ZXN0cw==$"
    "vN7JnL0QAHUVlivPDIHRwEDX6P3/VFMsf4nHYe9OEwE=:GN6kM9mIWzHyqaeh0yndyDCu3mXwj+mxE8Ax6v1obaM="
)
_OLDEST = 14
_PATIENCE = 30  # seconds until a server that has not started or stopped fails its test
_SETTINGS = {
    "autovacuum": "off",
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "4MB",
}
# Its arguments are pg_ctl and the folder. A paused server doesn't stop before it continues.
_WATCHDOG = """\
exec 3<&0
(
  trap '' HUP INT TERM
  read -r _ <&3
  pid=$(head -n 1 "$1/data/postmaster.pid") && kill -CONT "$pid" $(cat "/proc/$pid/task/$pid/children")
  "$0" stop -D "$1/data" -m immediate
  rm -rf "$1"
) >/dev/null 2>&1 &
"""


@cache
def _programs() -> Path | None:
    """Return the folder with the programs of the server, the newest if there are several."""
    folders = [Path(found).parent for found in (shutil.which("initdb"),) if found]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: -int(folder.parent.name))
    if shutil.which("pg_config"):
        config = subprocess.run(["pg_config", "--bindir"], check=True, capture_output=True, text=True)
        folders.append(Path(config.stdout.strip()))
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


@cache
def _version() -> int:
    printed = subprocess.run([f"{_programs()}/postgres", "--version"], check=True, capture_output=True, text=True)
    found = re.search(r"\d+", printed.stdout)
    return int(found[0]) if found else 0


def missing() -> str | None:
    """Return what tests with PostgreSQL miss on this machine."""
    if _programs() is None:
        return "postgres is not installed"
    if _version() < _OLDEST:
        return f"postgres is version {_version()}, the tests need {_OLDEST} or newer"
    return None if find_spec("psycopg") else "psycopg is not installed"


def require_postgres() -> None:
    """Skip the test if PostgreSQL is missing; fail it if PostgreSQL is required."""
    if reason := missing():
        (pytest.fail if os.environ.get(REQUIRED) == "1" else pytest.skip)(reason)


def _account() -> dict[str, Any]:
    """Return the arguments of `subprocess` that run a program as an ordinary user. The server refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    import pwd

    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            account = pwd.getpwnam(name)
            return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    raise AssertionError("no ordinary user for PostgreSQL: neither postgres nor nobody exists")


def _run(folder: Path, program: str, *arguments: str) -> None:
    """Run a program of PostgreSQL. Its output goes to the log of the server."""
    with (folder / "log").open("ab") as log:
        done = subprocess.run(
            [f"{_programs()}/{program}", "-D", "data", *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=False,
            **_account(),
        )
    assert done.returncode == 0, f"{program} failed: {_end_of_log(folder)}"


@dataclass(slots=True)
class PostgresServer:
    """A server in a folder, on a port of loopback."""

    folder: Path
    port: int
    _superuser: Connection[Any] | None = None
    _is_paused: bool = False

    @classmethod
    def create(cls, alive: int) -> PostgresServer:
        """Start a server that runs until the other end of the pipe `alive` is closed."""
        account = _account()
        folder = Path(tempfile.mkdtemp(prefix="octosync-postgres-"))
        if account:
            os.chown(folder, account["user"], account["group"])
        # The folder is the working directory: the user may lack permissions on the folders above.
        watchdog = ["sh", "-c", _WATCHDOG, f"{_programs()}/pg_ctl", str(folder)]
        subprocess.run(watchdog, stdin=alive, cwd=folder, start_new_session=True, check=True, **account)
        # A collation as on real servers: unlike C, it doesn't order texts by their bytes.
        collation = ["--locale-provider=icu", "--icu-locale=en"] if _version() >= 15 else []
        options = ["--no-sync", "--no-instructions", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8"]
        access = ["--auth-local=trust", "--auth-host=scram-sha-256"]
        _run(folder, "initdb", *options, *collation, *access)
        server = cls(folder, free_port())
        server.start()
        server.execute(f"create role {USER} login password '{_VERIFIER}'")
        return server

    def url(self, database: str | None = None, *, port: int | None = None) -> str:
        """Return the URL of a database, by default of a new one, with its user and password; `port` is that of a proxy."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{port or self.port}/{database or self.create_database()}"

    def create_database(self, *, with_schema: bool = False) -> str:
        """Create a database of the ordinary user, empty or with the schema of the state, and return its name."""
        name = f"octosync_{secrets.token_hex(6)}"
        template = self._schema() if with_schema else "template0"
        # Unlike the default of newer versions, copying files takes a third of the time. Older ones have no other way.
        strategy = "strategy file_copy" if _version() >= 15 else ""
        self.execute(f"create database {name} template {template} owner {USER} {strategy}")
        return name

    def _schema(self) -> str:
        """Return the database with the schema. Copying it takes half of the time that creating the tables takes."""
        from octosync.state import Journal, parse_location

        name = "octosync_schema"
        with (self.folder / "schema.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self.execute(f"select 1 from pg_database where datname = '{name}'"):  # noqa: S608 — our name
                self.execute(f"create database {name} template template0 owner {USER}")
                with Journal(parse_location(self.url(name))):
                    pass
        return name

    def execute(self, statement: str, database: str | None = None) -> list[tuple[Any, ...]]:
        """Execute a statement as the superuser, and return its rows."""
        if database is not None:
            with self.connect(database) as connection:
                return _rows(connection, statement)
        if self._superuser is None:
            self._superuser = self.connect("postgres")
        return _rows(self._superuser, statement)

    def connect(self, database: str) -> Connection[Any]:
        """Return a connection as the superuser, with autocommit."""
        import psycopg

        parameters = f"host={self.folder} port={self.port} user=postgres dbname={database}"
        return psycopg.connect(parameters, autocommit=True)

    def close(self) -> None:
        """Close the superuser's connection; the server continues to run."""
        if self._superuser is not None:
            self._superuser.close()
            self._superuser = None

    def start(self) -> None:
        """Start the server, and return when it accepts connections."""
        settings = {**_SETTINGS, "port": str(self.port), "unix_socket_directories": str(self.folder)}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        _run(self.folder, "pg_ctl", "-W", "-s", "-o", options, "start")
        self.wait_for(lambda: "ready" in self._status())

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server; `immediate` is a crash: the next start recovers."""
        self.close()
        if mode == "immediate":
            self._kill()
        else:
            os.kill(self.pid, signal.SIGINT)
            self.wait_for(lambda: not self._status())

    def _kill(self) -> None:
        """Kill all processes of the server. An immediate shutdown may hang: they write to the log in a signal handler."""
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)  # so that it starts no more of them
        processes = (*self._children(), pid)
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.wait_for(lambda: not any(map(_runs, processes)))
        # A process that has ended still counts as the one of these files until its parent has noticed.
        for file in (self.folder / "data" / "postmaster.pid", *self.folder.glob(".s.PGSQL.*")):
            file.unlink()

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server, and start it again on the same port."""
        self.stop(mode)
        self.start()

    def demote(self) -> None:
        """Restart the server as a standby, which can only be read; `select pg_promote()` ends that."""
        self.stop()
        (self.folder / "data" / "standby.signal").touch()
        self.start()

    def pause(self) -> None:
        """Suspend all processes of the server: it answers nothing, on open and new connections."""
        self._is_paused = True
        os.kill(self.pid, signal.SIGSTOP)
        for pid in self._children():
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Continue after a pause, and return when the server has accepted all connections that were made meanwhile."""
        import psycopg

        for pid in (self.pid, *self._children()):
            with suppress(ProcessLookupError):  # a child that ends as soon as its parent continues
                os.kill(pid, signal.SIGCONT)
        self._is_paused = False
        psycopg.connect(self.url("postgres")).close()

    def configure(self, **settings: str) -> None:
        """Change settings for all connections, the open ones included: `default_transaction_read_only="on"`."""
        for name, value in settings.items():
            self.execute(f"alter system set {name} = '{value}'")
        self._reload()

    def restore(self) -> None:
        """Undo what a test has done: start, resume and default settings."""
        if self._is_paused:
            self.resume()
        if not self._status():
            self.start()
        if (self.folder / "data" / "standby.signal").exists():
            self.execute("select pg_promote()")
        if (self.folder / "data" / "postgresql.auto.conf").read_text(encoding="utf-8").count("\n") > 2:
            self.execute("alter system reset all")
            self._reload()

    @property
    def pid(self) -> int:
        """The process that started all others of the server."""
        return int(self._status()[0])

    def _children(self) -> list[int]:
        pid = self.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]

    def _status(self) -> list[str]:
        """Return the words of the status file, which the server removes when it stops."""
        with suppress(FileNotFoundError):
            return (self.folder / "data" / "postmaster.pid").read_text(encoding="utf-8").split()
        return []

    def _reload(self) -> None:
        """Load changed settings. The superuser's connection is the oldest, and the last that gets them."""
        loaded = "select pg_conf_load_time()"
        before = self.execute(loaded)
        self.execute("select pg_reload_conf()")
        self.wait_for(lambda: self.execute(loaded) != before)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds; fail with the end of the server's log if it does not hold in time."""
        end = monotonic() + _PATIENCE
        while not condition():
            assert monotonic() < end, _end_of_log(self.folder)
            sleep(0.005)


def _runs(pid: int) -> bool:
    """Return whether a process has not ended; its parent may not have noticed yet that it has."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "ZX"
    return False


def shared_server(shared: Path) -> PostgresServer:
    """Return the server of the session. The first process that calls this with the shared folder starts it."""
    address = shared / "postgres.json"
    with (shared / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not address.exists():
            with (shared / "alive").open("rb") as alive:
                server = PostgresServer.create(alive.fileno())
            address.write_text(json.dumps([str(server.folder), server.port]), encoding="utf-8")
            return server
    folder, port = json.loads(address.read_text(encoding="utf-8"))
    return PostgresServer(Path(folder), port)


@contextmanager
def private_server() -> Iterator[PostgresServer]:
    """Run a server for tests that stop, pause and configure it."""
    alive, end = os.pipe()
    try:
        server = PostgresServer.create(alive)
        try:
            yield server
        finally:
            server.close()
    finally:
        os.close(alive)
        os.close(end)


def _rows(connection: Connection[Any], statement: str) -> list[tuple[Any, ...]]:
    cursor = connection.execute(statement.encode())
    return cursor.fetchall() if cursor.description else []


def _end_of_log(folder: Path) -> str:
    return (folder / "log").read_text(encoding="utf-8")[-2000:]
