"""Watching files as the controller does: what it yields, awaited one by one; and how others replace files."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from watchfiles import awatch

from octosync.watch.manifests.file_snapshot import FileChange, FileSnapshot, WatchedPaths, scan
from octosync.watch.manifests.files import DirectoryEvents, file_changes
from octosync.watch.settings import Clock, SystemClock

LONG = 20.0  # seconds after which what is awaited is taken never to come
NEVER = 10_000.0
MANIFESTS = frozenset({FileChange.MANIFESTS})
TOKEN = frozenset({FileChange.TOKEN})


@dataclass
class FileWatch:
    """What is yielded while one watches, in order."""

    stop: asyncio.Event
    warnings: list[str] = field(default_factory=list)
    _came: asyncio.Queue[frozenset[FileChange]] = field(default_factory=asyncio.Queue)

    async def next(self) -> frozenset[FileChange]:
        """Return the next, which has to come before long."""
        return await asyncio.wait_for(self._came.get(), LONG)

    def tell(self, changed: frozenset[FileChange]) -> None:
        """Take one in."""
        self._came.put_nowait(changed)


@asynccontextmanager
async def watch_files(
    watched: WatchedPaths | Callable[[], WatchedPaths],
    *,
    since: FileSnapshot | None = None,
    every: float = NEVER,
    events: DirectoryEvents = awatch,
    clock: Clock | None = None,
) -> AsyncIterator[FileWatch]:
    """Watch, from what is there now; without events only every so many seconds, which is never unless it is said."""
    asked = watched if callable(watched) else lambda: watched
    news = FileWatch(asyncio.Event())
    since = since or scan(asked()).snapshot

    async def watch() -> None:
        yielded = file_changes(
            asked,
            stop=news.stop,
            clock=clock or SystemClock(),
            warn=news.warnings.append,
            since=since,
            every=every,
            events=events,
        )
        async with aclosing(yielded):
            async for changed in yielded:
                news.tell(changed)

    task = asyncio.create_task(watch())
    try:
        yield news
    finally:
        news.stop.set()
        await asyncio.wait_for(task, LONG)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, which has to be before long."""
    async with asyncio.timeout(LONG):
        while not holds():  # noqa: ASYNC110 — nobody tells when
            await asyncio.sleep(0.005)


def replace_file(path: Path, text: str) -> None:
    """Replace a file as editors do: another is written beside it, and takes its name."""
    beside = path.with_name("4913.tmp")
    beside.write_text(text)
    beside.rename(path)


def relink(link: Path, target: str) -> None:
    """Let a link point elsewhere, in one step."""
    beside = link.with_name(".relinked")
    beside.symlink_to(target)
    beside.rename(link)


@dataclass
class ConfigMapMount:
    """A ConfigMap or Secret as the kubelet mounts it, and updates it: everything in one step, by a link to a folder."""

    directory: Path
    _versions: int = 0

    def update(self, files: dict[str, str]) -> None:
        """Replace all files by these."""
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
    """A repository as git-sync checks it out: every commit is a folder of its own, and `current` links to one."""

    directory: Path

    @property
    def current(self) -> Path:
        """The link through which it is read."""
        return self.directory / "current"

    def checkout(self, commit: str, files: dict[str, str]) -> None:
        """Check a commit out; what was there before is deleted."""
        tree = self.directory / ".worktrees" / commit
        for name, text in files.items():
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        before = self.current.resolve() if self.current.is_symlink() else None
        relink(self.current, f".worktrees/{commit}")
        if before is not None:
            shutil.rmtree(before)
