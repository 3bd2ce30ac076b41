"""Bounds: what the links below a named path may lead to. A committed link must not give its author other files to read.

A link inside of a Git work tree leads to something in that work tree. Otherwise it leads to something below the named path.
Git's own folder is never meant: it may hold credentials.

Patience: after how long reading manifests is given up. What may take long asks now and then whether it may go on.

A thread can't be stopped from outside, so this is how a controller is rid of files that it should not have been given.
"""

from __future__ import annotations

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
    """A path leads out of `root`, which it may not leave."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.root = root


@dataclass(frozen=True, slots=True)
class Bounds:
    """A real path; it and what is below it are inside."""

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
        folder = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
        try:
            *folders, name = PurePosixPath(real).relative_to(root).parts
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


LOAD_GIVEN_UP: Final = "load-given-up"


class LoadDeadline:
    """A bound on time; `end` ends it early."""

    def __init__(self, span: timedelta) -> None:
        self._span = span
        self._until = time.monotonic() + span.total_seconds()

    def end(self) -> None:
        """Give up what is being read."""
        self._until = 0.0

    @property
    def is_over(self) -> bool:
        """Whether what is being read is to be given up."""
        return time.monotonic() >= self._until

    @property
    def error(self) -> OctosyncError:
        """Return what giving up is reported as."""
        return OctosyncError(
            LOAD_GIVEN_UP,
            f"reading the manifests was given up after {self._span.total_seconds():g} s",
            hints=(
                "Is there a huge file among them? What was declared before is in force until they can be read.",
                "A large set that takes longer for good reason: --load-timeout",
            ),
        )


_IN_FORCE: Final[ContextVar[LoadDeadline | None]] = ContextVar("patience", default=None)


@contextmanager
def load_deadline(span: timedelta) -> Iterator[LoadDeadline]:
    """Bound what is read in this context, and in the threads that it is carried over to."""
    patience = LoadDeadline(span)
    before = _IN_FORCE.set(patience)
    try:
        yield patience
    finally:
        _IN_FORCE.reset(before)


def current_deadline() -> LoadDeadline | None:
    """Return the bound of this context; None if there is none."""
    return _IN_FORCE.get()


def check_deadline() -> None:
    """Raise `OctosyncError` if what is being read is to be given up."""
    patience = _IN_FORCE.get()
    if patience is not None and patience.is_over:
        raise patience.error
