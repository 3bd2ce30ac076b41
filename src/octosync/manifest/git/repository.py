"""Read-only access to a Git repository: its commits, their ancestry and their files.

Revisions are resolved to full commit ids first, and only these are passed to git: user input is never in a position where git
parses options.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final

from octosync.errors import ConfigError, UsageError
from octosync.plan import Commit, GitRevision

# A commit can contain a folder that looks like a bare repository, whose configuration could name programs that git runs.
GIT: Final = ("git", "-c", "safe.bareRepository=explicit")
_TIMEOUT_SECONDS = 10
_NO_REPOSITORY: Final = b"fatal: not a git repository"
_COMMIT: Final = "# branch.oid "  # in the output of `git status`


def git_revision(directory: Path) -> GitRevision | None:
    """Return the checked-out revision and whether the work tree has changes; None without Git or a repository.

    If the changes can't be read, the revision is dirty and not checked.
    """
    # Untracked files count: uncommitted manifests are loaded, too.
    ran = _run_quietly(directory, "--no-optional-locks", "status", "--porcelain=v2", "--branch")
    if ran is not None and _NO_REPOSITORY in ran.stderr:  # in another language a second process finds that out
        return None
    if ran is None or ran.returncode != 0:  # it takes too long in a large work tree, or the index is damaged
        commit = git_commit(directory)
        return None if commit is None else GitRevision(revision=commit, dirty=True, is_checked=False)
    lines = ran.stdout.decode(errors="replace").splitlines()
    commits = [line.removeprefix(_COMMIT) for line in lines if line.startswith(_COMMIT)]
    if not commits or commits[0] == "(initial)":
        return None
    return GitRevision(revision=commits[0], dirty=not all(line.startswith("# ") for line in lines))


def git_commit(directory: Path) -> str | None:
    """Return the full id of the checked-out commit; None without Git or a repository. The work tree's files are not read."""
    return _git(directory, "rev-parse", "--verify", "HEAD")


def git_author(directory: Path, commit: str) -> tuple[str, str]:
    """Return the author and the subject of a commit; empty without Git, or if the commit is not in the repository."""
    shown = _git(directory, "show", "--no-patch", "--no-show-signature", "--format=%an%n%s", commit) or ""
    author, _, subject = shown.partition("\n")
    return author, subject


def git_web_address(directory: Path) -> str:
    """Return the web address of the repository that was cloned, as far as its remote shows one; "" otherwise."""
    return web_address(_git(directory, "config", "--get", "remote.origin.url") or "")


# The URL of a remote: with a scheme, or as `git@github.com:octomil/apps.git`. User and password are no part of the address.
_REMOTE: Final = re.compile(
    r"(?:(?P<scheme>https?|ssh|git)://(?:[^@/\s]*@)?|[\w.-]+@)(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*)(?::(?P<port>\d+)(?=/))?[:/]"
    r"(?P<path>[\w.~-]+(?:/[\w.~-]+)+)/?"
)


def web_address(remote: str) -> str:
    """Return the address of a repository's page, by the URL of a remote; "" for what is no URL of a server."""
    found = _REMOTE.fullmatch(remote.strip())
    if found is None:
        return ""
    is_web = (found["scheme"] or "").startswith("http")
    port = f":{found['port']}" if found["port"] and is_web else ""
    return f"{found['scheme'] if is_web else 'https'}://{found['host']}{port}/{found['path'].removesuffix('.git')}"


def git_root(directory: Path) -> Path | None:
    """Return the top folder of the work tree that a folder is in.

    None if there is none, or git refuses it because it belongs to another user and is not a `safe.directory`.
    """
    root = _git(directory, "rev-parse", "--show-toplevel")
    return Path(root) if root else None


def is_tracked(path: Path) -> bool:
    """Return whether Git tracks a file; False without Git or a repository."""
    return _git(path.parent, "ls-files", "--error-unmatch", "--", path.name) is not None


def _git(directory: Path, *arguments: str) -> str | None:
    ran = _run_quietly(directory, *arguments)
    return None if ran is None or ran.returncode != 0 else ran.stdout.decode(errors="replace").strip()


def _run_quietly(directory: Path, *arguments: str) -> subprocess.CompletedProcess[bytes] | None:
    try:
        return subprocess.run(  # noqa: S603 — fixed words and paths
            (*GIT, "-C", str(directory), *arguments),
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


SHOWN: Final = 12  # characters of a commit's id: enough for any repository, and what `git log` shows in large ones
_FETCH_TIMEOUT_SECONDS: Final = 300  # a partial clone fetches missing objects
_NOT_A_REVISION: Final = re.compile(r"-|\Z|.*[\x00-\x20\x7f:]|.*\.\.", re.DOTALL)
_FULL_ID: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_FETCH_MORE: Final = (
    "Fetch more of the history:  git fetch --deepen=1000",
    "In GitHub Actions: actions/checkout with `fetch-depth: 0`; in GitLab: `GIT_DEPTH: 0`.",
)


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """An entry of a commit's tree: its mode as Git writes it, and its object id."""

    mode: str
    object: str

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return self.mode == "120000"

    @property
    def is_submodule(self) -> bool:
        """Whether it is a commit of another repository."""
        return self.mode == "160000"


@dataclass(frozen=True)
class Repository:
    """The repository of a directory: the `root` of its work tree, and the directory's path in it as `prefix`, or ""."""

    root: Path
    prefix: str
    _entries: dict[str, Mapping[str, TreeEntry]] = field(default_factory=dict, repr=False)

    @classmethod
    def around(cls, directory: Path, config: Path | None = None) -> Repository:
        """Return the repository of a directory. Raises `ConfigError` without git, and outside of a work tree.

        The error suggests the folder of `config`, an octosync.yaml, if that is given.
        """
        ran = _run(directory, "rev-parse", "--show-toplevel", "--show-prefix")
        root, _, prefix = ran.stdout.decode(errors="surrogateescape").rstrip("\n").partition("\n")
        if ran.returncode or not root:
            where = "inside the repository" if config is None else f"in {config.absolute().parent}, where --config is"
            raise ConfigError(
                "not-a-repository",
                "--base compares with a revision of Git in the working directory's repository, "
                f"and {directory.absolute()} is not in a work tree that git can use",
                hints=(*_stderr_hints(ran), f"Run this {where}, or give --base-file PATH."),
            )
        return cls(Path(root), prefix.rstrip("/"))

    def path_of(self, path: str) -> str | None:
        """Return a path, relative to the directory, as a path from the root ("" for the root); None if it is outside.

        Links are not followed: the path in the commit counts, not its target.
        """
        if Path(path).is_absolute():
            inside = os.path.relpath(path, self.root)
            if inside.startswith(".."):
                inside = os.path.relpath(os.path.realpath(path), os.path.realpath(self.root))
        else:
            inside = os.path.normpath(str(PurePosixPath(self.prefix) / path))
        if inside == ".." or inside.startswith("../"):
            return None
        return "" if inside == "." else inside

    def resolve(self, revision: str, *, flag: str = "--base") -> str:
        """Return the full id of the commit of a revision. Raises `UsageError` if it is malformed or not in this clone."""
        if _NOT_A_REVISION.match(revision):
            raise UsageError(
                "malformed-revision",
                f"{flag} {revision!r} is not a revision",
                hints=("Name one commit: a branch, a tag, a commit id, such as origin/main.",),
            )
        ran = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        commit = ran.stdout.decode(errors="replace").strip()
        if ran.returncode or not re.fullmatch(r"[0-9a-f]{40,64}", commit):
            raise UsageError(
                "unknown-revision", f"{flag} {revision} is not a commit in this clone", hints=self._to_have(revision)
            )
        return commit

    def _to_have(self, revision: str) -> tuple[str, ...]:
        if self.is_shallow:
            return ("This is a shallow clone.", *_FETCH_MORE)
        return (f"Is it spelled right, and fetched?  git fetch origin {revision.removeprefix('origin/')}",)

    def find(self, revision: str, *, flag: str) -> str | None:
        """Return the full id of the commit of a revision; None for the full id of a commit that a force push has removed.

        Raises `UsageError` for any other revision that is malformed or not in this clone. A shallow clone may just lack it.
        """
        is_gone = _FULL_ID.fullmatch(revision) and not self.is_shallow and not self.has(revision)
        return None if is_gone else self.resolve(revision, flag=flag)

    @cached_property
    def is_shallow(self) -> bool:
        """Whether the clone has only a part of the history."""
        return self._git("rev-parse", "--is-shallow-repository").stdout.strip() == b"true"

    def merge_base(self, left: str, right: str) -> str:
        """Return the merge base of two commits. Raises `ConfigError` if the clone has none."""
        ran = self._git("merge-base", left, right)
        found = ran.stdout.decode().split()
        if ran.returncode == 0 and found:
            return found[0]
        why = ("This is a shallow clone: the commit may be beyond its end.", *_FETCH_MORE)
        raise ConfigError(
            "no-merge-base",
            f"{left[:SHOWN]} and {right[:SHOWN]} have no commit in common, so there is nothing to compare with",
            hints=why if self.is_shallow else ("They have unrelated histories: choose another --base.",),
        )

    def descends(self, commit: str, *, from_: str) -> bool:
        """Return whether `from_` is the commit or one of its ancestors. Raises `ConfigError` if git fails."""
        if commit == from_:
            return True
        ran = self._git("merge-base", "--is-ancestor", from_, commit)
        if ran.returncode not in {0, 1}:
            raise _failed("the ancestry of two commits", ran)
        return ran.returncode == 0

    def has(self, commit: str) -> bool:
        """Return whether the clone has a commit, by its full id."""
        return self._git("cat-file", "-e", f"{commit}^{{commit}}").returncode == 0

    def merges(self, since: str, until: str, *, most: int) -> tuple[str, ...]:
        """Return the first-parent commits of a branch from `since` to `until`, newest first and at most `most`.

        Commits of merged branches are left out. Raises `ConfigError` if git fails.
        """
        ran = self._git("rev-list", "--first-parent", f"--max-count={most}", f"{since}..{until}", "--")
        if ran.returncode:
            raise _failed("the commits since the base", ran)
        return tuple(ran.stdout.decode().split())

    def commits(self, since: str, until: str, *, paths: Iterable[str] = ()) -> tuple[Commit, ...]:
        """Return the commits of `until` that are not in `since`, newest first; with `paths`, only those that change them.

        Paths are relative to the root. Raises `ConfigError` if git fails.
        """
        if since == until:
            return ()
        shown = ("-c", "log.showSignature=false", "-c", "i18n.logOutputEncoding=UTF-8")
        within = tuple(f":(top,literal){path}" for path in paths)
        ran = self._git(*shown, "log", "-z", "--no-notes", "--format=%H%x00%B", f"{since}..{until}", "--", *within)
        if ran.returncode:
            raise _failed("the commits since the base", ran)
        parts = ran.stdout.decode(errors="replace").split("\0")
        return tuple(Commit(*parts[at : at + 2]) for at in range(0, len(parts) - 1, 2))

    def entries(self, commit: str) -> Mapping[str, TreeEntry]:
        """Return a commit's files, links and submodules by path from the root. Raises `ConfigError` if git fails."""
        if commit not in self._entries:
            ran = self._git("ls-tree", "-r", "-z", "--full-tree", commit)
            if ran.returncode:
                raise _failed(f"the files of {commit[:SHOWN]}", ran)
            lines = ran.stdout.decode(errors="surrogateescape").split("\0")
            self._entries[commit] = dict(map(_entry, filter(None, lines)))
        return self._entries[commit]

    def contents(self, objects: Iterable[str]) -> Mapping[str, bytes]:
        """Return the bytes of objects by their ids. Raises `ConfigError` if one is missing."""
        wanted = tuple(dict.fromkeys(objects))
        if not wanted:
            return {}
        input_ = "".join(f"{object_id}\n" for object_id in wanted).encode()
        ran = self._git("cat-file", "--batch", input_=input_)
        found: dict[str, bytes] = {}
        at = 0
        for object_id in wanted:
            end = ran.stdout.find(b"\n", at)
            head = ran.stdout[at : max(end, at)].split()
            if len(head) != 3:
                raise _failed(f"object {object_id[:SHOWN]}", ran)
            size = int(head[2])
            found[object_id] = ran.stdout[end + 1 : end + 1 + size]
            at = end + 1 + size + 1
        return found

    def _git(self, *arguments: str, input_: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        return _run(self.root, *arguments, input_=input_)


def _entry(line: str) -> tuple[str, TreeEntry]:
    about, _, path = line.partition("\t")
    mode, _, object_ = about.split(" ")
    return path, TreeEntry(mode, object_)


def _run(directory: Path, *arguments: str, input_: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(  # noqa: S603 — fixed words, commit ids and paths
            (*GIT, "-C", str(directory), *arguments),
            input=input_ if input_ is not None else b"",
            capture_output=True,
            check=False,
            timeout=_FETCH_TIMEOUT_SECONDS,
            # No prompts; and replacement objects are not what was reviewed.
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_NO_REPLACE_OBJECTS": "1", "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise ConfigError(
            "git-missing",
            "--base reads the manifests of another revision from Git, and there is no `git` on the PATH",
            hints=("Install git, or give --base-file PATH.",),
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(
            "git-failed", f"git could not be run: {error}", hints=("Try `git status` in this directory.",)
        ) from error


def _failed(what: str, ran: subprocess.CompletedProcess[bytes]) -> ConfigError:
    return ConfigError(
        "git-failed", f"git could not read {what}", hints=(*_stderr_hints(ran), "Try `git fsck` and `git fetch`.")
    )


def _stderr_hints(ran: subprocess.CompletedProcess[bytes]) -> Sequence[str]:
    lines = ran.stderr.decode(errors="replace").strip().splitlines()
    return tuple(f"git: {line}" for line in lines[:2])
