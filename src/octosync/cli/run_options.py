"""The values of options that commands share, and the arguments that repeat them in another command.

Whether the command line or the environment set a value is recorded here, if it matters: code below the command functions does
not use click.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from octosync.errors import UsageError
from octosync.report import MAX_BYTES

if TYPE_CHECKING:
    from octosync.model import Address
    from octosync.plan import Allowance, Invocation
    from octosync.state import StateLocation


def flag_arguments(*named: tuple[str, object]) -> tuple[str, ...]:
    """Return the flags that have a value, each followed by it."""
    return tuple(part for name, value in named if value is not None for part in (name, str(value)))


@dataclass(frozen=True, slots=True)
class StateFlag:
    """The value of `--state`, None if it is not given. `is_typed`: the command line has it, not OCTOSYNC_STATE."""

    location: StateLocation | None = None
    is_typed: bool = False

    @property
    def source(self) -> str:
        """What has the value."""
        return "--state" if self.is_typed else "OCTOSYNC_STATE"

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments that name the same state in another command. The environment is there when that is run."""
        from octosync.state import DEFAULT_PATH, StateUrl

        if self.location is None or self.location == DEFAULT_PATH:
            return ()
        if isinstance(self.location, StateUrl):
            return ("--state", self.location.text_without_password) if self.is_typed else ()
        return ("--state", str(self.location))

    @property
    def shared_arguments(self) -> tuple[str, ...]:
        """The arguments that name the same shared state; none for a file, which only the journal is in."""
        from octosync.state import StateUrl

        return self.arguments if isinstance(self.location, StateUrl) else ()

    @property
    def arguments_elsewhere(self) -> tuple[str, ...]:
        """The arguments that name the same state on another machine: none for a file."""
        from octosync.state import StateUrl

        url = self.location
        if not isinstance(url, StateUrl):
            return ()
        return ("--state", url.text_without_password if self.is_typed else str(url))


@dataclass(frozen=True, slots=True)
class LockTimeout:
    """How long a run waits for the lock of a shared state: as written, and in seconds."""

    text: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestFlags:
    """The values of the manifest options."""

    paths: tuple[str, ...] = ()
    kustomize: str | None = None
    allow_remote_bases: bool = False
    config: Path | None = None
    env_allowed: tuple[str, ...] = ()
    allow_empty: bool = False
    strict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFlags:
    """The options that name the control plane; None for those that are not set.

    `from_command_line` are the names of those that the command line sets, which take precedence over the environment.
    """

    context: str | None = None
    url: str | None = None
    org: str | None = None
    token_file: Path | None = None
    rate: int | None = None
    concurrency: int | None = None
    insecure: bool = False
    from_command_line: frozenset[str] = frozenset()

    def connection_arguments(self, config: Path | None) -> tuple[str, ...]:
        """Return the arguments that make a read-only command use the same control plane."""
        return (
            *flag_arguments(("--config", config), *self.connection_flags),
            *(("--insecure",) if self.insecure else ()),
        )

    @property
    def connection_flags(self) -> tuple[tuple[str, object], ...]:
        """The flags that name the control plane, org and key; None for those that are not set.

        A file with a key that the environment names is left out: the environment is there when the command is repeated.
        """
        return (
            ("--context", self.context),
            ("--url", self.url),
            ("--org", self.org),
            ("--token-file", self.token_file if "token_file" in self.from_command_line else None),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseFlags:
    """The values of the options about the base.

    `applied` is the last revision that was applied in full, None if it is not known. `goes_back`: the base is the revision
    itself, because the checked-out commit is older on purpose. `reviews`: settings of octosync.yaml that need a review are taken
    from the base. `approved` is the commit that a plan file records as its base, None without a plan file.
    """

    base: str | None = None
    base_file: str | None = None
    applied: str | None = None
    attempted: tuple[str, ...] = ()
    changed_only: bool = False
    prune: bool = False
    offline: bool = False
    drift_hold: str | None = None
    goes_back: bool = False
    reviews: bool = False
    approved: str | None = None

    @property
    def given(self) -> bool:
        """Whether there is a base."""
        return self.base is not None or self.base_file is not None

    def check(self, manifests: ManifestFlags) -> None:
        """Raise `UsageError` for options that need a base, or that exclude each other."""
        from octosync.manifest import STDIN

        if manifests.kustomize is not None and manifests.paths:
            raise UsageError(
                "file-with-kustomize",
                "-f and -k are both given, and each of them names all manifests",
                hints=("Remove one of them.",),
            )
        if manifests.allow_remote_bases and self.offline:
            raise UsageError(
                "offline-with-remote-bases",
                "--offline and --allow-remote-bases exclude each other: offline, nothing is fetched",
                hints=("Remove one of them.",),
            )
        if not self.given:
            needs = {"--applied": self.applied, "--attempted": self.attempted, "--changed-only": self.changed_only}
            for flag, value in {**needs, "--prune": self.prune, "--offline": self.offline}.items():
                if value:
                    raise UsageError(
                        "needs-a-base",
                        f"{flag} needs a base to compare with",
                        hints=("Give --base REV, such as --base origin/main, or --base-file PATH.",),
                    )
        if self.base_file == STDIN:
            raise UsageError("base-file-is-stdin", "--base-file takes a file, not standard input")
        if self.base is not None and self.base_file is None and STDIN in manifests.paths:
            raise UsageError(
                "stdin-with-base",
                "-f - with --base: Git does not have the base of manifests from standard input",
                hints=(
                    "Give the manifests of the base with --base-file PATH, or let octosync render them with -k DIR.",
                ),
            )
        if (self.attempted or self.applied is not None) and STDIN in manifests.paths:
            flag = "--attempted" if self.attempted else "--applied"
            raise UsageError(
                "stdin-with-attempted",
                f"-f - with {flag}: Git does not have earlier manifests from standard input",
                hints=("Let octosync render them with -k DIR.",),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """The options that plan and apply share. `guards` has what flags allow, by the guard's ID."""

    manifests: ManifestFlags
    remote: RemoteFlags
    guards: Mapping[str, Allowance]
    base: BaseFlags = field(default_factory=BaseFlags)
    state: StateFlag = field(default_factory=StateFlag)
    apps: tuple[str, ...] = ()
    selector: str | None = None
    objects: tuple[Address, ...] = ()
    colour: str = "auto"
    full: bool = False
    max_bytes: int = MAX_BYTES
    optimize: str | None = None
    previews: bool = True
    retry_rolled_back: bool = False

    def invocation(self, paths: tuple[str, ...], kustomize: str | None) -> Invocation:
        """Return the invocation that plan documents contain, with manifests from `paths` or `kustomize`.

        Paths and apps are sorted: their order has no meaning, so it doesn't change the document.
        """
        from octosync.plan import Invocation

        return Invocation(
            paths=tuple(sorted(set(paths))),
            kustomize=kustomize,
            apps=tuple(sorted(set(self.apps))),
            selector=self.selector,
            objects=tuple(map(str, sorted(set(self.objects)))),
            base=self.base.base,
            changed_only=self.base.changed_only,
            optimize=self.optimize,
            previews=self.previews,
        )

    @property
    def selection_arguments(self) -> tuple[str, ...]:
        """The arguments that select the same manifests and apps, without those that octosync.yaml names."""
        return tuple(self.invocation(self.manifests.paths, self.manifests.kustomize).arguments())

    @property
    def repeat_arguments(self) -> tuple[str, ...]:
        """The arguments besides paths and selection that repeat this request; without flags of guards."""
        manifests, remote, base = self.manifests, self.remote, self.base
        switches = (
            ("--allow-empty", manifests.allow_empty),
            ("--allow-remote-bases", manifests.allow_remote_bases),
            ("--strict", manifests.strict),
            ("--insecure", remote.insecure),
            ("--retry-rolled-back", self.retry_rolled_back),
            ("--prune", base.prune),
        )
        return (
            *flag_arguments(
                ("--config", manifests.config),
                *(("--env", name) for name in manifests.env_allowed),
                *remote.connection_flags,
                ("--base-file", base.base_file),
                *(("--attempted", revision) for revision in base.attempted),
                ("--drift-hold", base.drift_hold),
            ),
            *(name for name, given in switches if given),
            *self.state.shared_arguments,
        )
