from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.planes import Served, served


@pytest.fixture
def plane() -> Iterator[Served]:
    with served() as plane:
        yield plane
