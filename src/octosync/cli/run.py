"""A run of plan or apply: its request, the inputs that it loads, and the plan."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from octosync import __version__
from octosync.cli.contexts import check_key
from octosync.cli.inputs import LoadedInputs, load_valid_inputs
from octosync.cli.policies import policy_run
from octosync.cli.progress import ProgressBar, WaitDisplay
from octosync.cli.run_options import RunRequest
from octosync.cli.selection import (
    all_apps_planned,
    gap_of,
    incomplete_apps,
    partners_of,
    resumed_apps,
    select_apps,
    undeclared,
)
from octosync.cli.session import Session, control_plane, place_of, requested_rate, session_of
from octosync.cli.shared_state import shared_diagnostics
from octosync.errors import Missing, OctosyncError, RemoteError, UsageError
from octosync.manifest import keyed_digest, parse_duration
from octosync.manifest.git.repository import git_revision
from octosync.manifest.load.selection import check_objects, no_such_object
from octosync.model import Address, App, Diagnostic, Observation, OperatorControls, Optimize, Secret, State
from octosync.octomil import REQUESTS_PER_MINUTE, Octomil
from octosync.plan import (
    ABSENT_FINGERPRINT,
    FINDINGS,
    PLAN_KEY,
    Commit,
    ControlPlane,
    DeployPolicy,
    FingerprintScheme,
    GuardPolicy,
    HoldPolicy,
    Invocation,
    LastAppliedRevision,
    ManifestSet,
    Override,
    Plan,
    PlanOptions,
    Refusal,
    RunInfo,
    SharedState,
    claimed_targets,
    in_force,
    loosened,
    narrowed,
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
    a base, because drift is unknown then. `adds_partners`: once live state is known, the apps of moves by hand are selected, too.
    `shared` is what the shared state contains, None without one.
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
    adds_partners: bool = False
    shared: SharedState | None = None

    @property
    def controls(self) -> OperatorControls:
        """What operators have asked of the controller, as far as the shared state shows it."""
        return self.shared.controls if self.shared is not None else OperatorControls()

    @property
    def repeat_arguments(self) -> tuple[str, ...]:
        """The arguments that repeat this run; without flags of guards."""
        applied, invocation = self.request.base.applied, self.invocation
        if applied is not None and invocation.base is not None:
            invocation = replace(invocation, base=applied)  # apply also makes the changes that are pending
        return (*invocation.arguments(), *self.request.repeat_arguments)

    @property
    def override_arguments(self) -> tuple[str, ...]:
        """The flags of guards that repeat the overrides of this run."""
        return tuple(part for override in self.flag_overrides for part in (override.source, override.value) if part)

    @property
    def requests_per_minute(self) -> int:
        """The client's rate limit, 0 for none."""
        if self.session is not None:
            return self.session.connection.requests_per_minute
        asked = requested_rate(self.request.remote, self.inputs.configuration)
        return REQUESTS_PER_MINUTE if asked is None else asked

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
            policies=policy_run(configuration, self._context_name) if configuration.policies else None,
            objects=frozenset(request.objects),
            declared=self.inputs.manifests.state if request.objects else None,
            controls=self.controls,
        )

    def hold_policy(self, now: datetime) -> HoldPolicy | None:
        """Return how drift is held: apps on hold, too, unless the guard `held` is lifted."""
        if self.hold is None:
            return None
        holds = {} if "held" in self.policy.allowed else self.controls.holds
        return HoldPolicy(
            span=self.hold,
            apps={slug: hold.until for slug, hold in holds.items()},
            resumed=resumed_apps(self.desired, self.base, now) - holds.keys(),
        )

    @property
    def _context_name(self) -> str:
        """The context's name, for policies; of one that only the change under review has, the base's default.

        So a change that renames a context is still judged by the policies about it.
        """
        context, revisions = self.inputs.context, self.inputs.revisions
        if context is not None and context.unreviewed_url is not None and revisions is not None:
            return revisions.tip_configured.configuration.default_context or ""
        return context.name if context is not None else ""

    @property
    def fingerprint_scheme(self) -> FingerprintScheme:
        """How the fingerprints of plan documents are computed."""
        return FingerprintScheme(self.inputs.configuration.sensitivity, self.plan_key)

    def report(self, reviewed: ReviewedPlan, *, command: str, typed: tuple[str, ...]) -> PlanReport:
        """Return the report of a plan. `typed` is the command line of the apply that it suggests."""
        inputs, request = self.inputs, self.request
        manifests, configuration, revisions = inputs.manifests, inputs.configuration, inputs.revisions
        git = git_revision(Path())
        if git is not None and revisions is not None:
            git = replace(git, base=revisions.base.commit)
        about = RunInfo(
            octosync_version=__version__,
            timestamp=datetime.now(UTC),
            control_plane=control_plane(self.session.connection, inputs.context, reviewed.observation.org_id)
            if self.session is not None
            else self._offline_control_plane(),
            invocation=self.invocation,
            manifests=ManifestSet(
                files=manifests.files,
                apps=len(manifests.state.apps),
                git=git,
                compute_digest=self._manifests_digest,
            ),
            requests_per_minute=self.requests_per_minute,
            typed=typed,
            connection_arguments=request.remote.connection_arguments(request.manifests.config),
            trailers=configuration.guards.trailers if revisions is not None else (),
            plan_key=self.plan_key,
            last_applied=self._last_applied(reviewed.plan) if request.base.applied is not None else None,
            shared=self.shared,
        )
        return PlanReport(
            command=command,
            plan=reviewed.plan,
            about=about,
            contract=configuration.contract,
            sensitivity=configuration.sensitivity,
            blocked=reviewed.refusals,
            overrides=(*self.flag_overrides, *self.commit_overrides),
            diagnostics=(
                *inputs.diagnostics,
                *((_OFFLINE,) if request.base.offline else ()),
                *(shared_diagnostics(self.shared) if self.shared is not None else ()),
            ),
            files=manifests.files,
            apps=len(manifests.state.apps),
            policies=configuration.policies,
            strict=inputs.strict,
            full=request.full,
            touched=self._touched(self.base) if self.base is not None else None,
        )

    def _manifests_digest(self) -> str:
        manifests = self.inputs.manifests
        if self.plan_key is None:
            return manifests.digest
        return keyed_digest(manifests.state, manifests.digest, self.plan_key)

    def _touched(self, base: Base) -> frozenset[str]:
        """Return the apps that the change touches; with `--changed-only`, every app that is planned."""
        if self.request.base.changed_only:
            return frozenset((*self.desired.apps, *base.before.apps))
        return changed_apps(self.desired, base)

    def _last_applied(self, plan: Plan) -> LastAppliedRevision | None:
        """Return what was applied last, and what was merged since; None if that is not known, or live state was not read."""
        flags, base, revisions = self.request.base, self.inputs.base, self.inputs.revisions
        if flags.applied is None or flags.offline or base is None:
            return None
        selected = self.base.unapplied.apps if self.base is not None and self.base.unapplied is not None else ()
        unapplied = base.unapplied
        elsewhere = sorted(unapplied.apps.difference(selected)) if unapplied is not None else []
        pending = {*elsewhere, *(plan.pending.apps if plan.pending is not None else ())}
        commits: tuple[Commit, ...] = ()
        if pending and unapplied is not None and revisions is not None:
            states = (unapplied.merged, unapplied.applied.before)
            apps = (state.apps[slug] for state in states for slug in pending if slug in state.apps)
            commits = revisions.unapplied_commits(file for app in apps for file in _files_of(app))
        return LastAppliedRevision(
            revision=revisions.applied.commit if revisions is not None and revisions.applied else flags.applied,
            attempted=flags.attempted,
            commits=commits,
            elsewhere=tuple(elsewhere),
        )

    def _offline_control_plane(self) -> ControlPlane:
        """Return the control plane that an online run would read, with the org only if it is configured.

        Raises `ConfigError` and `UsageError` for an invalid URL.
        """
        context = self.inputs.context
        url, org = place_of(self.request.remote, context, os.environ)
        return ControlPlane(url=url, org_id=org, context=context.name if context is not None else None)


def _files_of(app: App) -> Iterator[str]:
    """Yield the files that declare an app and its objects."""
    config = app.inference_config
    for declared in (app, *app.targets, *app.slots, *(() if config is None else (config,))):
        if declared.origin is not None:
            yield declared.origin.path


def prepare(request: RunRequest, on_loaded: Callable[[LoadedInputs], None], *, complete: bool = False) -> Run:
    """Load and check everything that needs no request. `on_loaded` is called with the inputs, even invalid ones.

    `complete`: with `--changed-only`, every app is selected that may not be as its manifests declare, because an earlier apply
    could not change it or because Git does not show the change. So after a successful run the revision is applied in full.
    Raises `AlreadyReported` for manifests with errors, and `ConfigError` and `UsageError`.
    """
    flags = replace(request.base, goes_back="rollback" in request.guards)
    if request.objects and flags.changed_only:
        raise UsageError(
            "target-with-changed-only",
            "--target and --changed-only are both given, and each selects what is planned",
            hints=("Remove one of them.",),
        )
    inputs = load_valid_inputs(
        request.manifests, request.remote, colour=request.colour, base=flags, on_loaded=on_loaded
    )
    configuration, context, revisions = inputs.configuration, inputs.context, inputs.revisions
    gap = gap_of(request, inputs) if complete and flags.changed_only else None
    if gap is not None:
        inputs = replace(inputs, diagnostics=(*inputs.diagnostics, all_apps_planned(gap)))
        on_loaded(inputs)
        desired, base = select_apps(replace(request, base=replace(flags, changed_only=False)), inputs)
    else:
        desired, base = select_apps(request, inputs, also=incomplete_apps(inputs) if complete else frozenset())
    if request.objects:
        check_objects(request.objects, desired, base.before if base is not None else State())
        desired, base = narrowed(desired, base, request.objects)
    policy = GuardPolicy(limits=configuration.guards.limits, allowed=request.guards)
    commit_overrides = in_force(inputs.allowances, policy) if inputs.allowances is not None else ()
    effective = loosened(policy, commit_overrides) if commit_overrides else policy
    rollback: tuple[Refusal, ...] = ()
    if revisions is not None and revisions.lacking and not flags.reviews:
        rollback = refuse_run("rollback", revisions.rollback_message, effective)
    hold = configuration.drift_hold if flags.drift_hold is None else parse_duration(flags.drift_hold)
    idle = flags.changed_only and not desired.apps and (base is None or not base.before.apps)
    key = os.environ.get(PLAN_KEY, "").strip()
    invocation = request.invocation(inputs.paths, inputs.kustomize)
    if flags.approved is not None and revisions is not None:
        # Commands that repeat this run are typed when a branch such as main has moved on.
        invocation = replace(invocation, base=revisions.base.commit)
    session = None
    if not idle and not flags.offline:
        session = session_of(request.remote, request.manifests.config, configuration, context)
    return Run(
        request=request,
        inputs=inputs,
        invocation=invocation,
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
        adds_partners=complete and flags.changed_only and gap is None,
    )


_OFFLINE: Final = Diagnostic(
    severity=FINDINGS["offline"].severity,
    rule="offline",
    summary="planned offline: the manifests are compared with the base, and live state was not read",
)


async def plan_online(run: Run, remote: Octomil, wait_display: WaitDisplay) -> ReviewedPlan:
    """Return the plan of live state; shows progress. Raises `RemoteError` if all apps have the same error."""
    with ProgressBar("reading", run.requests_per_minute, remote.seconds_for) as bar:
        wait_display.show = bar.waiting
        now, before = datetime.now(UTC), remote.requests
        reviewed = await _observe_and_review(run, remote, now, bar.advance)
        while run.adds_partners and (partners := await _partners(run, remote, reviewed.observation, now)):
            run = _with_apps(run, partners)
            reviewed = await _observe_and_review(run, remote, now, bar.advance, spent=remote.requests - before)
        if run.request.objects and (moving := _moving_targets(run, reviewed.observation)):
            run = _with_targets(run, moving)
            reviewed = await _observe_and_review(run, remote, now, bar.advance, spent=remote.requests - before)
        wait_display.show = None
    if reviewed.plan.errors and (error := _common_error(reviewed.plan)) is not None:
        raise error
    if run.request.objects:
        _check_seen(run, reviewed.plan)
    return replace(reviewed, refusals=(*reviewed.refusals, *run.rollback))


def _check_seen(run: Run, plan: Plan) -> None:
    """Raise `UsageError` for a selected object that is neither declared nor live: there is nothing to plan for that name."""
    states = run.desired, run.base.before if run.base is not None else State()
    declared = {address for state in states for app in state for address in app.addresses}
    for address in plan.selected:
        is_known = address in declared or address.app in (*plan.errors, *plan.left_alone.suspended)
        if not is_known and plan.fingerprints.get(address, ABSENT_FINGERPRINT) == ABSENT_FINGERPRINT:
            raise no_such_object(address, *states)


async def _observe_and_review(
    run: Run, remote: Octomil, now: datetime, progress: Callable[[int, int], None], *, spent: int = 0
) -> ReviewedPlan:
    """Return the plan of the selected apps. `spent` requests were sent before, for the same plan."""

    def remembered(seen: Observation) -> Observation:
        return replace(seen, requests=seen.requests + spent, unmanaged=undeclared(seen.unmanaged, run.inputs))

    return await observe_and_review(
        run.desired,
        remote,
        run.policy,
        replace(
            run.plan_options(now),
            hold=run.hold_policy(now),
        ),
        authors_since=now - (run.hold or run.inputs.configuration.drift_hold),
        remembered=remembered,
        progress=progress,
    )


async def _partners(run: Run, remote: Octomil, seen: Observation, now: datetime) -> frozenset[str]:
    """Return the apps at the other end of moves by hand."""
    selectable, _ = select_apps(replace(run.request, base=replace(run.request.base, changed_only=False)), run.inputs)
    return await partners_of(run.desired, run.base, selectable, remote, seen, now)


def _with_apps(run: Run, more: Collection[str]) -> Run:
    """Return a run that selects more apps."""
    desired, base = select_apps(run.request, run.inputs, also={*run.desired.apps, *more})
    return replace(run, desired=desired, base=base)


def _moving_targets(run: Run, seen: Observation) -> frozenset[Address]:
    """Return the targets of a run with --target that leave an app which was read for one whose targets were not."""
    selectable, _ = select_apps(run.request, run.inputs)
    return claimed_targets(selectable, run.desired, seen.state)


def _with_targets(run: Run, moving: Collection[Address]) -> Run:
    """Return a run with --target that reads the other ends of moves, too."""
    desired, base = narrowed(*select_apps(run.request, run.inputs), run.request.objects, moving)
    return replace(run, desired=desired, base=base)


def plan_offline(run: Run) -> ReviewedPlan:
    """Return the plan against the base without any request; an empty one for an idle run."""
    # Without live state, nothing is known to be pending.
    base = None if run.base is None else replace(run.base, unapplied=None)
    seen = Observation() if run.idle or base is None else as_live(base.state, run.desired)
    options = replace(run.plan_options(datetime.now(UTC)), base=base)
    reviewed = review(run.desired, seen, options, run.policy)
    return replace(reviewed, refusals=(*reviewed.refusals, *run.rollback))


def _common_error(plan: Plan) -> OctosyncError | None:
    """Return the error that all apps have in common, which is shown instead of a plan; None if there is none."""
    errors = tuple(plan.errors.values())
    alike = {(type(error), error.reference, error.hints) for error in errors}
    if len(errors) < len(plan.apps) or len(alike) != 1:
        return None
    return errors[0] if isinstance(errors[0], RemoteError) and not isinstance(errors[0], Missing) else None
