"""Annotations: each at its position, gravest first, limited in number; no text in them becomes a command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
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
    """Return the report of a plan's run."""
    return plan_report(plan, blocked=judge(plan, policy or GuardPolicy()))


def annotated(run: RunReport) -> list[Command]:
    """Return the annotations of a run."""
    return commands_in(render_annotations(run, lambda origin: origin.file))


def found(severity: Severity, line: int, **more: Any) -> Diagnostic:
    """Return a diagnostic at a line."""
    facts = {"rule": "some-rule", "summary": f"at {line}", "origin": Origin("a.yaml", line, 3), **more}
    return Diagnostic(severity=severity, **facts)


@pytest.mark.parametrize(("fields", "shown"), [(60, 60), (400, 90)])
def test_every_difference_is_in_a_message_or_counted_there(fields: int, shown: int) -> None:
    """A message has as many differences of an object as GitHub shows, and the number of the others."""
    before, after = ({f"field{n:03}": f"{side}-{'x' * 8}" for n in range(fields)} for side in ("old", "new"))
    (change,) = annotated(ended(plan_of(desired_app("a", config=after), live_app("a", config=before))))
    lines = change.message.splitlines()
    found = [line for line in lines if line.startswith("field")]
    assert len(found) >= shown
    assert [line.split()[0] for line in found] == [f"field{n:03}" for n in range(len(found))]
    rest = [f"and {fields - len(found)} more lines"] if len(found) < fields else []
    assert lines[-1:] == (rest or found[-1:])
    assert len(change.message) <= 4_096


def test_each_change_is_annotated_at_its_position() -> None:
    """A planned change is a notice at its line, a destructive one a warning, a refused one an error with its hint."""
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


def test_the_annotations_of_a_run_are_the_golden_ones() -> None:
    """A plan of nearly everything, as in GitHub's log."""
    text = render_annotations(ended(mixed_plan(), policy=policy_of(max_deletes=1)), lambda origin: origin.file)
    assert SECRET not in text
    assert_golden(GOLDEN / "mixed.github.txt", text)


def test_the_gravest_annotations_come_first() -> None:
    """Errors, warnings, notices; within one level by file and line."""
    wrong = [found(severity, line) for line in (9, 2) for severity in reversed(Severity)]
    annotations = annotated(RunReport(command="validate", exit_code=ExitCode.ERROR, version="0", diagnostics=wrong))
    assert [(annotation.name, annotation.properties["line"]) for annotation in annotations] == [
        ("error", "2"), ("error", "9"), ("warning", "2"), ("warning", "9"), ("notice", "2"), ("notice", "9"),
    ]  # fmt: skip
    assert annotations[0].properties == {"file": "a.yaml", "line": "2", "col": "3", "title": "octosync: some-rule"}


def test_what_can_not_be_undone_comes_first_in_its_level() -> None:
    """Then updates, then diagnostics, then creations: of more than ten, GitHub shows the first."""
    plan = plan_of(
        [desired_app("search", fields={"name": "New"}, slots={"chat": {}}, targets=[])],
        observation(live_app("search", fields={"name": "Old"}, slots={}, targets=["ios:a"])),
    )
    warning, notice = (
        found(severity, 1, origin=Origin("a.yaml", 1)) for severity in (Severity.WARNING, Severity.NOTICE)
    )
    titles = [
        annotation.properties["title"] for annotation in annotated(plan_report(plan, diagnostics=(warning, notice)))
    ]
    assert [title.removeprefix("octosync: ") for title in titles] == [
        "destructive: delete target", "some-rule", "update app", "some-rule", "create slot",
    ]  # fmt: skip


def test_a_strict_run_states_why_it_fails() -> None:
    """With --strict, an error says that warnings are errors, before the warnings."""
    run = RunReport(
        command="validate", exit_code=ExitCode.ERROR, version="0", diagnostics=[found(Severity.WARNING, 4)], strict=True
    )
    assert [annotation.properties["title"] for annotation in annotated(run)] == [
        "octosync: strict",
        "octosync: some-rule",
    ]


@pytest.mark.parametrize(
    ("count", "shown", "left"), [(10, 30, ""), (13, 30, "3 more errors, 3 more warnings, 4 more notices")]
)
def test_a_run_has_at_most_ten_annotations_of_a_level(count: int, shown: int, left: str) -> None:
    """GitHub shows ten of each level: the rest is counted by a notice, which is one of the ten."""
    wrong = [found(severity, line) for line in range(count) for severity in Severity]
    annotations = annotated(RunReport(command="validate", exit_code=ExitCode.ERROR, version="0", diagnostics=wrong))
    assert len(annotations) == shown
    assert ("Not shown" in annotations[-1].message) == bool(left)
    assert left in annotations[-1].message


def test_a_position_outside_the_repository_is_in_the_message() -> None:
    """A position outside the repository, or on standard input, can't be annotated: the message names it."""
    run = RunReport(command="validate", exit_code=ExitCode.ERROR, version="0", diagnostics=[found(Severity.ERROR, 4)])
    (annotation,) = commands_in(render_annotations(run, lambda _: None))
    assert annotation.properties == {"title": "octosync: some-rule"}
    assert annotation.message == "at 4\ndeclared at a.yaml:4:3"


def test_the_error_of_a_run_is_annotated() -> None:
    """The error of an app that could not be planned is annotated too, at the position of that app."""
    error = Rejected("rejected", "no, since: 100%", hints=("Ask ana.",), response=ErrorResponse(request_id="req_1"))
    (annotation,) = annotated(RunReport(command="plan", exit_code=ExitCode.ERROR, version="0", error=error))
    assert (annotation.name, annotation.message) == ("error", "no, since: 100% (request req_1)\nAsk ana.")
    assert any(
        annotation.name == "error" and "file" in annotation.properties
        for annotation in annotated(ended(errored_plan()))
    )


def test_each_outcome_is_annotated_at_its_position() -> None:
    """After an apply, done is a notice, failed an error and skipped a warning."""
    plan = plan_of(
        [desired_app("search", slots={"chat": {}, "vision": {}, "tts": {}})], observation(live_app("search", slots={}))
    )
    statuses = (Status.DONE, Status.FAILED, Status.SKIPPED)
    outcomes = [
        Outcome(
            address=action.address, verb=action.verb.value, status=status, message="why", reference="some-reference"
        )
        for action, status in zip(plan.actions, statuses, strict=True)
    ]
    annotations = annotated(apply_report(plan, outcomes, run_id="r"))
    assert [annotation.name for annotation in annotations] == ["error", "warning", "notice"]
    assert "some-reference: why" in annotations[0].message
    assert annotations[0].properties["title"] == "octosync: create slot failed"


def test_identical_failures_are_one_annotation() -> None:
    """GitHub shows ten errors: failures with the same message are one, at the first object, with the other objects."""
    plan = plan_of(
        [desired_app("search", slots={f"s{n:02}": {} for n in range(13)})], observation(live_app("search", slots={}))
    )
    outcomes = [
        Outcome(
            address=action.address,
            verb=action.verb.value,
            status=Status.FAILED,
            message=f"no such field (422, request req_{number})",
            request_ids=(f"req_{number}",),
        )
        for number, action in enumerate(plan.actions)
    ]
    (annotation,) = annotated(apply_report(plan, outcomes, run_id="r"))
    assert annotation.name == "error"
    assert "app/search/slot/s00" in annotation.message
    assert "The same for 12 other objects: app/search/slot/s01, " in annotation.message
    assert "app/search/slot/s10 and 2 more" in annotation.message


@examples(40)
@given(HOSTILE)
def test_no_text_is_a_command(text: str) -> None:
    """For any text of manifests, files and the control plane, each line is one annotation with octosync's properties only."""
    hostile = hostile_run(text)
    run = plan_report(hostile.plan, exit_code=ExitCode.ERROR, error=hostile.error, **hostile.shown)
    log = render_annotations(run, lambda origin: origin.file)
    annotations = commands_in(log)
    assert len(annotations) == log.count("\n") == len(log.splitlines())
    assert {annotation.name for annotation in annotations} <= {"error", "warning", "notice"}
    assert all(annotation.properties.keys() <= {"file", "line", "col", "title"} for annotation in annotations)
    assert all(annotation.properties.get("line", "2").isdigit() for annotation in annotations)


@given(st.dictionaries(st.sampled_from(["a", "b-c"]), st.text(st.sampled_from("octosync_01\n\r=<"), max_size=30)))
def test_outputs_are_read_back(values: dict[str, str]) -> None:
    """A value with line breaks is written between delimiters that it doesn't contain: no value can set another output."""
    assert outputs_in(output_lines(values)) == values
