"""The HTTP side, asked without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from tests.support.serving import asking
from tests.support.standings import Noting, busy_status


@pytest.fixture
def control() -> Noting:
    return Noting(said=busy_status())


@pytest.fixture
async def ask(control: Noting) -> AsyncIterator[httpx.AsyncClient]:
    async with asking(control) as one:
        yield one
