"""The tests' shared fixtures: the path of a state file, an open state, and the state of one control plane."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.states import ORG

from octosync.plan import ControlPlane
from octosync.state import ControlPlaneState, Journal, WatchState


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def state(path: Path) -> Iterator[WatchState]:
    with Journal(path) as journal:
        yield WatchState(journal)


@pytest.fixture
def memory(state: WatchState) -> ControlPlaneState:
    return state.for_control_plane(ControlPlane(url="https://octomil.example/api/v1", org_id=ORG))
