"""`octosync apply`: plan, check guards, confirm, apply and report."""

from __future__ import annotations

import asyncio
import os
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from octosync.apply import ApplyResult, Listener, Progress, rollouts_to_watch
from octosync.cli import signals
from octosync.cli.audit import audit_of, loosening_flags
from octosync.cli.commands.apply import Timeout
from octosync.cli.console import ask, can_prompt, err
from octosync.cli.contexts import known_keys
from octosync.cli.options import Destination
from octosync.cli.output import Outputs
from octosync.cli.progress import ProgressBar, WaitDisplay
from octosync.cli.root import is_defect, report_failure
from octosync.cli.run import Run, plan_offline, plan_online, prepare
from octosync.cli.run_options import LockTimeout, RunRequest, StateFlag
from octosync.cli.runs.apply_output import ApplyOutput, wait_for_rollouts
from octosync.cli.runs.plan import check_base, check_request, read_plan_file
from octosync.cli.session import control_plane, run_with_client
from octosync.cli.shared_state import RunLock, SharedReading, read_shared_state, run_lock
from octosync.cli.state_location import ChosenState, shown_state
from octosync.errors import (
    ExitCode,
    GuardRefused,
    InternalError,
    Interrupted,
    OctosyncError,
    StalePlan,
    StateLocked,
    StateUnavailable,
    UsageError,
    worst,
)
from octosync.manifest.git.repository import git_commit
from octosync.model import RunAudit
from octosync.octomil import Octomil, WaitNotice
from octosync.plan import (
    Approval,
    ControlPlane,
    GitRevision,
    RunInfo,
    allowances_in,
    check_plan_key,
    plan_digest,
    recorded_policies,
    what_moved,
)
from octosync.reconcile import ReviewedPlan, apply_reviewed, limited_to, refuse_unsafe
from octosync.report import ApplyReport, PlanReport, RunReport, exit_code_of_outcomes, exit_code_of_rollouts
from octosync.state import Journal, Record

# Seconds for which a run tries to record its end, and the pause after an attempt.
_CLOSING: Final = 10.0
_CLOSE_AGAIN: Final = 0.5
_UNRECORDED: Final = (
    "The run has ended; its end, and possibly outcomes of its last actions, are missing in the journal. "
    "The next run reads what they did."
)


def run(
    *,
    planfile: Path | None,
    output: str,
    destinations: tuple[Destination, ...],
    yes: bool,
    wait: Timeout | None,
    journal: StateFlag,
    lock_timeout: LockTimeout,
    request: RunRequest,
) -> ExitCode:
    """Run `octosync apply`."""
    report = RunReport(command="apply")
    with Outputs(
        report=report, output=output, destinations=destinations, max_bytes=request.max_bytes, full=request.full
    ) as outputs:
        try:
            timeouts = _Timeouts(wait, lock_timeout)
            apply_run = _apply_run(replace(request, state=journal), outputs, planfile, yes=yes, timeouts=timeouts)
            session = apply_run.run.session
            return apply_run.apply_nothing() if session is None else run_with_client(session, apply_run.apply)
        except (_ApplyInterrupted, InternalError) as error:
            outputs.fail(error, written="")
            return report_failure(error, written="")


def _apply_run(
    request: RunRequest,
    outputs: Outputs,
    planfile: Path | None,
    *,
    yes: bool,
    timeouts: _Timeouts,
) -> _ApplyRun:
    """Return the apply run. Raise `OctosyncError` for an invalid plan file, or if confirmation is not possible."""
    approval = read_plan_file(planfile) if planfile is not None else None
    if approval is not None:
        check_request(request, approval, str(planfile))
        request = replace(request, base=replace(request.base, approved=approval.base_commit))
    elif not yes and not can_prompt():
        raise UsageError(
            "confirmation-required",
            "apply needs confirmation, but there is no terminal (or CI is set)",
            hints=("Use --yes, or apply a reviewed plan: octosync plan --plan-out FILE, then octosync apply FILE",),
        )
    # A reviewed plan has the apps that `octosync plan` selects.
    run = prepare(request, outputs.record_inputs, complete=approval is None)
    if approval is not None:
        check_base(run, approval, str(planfile))
        check_plan_key(approval, run.fingerprint_scheme, file=str(planfile))
    state = shown_state(request.state, run.inputs.configuration, run.inputs.context, request.manifests.config)
    asks = approval is None and not yes
    return _ApplyRun(
        run=run,
        outputs=outputs,
        output=ApplyOutput(
            outputs=outputs,
            colour=request.colour,
            shows=outputs.output == "text" or asks,
            asks=asks,
            state=state.location,
        ),
        asks=asks,
        timeouts=timeouts,
        state=state,
        planfile=planfile,
        approval=approval,
    )


class _ApplyInterrupted(Interrupted):
    """A second signal ended a run while requests were in flight."""


@dataclass(frozen=True, slots=True)
class _Timeouts:
    """How long the run waits for rollouts, None for not at all, and for the lock of the shared state."""

    rollouts: Timeout | None
    lock: LockTimeout


@dataclass(frozen=True, slots=True)
class _Planned:
    """A plan with its report, and what was read of the shared state for it, None without one."""

    reviewed: ReviewedPlan
    report: PlanReport
    reading: SharedReading | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _ApplyRun:
    """One apply, from its first request to its report."""

    run: Run
    outputs: Outputs
    output: ApplyOutput
    asks: bool
    timeouts: _Timeouts
    state: ChosenState
    planfile: Path | None
    approval: Approval | None

    async def apply(self, remote: Octomil, wait_display: WaitDisplay, stop_signal: signals.StopSignal) -> ExitCode:
        """Plan, check guards, confirm, apply, wait and report. Raise `InternalError` for a defect after the first write."""
        try:
            return await self._apply(remote, wait_display, stop_signal)
        except Exception as defect:
            if not is_defect(defect) or not stop_signal.graceful:
                raise
            again = shlex.join(("octosync", "apply", *self._repeat_arguments))
            hints = (
                "The run had begun to write: its changes may or may not have been made.",
                f"To continue: {again} (reads first; applied changes are not sent twice)",
                f"What was done: {self.state.history_command('last')}",
            )
            raise InternalError(defect, hints=hints, exit_code=ExitCode.PARTIAL) from defect

    async def _apply(self, remote: Octomil, wait_display: WaitDisplay, stop_signal: signals.StopSignal) -> ExitCode:
        confirmed: _Planned | None = None
        if self.asks:
            # The lock is taken afterwards: nothing else could be applied while the question waits for an answer.
            confirmed = await self._plan(remote, wait_display)
            if (code := await self._ask(confirmed)) is not None:
                return code
        if confirmed is not None and not confirmed.reviewed.plan.actions:
            reviewed, report = confirmed.reviewed, self._apply_report(confirmed.report)
        else:
            async with run_lock(self.state.location, self._plane, self._started_by, wait=self.timeouts.lock) as lock:
                planned = await self._plan_to_write(lock, confirmed, remote, wait_display)
                if isinstance(planned, ExitCode):
                    return planned
                reviewed, report = planned.reviewed, self._apply_report(planned.report)
                if reviewed.plan.actions:
                    report = await self._write(reviewed, report, remote, wait_display, stop_signal, lock)
        waiting = self.timeouts.rollouts if report.exit_code in {ExitCode.DONE, ExitCode.PARTIAL} else None
        self.output.show_outcomes(report, closes=waiting is None)
        if waiting is None:
            return report.exit_code
        rollouts = await wait_for_rollouts(
            remote,
            rollouts_to_watch(reviewed.plan, reviewed.observation.state, tuple(report.outcomes)),
            reviewed.observation.state,
            within=waiting,
            wait_display=wait_display,
            stop_signal=stop_signal,
            on_read=self.outputs.stream.rollouts,
        )
        code = stop_signal.code or worst(report.exit_code, exit_code_of_rollouts(rollouts))
        timeout = waiting.text if waiting.seconds else ""
        self.output.show_wait(replace(report, exit_code=code, waited=rollouts, timeout=timeout))
        return code

    async def _plan(self, remote: Octomil, wait_display: WaitDisplay, lock: RunLock | None = None) -> _Planned:
        """Return the plan. Raise if there is a shared state that can't be read."""
        reading = await read_shared_state(self.state.location, self._plane, own=lock)
        run = self.run if reading is None else replace(self.run, shared=reading.shared)
        reviewed = await plan_online(run, remote, wait_display)
        if reading is not None and lock is not None and reviewed.plan.actions:
            later = await read_shared_state(self.state.location, self._plane, own=lock)
            if later is not None and later.shared.controls != reading.shared.controls:
                return await self._plan(remote, wait_display, lock)  # an operator has acted while live state was read
        if self.approval is not None:
            reviewed = limited_to(reviewed, self.approval.apps)
        return _Planned(reviewed, self._report(run, reviewed), reading)

    async def _ask(self, planned: _Planned) -> ExitCode | None:
        """Show the plan and ask for confirmation. Return the exit code of a run that ends with it, None to go on."""
        self.output.show_plan(planned.report)
        if (refusal := self._refusal(planned)) is not None:
            return self.output.show_refusal(planned.report, refusal)
        if not planned.reviewed.plan.actions or await _confirmed(planned.reviewed, planned.report.about):
            return None
        err("Nothing was written.\n")
        return ExitCode.ERROR

    async def _plan_to_write(
        self, lock: RunLock | None, confirmed: _Planned | None, remote: Octomil, wait_display: WaitDisplay
    ) -> _Planned | ExitCode:
        """Return the plan to write, made while the run holds the lock, or the exit code of a run that must not write.

        A confirmed plan is still good if no run has written since it was made.
        """
        if confirmed is None:
            planned = await self._plan(remote, wait_display, lock)
            self.output.show_plan(planned.report)
        elif lock is None or confirmed.reading is None:
            return confirmed
        else:
            reading = await read_shared_state(self.state.location, self._plane, own=lock)
            if reading is not None and confirmed.reading.is_followed_by(lock, reading):
                return confirmed
            planned = await self._plan(remote, wait_display, lock)
        refusal = self._refusal(planned)
        if refusal is None and confirmed is not None:
            refusal = self._changed_since(confirmed, planned)
        return planned if refusal is None else self.output.show_refusal(planned.report, refusal)

    def apply_nothing(self) -> ExitCode:
        """Report a change that concerns no app, without a single request."""
        reviewed = plan_offline(self.run)
        planned = _Planned(reviewed, self._report(self.run, reviewed), None)
        if (refusal := self._refusal(planned)) is not None:
            self.output.show_plan(planned.report)
            return self.output.show_refusal(planned.report, refusal)
        self.output.show_idle(planned.report)
        self.output.show_outcomes(self._apply_report(planned.report), closes=True)
        return ExitCode.DONE

    @property
    def _plane(self) -> ControlPlane:
        session = self.run.session
        if session is None:
            raise AssertionError("a run that concerns no app takes no lock")
        return control_plane(session.connection, session.context, None)

    @property
    def _started_by(self) -> RunAudit:
        """Who starts the run and where, for others that wait for it."""
        request, inputs, commit = self.run.request, self.run.inputs, git_commit(Path())
        keys = known_keys(request.remote, inputs.configuration, inputs.context, os.environ)
        return audit_of("apply", git=None if commit is None else GitRevision(revision=commit), keys=keys)

    def _report(self, run: Run, reviewed: ReviewedPlan) -> PlanReport:
        named = run.repeat_arguments
        if self.planfile is not None:
            named = (str(self.planfile), *run.request.selection_arguments, *run.request.repeat_arguments)
        typed = ("octosync", "apply", *named, *self._wait_arguments)
        planned = run.report(reviewed, command="apply", typed=typed)
        self.outputs.record_plan(planned)
        return planned

    def _apply_report(self, planned: PlanReport) -> ApplyReport:
        """Return the report of this apply before its first write. Its resume command has no plan file: that can't be reused."""
        again = ("octosync", "apply", *self._repeat_arguments, *self._wait_arguments)
        request = self.run.request
        status = shlex.join(("octosync", "status", *request.remote.connection_arguments(request.manifests.config)))
        return planned.applied(resume_command=shlex.join(again), status_command=status)

    @property
    def _repeat_arguments(self) -> tuple[str, ...]:
        return (*self.run.repeat_arguments, *self.state.flag, *self.run.override_arguments)

    @property
    def _wait_arguments(self) -> tuple[str, ...]:
        rollouts = self.timeouts.rollouts
        return () if rollouts is None else rollouts.typed

    def _refusal(self, planned: _Planned) -> OctosyncError | None:
        """Return the most serious error that forbids the first write, None if there is none."""
        try:
            refuse_unsafe(planned.reviewed)
        except GuardRefused as error:
            return self._stale_plan(planned.report) or self._with_base_hint(error)
        except OctosyncError as error:
            return error
        return self.run.inputs.strict_error(planned.report.all_diagnostics()) or self._stale_plan(planned.report)

    def _changed_since(self, confirmed: _Planned, planned: _Planned) -> OctosyncError | None:
        """Return the error of a plan that another run has changed since it was confirmed; None if it is the same."""
        then = Approval(invocation=self.run.invocation, document=confirmed.report.document())
        changes = what_moved(then, planned.report.document())
        if not changes:
            return None
        again = shlex.join(("octosync", "apply", *self._repeat_arguments, *self._wait_arguments))
        return StalePlan(
            "plan-outdated",
            "the plan has changed since you confirmed it: another run has written meanwhile",
            hints=(*changes, f"Run it again, and confirm the new plan:  {again}"),
        )

    def _with_base_hint(self, error: GuardRefused) -> GuardRefused:
        """Return the error with a hint if commits that were merged with the approved change have overrides."""
        inputs, revisions = self.run.inputs, self.run.inputs.revisions
        if self.approval is None or revisions is None:
            return error
        if not allowances_in(revisions.earlier_commits(), inputs.configuration.guards.trailers).overrides:
            return error
        hint = f"If you trust the file, use the Octosync-Allow lines of what was merged: --base {revisions.base.commit}"
        return GuardRefused(error.reference, error.message, hints=(*error.hints, hint))

    def _stale_plan(self, planned: PlanReport) -> OctosyncError | None:
        changes = what_moved(self.approval, planned.document()) if self.approval is not None else ()
        if not changes:
            return None
        plan_again = shlex.join(("octosync", "plan", *self._repeat_arguments, "--plan-out", str(self.planfile)))
        return StalePlan(
            "plan-outdated",
            "the plan has changed since it was approved",
            hints=(*changes, f"Plan again and have the new plan reviewed:  {plan_again}"),
        )

    async def _write(
        self,
        reviewed: ReviewedPlan,
        report: ApplyReport,
        remote: Octomil,
        wait_display: WaitDisplay,
        stop_signal: signals.StopSignal,
        lock: RunLock | None,
    ) -> ApplyReport:
        """Execute the plan. When this returns, the run is complete, and closed in the journal."""
        plane = report.about.control_plane
        with Journal(self.state.location) as journal:
            if lock is not None:
                await lock.confirm()
                lock.protect(remote, journal)
            record = Record.begin(
                journal,
                control_plane=plane.url,
                org_id=plane.org_id,
                digest=self.run.inputs.manifests.digest,
                run=None if lock is None else lock.run,
                audit=self._audit(report),
            )
            stop_signal.graceful = True
            each = report.about.requests_to_apply(report.plan) / len(report.plan.actions)
            pace = report.about.requests_per_minute
            with ProgressBar("applying", pace, remote.seconds_for, requests_each=each) as bar:
                stream = self.outputs.stream

                def waiting(notice: WaitNotice) -> None:
                    bar.waiting(notice)
                    stream.waiting(notice)

                def progressed(progress: Progress) -> None:
                    bar.advance(progress.done, progress.total)
                    stream.progress(progress)

                wait_display.show = waiting
                try:
                    applied = await apply_reviewed(
                        reviewed,
                        remote,
                        record=record,
                        resume=report.resume_command,
                        sensitivity=report.sensitivity,
                        stop=stop_signal.requested,
                        listener=Listener(started=stream.start, progressed=progressed),
                    )
                except asyncio.CancelledError:
                    raise self._cut_short(record.run, report.resume_command, stop_signal) from None
            code = _code(applied, stop_signal)
            journal.fence = None  # what this run has done is recorded even if it has lost its lock
            await self._close(record, code)
        return replace(
            report,
            exit_code=code,
            write_code=code,
            outcomes=applied.outcomes,
            run_id=record.run,
            history=self.state.history_command("last"),
        )

    def _audit(self, report: ApplyReport) -> RunAudit:
        request, inputs = self.run.request, self.run.inputs
        audit = audit_of(
            "apply",
            context=report.about.control_plane.context,
            git=report.about.manifests.git,
            overrides=report.overrides,
            flags=loosening_flags(request),
            keys=known_keys(request.remote, inputs.configuration, inputs.context, os.environ),
        )
        plan, overridden = report.plan, {override.guard for override in report.overrides}
        return replace(
            audit,
            plan_digest=plan_digest(plan, report.contract, report.sensitivity),
            policies=recorded_policies(plan.policies, plan.actions, overridden),
        )

    def _cut_short(self, run: str, resume: str, stop_signal: signals.StopSignal) -> _ApplyInterrupted:
        return _ApplyInterrupted(
            "interrupted",
            "the run was interrupted: the requests in progress may or may not have taken effect",
            hints=(
                f"To continue: {resume} (reads first; applied changes are not sent twice)",
                f"Run {run}, journal {self.state.location}",
            ),
            exit_code=stop_signal.code,
        )

    async def _close(self, record: Record, code: ExitCode) -> None:
        """End the run in the journal. A failure does not change the report of the run.

        A database that is restarted, or fails over, is waited for: what the run has done is recorded then.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _CLOSING
        while True:
            try:
                record.flush()
                record.end(int(code))
            except OctosyncError as error:
                is_waited_for = isinstance(error, StateUnavailable) and not isinstance(error, StateLocked)
                if is_waited_for and loop.time() < deadline:
                    await asyncio.sleep(_CLOSE_AGAIN)
                    continue
                report_failure(error, written=_UNRECORDED)
            return


async def _confirmed(reviewed: ReviewedPlan, info: RunInfo) -> bool:
    target = info.control_plane.context or info.control_plane.url
    count = len(reviewed.plan.actions)
    question = f"Apply {'this change' if count == 1 else f'these {count} changes'} to {target}? Type 'yes' to confirm: "
    return await ask(question) == "yes"


def _code(applied: ApplyResult, stop_signal: signals.StopSignal) -> ExitCode:
    if stop_signal.code is not None:
        return stop_signal.code
    if applied.stopped_by is not None and not applied.wrote:
        return applied.stopped_by.exit_code
    return exit_code_of_outcomes(applied.outcomes)
