"""Processes for what only processes show: one from which all are forked, and a bench with a control plane and a proxy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.support.processes import Zygote, zygote
from tests.support.watch_bench import Bench, watch_bench


@pytest.fixture(scope="session")
def processes() -> Iterator[Zygote]:
    with zygote() as found:
        yield found


@pytest.fixture
async def bench(tmp_path: Path, processes: Zygote) -> AsyncIterator[Bench]:
    async with watch_bench(tmp_path, processes) as found:
        yield found
