"""Annotations: everything at its place, gravest first, bounded; no text in them is a command of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.golden import assert_golden
from tests.support.hostile import hostile_run
from tests.support.sample_reports import SECRET, apply_report, errored_plan, mixed_plan, plan_report
from tests.support.states import desired_app, live_app, observation, plan_of, policy_of
from tests.support.workflow_commands import Command, commands_in, outputs_in

from octosync.errors import ErrorResponse, ExitCode, Rejected
from octosync.model import Diagnostic, Origin, Outcome, Severity, Status
from octosync.plan import GuardPolicy, Plan, judge
from octosync.report import PlanReport, RunReport, output_lines, render_annotations

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = st.text(st.sampled_from("%:,=\r\n\x85\u2028\x1b#[]0ADa ")) | st.sampled_from(
    ["::error::", "%0A::add-mask::x", "##[add-mask]x", "\n::stop-commands::x", "\r##[group]", ",line=7", "%25%0D"]
)


def ended(plan: Plan, policy: GuardPolicy | None = None) -> PlanReport:
    """End a plan's run."""
    return plan_report(plan, blocked=judge(plan, policy or GuardPolicy()))


def annotated(run: RunReport) -> list[Command]:
    """Return a run's annotations."""
    return commands_in(render_annotations(run, lambda origin: origin.file))


def found(severity: Severity, line: int, **more: Any) -> Diagnostic:
    """Make a diagnostic at a line."""
    facts = {"rule": "some-rule", "summary": f"at {line}", "origin": Origin("a.yaml", line, 3), **more}
    return Diagnostic(severity=severity, **facts)


def test_each_change_is_at_its_place() -> None:
    """What is planned is a notice at its line, what destroys something a warning, what is refused an error with the way out."""
    plan = plan_of(
        [desired_app("search", slots={"chat": {}}, targets=[], origin=Origin("a.yaml", 2, 1))],
        observation(live_app("search", slots={}, targets=["ios:a"])),
    )
    create, delete = annotated(ended(plan))[::-1]
    assert (create.name, create.properties["title"]) == ("notice", "octosync: create slot")
    assert (delete.name, delete.properties["title"]) == ("warning", "octosync: destructive: delete target")
    assert (
        create.properties["file"] == delete.properties["file"] == "apps/demo.yaml" or delete.properties["line"] == "2"
    )
    refused = annotated(ended(plan, policy=policy_of(max_deletes=0)))[0]
    assert (refused.name, refused.properties["title"]) == ("error", "octosync: blocked by guard deletes")
    assert "--allow-deletes 1" in refused.message


def test_a_run_as_annotations() -> None:
    """A plan of nearly everything, as GitHub's log has it."""
    text = render_annotations(ended(mixed_plan(), policy=policy_of(max_deletes=1)), lambda origin: origin.file)
    assert SECRET not in text
    assert_golden(GOLDEN / "mixed.github.txt", text)


def test_the_gravest_come_first() -> None:
    """Errors, warnings, notices; within one kind by file and line."""
    wrong = [found(severity, line) for line in (9, 2) for severity in reversed(Severity)]
    said = annotated(RunReport(command="validate", exit_code=ExitCode.ERROR, version="0", diagnostics=wrong))
    assert [(one.name, one.properties["line"]) for one in said] == [
        ("error", "2"), ("error", "9"), ("warning", "2"), ("warning", "9"), ("notice", "2"), ("notice", "9"),
    ]  # fmt: skip
    assert said[0].properties == {"file": "a.yaml", "line": "2", "col": "3", "title": "octosync: some-rule"}


@pytest.mark.parametrize(
    ("each", "shown", "left"), [(10, 30, ""), (13, 30, "3 more errors, 3 more warnings, 4 more notices")]
)
def test_at_most_ten_of_a_kind(each: int, shown: int, left: str) -> None:
    """GitHub shows ten of each: the rest is counted, by a notice that is one of them."""
    wrong = [found(severity, line) for line in range(each) for severity in Severity]
    said = annotated(RunReport(command="validate", exit_code=ExitCode.ERROR, version="0", diagnostics=wrong))
    assert len(said) == shown
    assert ("Not shown" in said[-1].message) == bool(left)
    assert left in said[-1].message


def test_what_is_not_in_the_repository_is_said_in_words() -> None:
    """A place elsewhere, or standard input, can't be marked: the message names it."""
    run = RunReport(command="validate", exit_code=ExitCode.ERROR, version="0", diagnostics=[found(Severity.ERROR, 4)])
    (said,) = commands_in(render_annotations(run, lambda _: None))
    assert said.properties == {"title": "octosync: some-rule"}
    assert said.message == "at 4\ndeclared at a.yaml:4:3"


def test_what_ended_a_run_is_an_error() -> None:
    """So is what kept one app from being planned, at that app's place."""
    error = Rejected("rejected", "no, since: 100%", hints=("Ask ana.",), response=ErrorResponse(request_id="req_1"))
    (said,) = annotated(RunReport(command="plan", exit_code=ExitCode.ERROR, version="0", error=error))
    assert (said.name, said.message) == ("error", "no, since: 100% (request req_1)\nAsk ana.")
    assert any(one.name == "error" and "file" in one.properties for one in annotated(ended(errored_plan())))


def test_what_became_of_a_change_is_at_its_place() -> None:
    """After an apply, done is a notice, failed an error, skipped a warning."""
    plan = plan_of(
        [desired_app("search", slots={"chat": {}, "vision": {}, "tts": {}})], observation(live_app("search", slots={}))
    )
    fates = (Status.DONE, Status.FAILED, Status.SKIPPED)
    outcomes = [
        Outcome(
            address=action.address, verb=action.verb.value, status=status, message="why", reference="some-reference"
        )
        for action, status in zip(plan.actions, fates, strict=True)
    ]
    said = annotated(apply_report(plan, outcomes, run_id="r"))
    assert [one.name for one in said] == ["error", "warning", "notice"]
    assert "some-reference: why" in said[0].message
    assert said[0].properties["title"] == "octosync: create slot failed"


@settings(max_examples=40)
@given(HOSTILE)
def test_no_text_is_a_command(text: str) -> None:
    """Whatever manifests, files and the control plane say: each line is one annotation of ours, with our properties only."""
    hostile = hostile_run(text)
    run = plan_report(hostile.plan, exit_code=ExitCode.ERROR, error=hostile.error, **hostile.shown)
    log = render_annotations(run, lambda origin: origin.file)
    said = commands_in(log)
    assert len(said) == log.count("\n") == len(log.splitlines())
    assert {one.name for one in said} <= {"error", "warning", "notice"}
    assert all(one.properties.keys() <= {"file", "line", "col", "title"} for one in said)
    assert all(one.properties.get("line", "2").isdigit() for one in said)


@given(st.dictionaries(st.sampled_from(["a", "b-c"]), st.text(st.sampled_from("octosync_01\n\r=<"), max_size=30)))
def test_outputs_are_read_back(values: dict[str, str]) -> None:
    """A value with line breaks goes between delimiters that are not in it: no value can set another output."""
    assert outputs_in(output_lines(values)) == values
