"""SARIF: valid against its schema, with stable rules, positions and fingerprints, for any manifest."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.support.hostile import hostile_run
from tests.support.sample_reports import SECRET, errored_plan, mixed_plan, plan_report
from tests.support.sarif import assert_sarif
from tests.support.states import desired_app, live_app, live_deployment, observation, plan_of, policy_of

from octosync.errors import ErrorResponse, ExitCode, Rejected, Unavailable
from octosync.model import Address, Diagnostic, Origin, Severity
from octosync.plan import GUARDS, Plan, ReadNeeds, judge
from octosync.report import PlanReport, RuleHelp, RunReport, json_text, sarif_document

HELP = {"some-rule": RuleHelp(Severity.WARNING, "What it means.", "docs/some.md#some-rule")}


def sarif(run: RunReport) -> Any:
    """Return a run as SARIF, read back from its text."""
    return json.loads(json_text(sarif_document(run, lambda origin: origin.path or None, HELP)))


def ended(plan: Plan, **policy: Any) -> PlanReport:
    """Return the report of a plan's run under a policy."""
    blocked = judge(plan, policy_of(**policy))
    return plan_report(plan, blocked=blocked, exit_code=ExitCode.GUARDED)


def checked(*found: Diagnostic) -> RunReport:
    """Return the run of a validation."""
    return RunReport(command="validate", exit_code=ExitCode.ERROR, version="0.1.0", diagnostics=found)


def at(line: int, summary: str = "wrong", **more: Any) -> Diagnostic:
    """Return a diagnostic at a line."""
    facts = {"severity": Severity.WARNING, "rule": "some-rule", "origin": Origin("a b/ü:x.yaml", line, 3), **more}
    return Diagnostic(summary=summary, **facts)


def test_a_refused_change_is_a_result() -> None:
    """It has its position, its guard as the rule, with help, and the allowing command in its message. No secret is in it."""
    document = sarif(ended(mixed_plan(), max_deletes=1, max_archives=0))
    refused = [result for result in assert_sarif(document) if result["ruleId"].startswith("guard-")]
    assert {refusal["ruleId"] for refusal in refused} == {"guard-deletes", "guard-archives"}
    assert all(refusal["level"] == "error" and "To allow this: " in refusal["message"]["text"] for refusal in refused)
    rules = {rule["id"]: rule for rule in document["runs"][0]["tool"]["driver"]["rules"]}
    assert rules["guard-deletes"]["help"]["text"] == GUARDS["deletes"].refuses
    assert all("help" in rule and "defaultConfiguration" in rule for rule in rules.values())
    assert SECRET not in json.dumps(document)


def test_a_diagnostic_is_a_result() -> None:
    """Its file is relative to the root of the repository and encoded; its region is as wide as the marked text."""
    document = sarif(checked(at(4, width=7), at(0)))
    results = assert_sarif(document)
    whole, part = sorted((result["locations"][0]["physicalLocation"] for result in results), key=len)
    assert part == {
        "artifactLocation": {"uri": "a%20b/%C3%BC%3Ax.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 4, "startColumn": 3, "endColumn": 10},
    }
    assert "region" not in whole
    assert document["runs"][0]["tool"]["driver"]["rules"][0]["help"] == {"text": "What it means."}


def test_a_diagnostic_without_a_position_is_a_notification() -> None:
    """Diagnostics of the whole set, and the error of the run: code scanning takes no result without a position."""
    error = Unavailable("unavailable", "down", hints=("Try again later.",))
    nowhere = Diagnostic(severity=Severity.NOTICE, rule="some-rule", summary="of all")
    run = RunReport(command="plan", exit_code=ExitCode.UNAVAILABLE, version="0", diagnostics=(nowhere,), error=error)
    document = sarif(run)
    assert assert_sarif(document) == []
    (invocation,) = document["runs"][0]["invocations"]
    assert (invocation["executionSuccessful"], invocation["exitCode"]) == (False, 75)
    assert [notification["level"] for notification in invocation["toolExecutionNotifications"]] == ["error", "note"]
    assert invocation["toolExecutionNotifications"][0]["descriptor"] == {"id": "unavailable"}


def test_a_failure_opens_no_alert() -> None:
    """A failed read of an app is not an error of its manifest: it is a notification, at the app's position."""
    document = sarif(ended(errored_plan()))
    assert not any(result["level"] == "error" for result in assert_sarif(document))
    (invocation,) = document["runs"][0]["invocations"]
    assert not invocation["executionSuccessful"]
    assert all("locations" in notification for notification in invocation["toolExecutionNotifications"])


def test_fingerprints_stay_when_lines_move() -> None:
    """They are distinct per finding and stay the same when lines move; positions within texts don't count."""

    def fingerprints(offset: int) -> set[str]:
        found = [
            at(line + offset, f"as `x`, see b.yaml:{line + offset}:3", path=f"spec.slots[{line}]")
            for line in range(1, 4)
        ]
        twice = [at(9 + offset), at(10 + offset)]
        return {result["partialFingerprints"]["octosync/v1"] for result in assert_sarif(sarif(checked(*found, *twice)))}

    assert fingerprints(0) == fingerprints(40)
    assert len(fingerprints(0)) == 5


def test_fingerprints_of_the_base_stay_when_its_commit_changes() -> None:
    """A problem of the base is the same one after main has moved on."""

    def fingerprint(commit: str) -> str:
        origin = Origin(f"{commit}:apps/a.yaml", 0, base=commit)
        (result,) = assert_sarif(sarif(checked(at(0, f"{commit}:apps/a.yaml is too large", origin=origin))))
        return str(result["partialFingerprints"]["octosync/v1"])

    assert fingerprint("0123456789ab") == fingerprint("ba9876543210")


def test_fingerprints_of_failed_requests_stay() -> None:
    """A preview or a check that fails in every run is the same finding each time, although each message names its request."""
    places = [Address.of_capability("a", "chat", "production"), Address.of_capability("a", "chat", "staging")]
    wanted = desired_app("a", slots={"chat": {}}, deploy={"chat": "production staging"})
    live = live_app("a", slots={"chat": {}}, deployments=[live_deployment("a")])

    def results(request: str) -> list[Any]:
        error = Unavailable("unavailable", "no answer", response=ErrorResponse(status=503, request_id=request))
        seen = observation(live, checks={places[0]: error}, previews={places[1]: error})
        return assert_sarif(sarif(plan_report(plan_of(wanted, seen, read_needs=ReadNeeds()), exit_code=ExitCode.DONE)))

    before, after = results("req_1"), results("req_2")
    assert {result["ruleId"] for result in before} >= {"check-failed", "preview-failed"}
    assert [result["partialFingerprints"] for result in before] == [result["partialFingerprints"] for result in after]
    assert "req_1" in json.dumps(before)


def test_no_message_is_a_link_or_takes_arguments() -> None:
    """Viewers make links of `[text](target)` and insert arguments into `{0}`: data results in neither."""
    (result,) = assert_sarif(sarif(checked(at(1, "[click](javascript:x) {0}"))))
    assert not re.search(r"\]\(|\{\d", result["message"]["text"])


@examples(30)
@given(st.text(st.sampled_from("[](){}0%:/\\ \n\r\t\x1b\u202e\ud800ü'\"")))
def test_the_document_is_valid_for_any_text(text: str) -> None:
    """With one text in every field of a run, the document is valid SARIF, and the same each time."""
    hostile = hostile_run(text)
    run = plan_report(hostile.plan, exit_code=ExitCode.ERROR, error=Rejected("rejected", text), **hostile.shown)
    document = sarif(run)
    for result in document["runs"][0]["results"]:
        assert ":" not in result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert document == sarif(run)
    assert_sarif(document)
