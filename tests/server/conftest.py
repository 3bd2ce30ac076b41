from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.embedded_planes import EmbeddedPlane, run_plane


@pytest.fixture
def plane() -> Iterator[EmbeddedPlane]:
    with run_plane() as plane:
        yield plane
