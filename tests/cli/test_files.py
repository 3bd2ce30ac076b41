"""Files that a command writes: complete, private if necessary, and a set of them all or none."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from octosync.cli.file_writer import KeyFile, create_all, replace_all, write_each, write_whole
from octosync.errors import OctosyncError


def tree(folder: Path) -> dict[str, str]:
    """Return the files below a folder, by path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in files}


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every replacement fail."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)


def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    """A link stays a link to the file; a private file is readable only by its owner from the first byte."""
    file, link = tmp_path / "a", tmp_path / "link"
    file.write_text("old")
    file.chmod(0o640)
    link.symlink_to("a")
    write_whole(link, "new", private=False)
    assert (link.is_symlink(), file.read_text(), file.stat().st_mode & 0o777) == (True, "new", 0o640)
    write_whole(file, "secret", private=True)
    assert file.stat().st_mode & 0o777 == 0o600
    assert tree(tmp_path) == {"a": "secret", "link": "secret"}


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK | os.X_OK), reason="there is no /dev/shm")  # noqa: S108 — checked
def test_a_file_in_shared_memory_is_no_device() -> None:
    """The folder of shared memory contains files of all users: like any file, one of them is replaced and not written to."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        file = Path(folder, "a")
        file.write_text("old")
        write_whole(file, "new", private=False)
        assert tree(Path(folder)) == {"a": "new"}


@pytest.mark.usefixtures("full_disk")
def test_a_file_that_cant_be_replaced_is_unchanged(tmp_path: Path) -> None:
    """No other file is left, for any of the functions that write."""
    (tmp_path / "a").write_text("old")
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "a", "new", private=False)
    written = write_each(tmp_path, {"a": "new", "b": "new"}, force=True)
    assert written.failed is not None
    assert written.failed.message == f"{tmp_path}/a can't be written: No space left on device"
    with pytest.raises(OctosyncError, match="No space"):
        replace_all({tmp_path / "a": (b"old", b"new")})
    assert tree(tmp_path) == {"a": "old"}


def test_each_file_of_a_folder_is_written_unless_it_is_the_same(tmp_path: Path) -> None:
    """A link in place of a file is replaced, not followed: its target may be anywhere."""
    (tmp_path / "elsewhere").write_text("external")
    apps = tmp_path / "apps"
    apps.mkdir()
    (apps / "a").symlink_to(tmp_path / "elsewhere")
    (apps / "b").write_text("same")
    with pytest.raises(OctosyncError, match="a already exists, with different content"):
        write_each(apps, {"a": "mine", "b": "same"}, force=False)
    written = write_each(apps, {"a": "mine", "b": "same"}, force=True)
    assert (written.written, written.same, written.failed) == (1, 1, None)
    assert tree(tmp_path) == {"apps/a": "mine", "apps/b": "same", "elsewhere": "external"}


def test_new_files_are_created_all_or_none(tmp_path: Path) -> None:
    """A folder that was created for them is removed too; an existing file is never replaced."""
    (tmp_path / "b").write_text("a file in the way of a folder")
    with pytest.raises(OctosyncError, match="can't be written"):
        create_all(tmp_path, {"a/x": "1", "b/x": "2"})
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    with pytest.raises(OctosyncError, match="b already exists"):
        create_all(tmp_path, {"a": "1", "b": "2"})
    create_all(tmp_path, {"a/x": "1", "c": "2"})
    assert tree(tmp_path) == {"a/x": "1", "b": "a file in the way of a folder", "c": "2"}


def test_a_key_file_is_new_private_and_gone_without_keys(tmp_path: Path) -> None:
    """No key is created without a destination, and none overwrites a file."""
    path = tmp_path / "keys"
    with KeyFile(path):
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()
    with KeyFile(path) as file:
        file.write("key")
    assert path.read_text() == "key"
    with pytest.raises(OctosyncError, match="already exists"), KeyFile(path):
        pass
