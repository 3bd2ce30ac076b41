"""Settings and fixtures for all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator
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


@pytest.fixture(scope="session")
def command_folder() -> Iterator[Path]:
    """Return a folder for the PATH with an `octosync` that starts fast."""
    with preloaded_command() as folder:
        yield folder
