"""Limits of loading: which files links may lead to, and how long reading may take.

A committed link must not give its author access to other files: a link in a Git work tree must lead to a file in that work
tree, any other link to a file below the named path. `.git` is always out of bounds: it may hold credentials. A thread can't
be stopped from outside, so long operations check the deadline regularly.
"""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Final

from octosync.errors import OctosyncError

_MOST_LINKS: Final = 40  # as many as Linux follows
_GIT: Final = ".git"
_FOLDER: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class OutOfBoundsError(Exception):
    """A path leads out of `root`."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.root = root


@dataclass(frozen=True, slots=True)
class Bounds:
    """A real path; the path itself and everything below it is inside."""

    root: str

    @classmethod
    def around(cls, path: str) -> Bounds:
        """Return the bounds of what is below an absolute path: its Git work tree, else the path itself.

        Raises `OutOfBoundsError` if a link on the path leads out of the work tree that the link is in.
        """
        real = os.path.realpath(path)
        for link in links_on(path):
            tree = work_tree(str(link.parent))
            if tree is not None and not cls(tree).hold(real):
                raise OutOfBoundsError(tree)
        return cls(work_tree(real) or real)

    def hold(self, real: str) -> bool:
        """Return whether a real path is inside."""
        if real == self.root:
            return True
        prefix = self.root.rstrip("/") + "/"
        return real.startswith(prefix) and _GIT not in real[len(prefix) :].split("/")

    def open(self, real: str) -> int:
        """Open a file inside, by its real path, without waiting for a writer. Raises `OSError`.

        No link is followed, not even one that replaced a folder after the path was resolved.
        """
        root = self.root if real != self.root else str(Path(real).parent)
        prefix = root.rstrip("/") + "/"
        if not real.startswith(prefix):
            raise OSError(errno.EINVAL, "it is not inside")
        *folders, name = real.removeprefix(prefix).split("/")
        folder = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
        try:
            for part in folders:
                below = os.open(part, _FOLDER, dir_fd=folder)
                os.close(folder)
                folder = below
            return os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)


def work_tree(real: str) -> str | None:
    """Return the Git work tree that a real path is in; None if it is in none."""
    return next((str(folder) for folder in (Path(real), *Path(real).parents) if os.path.lexists(folder / _GIT)), None)


def links_on(path: str) -> Iterator[Path]:
    """Yield each link that an absolute path goes through, in its real folder."""
    here, names, links = "/", deque(PurePosixPath(path).parts[1:]), 0
    while names and links < _MOST_LINKS:
        name = names.popleft()
        if name == "..":
            here = str(Path(here).parent)
            continue
        below = f"{here.rstrip('/')}/{name}"
        try:
            target = PurePosixPath(Path(below).readlink())
        except (OSError, ValueError):
            here = below
            continue
        yield Path(below)
        links += 1
        if target.is_absolute():
            here = "/"
        names.extendleft(reversed(target.parts[1:] if target.is_absolute() else target.parts))


LOAD_TIMEOUT: Final = "load-timeout"


class LoadDeadline:
    """A time limit for loading; `end` ends it early."""

    def __init__(self, span: timedelta) -> None:
        self._span = span
        self._until = time.monotonic() + span.total_seconds()

    def end(self) -> None:
        """Give up loading now."""
        self._until = 0.0

    @property
    def is_over(self) -> bool:
        """Whether loading must be given up."""
        return time.monotonic() >= self._until

    @property
    def error(self) -> OctosyncError:
        """The error that reports giving up."""
        return OctosyncError(
            LOAD_TIMEOUT,
            f"loading the manifests timed out after {self._span.total_seconds():g} s",
            hints=(
                "Check for a very large file. The previous manifests stay in effect until these can be loaded.",
                "If a large set needs more time, raise --load-timeout.",
            ),
        )


_CURRENT: Final[ContextVar[LoadDeadline | None]] = ContextVar("deadline", default=None)


@contextmanager
def load_deadline(span: timedelta) -> Iterator[LoadDeadline]:
    """Limit the time of loading in this context, and in threads that copy it."""
    deadline = LoadDeadline(span)
    before = _CURRENT.set(deadline)
    try:
        yield deadline
    finally:
        _CURRENT.reset(before)


def current_deadline() -> LoadDeadline | None:
    """Return the deadline of this context; None if there is none."""
    return _CURRENT.get()


def check_deadline() -> None:
    """Raise `OctosyncError` if the deadline of loading is over."""
    deadline = _CURRENT.get()
    if deadline is not None and deadline.is_over:
        raise deadline.error
