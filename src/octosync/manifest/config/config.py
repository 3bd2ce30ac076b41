"""octosync.yaml: contexts and policy, as frozen values. This package reads the file; others decide what it means for a run.

Durations as octosync.yaml and flags write them: `30m`, `4h`, `1h30m`, `2d`, `0`.

Version specifiers: what `requires:` in octosync.yaml asks of octosync's own version.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from octosync.contract import Contract
from octosync.errors import UsageError
from octosync.manifest.load.limits import Bounds, work_tree
from octosync.manifest.load.owners import Owner
from octosync.model import Origin, Sensitivity, Severity, closest
from octosync.plan import DEFAULT_TRAILERS, LIMITS

if TYPE_CHECKING:
    from octosync.model import Diagnostic, FreezeWindow, Policy, Receiver
    from octosync.model.state_url import StateUrl

FILE_NAME = "octosync.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A control plane and how to connect to it. Paths are relative to the working directory, or absolute.

    A context is taken whole: without `token_env` and `token_file` no token is sent. `origin` is its position in the file.
    `unreviewed_url` is the URL of a context that only the change under review has; its `url` is "".
    """

    name: str
    url: str
    unreviewed_url: str | None = None
    org: str | None = None
    token_env: str | None = None
    token_file: Path | None = None
    state_url: StateUrl | None = None
    state_url_env: str | None = None
    kustomize: str | None = None
    paths: tuple[str, ...] = ()
    vars: Mapping[str, str] = field(default_factory=dict)
    origin: Origin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardLimits:
    """`guards`: the limits by name, and the guards that a commit line may override."""

    limits: Mapping[str, float] = field(default_factory=lambda: {name: limit.default for name, limit in LIMITS.items()})
    trailers: tuple[str, ...] = DEFAULT_TRAILERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """`rate`: requests per minute (0: no limit, None: the default of the control plane) and concurrent requests."""

    requests_per_minute: int | None = None
    concurrency: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """octosync.yaml, or the defaults without one.

    `file` is its name as shown, None without one; `is_named` is set if the user named it. `directory` is its directory,
    which its paths are relative to. `contract` has `api` applied.
    """

    file: str | None = None
    is_named: bool = False
    directory: Path = field(default_factory=Path)
    contexts: Mapping[str, Context] = field(default_factory=dict)
    default_context: str | None = None
    state_url: StateUrl | None = None
    state_url_env: str | None = None
    paths: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    owners: tuple[Owner, ...] = ()
    guards: GuardLimits = field(default_factory=GuardLimits)
    freeze: tuple[FreezeWindow, ...] = ()
    policies: tuple[Policy, ...] = ()
    drift_hold: timedelta = timedelta(minutes=30)
    max_canaries: int = 5
    notify: tuple[Receiver, ...] = ()
    rate: Rate = field(default_factory=Rate)
    sensitivity: Sensitivity = field(default_factory=Sensitivity)
    contract: Contract = field(default_factory=Contract)

    def context(self, name: str) -> Context:
        """Return a context by its name. Raises `UsageError` where there is none."""
        if name in self.contexts:
            return self.contexts[name]
        if self.file is None:
            hints: tuple[str, ...] = (
                "Contexts are defined in octosync.yaml, but there is none in this directory or above it.",
            )
        elif (close := closest(name, self.contexts)) is not None:
            hints = (f"Did you mean {close}?",)
        else:
            hints = (f"{self.file} has: {', '.join(self.contexts) or 'no contexts'}",)
        raise UsageError("unknown-context", f"there is no context {name}", hints=hints)

    def bounds(self, directory: Path | None = None) -> Bounds | None:
        """Return what the paths that octosync.yaml names may lead to: its Git work tree. None if it is in none.

        Its own path starts from `directory`, else from the working directory.
        """
        folder = os.path.realpath((directory or Path()) / self.directory)
        tree = work_tree(folder) if self.file is not None else None
        return Bounds(tree) if tree is not None else None

    def paths_of(self, context: Context | None) -> tuple[str, ...]:
        """Return the manifests that a context, or octosync.yaml itself, names; relative to the working directory."""
        return (context.paths if context else ()) or self.paths


@dataclass(frozen=True, slots=True)
class ConfigurationResult:
    """A configuration and what is wrong with it; while `has_errors`, the configuration is not to be used."""

    configuration: Configuration
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def has_errors(self) -> bool:
        """Return whether any diagnostic is an error."""
        return any(found.severity is Severity.ERROR for found in self.diagnostics)


def find_configuration(directory: Path) -> Path | None:
    """Return the octosync.yaml in a directory or the nearest one above it, as a path relative to the directory."""
    nearest = configuration_places(directory)[-1]
    return nearest if _is_there(nearest) else None


def configuration_places(directory: Path) -> tuple[Path, ...]:
    """Return the paths at which octosync.yaml is searched for, the nearest first.

    The last one exists, or is at the top of the work tree.
    """
    here = directory.resolve()
    places: list[Path] = []
    for up, parent in enumerate((here, *here.parents)):
        places.append(directory.joinpath(*[".."] * up, FILE_NAME))
        if _is_there(parent / FILE_NAME) or os.path.lexists(parent / ".git"):
            break
    return tuple(places)


def _is_there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
DURATION: Final = re.compile(r"0|(?=\d)(?:\d{1,5}d)?(?:\d{1,5}h)?(?:\d{1,5}m)?(?:\d{1,6}s)?")
MEANING: Final = "a duration such as 30m, 4h or 1h30m"


def parse_duration(text: str) -> timedelta:
    """Read a duration. Raises `ValueError` for anything else."""
    if not DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not {MEANING}")
    parts = re.findall(r"(\d+)([dhms])", text)
    return timedelta(**{_UNITS[unit]: int(number) for number, unit in parts})


def is_allowed(version: str, specifier: str) -> bool:
    """Return whether `>=0.1,<1` allows a version. Raises `ValueError` if it is not a specifier.

    A pre-release counts as its release, unless the specifier itself names a pre-release.
    """
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion, Version

    if not all(map(str.strip, specifier.split(","))):
        raise ValueError(f"{specifier!r} has an empty part")
    allowed = SpecifierSet(specifier)
    try:
        found = Version(version)
    except InvalidVersion:
        return False
    return allowed.contains(found if allowed.prereleases else found.base_version, prereleases=True)
