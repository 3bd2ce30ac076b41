"""File changes: of manifests, octosync.yaml and the key. Events trigger a scan; its snapshot shows whether anything changed.

It also detects a checkout in progress, during which some files belong to another commit.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, TypeAlias

from watchfiles import Change, awatch

from octosync.watch.manifests.file_snapshot import (
    FileChange,
    FileScan,
    FileSnapshot,
    WatchedDirectory,
    WatchedPaths,
    scan,
)
from octosync.watch.settings import Clock

_LONGEST_LINK = 4096


def is_checking_out(watched: WatchedPaths) -> bool:
    """Return whether Git holds the lock of a work tree with manifests. A lock that was left by a crash is held for ever."""
    return any((git / "index.lock").exists() for git in set(_repositories(watched)))


def _repositories(watched: WatchedPaths) -> Iterator[Path]:
    for path in (*watched.paths, *watched.kustomizations):
        real = Path(os.path.realpath(path))
        for folder in (real, *real.parents):
            found = folder / ".git"
            if found.is_dir():
                yield found
                break
            if found.is_file():  # a linked work tree's, or a submodule's
                linked = _linked(found)
                if linked is not None:
                    yield linked
                break


def _linked(file: Path) -> Path | None:
    try:
        with file.open(encoding="utf-8", errors="surrogateescape") as opened:
            word, _, path = opened.read(_LONGEST_LINK).strip().partition(": ")
    except OSError:
        return None
    return file.parent / path if word == "gitdir" and "\0" not in path else None


# Events come in batches of this many milliseconds: a batch ends when a step brings nothing new, or after the second.
_STEP: Final = 40
_LONGEST_BATCH: Final = 200
# What changes is left to settle for this long, and never for longer than that in all.
_QUIET: Final = 0.1
_LONGEST_UNREST: Final = 1.2
# Seconds between scans without an event: links and mounts can change without one. Scans take this share of the time at most.
EVERY: Final = 2.0
_POLLING: Final = 0.5
_SHARE: Final = 0.1

# What notices changes in directories, called as `awatch` is.
DirectoryEvents: TypeAlias = Callable[..., AsyncGenerator[set[tuple[Change, str]], None]]


async def file_changes(
    watched: Callable[[], WatchedPaths],
    *,
    stop: asyncio.Event,
    clock: Clock,
    warn: Callable[[str], None],
    since: FileSnapshot | None = None,
    every: float = EVERY,
    events: DirectoryEvents = awatch,
    on_event: Callable[[], None] = lambda: None,
) -> AsyncGenerator[frozenset[FileChange], None]:
    """Yield what may have changed, each time that files came to rest after a change, until `stop` is set.

    The first comparison is with the snapshot `since` (that of the last load), if given, else with the current files. `watched`
    is called at every scan: octosync.yaml may name other paths by then. If `events` fails (the system's limits are reached,
    for example), `warn` is called once and files are scanned twice a second; otherwise, without an event, every `every` seconds.
    `on_event` is called as soon as something may have changed. A caller that stops early must close the generator
    (`contextlib.aclosing`).
    """
    seen = since
    listener = _DirectoryListener(warn, events)
    try:
        while not stop.is_set():
            await listener.listen_again()
            started, paths = clock.monotonic(), watched()
            scanned = await asyncio.to_thread(scan, paths)
            took = clock.monotonic() - started
            if await listener.listens_to(scanned.places):
                continue  # there is no event for what happened up to now
            if seen is None:
                seen = scanned.snapshot
            if scanned.snapshot != seen:
                listener.changed.clear()
                scanned = await _settled(scanned, watched, stop, clock)
                changed = scanned.snapshot.changes_since(seen)
                seen = scanned.snapshot
                if changed and not stop.is_set():
                    yield changed
                if not listener.hears_in(scanned.places) or listener.changed.is_set() or watched() != paths:
                    continue  # else nothing has happened since that scan
            pause = every if listener.hears else _POLLING
            await _first_of(stop.wait(), listener.changed.wait(), clock.sleep(max(pause, took / _SHARE)))
            if listener.changed.is_set():
                listener.changed.clear()
                on_event()
    finally:
        await listener.close()


async def _settled(
    scanned: FileScan, watched: Callable[[], WatchedPaths], stop: asyncio.Event, clock: Clock
) -> FileScan:
    """Wait until nothing changes for a moment: an editor writes a file in pieces, a checkout writes many."""
    latest = clock.monotonic() + _LONGEST_UNREST
    while not stop.is_set():
        await _first_of(stop.wait(), clock.sleep(_QUIET))
        before, scanned = scanned, await asyncio.to_thread(scan, watched())
        rests = scanned.snapshot == before.snapshot and not await asyncio.to_thread(is_checking_out, watched())
        if rests or clock.monotonic() >= latest:
            break
    return scanned


class _DirectoryListener:
    """Listens for events of directories; warns once if the system offers none."""

    def __init__(self, warn: Callable[[str], None], events: DirectoryEvents) -> None:
        self.changed = asyncio.Event()
        self._is_deaf = False
        self._warn = warn
        self._events = events
        self._places: Mapping[str, WatchedDirectory] = {}
        self._stop = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    @property
    def hears(self) -> bool:
        """Whether it listens at the moment."""
        return self._listening is not None and not self._listening.done()

    def hears_in(self, places: Mapping[str, WatchedDirectory]) -> bool:
        """Return whether it listens in exactly these directories."""
        return self.hears and places == self._places

    async def listens_to(self, places: Mapping[str, WatchedDirectory]) -> bool:
        """Listen in these directories from now on; return whether listening began anew."""
        if self.hears_in(places):
            return False
        await self.close()
        if self._is_deaf or not places:
            return False
        self._places = places
        self._stop = asyncio.Event()
        self._listening = asyncio.create_task(self._listen(places, self._stop))
        await asyncio.sleep(0)  # not for the time: the task's first step is what begins to listen
        return self.hears

    async def listen_again(self) -> None:
        """Listen in the same directories as before, if that has ended: most often, they are still the right ones."""
        if not self.hears:
            await self.listens_to(self._places)

    async def close(self) -> None:
        """Stop. Threads and descriptors are gone when this returns."""
        if self._listening is None:
            return
        self._stop.set()
        listening, self._listening = self._listening, None
        await listening

    async def _listen(self, places: Mapping[str, WatchedDirectory], stop: asyncio.Event) -> None:
        def counts(change: Change, path: str) -> bool:
            name = Path(path)
            place = places.get(str(name.parent))
            # The deletion of the directory itself counts, regardless of the name of the event.
            return (place is not None and place.is_relevant(name.name)) or (change is Change.deleted and path in places)

        try:
            batches = self._events(
                *places,
                watch_filter=counts,
                debounce=_LONGEST_BATCH,
                step=_STEP,
                stop_event=stop,
                recursive=False,
            )
            async with aclosing(batches):
                async for batch in batches:
                    self.changed.set()
                    if any(change is not Change.modified for change, _ in batch):
                        # A directory may have been made anew under its old name, and would not be listened to.
                        return
        except (FileNotFoundError, PermissionError):
            return  # a directory is gone, or closed: the next scan has others
        except (OSError, RuntimeError) as error:
            self._go_deaf(error)

    def _go_deaf(self, error: Exception) -> None:
        if not self._is_deaf:
            why = str(error).partition(" about [")[0].rstrip(".")
            self._warn(
                f"the system does not report file changes ({why}), so files are checked twice a second instead; "
                "more is allowed by fs.inotify.max_user_watches and fs.inotify.max_user_instances"
            )
        self._is_deaf = True
        self.changed.set()


async def _first_of(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait for the first of some; the others are called off."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
