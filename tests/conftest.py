"""Settings and fixtures for all tests."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from tests.support.examples import load_profile
from tests.support.postgres import PostgresServer, private_server, require_postgres, shared_server
from tests.support.preloaded_command import preloaded_command, shared_folder
from tests.support.skipped_tests import pytest_unconfigure

from octosync.__main__ import COLLECT_AFTER

__all__ = ["command_folder", "pytest_unconfigure"]

_MEMORY = Path("/dev/shm")  # noqa: S108 — Linux' file system in memory
_NEEDED_BYTES = 2 << 30
_SHARED = pytest.StashKey[Path]()


def _keep_files_in_memory() -> None:
    """Put temporary files into memory, if there is enough: a file on a disk takes twenty times the CPU to create."""
    if "TMPDIR" in os.environ or not os.access(_MEMORY, os.W_OK | os.X_OK):
        return
    if shutil.disk_usage(_MEMORY).free < _NEEDED_BYTES or os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC:
        return
    os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


_keep_files_in_memory()
load_profile()
# Background processes of a shell ignore SIGINT, and so would all commands that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Create a folder in which all workers share the preloaded command. A worker receives its path."""
    if hasattr(config, "workerinput"):
        config.stash[_SHARED] = Path(config.workerinput["shared"])
        atexit.register(os._exit, 0)  # destroying everything that a worker has loaded takes half a second
        return
    stack = ExitStack()
    config.stash[_SHARED] = stack.enter_context(shared_folder())
    config.add_cleanup(stack.close)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Pass the shared folder on to a worker."""
    node.workerinput["shared"] = str(node.config.stash[_SHARED])


@pytest.hookimpl
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Report the test of a worker in one message if it passes. Five messages take longer than a short test."""
    if not hasattr(item.config, "workerinput"):
        return None
    for report in runtestprotocol(item, log=False, nextitem=nextitem):
        if report.when == "call" or not report.passed:
            item.ihook.pytest_runtest_logreport(report=report)
    if nextitem is None:
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """Start two workers per CPU, at most 16: tests wait for processes and databases, but each worker collects all tests."""
    cpus = yield
    return cpus if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else max(cpus, min(2 * cpus, 16))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect the tests without the garbage collector: almost everything they consist of lives until the end of the run.

    Afterwards it collects as rarely as in the commands.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.set_threshold(COLLECT_AFTER)
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def command_folder(pytestconfig: pytest.Config) -> Path:
    """Return a folder for the PATH with an `octosync` that starts fast."""
    return preloaded_command(pytestconfig.stash[_SHARED])


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> Iterator[PostgresServer]:
    """Return the server that all tests share."""
    require_postgres()
    server = shared_server(pytestconfig.stash[_SHARED])
    yield server
    server.close()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Return the URL of an empty database, with the password of its user."""
    database = postgres_server.create_database()
    yield postgres_server.url(database)
    postgres_server.execute(f"drop database {database} with (force)")


@pytest.fixture(scope="session")
def _private_server() -> Iterator[PostgresServer]:
    require_postgres()
    with private_server() as server:
        yield server


@pytest.fixture
def private_postgres(_private_server: PostgresServer) -> Iterator[PostgresServer]:
    """Return a server that the test may stop, pause and configure; `url()` creates a database."""
    yield _private_server
    _private_server.restore()
