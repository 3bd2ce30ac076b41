"""Git repositories as people have them: a folder, commits, clones. Nobody's own configuration has a say in them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_WHO = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "ana"), ("EMAIL", "a@example.com"))
}
_ALONE = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}


@dataclass(frozen=True)
class Repo:
    """A work tree. Commits are ana's, unless somebody else is named."""

    root: Path

    @classmethod
    def init(cls, root: Path) -> Repo:
        """Make an empty one whose branch is main."""
        root.mkdir(parents=True, exist_ok=True)
        repo = cls(root)
        repo.git("init", "--quiet", "--initial-branch=main")
        return repo

    def git(self, *arguments: str, **environment: str) -> str:
        """Run git; return what it prints."""
        env = {**os.environ, **_WHO, **_ALONE, **environment}
        ran = subprocess.run(["git", *arguments], cwd=self.root, env=env, check=True, capture_output=True, text=True)
        return ran.stdout.strip()

    def write(self, name: str, text: str) -> None:
        """Write a file, its folders included."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def commit(self, message: str = "change", *, author: str = "ana") -> str:
        """Commit everything that is there; return the commit's full id."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message, GIT_AUTHOR_NAME=author)
        return self.head

    def branch(self, name: str, at: str = "HEAD") -> None:
        """Begin a branch and check it out."""
        self.git("switch", "--quiet", "--create", name, at)

    def switch(self, name: str) -> None:
        """Check a branch out."""
        self.git("switch", "--quiet", name)

    @property
    def head(self) -> str:
        """The commit that is checked out."""
        return self.git("rev-parse", "HEAD")
