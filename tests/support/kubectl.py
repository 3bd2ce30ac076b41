"""What renders kustomizations: a test that needs it skips where it is missing, or fails where it is required."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REQUIRED = "OCTOSYNC_REQUIRE_KUBECTL"


def missing(*commands: str) -> bool:
    """Say whether none of these commands is here and a test may skip: not where `OCTOSYNC_REQUIRE_KUBECTL=1` is set."""
    return os.environ.get(REQUIRED) != "1" and not any(map(shutil.which, commands))


needs_kubectl = pytest.mark.skipif(missing("kubectl"), reason="kubectl is not installed")
needs_kustomize = pytest.mark.skipif(
    missing("kustomize", "kubectl"), reason="neither kustomize nor kubectl is installed"
)


def render_kustomization(folder: Path) -> bytes:
    """Return what `kubectl kustomize` renders of a folder."""
    ended = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout
