"""Git repositories with commits and branches, independent of the user's own Git configuration."""

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
_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n"
_ALONE = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
# A repository of a test lives for seconds: it needs no maintenance, which is a process for each commit, and no fsync.
_CONFIGURATION = {"maintenance.auto": "false", "gc.auto": "0", "core.fsync": "none"}
_QUICK = {
    "GIT_CONFIG_COUNT": str(len(_CONFIGURATION)),
    **{f"GIT_CONFIG_KEY_{number}": key for number, key in enumerate(_CONFIGURATION)},
    **{f"GIT_CONFIG_VALUE_{number}": value for number, value in enumerate(_CONFIGURATION.values())},
}


@dataclass(frozen=True)
class Repo:
    """A work tree. The author of commits is ana by default."""

    root: Path

    @classmethod
    def init(cls, root: Path) -> Repo:
        """Create an empty repository whose branch is main, as `git init --template=` does, without its process."""
        for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
            (root / ".git" / folder).mkdir(parents=True)
        (root / ".git/HEAD").write_text("ref: refs/heads/main\n")
        (root / ".git/config").write_text(_CONFIG)
        return cls(root)

    def git(self, *arguments: str, **environment: str) -> str:
        """Run git; return its standard output."""
        env = {**os.environ, **_WHO, **_ALONE, **_QUICK, **environment}
        ran = subprocess.run(["git", *arguments], cwd=self.root, env=env, check=True, capture_output=True, text=True)
        return ran.stdout.strip()

    def write(self, name: str, text: str) -> None:
        """Write a file, and create its folders."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def commit(self, message: str = "change", *, author: str = "ana") -> str:
        """Commit all files; return the commit's full id."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message, GIT_AUTHOR_NAME=author)
        return self.head

    def branch(self, name: str, at: str = "HEAD") -> None:
        """Create a branch and check it out."""
        self.git("switch", "--quiet", "--create", name, at)

    def switch(self, name: str) -> None:
        """Check a branch out."""
        self.git("switch", "--quiet", name)

    @property
    def head(self) -> str:
        """The commit that is checked out."""
        try:
            head = (self.root / ".git" / "HEAD").read_text().strip()
            if head.startswith("ref: "):
                head = (self.root / ".git" / head.removeprefix("ref: ")).read_text().strip()
        except OSError:  # the branch is packed, or this is a second work tree
            return self.git("rev-parse", "HEAD")
        return head
