"""kubectl, for what kustomize renders: where it is missing a test skips, or fails where it is required."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REQUIRED = "OCTOSYNC_REQUIRE_KUBECTL"


def need_kubectl() -> None:
    """Skip the test where there is no kubectl; fail it where `OCTOSYNC_REQUIRE_KUBECTL=1` says that there must be one."""
    if shutil.which("kubectl") is None:
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"kubectl is not installed, and {REQUIRED}=1 wants it")
        pytest.skip("kubectl is not installed")


def kustomized(folder: Path) -> bytes:
    """Return what `kubectl kustomize` renders of a folder."""
    need_kubectl()
    ended = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout
