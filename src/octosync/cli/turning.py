"""What plan and apply share: from flags to a turn, and what a report says about it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from octosync import __version__
from octosync.cli.basing import BaseFlags, rollback_words
from octosync.cli.connecting import RemoteFlags, connect, control_plane, place_of, typed
from octosync.cli.gathering import Gathered, ManifestFlags, gather_or_report
from octosync.cli.keys import plan_key
from octosync.cli.progress import ProgressBar, Waits
from octosync.errors import ExitCode, Missing, OctosyncError, RemoteError
from octosync.manifest import GuardLimits, keyed_digest, parse_duration, select
from octosync.manifest.git import git_revision
from octosync.manifest.selection import matching
from octosync.model import Diagnostic, Observation, Optimize, Secret, State
from octosync.octomil import Connection, Octomil
from octosync.plan import (
    FINDINGS,
    ControlPlane,
    DeployPolicy,
    Fingerprinting,
    GitRevision,
    GuardPolicy,
    Holding,
    Invocation,
    ManifestSet,
    Override,
    PlanOptions,
    Refusal,
    RunInfo,
    all_diagnostics,
    in_force,
    loosened,
    overrides_of,
)
from octosync.plan.base import Base, as_live, changed_apps
from octosync.reconcile import Turn, decide, look
from octosync.report import MAX_BYTES, Planned


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardFlags:
    """What this run allows beyond the guards' limits."""

    allow_deletes: int | str | None = None
    allow_archives: int | None = None
    allow_protected: bool = False
    allow_during_canary: bool = False
    allow_live_traffic: bool = False
    allow_diverged: bool = False
    allow_frozen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """All that plan and apply have in common on the command line."""

    manifests: ManifestFlags
    remote: RemoteFlags
    guards: GuardFlags
    base: BaseFlags = field(default_factory=BaseFlags)
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
    """Everything that is known before the first request.

    `connection` None: none is needed, since nothing changed (`idle`) or live is not to be asked. `allowed` are the guards
    that flags loosen, `lines` those that commits do; `policy` has both.
    """

    asked: Asked
    gathered: Gathered
    desired: State
    base: Base | None
    connection: Connection | None
    policy: GuardPolicy
    allowed: tuple[Override, ...]
    lines: tuple[Override, ...]
    deploy: DeployPolicy
    invocation: Invocation
    plan_key: Secret | None

    def info(self, turn: Turn, typed: tuple[str, ...] = ()) -> RunInfo:
        """Say about a run what its reports need beside the plan."""
        manifests = self.gathered.manifests
        return RunInfo(
            octosync_version=__version__,
            timestamp=datetime.now(UTC),
            control_plane=self.control_plane(turn),
            invocation=self.invocation,
            manifests=ManifestSet(
                digest=self._digest,
                files=manifests.files,
                apps=len(manifests.state.apps),
                git=self._git,
            ),
            requests_per_minute=self.requests_per_minute,
            typed=typed,
            typed_to_look=self.typed_to_look,
            trailers=self.gathered.configuration.guards.trailers if self.gathered.ground is not None else (),
            plan_key=self.plan_key,
        )

    def control_plane(self, turn: Turn) -> ControlPlane:
        """Say where live state was read."""
        if self.connection is not None:
            return control_plane(self.connection, self.gathered.context, turn.seen.org_id)
        context = self.gathered.context
        url, org = place_of(self.asked.remote, context, os.environ)
        return ControlPlane(url=url, org_id=org, context=context.name if context is not None else None)

    @property
    def requests_per_minute(self) -> int:
        """The pace of the client."""
        rate = self.asked.remote.rate
        return self.gathered.configuration.rate.requests_per_minute if rate is None else rate

    @property
    def hold(self) -> timedelta | None:
        """How long drift is held; None without a base, which alone can tell drift."""
        if self.base is None:
            return None
        asked = self.asked.base.drift_hold
        return self.gathered.configuration.drift_hold if asked is None else parse_duration(asked)

    @property
    def idle(self) -> bool:
        """Whether the change concerns no app."""
        return self.connection is None and not self.asked.base.offline

    @property
    def overrides(self) -> tuple[Override, ...]:
        """What is loosened in this run, by flags and by commits."""
        return (*self.allowed, *self.lines)

    @property
    def rollback(self) -> tuple[Refusal, ...]:
        """What the guard `rollback` refuses: an apply of what lacks its base, or what was begun after that."""
        ground, base = self.gathered.ground, self.asked.base
        allowed = base.allow_rollback or any(one.guard == "rollback" for one in self.lines)
        if ground is None or not ground.lacking or base.reviews or allowed:
            return ()
        return (Refusal(guard="rollback", message=rollback_words(ground), override="--allow-rollback", addresses=()),)

    @property
    def fingerprinting(self) -> Fingerprinting:
        """How the fingerprints of plan documents are made."""
        return Fingerprinting(self.gathered.configuration.sensitivity, self.plan_key)

    @property
    def _digest(self) -> str:
        manifests = self.gathered.manifests
        if self.plan_key is None:
            return manifests.digest
        return keyed_digest(manifests.state, manifests.digest, self.plan_key)

    @property
    def _git(self) -> GitRevision | None:
        found, ground = git_revision(Path()), self.gathered.ground
        return found if found is None or ground is None else replace(found, base=ground.base.commit)

    @property
    def typed_again(self) -> tuple[str, ...]:
        """What has to be typed again beside paths and selection, so that a command means the same; no guard's flag."""
        manifests, remote, base = self.asked.manifests, self.asked.remote, self.asked.base
        switches = (
            ("--allow-empty", manifests.allow_empty),
            ("--allow-remote-bases", manifests.allow_remote_bases),
            ("--strict", manifests.strict),
            ("--insecure", remote.insecure),
            ("--retry-rolled-back", self.asked.retry_rolled_back),
            ("--prune", base.prune),
        )
        return (
            *typed(
                ("--config", manifests.config),
                *(("--env", name) for name in manifests.env_allowed),
                *remote.typed_values,
                ("--base-file", base.base_file),
                *(("--attempted", revision) for revision in base.attempted),
                ("--drift-hold", base.drift_hold),
            ),
            *(name for name, given in switches if given),
        )

    @property
    def typed_to_look(self) -> tuple[str, ...]:
        """What has to be typed again of a command that only asks the same control plane."""
        return self.asked.remote.typed(self.asked.manifests.config)

    @property
    def typed_overrides(self) -> tuple[str, ...]:
        """The guards' flags of this run, as they have to be typed again."""
        return tuple(part for override in self.allowed for part in (override.source, override.value) if part)

    def planned(self, turn: Turn, info: RunInfo, *, command: str) -> Planned:
        """Return the plan and all that its reports say of it."""
        return Planned(
            plan=turn.plan,
            about=info,
            contract=self.gathered.configuration.contract,
            blocked=turn.blocked,
            overrides=self.overrides,
            diagnostics=(*self.gathered.diagnostics, *((_OFFLINE,) if self.asked.base.offline else ())),
            sensitivity=self.gathered.configuration.sensitivity,
            full=self.asked.full,
            command=command,
        )

    def strict_error(self, turn: Turn) -> OctosyncError | None:
        """Return the error that `--strict` makes of the plan's warnings; None if it makes none."""
        return self.gathered.strict_error(all_diagnostics(turn.plan, self.gathered.diagnostics))


def prepare(asked: Asked, saw: Callable[[Gathered], None] | None = None) -> Prepared | ExitCode:
    """Load and check everything that needs no request; an exit code where that ends the run, reported on stderr.

    `saw` is told what the manifests came to, in both cases.
    """
    gathered = gather_or_report(asked.manifests, asked.remote, colour=asked.colour, saw=saw, base=asked.base)
    if isinstance(gathered, ExitCode):
        return gathered
    desired, base = _compared(asked, gathered)
    idle = asked.base.changed_only and not desired.apps and (base is None or not base.before.apps)
    policy, allowed, lines = _guards(asked, gathered)
    return Prepared(
        asked=asked,
        gathered=gathered,
        desired=desired,
        base=base,
        connection=None
        if idle or asked.base.offline
        else connect(asked.remote, gathered.configuration, gathered.context, os.environ),
        policy=policy,
        allowed=allowed,
        lines=lines,
        deploy=DeployPolicy(
            optimize=Optimize(asked.optimize or Optimize.AUTO),
            previews=asked.previews,
            retry_rolled_back=asked.retry_rolled_back,
            max_canaries=gathered.configuration.max_canaries,
        ),
        # The order in which paths and apps are given means nothing, so it makes no difference in what is written either.
        invocation=Invocation(
            paths=_sorted(gathered.paths),
            kustomize=gathered.kustomize,
            apps=_sorted(asked.apps),
            selector=asked.selector,
            base=asked.base.base,
            changed_only=asked.base.changed_only,
            optimize=asked.optimize,
            previews=asked.previews,
        ),
        plan_key=plan_key(os.environ),
    )


def _compared(asked: Asked, gathered: Gathered) -> tuple[State, Base | None]:
    """Return the apps that are to be planned, and what they are compared with, as far as it is about these and what is gone."""
    tree, based = gathered.manifests.state, gathered.based
    before = based.base.before if based is not None else None
    desired = select(tree, apps=asked.apps, selector=asked.selector, before=before)
    if based is None or before is None:
        return desired, None
    meant = matching(before, apps=asked.apps, selector=asked.selector)
    base = based.narrowed(tree, desired, meant)
    if asked.base.changed_only:
        changed = changed_apps(desired, base)
        desired = State.of(*(app for app in desired if app.slug in changed))
        base = base.kept(lambda app: app.slug in changed)
    return desired, base


def guard_policy(limits: GuardLimits, flags: GuardFlags) -> GuardPolicy:
    """Put together octosync.yaml's limits and what flags allow beyond them."""
    return GuardPolicy(
        max_deletes=limits.max_deletes,
        max_delete_percent=limits.max_delete_percent,
        min_objects=limits.min_objects,
        max_archives=limits.max_archives,
        allow_deletes=flags.allow_deletes,
        allow_archives=flags.allow_archives,
        allow_protected=flags.allow_protected,
        allow_during_canary=flags.allow_during_canary,
        allow_live_traffic=flags.allow_live_traffic,
        allow_diverged=flags.allow_diverged,
        allow_frozen=flags.allow_frozen,
    )


def _guards(asked: Asked, gathered: Gathered) -> tuple[GuardPolicy, tuple[Override, ...], tuple[Override, ...]]:
    """Return the guards' policy with what flags and commits loosen, and these two."""
    policy = guard_policy(gathered.configuration.guards, asked.guards)
    rollback = asked.base.allow_rollback
    allowed = overrides_of(policy)
    if rollback:
        allowed = (*allowed, Override(guard="rollback", value="", source="--allow-rollback"))
    lines = in_force(gathered.allowances, policy, rollback=rollback)
    return loosened(policy, lines), allowed, lines


_OFFLINE: Final = Diagnostic(
    severity=FINDINGS["offline"].severity,
    rule="offline",
    summary="planned offline: this is what the change declares against its base; what is live was not read",
)


def _sorted(given: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(given)))


def open_remote(prepared: Prepared, waits: Waits) -> Octomil:
    """Make the client, not yet entered."""
    configuration = prepared.gathered.configuration
    assert prepared.connection is not None  # noqa: S101 — who asks has looked
    return Octomil(prepared.connection, configuration.contract, sensitivity=configuration.sensitivity, on_wait=waits)


async def take_look(prepared: Prepared, remote: Octomil, waits: Waits) -> Turn:
    """Read, plan and judge, with progress. Raises `RemoteError` for what kept every app from being read."""
    with ProgressBar("reading", prepared.requests_per_minute) as bar:
        waits.show = bar.waiting
        now = datetime.now(UTC)
        turn = await look(
            prepared.desired,
            remote,
            prepared.policy,
            replace(_options(prepared, now), hold=None if prepared.hold is None else Holding(span=prepared.hold)),
            authors_since=now - (prepared.hold or prepared.gathered.configuration.drift_hold),
            progress=bar.advance,
        )
        waits.show = None
    if (error := _in_the_way_of_all(turn)) is not None:
        raise error
    return replace(turn, blocked=(*turn.blocked, *prepared.rollback))


def look_away(prepared: Prepared) -> Turn:
    """Plan and judge without a single request: against the base, or, where nothing changed, nothing."""
    base = prepared.base
    seen = Observation() if prepared.idle or base is None else as_live(base.state, prepared.desired)
    options = replace(_options(prepared, datetime.now(UTC)), deploy=replace(prepared.deploy, previews=False))
    turn = decide(prepared.desired, seen, options, prepared.policy)
    return replace(turn, blocked=(*turn.blocked, *prepared.rollback))


def _options(prepared: Prepared, now: datetime) -> PlanOptions:
    return PlanOptions(
        now=now,
        contract=prepared.gathered.configuration.contract,
        deploy=prepared.deploy,
        base=prepared.base,
        prune=prepared.asked.base.prune,
        freeze=prepared.gathered.configuration.freeze,
    )


def _in_the_way_of_all(turn: Turn) -> OctosyncError | None:
    """Return the error that all apps met alike: the control plane is not what it should be, and no plan is to be shown."""
    errors = tuple(turn.plan.errors.values())
    alike = {(type(error), error.reference, error.hints) for error in errors}
    if len(errors) < len(turn.plan.apps) or len(alike) != 1:
        return None
    return errors[0] if isinstance(errors[0], RemoteError) and not isinstance(errors[0], Missing) else None
