"""Where the manifests stand in Git, as a fact for reports. Without Git, or outside of it, there is none."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from octosync.plan import GitRevision

# A commit can contain a folder that looks like a bare repository. Its configuration could name programs that git runs.
GIT: Final = ("git", "-c", "safe.bareRepository=explicit")
_PATIENCE_SECONDS = 10


def git_revision(directory: Path) -> GitRevision | None:
    """Return the checked-out revision and whether the tree has changes beyond it; None where that can't be told."""
    revision = git_commit(directory)
    if revision is None:
        return None
    # Untracked files count: a manifest that was never committed is read all the same.
    changes = _git(directory, "--no-optional-locks", "status", "--porcelain")
    return GitRevision(revision=revision, dirty=changes != "")


def git_commit(directory: Path) -> str | None:
    """Return the full id of the checked-out commit; None where that can't be told. Does not look at the tree's files."""
    return _git(directory, "rev-parse", "--verify", "HEAD")


def git_root(directory: Path) -> Path | None:
    """Return the top folder of the working tree that a folder is in.

    None if there is none, or if git refuses it because it belongs to another user and is no `safe.directory`.
    """
    root = _git(directory, "rev-parse", "--show-toplevel")
    return Path(root) if root else None


def is_tracked(path: Path) -> bool:
    """Return whether a file is one of those that Git tracks; False if that can't be told."""
    return _git(path.parent, "ls-files", "--error-unmatch", "--", path.name) is not None


def _git(directory: Path, *arguments: str) -> str | None:
    try:
        ran = subprocess.run(  # noqa: S603 — fixed words, and paths that are handed over as they are
            (*GIT, "-C", str(directory), *arguments),
            capture_output=True,
            check=False,
            timeout=_PATIENCE_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ran.stdout.decode(errors="replace").strip() if ran.returncode == 0 else None
