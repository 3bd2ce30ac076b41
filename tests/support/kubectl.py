"""kubectl and kustomize. Tests that need them are skipped if they are missing, or fail if they are required."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REQUIRED = "OCTOSYNC_REQUIRE_KUBECTL"


def missing(*commands: str) -> bool:
    """Return whether all of these commands are missing and tests may be skipped; never with `OCTOSYNC_REQUIRE_KUBECTL=1`."""
    return os.environ.get(REQUIRED) != "1" and not any(map(shutil.which, commands))


needs_kubectl = pytest.mark.skipif(missing("kubectl"), reason="kubectl is not installed")
needs_kustomize = pytest.mark.skipif(
    missing("kustomize", "kubectl"), reason="neither kustomize nor kubectl is installed"
)


def render_kustomization(folder: Path) -> bytes:
    """Return the output of `kubectl kustomize` for a folder."""
    result = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout
