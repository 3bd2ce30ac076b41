"""The inputs of a controller, which loads them repeatedly."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from octosync.cli.inputs import LoadedInputs, load_inputs
from octosync.cli.run_options import ManifestFlags, RemoteFlags
from octosync.errors import UsageError
from octosync.manifest import (
    STDIN,
    Cache,
    Configuration,
    configuration_places,
)
from octosync.manifest.git.repository import git_author, git_commit, git_web_address
from octosync.model import truncated
from octosync.watch.manifests.desired import ManifestLoad
from octosync.watch.manifests.file_snapshot import WatchedPaths
from octosync.watch.status import CommitStatus, clone_of

_LONGEST_AUTHOR: Final = 80  # characters
_LONGEST_SUBJECT: Final = 200
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class InputsReloader:
    """Loads the inputs again and again for the controller: called from any thread, one call at a time. Prints nothing.

    The constructor raises `UsageError` for `-f -`, which can be read only once. A call raises as `load_inputs` does.
    """

    flags: ManifestFlags
    remote: RemoteFlags
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def __post_init__(self) -> None:
        if STDIN in self.flags.paths:
            raise UsageError(
                "stdin-watched",
                "-f - reads standard input, which can't be watched for changes",
                hints=("Name files or folders with -f, or a kustomization with -k.",),
            )

    def __call__(self, cache: Cache) -> ManifestLoad:
        """Load the inputs."""
        inputs = load_inputs(self.flags, self.remote, self.environment, cache=cache)
        watched = self._watched(inputs)
        folder, revision = _revision(inputs)
        return ManifestLoad(
            configuration=inputs.configuration,
            context=inputs.context,
            manifests=inputs.manifests,
            diagnostics=inputs.diagnostics,
            fails=inputs.fails,
            revision=revision,
            commit=_commit(folder, revision) if revision else None,
            watched=watched,
            clone=clone_of((*watched.paths, *watched.kustomizations, *watched.configuration)),
        )

    @property
    def watched(self) -> WatchedPaths:
        """The paths to watch before the first load, which follow from the flags alone."""
        return self._watched(LoadedInputs(configuration=Configuration(), kustomize=self.flags.kustomize))

    def _watched(self, inputs: LoadedInputs) -> WatchedPaths:
        config, context = self.flags.config, inputs.context
        # Also the paths of octosync.yaml, beside those of flags: what their manifests declare must not be removed.
        kustomize = inputs.kustomize or self.flags.kustomize
        own = () if kustomize is not None else inputs.configuration.paths_of(context)
        within = inputs.configuration.bounds()
        own = tuple(path for path in own if within is None or within.hold(os.path.realpath(path)))
        token = self.remote.token_file or (context.token_file if context is not None else None)
        return WatchedPaths(
            paths=tuple(dict.fromkeys((*self.flags.paths, *own))),
            kustomizations=() if kustomize is None else (kustomize,),
            configuration=tuple(map(str, (config,) if config is not None else configuration_places(Path()))),
            tokens=() if token is None else (str(token),),
        )


def _revision(inputs: LoadedInputs) -> tuple[Path, str]:
    """Return the folder of the manifests, and the commit of their work tree; "" if it is unknown.

    Without git, it is the name of a folder on the path, because git-sync names folders by their commits.
    """
    place = inputs.kustomize or next(iter(inputs.paths), ".")
    real = Path(os.path.realpath(place))
    folder = real if real.is_dir() else real.parent
    commit = git_commit(folder)
    return folder, commit or next((name for name in reversed(real.parts) if _COMMIT.fullmatch(name)), "")


@lru_cache(maxsize=8)
def _commit(folder: Path, revision: str) -> CommitStatus:
    """Return what Git knows of a commit. Cached, because the same commit is loaded again and again."""
    author, subject = git_author(folder, revision)
    repository = git_web_address(folder)
    page = "commits" if urlsplit(repository).hostname == "bitbucket.org" else "commit"
    url = f"{repository}/{page}/{revision}" if repository else ""
    shown = truncated(author, _LONGEST_AUTHOR), truncated(subject, _LONGEST_SUBJECT)
    return CommitStatus(revision=revision, author=shown[0], subject=shown[1], url=url)
