"""Events: each is one line of JSON with printable text and without secrets, for any manifest."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.support.hostile import hostile_run
from tests.support.sample_reports import SECRET, apply_report, errored_plan, mixed_plan, plan_report
from tests.support.states import policy_of

from octosync.errors import ExitCode
from octosync.model import JsonObject
from octosync.plan import judge
from octosync.report import json_line, jsonl


def read_back(*written: JsonObject) -> list[dict[str, Any]]:
    """Write events as lines, and read them back."""
    lines = [json_line(event) for event in written]
    assert all(line.isascii() and line[:-1].isprintable() and line.endswith("\n") for line in lines)
    return [json.loads(line) for line in lines]


def test_a_plan_is_events_of_its_changes_and_a_summary() -> None:
    """A refusal is an error event with its hint; no secret is in any event."""
    plan = mixed_plan()
    blocked = judge(plan, policy_of(max_deletes=0))
    planned = plan_report(plan, blocked=blocked)
    found = read_back(*jsonl.plan_events(planned))
    assert sum(event["type"] == "planned_change" for event in found) == len(plan.actions)
    (refused,) = (event for event in found if "blocked" in event)
    assert (refused["type"], refused["@level"]) == ("diagnostic", "error")
    assert (found[-1]["type"], found[-1]["errored"]) == ("change_summary", False)
    assert SECRET not in json.dumps(found)


def test_an_app_that_could_not_be_planned_is_an_event() -> None:
    """It has the slug of the app, and the summary is errored."""
    planned = plan_report(errored_plan())
    found = read_back(*jsonl.plan_events(planned))
    assert {event["error"]["app"] for event in found if "error" in event} == set(planned.plan.errors)
    assert found[-1]["errored"] is True


@examples(30)
@given(st.text(st.sampled_from("\x1b\n\r\x85\u2028\u202e::#[]%é")))
def test_texts_are_printable(text: str) -> None:
    """Each line is one event, and its message is printable."""
    run = hostile_run(text)
    planned = plan_report(run.plan, **run.shown)
    outcomes = [jsonl.outcome_event(outcome, done=1, total=2) for outcome in run.outcomes]
    starts = [jsonl.start_event(action) for action in run.plan.actions]
    ends = jsonl.applied_event(apply_report(run.plan, run.outcomes, run_id=text, exit_code=ExitCode.PARTIAL))
    found = read_back(*jsonl.plan_events(planned), *starts, *outcomes, jsonl.error_event(run.error), ends)
    assert all(event["@message"].isprintable() for event in found)
