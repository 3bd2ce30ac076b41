"""What holds for every room's tests."""

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
# A shell has SIGINT ignored in what it runs in the background, and so would all commands that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def command_folder() -> Iterator[Path]:
    """Put an `octosync` that starts at once into a folder for the PATH."""
    with preloaded_command() as folder:
        yield folder
