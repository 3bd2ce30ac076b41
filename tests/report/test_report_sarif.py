"""SARIF: valid against its schema, with stable rules, places and fingerprints, whatever manifests hold."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.hostile import hostile_run
from tests.support.sample_reports import SECRET, errored_plan, mixed_plan, plan_report
from tests.support.sarif import assert_sarif
from tests.support.states import policy_of

from octosync.errors import ExitCode, Rejected, Unavailable
from octosync.model import Diagnostic, Origin, Severity
from octosync.plan import GUARDS, Plan, judge
from octosync.report import PlanReport, RuleHelp, RunReport, json_text, sarif_document

HELP = {"some-rule": RuleHelp(Severity.WARNING, "What it means.")}


def sarif(run: RunReport) -> Any:
    """Return a run as SARIF, read back from its text."""
    return json.loads(json_text(sarif_document(run, lambda origin: origin.file or None, HELP)))


def ended(plan: Plan, **policy: Any) -> PlanReport:
    """End a plan's run under a policy."""
    blocked = judge(plan, policy_of(**policy))
    return plan_report(plan, blocked=blocked, exit_code=ExitCode.GUARDED)


def checked(*found: Diagnostic) -> RunReport:
    """End a run that checked manifests."""
    return RunReport(command="validate", exit_code=ExitCode.ERROR, version="0.1.0", diagnostics=found)


def at(line: int, summary: str = "wrong", **more: Any) -> Diagnostic:
    """Make a diagnostic at a line."""
    facts = {"severity": Severity.WARNING, "rule": "some-rule", "origin": Origin("a b/ü:x.yaml", line, 3), **more}
    return Diagnostic(summary=summary, **facts)


def test_a_refused_change_is_a_result() -> None:
    """At its place, with the guard as its rule, whose help is there, and the way out in its message; no secret is in it."""
    document = sarif(ended(mixed_plan(), max_deletes=1, max_archives=0))
    refused = [one for one in assert_sarif(document) if one["ruleId"].startswith("guard-")]
    assert {one["ruleId"] for one in refused} == {"guard-deletes", "guard-archives"}
    assert all(one["level"] == "error" and "To allow this: " in one["message"]["text"] for one in refused)
    rules = {rule["id"]: rule for rule in document["runs"][0]["tool"]["driver"]["rules"]}
    assert rules["guard-deletes"]["help"]["text"] == GUARDS["deletes"].refuses
    assert all("help" in rule and "defaultConfiguration" in rule for rule in rules.values())
    assert SECRET not in json.dumps(document)


def test_a_diagnostic_is_a_result() -> None:
    """Its file is relative to the repository's root and encoded, its region as wide as what is meant."""
    document = sarif(checked(at(4, width=7), at(0)))
    results = assert_sarif(document)
    whole, part = sorted((one["locations"][0]["physicalLocation"] for one in results), key=len)
    assert part == {
        "artifactLocation": {"uri": "a%20b/%C3%BC%3Ax.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 4, "startColumn": 3, "endColumn": 10},
    }
    assert "region" not in whole
    assert document["runs"][0]["tool"]["driver"]["rules"][0]["help"] == {"text": "What it means."}


def test_what_has_no_place_is_a_notification() -> None:
    """A diagnostic of the whole set, and what ended the run: code scanning takes no result without a place."""
    error = Unavailable("unavailable", "down", hints=("Try again later.",))
    nowhere = Diagnostic(severity=Severity.NOTICE, rule="some-rule", summary="of all")
    run = RunReport(command="plan", exit_code=ExitCode.UNAVAILABLE, version="0", diagnostics=(nowhere,), error=error)
    document = sarif(run)
    assert assert_sarif(document) == []
    (invocation,) = document["runs"][0]["invocations"]
    assert (invocation["executionSuccessful"], invocation["exitCode"]) == (False, 75)
    assert [one["level"] for one in invocation["toolExecutionNotifications"]] == ["error", "note"]
    assert invocation["toolExecutionNotifications"][0]["descriptor"] == {"id": "unavailable"}


def test_a_failure_opens_no_alert() -> None:
    """What kept an app from being read is no fault of its manifest: a notification, at its place."""
    document = sarif(ended(errored_plan()))
    assert not any(one["level"] == "error" for one in assert_sarif(document))
    (invocation,) = document["runs"][0]["invocations"]
    assert not invocation["executionSuccessful"]
    assert all("locations" in one for one in invocation["toolExecutionNotifications"])


def test_fingerprints_stay_when_lines_move() -> None:
    """They tell findings apart, and the same ones alike, wherever their lines are; a place named in words counts for nothing."""

    def prints(offset: int) -> set[str]:
        found = [
            at(line + offset, f"as `x`, see b.yaml:{line + offset}:3", path=f"spec.slots[{line}]")
            for line in range(1, 4)
        ]
        twice = [at(9 + offset), at(10 + offset)]
        return {one["partialFingerprints"]["octosync/v1"] for one in assert_sarif(sarif(checked(*found, *twice)))}

    assert prints(0) == prints(40)
    assert len(prints(0)) == 5


def test_no_message_is_a_link_or_takes_arguments() -> None:
    """Viewers make links of `[text](target)` and put arguments into `{0}`: data gives neither."""
    (result,) = assert_sarif(sarif(checked(at(1, "[click](javascript:x) {0}"))))
    assert not re.search(r"\]\(|\{\d", result["message"]["text"])


@settings(max_examples=30, deadline=None)
@given(st.text(st.sampled_from("[](){}0%:/\\ \n\r\t\x1b\u202e\ud800ü'\"")))
def test_whatever_manifests_hold_it_is_valid(text: str) -> None:
    """Every place of a run filled with one text: the document is SARIF, and the same each time."""
    hostile = hostile_run(text)
    run = plan_report(hostile.plan, exit_code=ExitCode.ERROR, error=Rejected("rejected", text), **hostile.shown)
    document = sarif(run)
    for result in document["runs"][0]["results"]:
        assert ":" not in result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert document == sarif(run)
    assert_sarif(document)
