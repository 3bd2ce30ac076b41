"""About a run: what a plan was made from and with. Facts for reports and approvals; the plan itself depends on none of them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from octosync.model import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlane:
    """Where live state was read: the API's base URL, the org (None: not known) and the context's name (None: none chosen)."""

    url: str
    org_id: str | None = None
    context: str | None = None

    @property
    def public_url(self) -> str:
        """The URL without the part of its authority that could hold a credential."""
        scheme, separator, rest = self.url.rpartition("://")
        authority, slash, path = rest.partition("/")
        return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"

    @property
    def host(self) -> str:
        """Host and port, as people name the place."""
        return self.public_url.rpartition("://")[2].partition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """What was asked for, as it was typed or configured: enough to read the same manifests and come to the same plan.

    `optimize` is the upper bound that was given, None for none; `previews`: whether they were asked for.
    """

    paths: tuple[str, ...] = ()
    kustomize: str | None = None
    apps: tuple[str, ...] = ()
    selector: str | None = None
    base: str | None = None
    changed_only: bool = False
    optimize: str | None = None
    previews: bool = True

    def arguments(self) -> Iterator[str]:
        """Yield the command-line arguments that ask for the same."""
        for path in self.paths:
            yield from ("-f", path)
        if self.kustomize is not None:
            yield from ("-k", self.kustomize)
        for app in self.apps:
            yield from ("--app", app)
        if self.selector is not None:
            yield from ("-l", self.selector)
        if self.base is not None:
            yield from ("--base", self.base)
        if self.changed_only:
            yield "--changed-only"
        if self.optimize is not None:
            yield from ("--optimize", self.optimize)
        if not self.previews:
            yield "--no-preview"


@dataclass(frozen=True, slots=True, kw_only=True)
class GitRevision:
    """Where the manifests stood in Git: full revisions; `dirty` says that the tree has changes beyond `revision`."""

    revision: str
    dirty: bool = False
    base: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestSet:
    """What was loaded: a digest over all of it (`sha256:…`), how many files, how many apps, selected or not."""

    digest: str
    files: int
    apps: int
    git: GitRevision | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """All that a report says about a run beside its plan.

    `timestamp` has a zone (`ValueError` without). `requests_per_minute` is the pace of the client, 0 for no limit.
    `typed` is the apply's command line up to the flags of guards, such as `("octosync", "apply", "plan.json")`; empty:
    it follows from the invocation. `typed_to_look` are the flags of a command that only asks the same control plane.
    `trailers` are the guards that a line of a commit lifts. `plan_key` makes the document's fingerprints, None for none.
    """

    octosync_version: str
    timestamp: datetime
    control_plane: ControlPlane
    invocation: Invocation
    manifests: ManifestSet
    requests_per_minute: int = 100
    typed: tuple[str, ...] = ()
    typed_to_look: tuple[str, ...] = ()
    trailers: tuple[str, ...] = ()
    plan_key: Secret | None = None

    def __post_init__(self) -> None:
        if self.timestamp.utcoffset() is None:
            raise ValueError("the timestamp of a run needs a zone")

    @property
    def apply_command(self) -> str:
        """The command line that applies what this run is about, quoted for a shell, without any guard's flag."""
        return shlex.join(self.typed or ("octosync", "apply", *self.invocation.arguments()))

    def status_command(self, slug: str) -> str:
        """Return the command line that shows how an app stands, quoted for a shell."""
        return shlex.join(("octosync", "status", *self.typed_to_look, slug))

    def seconds_for(self, requests: int) -> int:
        """How long so many requests take at the rate limit, in whole seconds, rounded up; 0 where there is no limit."""
        return -(-requests * 60 // self.requests_per_minute) if self.requests_per_minute else 0
