from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from tests.support.golden import assert_golden
from tests.support.json_values import json_objects
from tests.support.sample_reports import SECRET, document_of, errored_plan, mixed_plan, run_info, steady_plan
from tests.support.states import desired_app, live_app, observation, plan_of, policy_of

from octosync.contract import Contract
from octosync.errors import ManifestError
from octosync.model import Diagnostic, JsonValue, Origin, Severity, json_equal
from octosync.plan import Invocation, Plan, judge, overrides_of
from octosync.plan.file.schema import PlanDocument
from octosync.report import json_text

GOLDEN = Path(__file__).parent / "golden"


def document(plan: Plan, **more: Any) -> Any:
    """Return a document as its readers get it: written as JSON and read back."""
    return json.loads(json_text(document_of(plan, **more)))


def rows(plan: Plan, **more: Any) -> list[Any]:
    return list(document(plan, **more)["resource_changes"])


def test_the_document_is_the_golden_one() -> None:
    """Every key, name and order of the whole document is stable, with guards, overrides and no-op rows."""
    plan, policy = mixed_plan(), policy_of(max_deletes=1, allow_archives=3)
    made = document_of(plan, full=True, blocked=judge(plan, policy), overrides=overrides_of(policy))
    assert_golden(GOLDEN / "plan.json", json_text(made))


@pytest.mark.parametrize(
    "plan", [mixed_plan(), steady_plan(), errored_plan(), plan_of([])], ids=["mixed", "steady", "errored", "empty"]
)
def test_a_document_always_has_every_key(plan: Plan) -> None:
    """Every document has the same keys, and so has every row."""
    made = document(plan)
    assert list(made) == [
        "format_version",
        "octosync_version",
        "timestamp",
        "errored",
        "control_plane",
        "invocation",
        "manifests",
        "scope",
        "overrides",
        "resource_changes",
        "blocked",
        "recommendations",
        "diagnostics",
        "errors",
        "fingerprints",
        "fingerprinting",
        "cost",
        "summary",
    ]
    assert list(made["summary"]) == ["create", "update", "delete", "enable", "optimize", "archive", "held", "unchanged"]
    for row in document(plan, full=True)["resource_changes"]:
        assert list(row) == [
            "address",
            "app",
            "type",
            "name",
            "labels",
            "change",
            "action_reason",
            "drift",
            "held_until",
            "operation",
            "preview",
            "depends_on",
            "destructive",
            "source",
        ]


@pytest.mark.parametrize("plan", [mixed_plan(), steady_plan(), errored_plan()], ids=["mixed", "steady", "errored"])
def test_a_document_is_what_its_model_writes(plan: Plan) -> None:
    """The rows, which are made without their models, are what these models would write: the same keys, values and order."""
    made = document_of(plan, full=True)
    assert (
        json_text(PlanDocument.model_validate(made).as_json()) == json_text(made) == json.dumps(made, indent=2) + "\n"
    )


@given(json_objects())
def test_the_text_of_a_document_is_json(value: dict[str, JsonValue]) -> None:
    """The text is indented ASCII that is read back as the same value, whatever its texts and numbers."""
    text = json_text(value)
    assert text.isascii()
    assert json_equal(json.loads(text), value)


def test_a_document_has_no_secret() -> None:
    """Values under sensitive keys are null in `before`, `after` and `fields`, at any depth, also in labels; fields are marked."""
    plan = mixed_plan()
    made = document(plan, full=True)
    assert SECRET not in json.dumps(made)
    config = next(row for row in made["resource_changes"] if row["address"] == "app/canary-demo/inference-config")
    assert config["change"]["before"]["api_key"] is None
    assert config["change"]["after"]["api_key"] is None
    assert config["change"]["fields"][0] == {"path": ["api_key"], "before": None, "after": None, "sensitive": True}
    assert config["change"]["fields"][1]["sensitive"] is False
    assert config["labels"] == {"deploy-token": None, "team": "assistants"}
    slot = next(row for row in made["resource_changes"] if row["address"] == "app/fresh/slot/tts")
    assert slot["change"]["after"]["bindings"] == [{"binding_key": "b", "token": None}]


def test_a_field_with_a_sensitive_value_is_marked() -> None:
    """A list that contains a sensitive value is shown without that value, and marked."""
    plan = plan_of(desired_app("a", config={"l": [{"token": SECRET, "x": 1}]}), live_app("a", config={"l": []}))
    (field,) = rows(plan)[0]["change"]["fields"]
    assert field == {"path": ["l"], "before": [], "after": [{"token": None, "x": 1}], "sensitive": True}


def test_a_document_has_no_credential_of_a_url() -> None:
    """A URL with a user and a password is shown without them."""
    about = run_info(control_plane=replace(run_info().control_plane, url=f"https://me:{SECRET}@h:1/api/v1"))
    assert document(steady_plan(), about=about)["control_plane"]["url"] == "https://h:1/api/v1"


def test_rows_are_sorted_for_readers() -> None:
    """By app; within an app: the app, its targets, slots and config. An archive comes after everything else of its app."""
    plan = plan_of(
        [
            desired_app("b", fields={"name": "N"}, archived=True, targets=[], slots={}, config=None),
            desired_app("a", slots={"z": {}, "c": {}}, targets=["ios:x.y"], config={"k": 1}),
        ],
        [live_app("b", targets=["ios:b.b"], slots={"chat": {}}, config={"k": 1}), live_app("a")],
    )
    assert [(row["address"], *row["change"]["actions"]) for row in rows(plan, full=True)] == [
        ("app/a", "no-op"),
        ("app/a/target/ios:x.y", "create"),
        ("app/a/slot/c", "create"),
        ("app/a/slot/z", "create"),
        ("app/a/inference-config", "create"),
        ("app/b", "update"),
        ("app/b/target/ios:b.b", "delete"),
        ("app/b/slot/chat", "delete"),
        ("app/b/inference-config", "delete"),
        ("app/b", "archive"),
    ]


def test_absent_is_null() -> None:
    """An object or field that is absent before or after a change is null."""
    plan = plan_of(
        desired_app("a", config={"new": 1}, slots={"c": {}}, targets=[]),
        live_app("a", config={"old": 2}, targets=["ios:x.y"]),
    )
    target, slot, config = rows(plan)
    assert (target["change"]["after"], slot["change"]["before"]) == (None, None)
    assert target["change"]["before"] == {"platform": "ios", "identifier": "x.y"}
    assert [(f["path"], f["before"], f["after"]) for f in config["change"]["fields"]] == [
        (["new"], None, 1),
        (["old"], 2, None),
    ]


def test_a_no_op_row_shows_what_is_declared() -> None:
    """An object that is as declared has a row with its declared part on both sides, and no operation."""
    app = desired_app("a", targets=["ios:x.y"], slots={"chat": {"preferred_engines": ["mlx"]}}, config={"k": 1})
    live = live_app("a", targets=["ios:x.y"], slots={"chat": {"preferred_engines": ["mlx"]}}, config={"k": 1})
    gone = desired_app("z", archived=True)
    empty = desired_app("e", config=None)
    plan = plan_of([app, gone, empty], [live, live_app("z", archived=True), live_app("e")])
    made = {row["address"]: row for row in rows(plan, full=True)}
    assert {address: row["change"]["after"] for address, row in made.items()} == {
        "app/a": {},
        "app/a/target/ios:x.y": {"platform": "ios", "identifier": "x.y"},
        "app/a/slot/chat": {"preferred_engines": ["mlx"]},
        "app/a/inference-config": {"k": 1},
        "app/e": {},
        "app/e/inference-config": None,
        "app/z": {"archived": True},
    }
    for row in made.values():
        assert row["change"]["actions"] == ["no-op"]
        assert row["change"]["before"] == row["change"]["after"]
        assert (row["operation"], row["action_reason"], row["destructive"]) == (None, None, False)
        assert row["source"] == {"file": "apps/demo.yaml", "line": 3, "column": 5}
    assert rows(plan) == []


def test_operations_are_those_of_the_contract_in_force() -> None:
    """Method and path are those of the table, or of an override, with the parameters filled in and encoded."""
    contract = Contract().overridden(
        operations={"apps.put_slot": {"method": "POST", "path": "/v2/{slug}/{capability}"}}
    )
    plan = plan_of(desired_app("a", slots={"b/c": {}}), live_app("a"), contract=contract)
    assert rows(plan, contract=contract)[0]["operation"] == {
        "id": "apps.put_slot",
        "method": "POST",
        "path": "/v2/a/b%2Fc",
    }


def test_dependencies_are_unique_addresses() -> None:
    """An archive waits for the other actions of its app; each is listed once, in order."""
    plan = plan_of(
        desired_app("a", fields={"name": "N"}, archived=True, targets=[]), live_app("a", targets=["ios:x.y"])
    )
    assert rows(plan)[-1]["depends_on"] == ["app/a", "app/a/target/ios:x.y"]


@pytest.mark.parametrize(("limit", "slots", "seconds"), [(100, 1, 0), (10, 1, 0), (10, 2, 60), (7, 15, 180), (0, 9, 0)])
def test_a_document_has_the_cost_of_applying_it(limit: int, slots: int, seconds: int) -> None:
    """Seconds are the wait of an apply that reads again: 0 if all requests fit into a minute, and without a limit."""
    plan = plan_of(desired_app("a", slots={f"s{n}": {} for n in range(slots)}), observation(live_app("a"), requests=9))
    assert document(plan, about=run_info(requests_per_minute=limit))["cost"] == {
        "requests_used": 9,
        "requests_to_apply": slots,
        "seconds_at_rate_limit": seconds,
    }


def test_errors_are_listed_by_app() -> None:
    """The plan of an app that could not be read is errored, with reference, message, hints and request."""
    made = document(errored_plan())
    assert made["errored"] is True
    assert made["errors"] == [
        {
            "app": "closed",
            "reference": "forbidden",
            "message": "GET /apps/closed/slots: the key may not read slots (403 insufficient_scope)",
            "hints": ["Give the key the scope apps:read."],
            "request_id": "req_77c0",
        }
    ]
    local = plan_of(desired_app("a"), observation(errors={"a": ManifestError("bad", "no request")}))
    assert document(local)["errors"][0]["request_id"] is None
    assert document(steady_plan())["errored"] is False


def test_scope_lists_read_and_left_alone_objects() -> None:
    """Apps, sections, and what is suspended, unmanaged or on unknown platforms; null if no list was read."""
    live = live_app("a", targets=["tvos:x.y"])
    plan = plan_of([desired_app("a", targets=[]), desired_app("s", suspended=True)], observation(live, live_app("s")))
    assert document(plan)["scope"] == {
        "apps": ["a", "s"],
        "sections": {"targets": 1, "slots": 0, "inference_config": 0, "deployments": 0},
        "left_alone": {
            "orphan_apps": [],
            "unmanaged_apps": None,
            "suspended": ["s"],
            "stale": [],
            "released": [],
            "held": [],
            "unknown_targets": ["app/a/target/tvos:x.y"],
            "undeclared_deployments": [],
            "rolled_back": [],
        },
    }
    assert document(steady_plan(unmanaged=("x",)))["scope"]["left_alone"]["unmanaged_apps"] == 1


def test_the_time_is_in_utc() -> None:
    """A time in another zone is shown as the same moment in UTC, in whole seconds."""
    local = datetime(2030, 1, 1, 14, 30, 15, 999, tzinfo=timezone(timedelta(hours=2)))
    assert document(steady_plan(), about=run_info(timestamp=local))["timestamp"] == "2030-01-01T12:30:15Z"


def test_a_document_has_the_whole_invocation() -> None:
    """It has everything needed to read the same manifests again; manifests outside Git have no revision."""
    invocation = Invocation(
        paths=("a", "-"),
        kustomize="k",
        apps=("x*",),
        selector="t=1",
        base="main",
        changed_only=True,
        optimize="suggest",
        previews=False,
    )
    manifests = replace(run_info().manifests, git=None)
    made = document(steady_plan(), about=run_info(invocation=invocation, manifests=manifests))
    assert made["invocation"] == {
        "paths": ["a", "-"],
        "kustomize": "k",
        "apps": ["x*"],
        "selector": "t=1",
        "base": "main",
        "changed_only": True,
        "optimize": "suggest",
        "previews": False,
    }
    assert made["manifests"]["git"] is None


def test_diagnostics_have_a_position_and_no_source_line() -> None:
    """The diagnostics of the manifests and of the plan, each once, by position, without the source line."""
    plan = mixed_plan()
    unknown_engine = Diagnostic(
        severity=Severity.WARNING,
        rule="unknown-engine",
        summary="`mxl`",
        origin=Origin("apps/a.yaml", 3, 9),
        path="spec.slots[0]",
        excerpt="preferredEngines: [mxl]",
        suggestion="mlx",
        notes=("see",),
    )
    nowhere = Diagnostic(severity=Severity.NOTICE, rule="n", summary="s")
    made = document(plan, diagnostics=(nowhere, *plan.diagnostics, unknown_engine))["diagnostics"]
    assert [diagnostic["rule"] for diagnostic in made] == ["unknown-engine", "archive-strands-identifiers", "n"]
    assert made[0] == {
        "severity": "warning",
        "rule": "unknown-engine",
        "summary": "`mxl`",
        "range": {"filename": "apps/a.yaml", "start": {"line": 3, "column": 9}},
        "path": "spec.slots[0]",
        "suggestion": "mlx",
        "notes": ["see"],
    }
    assert made[2] == {"severity": "notice", "rule": "n", "summary": "s", "range": None}
