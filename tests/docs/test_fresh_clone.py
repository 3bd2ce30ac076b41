"""README's commands on a machine with only Python, git and make. `pytest -m fresh` runs this test; it installs packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from docs.executing import ROOT, executed

_TOOLS = ("git", "make", "sh", "rm", "touch", "find", "env")


def _run(command: str, folder: Path, path: Path | str) -> str:
    """Run a command with this PATH, and return its output."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("OCTOSYNC_", "VIRTUAL_ENV"))
    }
    ended = subprocess.run(  # noqa: S602 — commands of README
        command,
        shell=True,
        cwd=folder,
        env={**environment, "PATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


@pytest.mark.fresh
def test_readme_works_on_a_fresh_machine(tmp_path: Path) -> None:
    """In a fresh clone, with only Python, git and make, README's commands work: demo, tests, installation, and the rest."""
    tools = tmp_path / "tools"
    tools.mkdir()
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    (tools / "python3").symlink_to(base)
    for name in _TOOLS:
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    clone = tmp_path / "clone"
    _run(f"git clone --quiet {ROOT} {clone}", tmp_path, tools)
    readme = (clone / "README.md").read_text(encoding="utf-8")
    lines = [line for line in readme.splitlines() if line.startswith(("make ", "pip "))]
    assert [line.split("#")[0].strip() for line in lines] == ["make demo", "make test", "pip install ."]
    assert "The demo is complete" in _run("make demo", clone, tools)
    assert "passed" in _run("make test ARGS=tests/docs/test_glossary.py", clone, tools)
    _run(f"python3 -m venv {tmp_path / 'venv'}", clone, tools)
    installed = tmp_path / "venv" / "bin"
    _run("pip install --quiet .", clone, f"{installed}:{tools}")
    (tmp_path / "work").mkdir()
    assert executed(readme, tmp_path / "work", installed) == readme
