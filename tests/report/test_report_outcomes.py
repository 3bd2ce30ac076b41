from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.support.golden import assert_golden
from tests.support.sample_reports import apply_report, document_of, errored_plan, mixed_plan, steady_plan
from tests.support.states import desired_app, live_app, plan_of, policy_of

from octosync.errors import Conflict, CredentialRefused, ErrorResponse, ExitCode, UsageError
from octosync.model import Outcome, Status
from octosync.plan import judge
from octosync.report import (
    apply_document,
    exit_code_of_outcomes,
    exit_code_of_plan,
    json_text,
    render_error,
    render_outcomes,
)

GOLDEN = Path(__file__).parent / "golden"
ANSI = re.compile(r"\x1b\[\d+m")
PLAN = mixed_plan()


def outcomes(**statuses: dict[str, Any]) -> list[Outcome]:
    """Return an outcome per action of the plan: done, unless the index (`at_3`) has other facts."""
    made = []
    for index, action in enumerate(PLAN.actions):
        facts = {"status": Status.DONE, **statuses.get(f"at_{index}", {})}
        made.append(Outcome(address=action.address, verb=action.verb.value, **facts))
    return made


PARTIAL = outcomes(
    at_1={
        "status": Status.FAILED,
        "message": "taken by app `search-legacy` (409 conflict, request req_81fa)",
        "reference": "conflict",
        "hints": ("Declare the target's move, or remove it there.",),
        "request_ids": ("req_81f9", "req_81fa"),
    },
    at_2={"status": Status.SKIPPED, "message": "needs create app/canary-demo/target/ios:com.octomil.canary-demo"},
    at_4={"status": Status.NOT_KEPT, "message": "sent name `a`, kept `b`", "request_ids": ("req_1",)},
    at_5={"message": "found already done when its answer was lost"},
    at_6={"status": Status.STALE, "message": "the slot moved since it was read"},
    at_7={"status": Status.AWAITING_APPROVAL, "message": "a person must approve it in Octomil"},
    at_9={"status": Status.NOT_ATTEMPTED, "message": "the run stopped before it"},
    at_10={"status": Status.NOT_ATTEMPTED, "message": "the run stopped before it"},
)


def text_of(made: list[Outcome], **more: Any) -> str:
    colour = more.pop("colour", False)
    facts = {"run_id": "01JD", "resume_command": "octosync apply -f apps/", "exit_code": ExitCode.PARTIAL}
    return render_outcomes(apply_report(PLAN, made, **{**facts, **more}), colour=colour)


def test_outcomes_are_the_golden_ones() -> None:
    """Counts first, then only what needs attention, each with reference, message, requests, hints and position."""
    assert_golden(GOLDEN / "outcomes.txt", text_of(PARTIAL, history="octosync history 01JD"))


def test_a_full_success_is_two_lines() -> None:
    """If everything was applied, only the count and the run are shown."""
    assert text_of(outcomes(), exit_code=ExitCode.DONE) == "✓ 12 applied\nRun 01JD\n"


def test_an_interrupted_run_lists_its_finished_actions() -> None:
    """After a signal the finished actions are listed, in the order of the plan, and those that were not attempted."""
    stopped = {f"at_{index}": {"status": Status.NOT_ATTEMPTED, "message": "stopped"} for index in range(3, 12)}
    text = text_of(outcomes(**stopped), exit_code=ExitCode.INTERRUPTED)
    assert_golden(GOLDEN / "outcomes-interrupted.txt", text)
    none = {f"at_{index}": {"status": Status.NOT_ATTEMPTED} for index in range(12)}
    assert "Done:\n  nothing\n" in text_of(outcomes(**none), exit_code=ExitCode.TERMINATED)


def test_many_actions_of_one_status_are_listed_once() -> None:
    """A run that stopped early names ten of the actions that it did not attempt, and counts the others."""
    text = text_of(outcomes(**{f"at_{index}": {"status": Status.NOT_ATTEMPTED} for index in range(12)}))
    lines = text.splitlines()
    assert lines[:2] == ["✓ 0 applied   · 12 not attempted", "· not attempted:"]
    assert lines[2:12] == [f"    {action.verb.value} {action.address}" for action in PLAN.actions[:10]]
    assert lines[12] == "    and 2 more"


def test_identical_failures_are_one_group() -> None:
    """Failures that differ only in object and request are listed once, wherever they are in the plan, hints once."""
    rejected = {
        f"at_{index}": {
            "status": Status.FAILED,
            "message": f"the field `tier` is unknown (422 validation_error, apps.put_slot, request req_{index})",
            "reference": "rejected",
            "hints": ("Remove the field.",),
            "request_ids": (f"req_{index}",),
        }
        for index in (0, 2, 5)
    }
    lines = text_of(outcomes(**rejected, at_3={"status": Status.STALE, "message": "it changed"})).splitlines()
    start = lines.index("✗ rejected: the field `tier` is unknown (422 validation_error, apps.put_slot):")
    for index, line in zip((0, 2, 5), lines[start + 1 : start + 4], strict=True):
        action = PLAN.actions[index]
        assert line == f"    {action.verb.value} {action.address} (declared at {action.origin}, request req_{index})"
    assert lines[start + 4] == "    Remove the field."
    assert sum("Remove the field." in line for line in lines) == 1


def test_colour_only_adds_colour_to_outcomes() -> None:
    """The coloured outcomes without their colours are the plain ones."""
    assert ANSI.sub("", text_of(PARTIAL, colour=True)) == text_of(PARTIAL)
    assert "\x1b[31m✗\x1b[0m" in text_of(PARTIAL, colour=True)


def test_the_document_of_an_apply_has_one_outcome_per_action() -> None:
    """JSON has the plan, every outcome in order with all its facts, the counts of every status, and the exit code."""
    report = apply_report(PLAN, PARTIAL, run_id="01JD", exit_code=ExitCode.PARTIAL)
    document: Any = json.loads(json_text(apply_document(report, full=False)))
    assert list(document) == ["format_version", "run", "plan", "outcomes", "waited", "error", "summary", "exit_code"]
    assert (document["run"], document["exit_code"]) == ("01JD", 5)
    assert document["plan"] == document_of(PLAN)
    assert [(outcome["address"], outcome["action"]) for outcome in document["outcomes"]] == [
        (str(action.address), action.verb.value) for action in PLAN.actions
    ]
    assert document["outcomes"][1] == {
        "address": "app/canary-demo/target/macos:com.octomil.old",
        "action": "delete",
        "status": "failed",
        "message": "taken by app `search-legacy` (409 conflict, request req_81fa)",
        "reference": "conflict",
        "hints": ["Declare the target's move, or remove it there."],
        "request_ids": ["req_81f9", "req_81fa"],
    }
    assert document["summary"] == {
        "done": 5,
        "failed": 1,
        "stale": 1,
        "skipped": 1,
        "not_kept": 1,
        "awaiting_approval": 1,
        "not_attempted": 2,
    }
    assert json_text(document).isascii()


@pytest.mark.parametrize("status", list(Status))
def test_the_exit_code_of_an_apply_is_5_unless_everything_is_done(status: Status) -> None:
    """One outcome that is not done makes the run partial."""
    code = ExitCode.DONE if status is Status.DONE else ExitCode.PARTIAL
    assert exit_code_of_outcomes(outcomes(at_3={"status": status})) is code


def test_the_exit_code_of_a_plan() -> None:
    """Errored is 1 and comes before blocked, which is 4; changes are 2 only with `detailed`."""
    blocked = judge(PLAN, policy_of(max_deletes=0))
    assert exit_code_of_plan(PLAN, (), detailed=False) is ExitCode.DONE
    assert exit_code_of_plan(PLAN, (), detailed=True) is ExitCode.CHANGES
    assert exit_code_of_plan(PLAN, blocked, detailed=True) is ExitCode.GUARDED
    assert exit_code_of_plan(errored_plan(), blocked, detailed=True) is ExitCode.ERROR
    assert exit_code_of_plan(steady_plan(), (), detailed=True) is ExitCode.DONE


def test_an_error_is_the_golden_one() -> None:
    """Reference, cause, request, context and hints, and at the end what was written."""
    error = CredentialRefused(
        "credential-refused",
        "the control plane rejected the API key (401 invalid_api_key, request req_77c0)",
        hints=("key from OCTOMIL_API_KEY (context production, octosync.yaml:3)", "Create a key with scope apps:write."),
        response=ErrorResponse(request_id="req_77c0"),
    )
    assert_golden(GOLDEN / "error.txt", render_error(error))
    assert ANSI.sub("", render_error(error, colour=True)) == render_error(error)


def test_an_error_names_its_request_once() -> None:
    """A request ID that the message lacks is added; a local error has none; what was written is shown unchanged."""
    assert render_error(Conflict("conflict", "taken", response=ErrorResponse(request_id="req_1")), written="") == (
        "error: conflict: taken (request req_1)\n"
    )
    assert render_error(UsageError("no-paths", "nothing to read"), written="2 were written.") == (
        "error: no-paths: nothing to read\n  2 were written.\n"
    )


def test_an_app_updated_and_archived_has_two_outcomes() -> None:
    """Two actions of one address are distinguished by their verbs."""
    plan = plan_of(desired_app("a", archived=True, targets=[], fields={"name": "B"}), live_app("a"))
    made = [
        Outcome(address=a.address, verb=a.verb.value, status=Status.FAILED, message=a.verb.value) for a in plan.actions
    ]
    text = render_outcomes(apply_report(plan, made, run_id="1", exit_code=ExitCode.PARTIAL), colour=False)
    assert "✗ update app/a: update\n" in text
    assert "✗ archive app/a: archive\n" in text
