"""Clones: the names that manifests have in their repository, which are those that a reader has in a clone of it.

A controller reads them below a mount, through links: `/git/current/apps/a.yaml` is `apps/a.yaml` to everyone else.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from octosync.model import Diagnostic


@dataclass(frozen=True, slots=True)
class Clone:
    """The given paths that are in a repository, absolute, and their names in it."""

    known: tuple[tuple[str, str], ...] = ()

    def path(self, path: str) -> str:
        """Return the name of a file or folder in a clone; a path outside of a repository is returned unchanged."""
        if not self.known:
            return path
        absolute = _absolute(path)
        for given, there in self.known:
            if absolute == given or absolute.startswith(f"{given}/"):
                below = absolute[len(given) :].lstrip("/")
                return str(PurePosixPath(there) / below) if below else there
        return path

    def has(self, path: str) -> bool:
        """Return whether a path is valid in a clone: it is in the repository, or relative."""
        return self.path(path) != path or not path.startswith("/")

    def diagnostic(self, diagnostic: Diagnostic) -> Diagnostic:
        """Return a diagnostic with the name that its file has in a clone."""
        origin = diagnostic.origin
        return (
            diagnostic if origin is None else replace(diagnostic, origin=replace(origin, file=self.path(origin.file)))
        )


def clone_of(paths: Iterable[str]) -> Clone:
    """Return the names of paths in their repository. Reads the file system; never raises."""
    return Clone(tuple(_names(dict.fromkeys(paths))))


def _absolute(path: str) -> str:
    return os.path.abspath(path)  # noqa: PTH100 — `resolve` would follow links


def _names(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    for path in paths:
        real = Path(os.path.realpath(path))
        root = next((folder for folder in (real, *real.parents) if os.path.lexists(folder / ".git")), None)
        if root is not None:
            yield _absolute(path), str(PurePosixPath(real.relative_to(root)))
