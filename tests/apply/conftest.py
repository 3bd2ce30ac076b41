"""A site for every test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.plane import Plane
from tests.support.site import Site

from octosync.server import Settings, running


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running(Settings()) as server, httpx.Client(base_url=server.url) as http:
        yield Site(Plane(server.url, http), tmp_path / "state.db")
