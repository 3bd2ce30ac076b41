from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from deploy.kustomizations import KUBERNETES


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a copy of deploy/kubernetes that a test may change."""
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    return tmp_path / "kubernetes"
