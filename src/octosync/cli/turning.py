"""What plan and apply share: from flags to a turn, and what a report says about it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from octosync import __version__
from octosync.cli.connecting import RemoteFlags, connect, control_plane
from octosync.cli.gathering import Gathered, ManifestFlags, gather_or_report
from octosync.cli.progress import ProgressBar, Waits
from octosync.errors import ExitCode, Missing, OctosyncError, RemoteError
from octosync.manifest import select
from octosync.manifest.git import git_revision
from octosync.model import Optimize, State
from octosync.octomil import Connection, Octomil
from octosync.plan import (
    ControlPlane,
    DeployPolicy,
    GuardPolicy,
    Invocation,
    ManifestSet,
    RunInfo,
    all_diagnostics,
    overrides_of,
)
from octosync.reconcile import Turn, look
from octosync.report import MAX_BYTES, Planned, is_valid


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardFlags:
    """What this run allows beyond the guards' limits."""

    allow_deletes: int | str | None = None
    allow_archives: int | None = None
    allow_protected: bool = False
    allow_during_canary: bool = False
    allow_live_traffic: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """All that plan and apply have in common on the command line."""

    manifests: ManifestFlags
    remote: RemoteFlags
    guards: GuardFlags
    apps: tuple[str, ...] = ()
    selector: str | None = None
    colour: str = "auto"
    full: bool = False
    max_bytes: int = MAX_BYTES
    optimize: str | None = None
    previews: bool = True
    retry_rolled_back: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Everything that is known before the first request."""

    asked: Asked
    gathered: Gathered
    desired: State
    connection: Connection
    policy: GuardPolicy
    deploy: DeployPolicy
    invocation: Invocation

    def info(self, turn: Turn, typed: tuple[str, ...] = ()) -> RunInfo:
        """Say about a run what its reports need beside the plan."""
        manifests = self.gathered.manifests
        return RunInfo(
            octosync_version=__version__,
            timestamp=datetime.now(UTC),
            control_plane=self.control_plane(turn),
            invocation=self.invocation,
            manifests=ManifestSet(
                digest=manifests.digest,
                files=manifests.files,
                apps=len(manifests.state.apps),
                git=git_revision(Path()),
            ),
            requests_per_minute=self.connection.requests_per_minute,
            typed=typed,
            typed_to_look=self.typed_to_look,
        )

    def control_plane(self, turn: Turn) -> ControlPlane:
        """Say where live state was read."""
        return control_plane(self.connection, self.gathered.context, turn.seen.org_id)

    @property
    def typed_again(self) -> tuple[str, ...]:
        """What has to be typed again beside paths and selection, so that a command means the same; no guard's flag."""
        manifests, remote = self.asked.manifests, self.asked.remote
        switches = (
            ("--allow-empty", manifests.allow_empty),
            ("--strict", manifests.strict),
            ("--insecure", remote.insecure),
            ("--retry-rolled-back", self.asked.retry_rolled_back),
        )
        return (
            *_typed(
                ("--config", manifests.config),
                *(("--env", name) for name in manifests.env_allowed),
                *self._control_plane_flags,
            ),
            *(name for name, given in switches if given),
        )

    @property
    def typed_to_look(self) -> tuple[str, ...]:
        """What has to be typed again of a command that only asks the same control plane."""
        config, remote = self.asked.manifests.config, self.asked.remote
        return (
            *_typed(("--config", config), *self._control_plane_flags),
            *(("--insecure",) if remote.insecure else ()),
        )

    @property
    def _control_plane_flags(self) -> tuple[tuple[str, object], ...]:
        remote = self.asked.remote
        return (
            ("--context", remote.context),
            ("--url", remote.url),
            ("--org", remote.org),
            ("--token-file", remote.token_file),
        )

    @property
    def typed_overrides(self) -> tuple[str, ...]:
        """The guards' flags of this run, as they have to be typed again."""
        overrides = overrides_of(self.policy)
        return tuple(part for override in overrides for part in (override.source, override.value) if part)

    def planned(self, turn: Turn, info: RunInfo, *, command: str) -> Planned:
        """Return the plan and all that its reports say of it."""
        return Planned(
            plan=turn.plan,
            about=info,
            contract=self.gathered.configuration.contract,
            blocked=turn.blocked,
            overrides=overrides_of(self.policy),
            diagnostics=self.gathered.diagnostics,
            sensitivity=self.gathered.configuration.sensitivity,
            full=self.asked.full,
            command=command,
        )

    def fails_strictly(self, turn: Turn) -> bool:
        """Say whether `--strict` turns what the plan warns of into an error."""
        return not is_valid(all_diagnostics(turn.plan, self.gathered.diagnostics), strict=self.gathered.strict)


def prepare(asked: Asked, saw: Callable[[Gathered], None] | None = None) -> Prepared | ExitCode:
    """Load and check everything that needs no request; an exit code where that ends the run, reported on stderr.

    `saw` is told what the manifests came to, in both cases.
    """
    gathered = gather_or_report(asked.manifests, asked.remote, colour=asked.colour, saw=saw)
    if isinstance(gathered, ExitCode):
        return gathered
    limits = gathered.configuration.guards
    return Prepared(
        asked=asked,
        gathered=gathered,
        desired=select(gathered.manifests.state, apps=asked.apps, selector=asked.selector),
        connection=connect(asked.remote, gathered.configuration, gathered.context, os.environ),
        policy=GuardPolicy(
            max_deletes=limits.max_deletes,
            max_delete_percent=limits.max_delete_percent,
            min_objects=limits.min_objects,
            max_archives=limits.max_archives,
            allow_deletes=asked.guards.allow_deletes,
            allow_archives=asked.guards.allow_archives,
            allow_protected=asked.guards.allow_protected,
            allow_during_canary=asked.guards.allow_during_canary,
            allow_live_traffic=asked.guards.allow_live_traffic,
        ),
        deploy=DeployPolicy(
            optimize=Optimize(asked.optimize or Optimize.AUTO),
            previews=asked.previews,
            retry_rolled_back=asked.retry_rolled_back,
            max_canaries=gathered.configuration.max_canaries,
        ),
        # The order in which paths and apps are given means nothing, so it makes no difference in what is written either.
        invocation=Invocation(
            paths=_sorted(gathered.paths),
            apps=_sorted(asked.apps),
            selector=asked.selector,
            optimize=asked.optimize,
            previews=asked.previews,
        ),
    )


def _typed(*named: tuple[str, object]) -> tuple[str, ...]:
    """Return the flags that were given, with their values."""
    return tuple(part for name, value in named if value is not None for part in (name, str(value)))


def _sorted(given: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(given)))


def open_remote(prepared: Prepared, waits: Waits) -> Octomil:
    """Make the client, not yet entered."""
    configuration = prepared.gathered.configuration
    return Octomil(prepared.connection, configuration.contract, sensitivity=configuration.sensitivity, on_wait=waits)


async def take_look(prepared: Prepared, remote: Octomil, waits: Waits) -> Turn:
    """Read, plan and judge, with progress. Raises `RemoteError` for what kept every app from being read."""
    with ProgressBar("reading", prepared.connection.requests_per_minute) as bar:
        waits.show = bar.waiting
        now = datetime.now(UTC)
        turn = await look(
            prepared.desired,
            remote,
            prepared.policy,
            now=now,
            deploy=prepared.deploy,
            authors_since=now - prepared.gathered.configuration.drift_hold,
            progress=bar.advance,
        )
        waits.show = None
    if (error := _in_the_way_of_all(turn)) is not None:
        raise error
    return turn


def _in_the_way_of_all(turn: Turn) -> OctosyncError | None:
    """Return the error that all apps met alike: the control plane is not what it should be, and no plan is to be shown."""
    errors = tuple(turn.plan.errors.values())
    alike = {(type(error), error.reference, error.hints) for error in errors}
    if len(errors) < len(turn.plan.apps) or len(alike) != 1:
        return None
    return errors[0] if isinstance(errors[0], RemoteError) and not isinstance(errors[0], Missing) else None
