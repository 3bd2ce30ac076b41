"""What the room's tests share: an open memory, and the bytes of all that it wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from octosync.state import Journal, WatchState


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def memory(path: Path) -> Iterator[WatchState]:
    with Journal(path) as journal:
        yield WatchState(journal)
