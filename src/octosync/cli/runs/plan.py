"""`octosync plan`, and plan files.

A plan file records an approval. Apply always plans again, and uses the file only to check that the plan is the same.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from octosync import __version__
from octosync.cli.console import err, note, out_paged, out_text, wants_colour
from octosync.cli.contexts import chosen_context
from octosync.cli.file_writer import write_whole
from octosync.cli.options import Destination
from octosync.cli.output import Outputs, shortened
from octosync.cli.progress import WaitDisplay
from octosync.cli.root import report_failure
from octosync.cli.run import Run, plan_offline, plan_online, prepare
from octosync.cli.run_options import RunRequest, StateFlag
from octosync.cli.session import control_plane, run_with_client
from octosync.cli.shared_state import known_shared_state
from octosync.cli.state_location import choose_state
from octosync.errors import ConfigError, ExitCode, PlanFileError, StalePlan, UsageError
from octosync.manifest import STDIN, find_configuration, parse_duration, read_configuration
from octosync.model import JsonObject
from octosync.octomil import Octomil
from octosync.plan import PLAN_KEY, Approval, Invocation, Plan, SharedState, read_approval, uncovered
from octosync.reconcile import ReviewedPlan
from octosync.report import PlanReport, RunReport, exit_code_of_plan, json_text, render_idle, render_plan, visible
from octosync.report.text import listed


def write_plan_file(path: Path, document: JsonObject) -> None:
    """Write a plan file atomically, readable only by its owner. Raise `PlanFileError` on failure."""
    try:
        write_whole(path, json_text(document), private=True)
    except OSError as error:
        raise PlanFileError(
            "plan-file-unwritable",
            f"the plan file {path} can't be written: {error.strerror}",
            hints=("Use another file.",),
        ) from error


def recorded(report: PlanReport) -> PlanReport:
    """Return the report as a plan file records it: the base is a commit, because a branch has moved on after the merge."""
    about = report.about
    if about.invocation.base is None or about.manifests.git is None:
        return report
    invocation = replace(about.invocation, base=about.manifests.git.base)
    return replace(report, about=replace(about, invocation=invocation))


def read_plan_file(path: Path) -> Approval:
    """Return the approval in a plan file. Raise `PlanFileError` for an invalid file, `StalePlan` for another version."""
    if path.is_dir():
        raise _not_a_plan_file(path, "a folder")
    try:
        text = path.read_bytes()
    except OSError as error:
        raise PlanFileError(
            "plan-file-unreadable",
            f"the plan file {path} can't be read: {error.strerror}",
            hints=("Write one with `octosync plan --plan-out FILE`.", *_wait_hint(str(path))),
        ) from error
    if path.suffix in {".yaml", ".yml"} and not text.startswith(b"{"):
        raise _not_a_plan_file(path, "YAML")
    return read_approval(text, file=str(path), octosync_version=__version__)


def _wait_hint(text: str) -> tuple[str, ...]:
    """Return the hint for a timeout that was given after a space, as in `--wait 5m`."""
    try:
        parse_duration(text)
    except ValueError:
        return ()
    return (f"For a timeout, use --wait={text}",)


def _not_a_plan_file(path: Path, kind: str) -> PlanFileError:
    return PlanFileError(
        "not-a-plan-file",
        f"{path} is {kind}, not a plan file",
        hints=(f"To select manifests, use -f: octosync apply {shlex.join(('-f', str(path)))}",),
    )


def check_request(request: RunRequest, approval: Approval, file: str) -> None:
    """Raise `StalePlan` if the plan file was made with other inputs than the command line and octosync.yaml select.

    The file never selects inputs itself: the command line must select them again. Only the base may have another name;
    `check_base` compares its commit.
    """
    now, then = _invocation(request), approval.invocation
    same_base = replace(then, base=now.base) if then.base is not None and now.base is not None else then
    if _comparable(now) != _comparable(same_base):
        raise _stale(request, approval, file, now)


def check_base(run: Run, approval: Approval, file: str) -> None:
    """Raise `StalePlan` if the base is not the commit that the plan file records, nor a later one."""
    revisions = run.inputs.revisions
    if revisions is None or revisions.base.commit == approval.base_commit:
        return
    raise _stale(run.request, approval, file, replace(run.invocation, base=revisions.named))


def _invocation(request: RunRequest) -> Invocation:
    """Return the inputs that the command line and octosync.yaml select, before any manifest is read."""
    manifests = request.manifests
    paths, kustomize = manifests.paths, manifests.kustomize
    if not paths and kustomize is None:
        configured = read_configuration(manifests.config or find_configuration(Path()))
        if not configured.has_errors:  # otherwise loading reports the errors
            context = chosen_context(request.remote, configured.configuration)
            kustomize = context.kustomize if context is not None else None
            paths = () if kustomize is not None else configured.configuration.paths_of(context)
    return replace(request.invocation((), kustomize), paths=paths)


def _comparable(invocation: Invocation) -> Invocation:
    """Return an invocation with absolute paths and sorted sets, for a comparison."""
    return replace(
        invocation,
        paths=tuple(sorted({STDIN if path == STDIN else _absolute(path) for path in invocation.paths})),
        kustomize=None if invocation.kustomize is None else _absolute(invocation.kustomize),
        apps=tuple(sorted(set(invocation.apps))),
        objects=tuple(sorted(set(invocation.objects))),
    )


def _absolute(path: str) -> str:
    return os.path.abspath(path)  # noqa: PTH100 — `resolve` would follow links


def _stale(request: RunRequest, approval: Approval, file: str, now: Invocation) -> StalePlan:
    then = approval.invocation
    if then.base is not None and approval.base_commit is not None:
        then = replace(then, base=approval.base_commit)
    again = (
        "octosync",
        "apply",
        file,
        *then.arguments(),
        *request.remote.connection_arguments(request.manifests.config),
    )
    return StalePlan(
        "other-manifests",
        f"{file} was planned with {_words(approval.invocation)}; this command and octosync.yaml select {_words(now)}",
        hints=(
            "A plan file does not select inputs: use the flags that it was planned with.",
            f"If you trust the file: {shlex.join(again)}",
        ),
    )


def _words(invocation: Invocation) -> str:
    return shlex.join(invocation.arguments()) or "nothing"


def run(
    *,
    output: str,
    destinations: tuple[Destination, ...],
    plan_out: Path | None,
    summary_only: bool,
    no_pager: bool,
    detailed_exitcode: bool,
    journal: StateFlag,
    request: RunRequest,
) -> ExitCode:
    """Run `octosync plan`."""
    if request.base.offline and plan_out is not None:
        raise UsageError(
            "offline-plan-out",
            "--offline can't be used with --plan-out: an offline plan is not compared with the live state",
            hints=("Remove one of them.",),
        )
    request = replace(request, state=journal)
    with Outputs(
        report=RunReport(command="plan"),
        output=output,
        destinations=destinations,
        plan_out=plan_out,
        max_bytes=request.max_bytes,
        full=request.full,
    ) as outputs:
        run = prepare(request, outputs.record_inputs)
        if run.session is None:
            reviewed = plan_offline(run)
        else:
            run, reviewed = run_with_client(
                run.session, lambda remote, wait_display, _: _plan_shared(run, remote, wait_display)
            )
        report = run.report(reviewed, command="plan", typed=("octosync", "apply", *run.repeat_arguments))
        strict = run.inputs.strict_error(report.all_diagnostics())
        code = exit_code_of_plan(reviewed.plan, reviewed.refusals, detailed=detailed_exitcode)
        report = replace(report, exit_code=code if strict is None else ExitCode.ERROR, error=strict)
        report = replace(report, summary_only=summary_only)
        _show(run, report, outputs, out_text if no_pager else out_paged)
        return report.exit_code


async def _plan_shared(run: Run, remote: Octomil, wait_display: WaitDisplay) -> tuple[Run, ReviewedPlan]:
    """Return the plan, and the run with what the shared state contains. A job of a pull request may have no access to it."""
    inputs = run.inputs
    try:
        state = choose_state(run.request.state, inputs.configuration, inputs.context, run.request.manifests.config)
    except ConfigError as error:
        shared: SharedState | None = SharedState(location=None, error=error)
    else:
        shared = await known_shared_state(state.location, control_plane(remote.connection, inputs.context, None))
    run = replace(run, shared=shared)
    return run, await plan_online(run, remote, wait_display)


def _show(run: Run, report: PlanReport, outputs: Outputs, write: Callable[[str], None]) -> None:
    outputs.record_plan(report)
    if outputs.plan_out is not None:
        write_plan_file(outputs.plan_out, recorded(report).document(streamed=True))
    if outputs.output == "text":
        idle = run.idle and not report.listed_diagnostics()
        colour = wants_colour(sys.stdout, run.request.colour)
        write(render_idle(report) if idle else render_plan(shortened(report), colour=colour))
    if report.error is not None:
        report_failure(report.error)
    outputs.close(report)
    if outputs.plan_out is not None:
        note(_plan_file_message(run, report.plan, outputs.plan_out))
        err(_fingerprint_warning(run, report.plan))


def _plan_file_message(run: Run, plan: Plan, file: Path) -> str:
    """Return the message about the plan file, with the command that applies it."""
    if plan.errored:
        return f"Wrote an incomplete plan to {file}; it can't be applied.\n"
    if not plan.actions:
        return f"Wrote the plan to {file}: nothing to apply.\n"
    request, revisions = run.request, run.inputs.revisions
    if revisions is not None:
        base = replace(request.base, base=revisions.base.commit)
        request = replace(request, base=base if base.applied is None else replace(base, attempted=()))
    again = (*request.selection_arguments, *request.repeat_arguments, *run.override_arguments)
    command = shlex.join(("octosync", "apply", str(file), *again))
    first = "" if plan.pending is None else "when the pending changes are applied, "
    to_apply = f"{first}to apply exactly this plan:"
    return f"Wrote the plan to {file}. {to_apply[0].upper()}{to_apply[1:]}  {command}\n"


def _fingerprint_warning(run: Run, plan: Plan) -> str:
    """Return a warning about objects whose changes between plan and apply are not detected, "" if there are none."""
    if plan.errored:
        return ""
    acted_on = {action.address for action in plan.actions}
    without = [str(address) for address in uncovered(plan, run.fingerprint_scheme) if address in acted_on]
    if not without:
        return ""
    return (
        f"Its fingerprints don't cover sensitive values, so apply can't detect later changes of these: "
        f"{listed(map(visible, without), at_most=5)}.\n"
        f"To cover them, set {PLAN_KEY} for plan and apply.\n"
    )
