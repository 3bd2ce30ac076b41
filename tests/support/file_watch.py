"""The controller's file watch, with its changes returned one by one; and the ways in which other programs replace files."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from watchfiles import awatch

from octosync.watch.manifests.file_snapshot import FileChange, FileSnapshot, WatchedPaths, scan
from octosync.watch.manifests.file_watcher import DirectoryEvents, file_changes
from octosync.watch.settings import Clock, SystemClock

LONG = 20.0  # seconds until a wait fails
NEVER = 10_000.0
MANIFESTS = frozenset({FileChange.MANIFESTS})
TOKEN = frozenset({FileChange.TOKEN})


@dataclass
class FileWatch:
    """A running file watch: its changes in order, and its warnings."""

    stop: asyncio.Event
    warnings: list[str] = field(default_factory=list)
    _changes: asyncio.Queue[frozenset[FileChange]] = field(default_factory=asyncio.Queue)

    async def next(self) -> frozenset[FileChange]:
        """Wait for the next change, and return it."""
        return await asyncio.wait_for(self._changes.get(), LONG)

    def put(self, changed: frozenset[FileChange]) -> None:
        """Add a change."""
        self._changes.put_nowait(changed)


@asynccontextmanager
async def watch_files(
    watched: WatchedPaths | Callable[[], WatchedPaths],
    *,
    since: FileSnapshot | None = None,
    every: float = NEVER,
    events: DirectoryEvents = awatch,
    clock: Clock | None = None,
) -> AsyncIterator[FileWatch]:
    """Watch files, by default from their current state; without file events they are scanned every `every` seconds."""
    paths = watched if callable(watched) else lambda: watched
    file_watch = FileWatch(asyncio.Event())
    since = since or scan(paths()).snapshot

    async def watch() -> None:
        changes = file_changes(
            paths,
            stop=file_watch.stop,
            clock=clock or SystemClock(),
            warn=file_watch.warnings.append,
            since=since,
            every=every,
            events=events,
        )
        async with aclosing(changes):
            async for changed in changes:
                file_watch.put(changed)

    task = asyncio.create_task(watch())
    try:
        yield file_watch
    finally:
        file_watch.stop.set()
        await asyncio.wait_for(task, LONG)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; fail if it does not hold in time."""
    async with asyncio.timeout(LONG):
        while not condition():  # noqa: ASYNC110 — there is no event to wait for
            await asyncio.sleep(0.005)


def replace_file(path: Path, text: str) -> None:
    """Replace a file as editors do: write a temporary file beside it, then rename that."""
    temporary = path.with_name("4913.tmp")
    temporary.write_text(text)
    temporary.rename(path)


def relink(link: Path, target: str) -> None:
    """Change the target of a symbolic link in one step."""
    temporary = link.with_name(".relinked")
    temporary.symlink_to(target)
    temporary.rename(link)


@dataclass
class ConfigMapMount:
    """A ConfigMap or Secret as the kubelet mounts and updates it: all files in one step, by a link to a folder."""

    directory: Path
    _versions: int = 0

    def update(self, files: dict[str, str]) -> None:
        """Replace all files."""
        self._versions += 1
        version, data = self.directory / f"..2026_{self._versions}", self.directory / "..data"
        version.mkdir(parents=True)
        for name, text in files.items():
            (version / name).write_text(text)
        before = data.resolve() if data.is_symlink() else None
        relink(data, version.name)
        for name in files:
            if not (self.directory / name).is_symlink():
                (self.directory / name).symlink_to(f"..data/{name}")
        for link in self.directory.iterdir():
            if not link.name.startswith("..") and link.name not in files:
                link.unlink()
        if before is not None:
            shutil.rmtree(before)


@dataclass
class GitSyncCheckout:
    """A repository as git-sync checks it out: each commit has a folder, and `current` links to one of them."""

    directory: Path

    @property
    def current(self) -> Path:
        """The link to the commit that is checked out."""
        return self.directory / "current"

    def checkout(self, commit: str, files: dict[str, str]) -> None:
        """Check a commit out, and delete the previous one."""
        tree = self.directory / ".worktrees" / commit
        for name, text in files.items():
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        before = self.current.resolve() if self.current.is_symlink() else None
        relink(self.current, f".worktrees/{commit}")
        if before is not None:
            shutil.rmtree(before)
