"""The Git revision of the manifests: a fact for reports, and never a reason to fail."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from octosync.manifest.git.repository import git_author, git_revision, git_web_address, web_address
from octosync.plan import GitRevision


def git(directory: Path, *arguments: str) -> str:
    """Run git with the identity of a test user."""
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    ran = subprocess.run(["git", "-C", directory, *who, *arguments], check=True, capture_output=True, text=True)
    return ran.stdout.strip()


def test_a_repository_has_a_revision_and_may_be_dirty(tmp_path: Path) -> None:
    """The full id of the checked out revision. An untracked file makes the tree dirty, since it is read."""
    git(tmp_path, "init")
    assert git_revision(tmp_path) is None
    git(tmp_path, "commit", "--allow-empty", "-m", "begin")
    found = git_revision(tmp_path)
    assert found is not None
    assert (found.revision, found.dirty) == (git(tmp_path, "rev-parse", "HEAD"), False)
    (tmp_path / "app.yaml").write_text("a: b\n")
    dirty = git_revision(tmp_path)
    assert dirty is not None
    assert dirty.dirty


def test_a_damaged_index_leaves_the_revision_known(tmp_path: Path) -> None:
    """If git can't compare the work tree with its index, the revision is that of HEAD, and never clean."""
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "begin")
    head = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / ".git" / "index").write_text("damaged")
    assert git_revision(tmp_path) == GitRevision(revision=head, dirty=True, is_checked=False)


def test_without_git_there_is_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of a repository, and without git, the revision is unknown and nothing fails."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_revision(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_revision(tmp_path) is None
    assert git_author(tmp_path, "0" * 40) == ("", "")
    assert git_web_address(tmp_path) == ""


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("https://github.com/acme/apps.git", "https://github.com/acme/apps"),
        ("https://oauth2:token@gitlab.example.com:8443/a/b/apps/", "https://gitlab.example.com:8443/a/b/apps"),
        ("git@github.com:acme/apps.git", "https://github.com/acme/apps"),
        ("ssh://git@git.example.com:2222/acme/apps.git", "https://git.example.com/acme/apps"),
        ("/srv/git/apps.git", ""),
        ("../apps", ""),
        ("file:///srv/git/apps", ""),
        ("https://example.com/apps", ""),
        ("javascript:alert(1)//@x/y/z", ""),
        ("https://example.com/a/b?c=d", ""),
        ("git@host:a/b\nc", ""),
        ("", ""),
    ],
)
def test_the_web_address_of_a_repository_follows_from_its_remote(remote: str, expected: str) -> None:
    """The URL of a server gives an address without user and password; anything else gives none."""
    assert web_address(remote) == expected
