"""Fixtures of a forge, a client for its API, and a team whose pull requests and merges run the workflows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.forges import Forge, forge_server
from tests.support.teams import Team, run_team

from octosync.forge import GitHub, repository_from_environment


@pytest.fixture
def forge() -> Iterator[Forge]:
    with forge_server() as served:
        yield served


@pytest.fixture
def github(forge: Forge) -> Iterator[GitHub]:
    with GitHub(repository_from_environment(forge.environment), backoff=0) as opened:
        yield opened


@pytest.fixture
def team(tmp_path: Path, command_folder: Path) -> Iterator[Team]:
    with run_team(tmp_path, command_folder) as team:
        yield team
