"""What holds for every room's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.support.preloaded import preloaded

# A test never fails for being slow on a busy machine, and never keeps examples in a folder of its own.
settings.register_profile(
    "octosync", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("octosync")


@pytest.fixture(scope="session")
def command_folder() -> Iterator[Path]:
    """Put an `octosync` that starts at once into a folder for the PATH."""
    with preloaded() as folder:
        yield folder
