"""The PostgreSQL server that the tests start: its databases, and its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from docs.executing import ROOT
from tests.support.postgres import PostgresServer

_PROGRAM = """
from tests.support.postgres import private_server

with private_server() as server:
    server.pause()
    print(server.folder, server.pid, flush=True)
    input()
"""


@pytest.mark.failover
def test_a_killed_test_run_leaves_no_server(postgres_server: PostgresServer) -> None:
    """The server stops and its folder disappears after its test run was killed, even while it is paused."""
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        folder, pid = run.stdout.readline().split()
        assert Path(f"/proc/{pid}").exists()
        run.kill()
    postgres_server.wait_for(lambda: not Path(f"/proc/{pid}").exists() and not Path(folder).exists())


@pytest.mark.failover
def test_a_private_server_can_fail_and_recover(private_postgres: PostgresServer) -> None:
    """A test can stop, crash, pause and configure its server; afterwards the server is as before."""
    import psycopg

    url = private_postgres.url()

    def read_only() -> str:
        with psycopg.connect(url, connect_timeout=2) as connection:
            return str(connection.execute("show default_transaction_read_only").fetchone())

    private_postgres.restart("immediate")
    private_postgres.configure(default_transaction_read_only="on")
    assert read_only() == "('on',)"
    private_postgres.pause()
    with pytest.raises(psycopg.OperationalError, match="timeout"):
        read_only()
    private_postgres.resume()
    private_postgres.stop()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        read_only()
    private_postgres.restore()
    assert read_only() == "('off',)"
