"""The HTTP side, asked without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from tests.support.controller_http import app_client
from tests.support.controller_statuses import RecordingApi, busy_status


@pytest.fixture
def control() -> RecordingApi:
    return RecordingApi(current=busy_status())


@pytest.fixture
async def ask(control: RecordingApi) -> AsyncIterator[httpx.AsyncClient]:
    async with app_client(control) as one:
        yield one
