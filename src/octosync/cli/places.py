"""Places in the repository: what a file that was named from here is called from its root."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from octosync.manifest.git.repository import git_root
from octosync.model import Origin


def places_in(environment: Mapping[str, str]) -> Callable[[Origin], str | None]:
    """Return what names a place's file from the repository's root: GITHUB_WORKSPACE, else Git's, else this folder.

    It answers None for what is not in there, such as standard input.
    """
    here = Path.cwd()

    @cache  # Git is asked where a place is named, and once
    def root() -> Path:
        return Path(os.path.realpath(environment.get("GITHUB_WORKSPACE") or git_root(here) or here))

    def name(origin: Origin) -> str | None:
        if origin.file.startswith("<"):
            return None
        # The folder's links are followed, the file's own is not: it stands in the repository under its own name.
        file = here / origin.file
        found = Path(os.path.realpath(file.parent)) / file.name
        return found.relative_to(root()).as_posix() if found.is_relative_to(root()) else None

    return name
