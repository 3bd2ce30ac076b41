"""A control plane that needs a key, and a working folder whose commands use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.calls import KEY
from tests.support.desks import Office
from tests.support.invoking import Desk
from tests.support.planes import served

from octosync.server import Token


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with served(KEY, tokens=(Token("ci", KEY),)) as plane:
        yield Office(plane, Desk(tmp_path, {"OCTOMIL_API_KEY": KEY}))
