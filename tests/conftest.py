"""Settings and fixtures for all tests."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from tests.support.examples import load_profile
from tests.support.preloaded_command import preloaded_command
from tests.support.skipped_tests import pytest_unconfigure

__all__ = ["command_folder", "pytest_unconfigure"]

_MEMORY = Path("/dev/shm")  # noqa: S108 — Linux' file system in memory
_NEEDED_BYTES = 2 << 30


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
