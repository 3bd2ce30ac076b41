from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from deploy.kustomizations import KUBERNETES


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Give a copy of deploy/kubernetes to spoil."""
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    return tmp_path / "kubernetes"
