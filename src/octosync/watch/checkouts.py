"""Checkouts: whether git is writing the files of a commit: while it is, some of them are of another one still."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from octosync.watch.manifests.file_snapshot import WatchedPaths

_LONGEST_LINK = 4096


def is_checking_out(watched: WatchedPaths) -> bool:
    """Say whether git holds the lock of a tree in which manifests stand. One that was left by a crash is held for ever."""
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
