"""A run of plan or apply: its request, the inputs that it loads, and the plan."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from octosync import __version__
from octosync.cli.inputs import LoadedInputs, load_valid_inputs
from octosync.cli.progress import ProgressBar, WaitDisplay
from octosync.cli.run_options import RunRequest
from octosync.cli.session import Session, check_key, control_plane, place_of, session_of
from octosync.errors import Missing, OctosyncError, RemoteError
from octosync.manifest import keyed_digest, parse_duration, select
from octosync.manifest.git.repository import git_revision
from octosync.manifest.load.selection import matching
from octosync.model import Diagnostic, Observation, Optimize, Secret, State
from octosync.octomil import Octomil
from octosync.plan import (
    FINDINGS,
    PLAN_KEY,
    ControlPlane,
    DeployPolicy,
    FingerprintScheme,
    GuardPolicy,
    HoldPolicy,
    Invocation,
    ManifestSet,
    Override,
    Plan,
    PlanOptions,
    Refusal,
    RunInfo,
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
    """A run of plan or apply, with everything that is known before the first request.

    `desired` and `base` contain only selected apps; `idle`: the change affects none. `session` is None if no request is needed:
    the run is idle or offline. `flag_overrides` are the guard overrides of flags, `commit_overrides` those of commit messages;
    `policy` has both, and `rollback` are the refusals of the guard of that name. `hold` is how long drift is held, None without
    a base, because drift is unknown then.
    """

    request: RunRequest
    inputs: LoadedInputs
    invocation: Invocation
    desired: State
    base: Base | None
    hold: timedelta | None
    idle: bool
    session: Session | None
    policy: GuardPolicy
    flag_overrides: tuple[Override, ...]
    commit_overrides: tuple[Override, ...]
    rollback: tuple[Refusal, ...]
    plan_key: Secret | None

    @property
    def repeat_arguments(self) -> tuple[str, ...]:
        """The arguments that repeat this run; without flags of guards."""
        return (*self.invocation.arguments(), *self.request.repeat_arguments)

    @property
    def override_arguments(self) -> tuple[str, ...]:
        """The flags of guards that repeat the overrides of this run."""
        return tuple(part for override in self.flag_overrides for part in (override.source, override.value) if part)

    @property
    def requests_per_minute(self) -> int:
        """The client's rate limit, 0 for none."""
        rate = self.request.remote.rate
        return self.inputs.configuration.rate.requests_per_minute if rate is None else rate

    def plan_options(self, now: datetime) -> PlanOptions:
        """Return the options of the plan, without a hold of drift."""
        configuration, request = self.inputs.configuration, self.request
        return PlanOptions(
            now=now,
            contract=configuration.contract,
            deploy=DeployPolicy(
                optimize=Optimize(request.optimize or Optimize.AUTO),
                previews=request.previews and not request.base.offline,
                retry_rolled_back=request.retry_rolled_back,
                max_canaries=configuration.max_canaries,
            ),
            base=self.base,
            prune=request.base.prune,
            freeze=configuration.freeze,
        )

    @property
    def fingerprint_scheme(self) -> FingerprintScheme:
        """How the fingerprints of plan documents are computed."""
        return FingerprintScheme(self.inputs.configuration.sensitivity, self.plan_key)

    def report(self, reviewed: ReviewedPlan, *, command: str, typed: tuple[str, ...]) -> PlanReport:
        """Return the report of a plan. `typed` is the command line of the apply that it suggests."""
        inputs, request = self.inputs, self.request
        manifests, configuration, revisions = inputs.manifests, inputs.configuration, inputs.revisions
        digest, git = manifests.digest, git_revision(Path())
        if self.plan_key is not None:
            digest = keyed_digest(manifests.state, digest, self.plan_key)
        if git is not None and revisions is not None:
            git = replace(git, base=revisions.base.commit)
        about = RunInfo(
            octosync_version=__version__,
            timestamp=datetime.now(UTC),
            control_plane=control_plane(self.session.connection, inputs.context, reviewed.observation.org_id)
            if self.session is not None
            else self._offline_control_plane(),
            invocation=self.invocation,
            manifests=ManifestSet(digest=digest, files=manifests.files, apps=len(manifests.state.apps), git=git),
            requests_per_minute=self.requests_per_minute,
            typed=typed,
            connection_arguments=request.remote.connection_arguments(request.manifests.config),
            trailers=configuration.guards.trailers if revisions is not None else (),
            plan_key=self.plan_key,
        )
        return PlanReport(
            command=command,
            plan=reviewed.plan,
            about=about,
            contract=configuration.contract,
            sensitivity=configuration.sensitivity,
            blocked=reviewed.refusals,
            overrides=(*self.flag_overrides, *self.commit_overrides),
            diagnostics=(*inputs.diagnostics, *((_OFFLINE,) if request.base.offline else ())),
            files=manifests.files,
            apps=len(manifests.state.apps),
            strict=inputs.strict,
            full=request.full,
        )

    def _offline_control_plane(self) -> ControlPlane:
        """Return the control plane that an online run would read."""
        context = self.inputs.context
        url, org = place_of(self.request.remote, context, os.environ)
        return ControlPlane(url=url, org_id=org, context=context.name if context is not None else None)


def prepare(request: RunRequest, on_loaded: Callable[[LoadedInputs], None]) -> Run:
    """Load and check everything that needs no request. `on_loaded` is called with the inputs, even invalid ones.

    Raises `AlreadyReported` for manifests with errors, and `ConfigError` and `UsageError`.
    """
    flags = replace(request.base, goes_back="rollback" in request.guards)
    inputs = load_valid_inputs(
        request.manifests, request.remote, colour=request.colour, base=flags, on_loaded=on_loaded
    )
    configuration, context, revisions = inputs.configuration, inputs.context, inputs.revisions
    desired, base = _select_apps(request, inputs)
    policy = GuardPolicy(limits=configuration.guards.limits, allowed=request.guards)
    commit_overrides = in_force(inputs.allowances, policy) if inputs.allowances.overrides else ()
    effective = loosened(policy, commit_overrides) if commit_overrides else policy
    rollback: tuple[Refusal, ...] = ()
    if revisions is not None and revisions.lacking and not flags.reviews:
        rollback = refuse_run("rollback", revisions.rollback_message, effective)
    hold = configuration.drift_hold if flags.drift_hold is None else parse_duration(flags.drift_hold)
    idle = flags.changed_only and not desired.apps and (base is None or not base.before.apps)
    key = os.environ.get(PLAN_KEY, "").strip()
    session = None
    if not idle and not flags.offline:
        session = session_of(request.remote, request.manifests.config, configuration, context)
    return Run(
        request=request,
        inputs=inputs,
        invocation=request.invocation(inputs.paths, inputs.kustomize),
        desired=desired,
        base=base,
        hold=hold if base is not None else None,
        idle=idle and not flags.offline,
        session=session,
        policy=effective,
        flag_overrides=overrides_of(policy) if request.guards else (),
        commit_overrides=commit_overrides,
        rollback=rollback,
        plan_key=check_key(key, PLAN_KEY) if key else None,
    )


def _select_apps(request: RunRequest, inputs: LoadedInputs) -> tuple[State, Base | None]:
    """Return the apps to plan, and the part of the base with these and with selected apps that were removed since."""
    tree, base = inputs.manifests.state, inputs.base
    before = base.before if base is not None else None
    desired = tree
    if request.apps or request.selector is not None:
        desired = select(tree, apps=request.apps, selector=request.selector, before=before)
    if base is None or before is None:
        return desired, None
    removed = matching(before, apps=request.apps, selector=request.selector).apps.keys() - tree.apps.keys()
    base = base.kept(lambda app: app.slug in desired.apps or app.slug in removed)
    if request.base.changed_only:
        changed = changed_apps(desired, base)
        desired = State.from_apps(*(app for app in desired if app.slug in changed))
        base = base.kept(lambda app: app.slug in changed)
    return desired, base


_OFFLINE: Final = Diagnostic(
    severity=FINDINGS["offline"].severity,
    rule="offline",
    summary="planned offline: the manifests are compared with the base, and live state was not read",
)


async def plan_online(run: Run, remote: Octomil, wait_display: WaitDisplay) -> ReviewedPlan:
    """Return the plan of live state; shows progress. Raises `RemoteError` if all apps have the same error."""
    with ProgressBar("reading", run.requests_per_minute) as bar:
        wait_display.show = bar.waiting
        now = datetime.now(UTC)
        reviewed = await observe_and_review(
            run.desired,
            remote,
            run.policy,
            replace(run.plan_options(now), hold=None if run.hold is None else HoldPolicy(span=run.hold)),
            authors_since=now - (run.hold or run.inputs.configuration.drift_hold),
            progress=bar.advance,
        )
        wait_display.show = None
    if reviewed.plan.errors and (error := _common_error(reviewed.plan)) is not None:
        raise error
    return replace(reviewed, refusals=(*reviewed.refusals, *run.rollback))


def plan_offline(run: Run) -> ReviewedPlan:
    """Return the plan against the base without any request; an empty one for an idle run."""
    base = run.base
    seen = Observation() if run.idle or base is None else as_live(base.state, run.desired)
    reviewed = review(run.desired, seen, run.plan_options(datetime.now(UTC)), run.policy)
    return replace(reviewed, refusals=(*reviewed.refusals, *run.rollback))


def _common_error(plan: Plan) -> OctosyncError | None:
    """Return the error that all apps have in common, which is shown instead of a plan; None if there is none."""
    errors = tuple(plan.errors.values())
    alike = {(type(error), error.reference, error.hints) for error in errors}
    if len(errors) < len(plan.apps) or len(alike) != 1:
        return None
    return errors[0] if isinstance(errors[0], RemoteError) and not isinstance(errors[0], Missing) else None
