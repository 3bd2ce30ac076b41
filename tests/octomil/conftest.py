"""The `plane` fixture: one local control plane per test."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from tests.support.plane import Plane

from octosync.server import ServerSettings, running_server


@pytest.fixture
def plane() -> Iterator[Plane]:
    with running_server(ServerSettings()) as server, httpx.Client(base_url=server.url, verify=False) as http:  # noqa: S501  loopback
        yield Plane(server.url, http)
