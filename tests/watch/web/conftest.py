"""Fixtures for the HTTP server, used without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from tests.support.controller_http import app_client
from tests.support.controller_statuses import RecordingApi, busy_status


@pytest.fixture
def api() -> RecordingApi:
    return RecordingApi(current=busy_status())


@pytest.fixture
async def client(api: RecordingApi) -> AsyncIterator[httpx.AsyncClient]:
    async with app_client(api) as client:
        yield client
