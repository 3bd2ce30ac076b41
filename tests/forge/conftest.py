"""Fixtures of a forge and a client for its API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.forges import Forge, forge_server

from octosync.forge import GitHub, repository_from_environment


@pytest.fixture
def forge() -> Iterator[Forge]:
    with forge_server() as served:
        yield served


@pytest.fixture
def github(forge: Forge) -> Iterator[GitHub]:
    with GitHub(repository_from_environment(forge.environment), backoff=0) as opened:
        yield opened
