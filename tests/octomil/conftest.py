"""The `plane` fixture: one local control plane per test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.local_client import LocalClient
from tests.support.plane import Plane

from octosync.server import ServerSettings, running_server


@pytest.fixture
def plane() -> Iterator[Plane]:
    with running_server(ServerSettings()) as server, LocalClient(server.url, timeout=30) as http:
        yield Plane(server.url, http)
