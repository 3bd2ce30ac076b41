"""The lock: one controller per state file."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from octosync.errors import OctosyncError
from octosync.state import Journal, state_lock


def test_a_second_controller_is_refused(tmp_path: Path) -> None:
    """The error of the second controller names the process with the file, even by another path; after that ends, it starts."""
    path = tmp_path / "state.db"
    (tmp_path / "elsewhere").symlink_to(tmp_path)
    with Journal(path), state_lock(path):
        with pytest.raises(OctosyncError, match=f"state-in-use: .*process {os.getpid()}"):
            _have(tmp_path / "elsewhere" / "state.db")
        with Journal(path) as another:  # a command that is not a controller
            assert another.runs() == ()
    _have(path)


def test_each_state_file_has_its_own_lock(tmp_path: Path) -> None:
    """Two controllers with separate files don't block each other, even in one folder."""
    with state_lock(tmp_path / "one.db"):
        _have(tmp_path / "two.db")


def test_a_lock_that_cant_be_made_is_a_clear_error(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(OctosyncError, match=r"journal-unusable: .*state\.db\.lock: .*locked"):
        _have(tmp_path / "nowhere" / "state.db")


def _have(path: Path) -> None:
    with state_lock(path):
        pass


def test_a_full_disk_does_not_prevent_the_lock(path: Path) -> None:
    """Only the number of the process can't be written, which the error of a second controller would name."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with state_lock(path), pytest.raises(OctosyncError, match="state-in-use"), state_lock(path):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
