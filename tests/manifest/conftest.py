"""The `workspace` fixture: one folder of manifests per test."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.manifests import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)
