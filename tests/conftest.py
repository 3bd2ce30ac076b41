"""Settings and fixtures for all tests."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from tests.support.examples import load_profile
from tests.support.preloaded_command import preloaded_command
from tests.support.skipped_tests import pytest_unconfigure

__all__ = ["command_folder", "pytest_unconfigure"]

load_profile()
# Background processes of a shell ignore SIGINT, and so would all commands that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """Start two workers per CPU, at most 16: about half of the time, tests wait for processes, servers and deadlines."""
    cpus = yield
    return cpus if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else max(cpus, min(2 * cpus, 16))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect the tests without the garbage collector: almost everything they consist of lives until the end of the run."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def command_folder() -> Iterator[Path]:
    """Return a folder for the PATH with an `octosync` that starts fast."""
    with preloaded_command() as folder:
        yield folder
