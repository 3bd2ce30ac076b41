"""Snapshots: a stat of each file of manifests and key, and the directories in which changes of them would show.

Two equal fingerprints mean that nothing was written in between. Nothing is opened but kustomizations, for what they refer to.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Final, TypeAlias

from octosync.manifest import LEFT_OUT_OF_FOLDERS, SUFFIXES
from octosync.manifest.load.files import stamp_of
from octosync.manifest.load.kustomize import KUSTOMIZATION_NAMES, referred
from octosync.manifest.load.limits import Bounds, OutOfBoundsError, work_tree

_MOST_LINKS: Final = 40  # as many as Linux follows
# Of a file: which it is, and when and to what it was written. Of what can't be read: the number of the error.
Stamp: TypeAlias = tuple[int | str, ...]


class FileChange(Enum):
    """The kinds of changes: of the declaration (manifests, kustomizations, octosync.yaml), or of the key."""

    MANIFESTS = "manifests"
    TOKEN = "token"  # noqa: S105 — a word


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedPaths:
    """The watched paths, whether they exist or not. Relative paths start from the working directory.

    `paths` are files and folders of manifests as -f means them; `kustomizations` folders whose every file counts, and all
    that they refer to; `configuration` the places where octosync.yaml is or could be created; `tokens` key files.
    """

    paths: tuple[str, ...] = ()
    kustomizations: tuple[str, ...] = ()
    configuration: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileSnapshot:
    """The stamp of every file that counts, by path."""

    manifests: Mapping[str, Stamp] = field(default_factory=dict)
    tokens: Mapping[str, Stamp] = field(default_factory=dict)

    def changes_since(self, other: FileSnapshot) -> frozenset[FileChange]:
        """Return what has changed since another snapshot."""
        manifests = {FileChange.MANIFESTS} if self.manifests != other.manifests else set()
        return frozenset(manifests | ({FileChange.TOKEN} if self.tokens != other.tokens else set()))


@dataclass(frozen=True, slots=True)
class WatchedDirectory:
    """A directory in which changes would show: of these names, and with `all_visible` of every name that may matter."""

    names: frozenset[str] = frozenset()
    all_visible: bool = False

    def is_relevant(self, name: str) -> bool:
        """Return whether a change of this name may matter."""
        return name in self.names or (self.all_visible and _is_visible(name))


@dataclass(frozen=True, slots=True)
class FileScan:
    """A snapshot, and the directories in which changes would show, by their real paths."""

    snapshot: FileSnapshot
    places: Mapping[str, WatchedDirectory]


def snapshot(watched: WatchedPaths) -> FileSnapshot:
    """Take the fingerprint of what is watched. Blocks as file systems do. Never raises: what can't be read is in it as that."""
    return scan(watched).snapshot


def scan(watched: WatchedPaths) -> FileScan:
    """Return the snapshot, and where changes would show; as `snapshot` does."""
    manifests, tokens = _Scanner(), _Scanner()
    for path in watched.paths:
        manifests.take(path, _is_manifest)
    for path in watched.kustomizations:
        manifests.take(path, _is_any)
    for path in watched.configuration:
        manifests.take(path, _is_none)
    for path in watched.tokens:
        tokens.take(path, _is_none)
    names: dict[str, set[str]] = {}
    for directory, name in (*manifests.names, *tokens.names):
        names.setdefault(directory, set()).add(name)
    walked = manifests.walked | tokens.walked
    places = {
        directory: WatchedDirectory(frozenset(names.get(directory, ())), directory in walked)
        for directory in {*names, *walked}
        if os.access(directory, os.R_OK)
    }
    return FileScan(FileSnapshot(manifests.stamps, tokens.stamps), places)


_Counts: TypeAlias = Callable[[str], bool]


class _Scanner:
    """One scan of some paths: what it found, and which directories and names it passed."""

    def __init__(self) -> None:
        self.stamps: dict[str, Stamp] = {}
        self.walked: set[str] = set()
        self.names: set[tuple[str, str]] = set()
        self._done: set[tuple[str, _Counts]] = set()
        self._plain: set[str] = set()  # real directories
        self._links: dict[str, tuple[str, ...] | None] = {}

    def take(self, path: str, counts: _Counts) -> None:
        """Take a path: the file that it is, or all files below it that count, or that there is nothing."""
        path = str(Path.cwd() / path)
        self._pass("/", *PurePosixPath(path).parts[1:])
        try:
            found = Path(path).stat()
        except (OSError, ValueError) as error:
            self._failed(path, error)
            return
        if not stat.S_ISDIR(found.st_mode):
            self.stamps[path] = stamp_of(found)
            return
        real = os.path.realpath(path)
        self.stamps[path] = (real,)
        try:
            self._walk(real, counts, Bounds.around(path))
        except OutOfBoundsError:
            return  # nothing is read there

    def _walk(self, root: str, counts: _Counts, bounds: Bounds) -> None:
        waiting = deque([root])
        while waiting:
            directory = waiting.popleft()
            if (directory, counts) in self._done:
                continue
            self._done.add((directory, counts))
            self.walked.add(directory)
            try:
                with os.scandir(directory) as scan:
                    waiting.extend(self._entries(directory, scan, counts, bounds))
            except OSError as error:
                self._failed(directory, error)

    def _entries(
        self, directory: str, entries: Iterable[os.DirEntry[str]], counts: _Counts, bounds: Bounds
    ) -> Iterator[str]:
        """Take a directory's files, and yield its directories; not what a link leads to out of bounds."""
        for entry in entries:
            name, path = entry.name, entry.path
            if not _is_visible(name):
                continue
            try:
                if entry.is_symlink():
                    self._pass(directory, name)
                if entry.is_dir():
                    real = os.path.realpath(path) if entry.is_symlink() else path
                    if not entry.is_symlink() or bounds.hold(real):
                        yield real
                elif counts(name):
                    self.stamps[path] = stamp_of(entry.stat())
                    if counts is _is_any and name in KUSTOMIZATION_NAMES:
                        self._take_referred(directory, path, bounds)
            except OSError as error:
                self._failed(path, error)

    def _take_referred(self, directory: str, kustomization: str, bounds: Bounds) -> None:
        for path in sorted(referred(kustomization, self.stamps[kustomization])):
            if _may_refer(directory, path, bounds):
                self.take(path, _is_any)

    def _failed(self, path: str, error: OSError | ValueError) -> None:
        self.stamps[path] = ((error.errno or 0) if isinstance(error, OSError) else -1,)

    def _pass(self, here: str, *names: str) -> None:
        """Record where a change of a path would show: beside each link on it, and at its end."""
        waiting, links = deque(names), 0
        while waiting:
            name = waiting.popleft()
            if name == "..":
                here = str(Path(here).parent)
                continue
            below = f"{here.rstrip('/')}/{name}"
            if below in self._plain and waiting:
                here = below
                continue
            target = self._target(below)
            if target is None and waiting and Path(below).is_dir():
                self._plain.add(below)
                here = below
                continue
            self.names.add((here, name))
            links += 1
            if target is None or links > _MOST_LINKS:
                return
            absolute = target[:1] == ("/",)
            waiting.extendleft(reversed(target[1:] if absolute else target))
            here = "/" if absolute else here

    def _target(self, path: str) -> tuple[str, ...] | None:
        """Return the parts of what a link points to; None for what is no link."""
        if path not in self._links:
            try:
                self._links[path] = PurePosixPath(os.readlink(path)).parts  # noqa: PTH115 — every file of a mount is a link
            except (OSError, ValueError):
                self._links[path] = None
        return self._links[path]


def _may_refer(folder: str, path: str, bounds: Bounds) -> bool:
    """Return whether a kustomization in a folder can mean a path: not its own parents, nor what is out of its work tree."""
    real = os.path.realpath(path)
    in_tree = work_tree(bounds.root) == bounds.root
    return not folder.startswith(real.rstrip("/") + "/") and (not in_tree or bounds.hold(real))


def _is_visible(name: str) -> bool:
    """Return whether a name may matter: hidden files don't, nor the files that editors leave beside theirs."""
    return not name.startswith((".", "#")) and not name.endswith("~")


def _is_manifest(name: str) -> bool:
    return name.endswith(SUFFIXES) and name not in LEFT_OUT_OF_FOLDERS


def _is_any(_: str) -> bool:
    return True


def _is_none(_: str) -> bool:
    return False
