"""One run of plan or apply: what was typed, the inputs that it names, and the plan that is made of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from octosync import __version__
from octosync.cli.inputs import LoadedInputs, load_valid_inputs
from octosync.cli.keys import plan_key
from octosync.cli.progress import ProgressBar, Waits
from octosync.cli.run_options import RunRequest
from octosync.cli.session import connect, control_plane, place_of
from octosync.errors import Missing, OctosyncError, RemoteError
from octosync.manifest import keyed_digest, parse_duration, select
from octosync.manifest.git.repository import git_revision
from octosync.manifest.load.selection import matching
from octosync.model import Diagnostic, Observation, Secret, State
from octosync.octomil import Connection, Octomil
from octosync.plan import (
    FINDINGS,
    ControlPlane,
    Fingerprinting,
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
    refuse_run,
)
from octosync.plan.three_way.verdict import Base, as_live, changed_apps
from octosync.reconcile import ReviewedPlan, observe_and_review, review
from octosync.report import PlanReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of plan or apply, with everything that is known before the first request.

    `desired` and `base` are narrowed to the selected apps. `connection` is None if none is needed: nothing changed (`idle`),
    or the plan is made offline. `allowed` are the guards that flags loosen, `lines` those that commits do; `policy` has both.
    """

    request: RunRequest
    inputs: LoadedInputs
    desired: State
    base: Base | None
    connection: Connection | None
    policy: GuardPolicy
    allowed: tuple[Override, ...]
    lines: tuple[Override, ...]
    plan_key: Secret | None

    @property
    def invocation(self) -> Invocation:
        """What the plan document says was asked for."""
        return self.request.invocation(self.inputs.paths, self.inputs.kustomize)

    @property
    def typed_again(self) -> tuple[str, ...]:
        """The arguments that ask for the same again; no guard's flag."""
        return (*self.invocation.arguments(), *self.request.typed_again)

    @property
    def typed_overrides(self) -> tuple[str, ...]:
        """The guards' flags of this run, as they have to be typed again."""
        return tuple(part for override in self.allowed for part in (override.source, override.value) if part)

    @property
    def requests_per_minute(self) -> int:
        """The pace of the client."""
        rate = self.request.remote.rate
        return self.inputs.configuration.rate.requests_per_minute if rate is None else rate

    @property
    def hold(self) -> timedelta | None:
        """How long drift is held; None without a base, which alone can tell drift."""
        if self.base is None:
            return None
        typed = self.request.base.drift_hold
        return self.inputs.configuration.drift_hold if typed is None else parse_duration(typed)

    def plan_options(self, now: datetime) -> PlanOptions:
        """Return how this run is planned; drift is not held."""
        configuration = self.inputs.configuration
        return PlanOptions(
            now=now,
            contract=configuration.contract,
            deploy=self.request.deploy_policy(configuration.max_canaries),
            base=self.base,
            prune=self.request.base.prune,
            freeze=configuration.freeze,
        )

    @property
    def idle(self) -> bool:
        """Whether the change concerns no app."""
        return self.connection is None and not self.request.base.offline

    @property
    def rollback(self) -> tuple[Refusal, ...]:
        """What the guard `rollback` refuses: an apply of what lacks its base, or what was begun after that."""
        revisions, base = self.inputs.revisions, self.request.base
        if revisions is None or not revisions.lacking or base.reviews:
            return ()
        return refuse_run("rollback", revisions.rollback_message, self.policy)

    @property
    def fingerprinting(self) -> Fingerprinting:
        """How the fingerprints of plan documents are made."""
        return Fingerprinting(self.inputs.configuration.sensitivity, self.plan_key)

    def control_plane(self, reviewed: ReviewedPlan) -> ControlPlane:
        """Return the place where live state was read, or would have been."""
        if self.connection is not None:
            return control_plane(self.connection, self.inputs.context, reviewed.observation.org_id)
        context = self.inputs.context
        url, org = place_of(self.request.remote, context, os.environ)
        return ControlPlane(url=url, org_id=org, context=context.name if context is not None else None)

    def report(self, reviewed: ReviewedPlan, *, command: str, typed: tuple[str, ...]) -> PlanReport:
        """Return the plan with all that its reports need beside it. `typed` is the command line of apply."""
        configuration = self.inputs.configuration
        about = RunInfo(
            octosync_version=__version__,
            timestamp=datetime.now(UTC),
            control_plane=self.control_plane(reviewed),
            invocation=self.invocation,
            manifests=self._manifest_set(),
            requests_per_minute=self.requests_per_minute,
            typed=typed,
            typed_to_look=self.request.typed_to_look,
            trailers=configuration.guards.trailers if self.inputs.revisions is not None else (),
            plan_key=self.plan_key,
        )
        return PlanReport(
            command=command,
            plan=reviewed.plan,
            about=about,
            contract=configuration.contract,
            sensitivity=configuration.sensitivity,
            blocked=reviewed.refusals,
            overrides=(*self.allowed, *self.lines),
            diagnostics=(*self.inputs.diagnostics, *((_OFFLINE,) if self.request.base.offline else ())),
            files=about.manifests.files,
            apps=about.manifests.apps,
            strict=self.inputs.strict,
            full=self.request.full,
        )

    def _manifest_set(self) -> ManifestSet:
        manifests, key, revisions = self.inputs.manifests, self.plan_key, self.inputs.revisions
        git = git_revision(Path())
        return ManifestSet(
            digest=manifests.digest if key is None else keyed_digest(manifests.state, manifests.digest, key),
            files=manifests.files,
            apps=len(manifests.state.apps),
            git=git if git is None or revisions is None else replace(git, base=revisions.base.commit),
        )

    def strict_error(self, reviewed: ReviewedPlan) -> OctosyncError | None:
        """Return the error that `--strict` makes of the plan's warnings; None if it makes none."""
        return self.inputs.strict_error(all_diagnostics(reviewed.plan, self.inputs.diagnostics))


def prepare(request: RunRequest, on_loaded: Callable[[LoadedInputs], None]) -> Run:
    """Load and check everything that needs no request; `on_loaded` is called with the inputs, valid or not.

    Raises `AlreadyReported` for manifests with errors, and `ConfigError` and `UsageError`.
    """
    flags = replace(request.base, goes_back="rollback" in request.guards)
    inputs = load_valid_inputs(
        request.manifests, request.remote, colour=request.colour, base=flags, on_loaded=on_loaded
    )
    configuration = inputs.configuration
    desired, base = _selected(request, inputs)
    policy = GuardPolicy(limits=configuration.guards.limits, allowed=request.guards)
    lines = in_force(inputs.allowances, policy)
    idle = flags.changed_only and not desired.apps and (base is None or not base.before.apps)
    needs_connection = not idle and not flags.offline
    return Run(
        request=request,
        inputs=inputs,
        desired=desired,
        base=base,
        connection=connect(request.remote, configuration, inputs.context, os.environ) if needs_connection else None,
        policy=loosened(policy, lines),
        allowed=overrides_of(policy),
        lines=lines,
        plan_key=plan_key(os.environ),
    )


def _selected(request: RunRequest, inputs: LoadedInputs) -> tuple[State, Base | None]:
    """Return the apps to plan, and the part of the base about these and about apps that the tree has no more."""
    tree, base = inputs.manifests.state, inputs.base
    before = base.before if base is not None else None
    desired = select(tree, apps=request.apps, selector=request.selector, before=before)
    if base is None or before is None:
        return desired, None
    gone = matching(before, apps=request.apps, selector=request.selector).apps.keys() - tree.apps.keys()
    base = base.kept(lambda app: app.slug in desired.apps or app.slug in gone)
    if request.base.changed_only:
        changed = changed_apps(desired, base)
        desired = State.of(*(app for app in desired if app.slug in changed))
        base = base.kept(lambda app: app.slug in changed)
    return desired, base


_OFFLINE: Final = Diagnostic(
    severity=FINDINGS["offline"].severity,
    rule="offline",
    summary="planned offline: this is what the change declares against its base; what is live was not read",
)


def open_client(run: Run, waits: Waits) -> Octomil:
    """Make the client, not yet entered."""
    configuration = run.inputs.configuration
    assert run.connection is not None  # noqa: S101 — callers check
    return Octomil(run.connection, configuration.contract, sensitivity=configuration.sensitivity, on_wait=waits)


async def plan_online(run: Run, remote: Octomil, waits: Waits) -> ReviewedPlan:
    """Read, plan and judge, with progress. Raises `RemoteError` for what kept every app from being read."""
    with ProgressBar("reading", run.requests_per_minute) as bar:
        waits.show = bar.waiting
        now = datetime.now(UTC)
        reviewed = await observe_and_review(
            run.desired,
            remote,
            run.policy,
            replace(run.plan_options(now), hold=None if run.hold is None else Holding(span=run.hold)),
            authors_since=now - (run.hold or run.inputs.configuration.drift_hold),
            progress=bar.advance,
        )
        waits.show = None
    if (error := _in_the_way_of_all(reviewed)) is not None:
        raise error
    return replace(reviewed, refusals=(*reviewed.refusals, *run.rollback))


def plan_offline(run: Run) -> ReviewedPlan:
    """Plan and judge without a single request: against the base, or, where nothing changed, nothing."""
    base = run.base
    seen = Observation() if run.idle or base is None else as_live(base.state, run.desired)
    reviewed = review(run.desired, seen, run.plan_options(datetime.now(UTC)), run.policy)
    return replace(reviewed, refusals=(*reviewed.refusals, *run.rollback))


def _in_the_way_of_all(reviewed: ReviewedPlan) -> OctosyncError | None:
    """Return the error that all apps met alike: the control plane is not what it should be, and no plan is to be shown."""
    errors = tuple(reviewed.plan.errors.values())
    alike = {(type(error), error.reference, error.hints) for error in errors}
    if len(errors) < len(reviewed.plan.apps) or len(alike) != 1:
        return None
    return errors[0] if isinstance(errors[0], RemoteError) and not isinstance(errors[0], Missing) else None
