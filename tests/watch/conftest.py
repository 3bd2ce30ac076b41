"""Fixtures for tests that need real processes: a process that the others fork from, and a bench with control plane and proxy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.support.processes import Zygote, zygote
from tests.support.watch_bench import Bench, watch_bench


@pytest.fixture(scope="session")
def processes() -> Iterator[Zygote]:
    with zygote() as zygote_process:
        yield zygote_process


@pytest.fixture
async def bench(tmp_path: Path, processes: Zygote) -> AsyncIterator[Bench]:
    async with watch_bench(tmp_path, processes) as bench_in_use:
        yield bench_in_use
