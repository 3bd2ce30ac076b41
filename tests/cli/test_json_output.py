"""The JSON documents: exactly the keys that are documented, so that tools can rely on them."""

from __future__ import annotations

import json
from typing import Any

from tests.support.projects import Project

PLAN = {
    "format_version": None,
    "octosync_version": None,
    "timestamp": None,
    "errored": None,
    "control_plane": {"url", "org_id", "context"},
    "invocation": {"paths", "kustomize", "apps", "selector", "base", "changed_only", "optimize", "previews"},
    "manifests": {"digest", "files", "apps", "git"},
    "scope": {"apps", "sections", "left_alone"},
    "overrides": None,
    "resource_changes": None,
    "blocked": None,
    "recommendations": None,
    "diagnostics": None,
    "errors": None,
    "fingerprints": None,
    "fingerprinting": {"key_check", "not_covered"},
    "cost": {"requests_used", "requests_to_apply", "seconds_at_rate_limit"},
    "summary": {"create", "update", "delete", "enable", "optimize", "archive", "held", "unchanged"},
}
LEFT_ALONE = {
    "orphan_apps", "unmanaged_apps", "suspended", "stale", "released", "held", "unknown_targets",
    "undeclared_deployments", "rolled_back",
}  # fmt: skip
ROW = {
    "address", "app", "type", "name", "labels", "change", "action_reason", "drift", "held_until", "operation", "preview",
    "depends_on", "destructive", "source",
}  # fmt: skip
BLOCKED = {"guard", "message", "override", "trailer", "way_out", "addresses"}
DIAGNOSTIC = {"severity", "rule", "summary", "range", "path", "suggestion", "notes"}
OUTCOME = {"address", "action", "status", "message", "reference", "hints", "request_ids"}


def document_of(text: str) -> dict[str, Any]:
    """Return a document."""
    document: dict[str, Any] = json.loads(text)
    return document


def assert_plan(document: dict[str, Any]) -> None:
    """Check the keys of a plan's document, in their order."""
    assert list(document) == list(PLAN)
    for name, keys in PLAN.items():
        if keys is not None:
            assert set(document[name]) == keys, name
    assert document["format_version"] == "1.0"
    assert document["timestamp"].endswith("Z")
    assert set(document["scope"]["left_alone"]) == LEFT_ALONE
    assert set(document["scope"]["sections"]) == {"targets", "slots", "inference_config", "deployments"}
    for row in document["resource_changes"]:
        assert set(row) == ROW
        assert set(row["change"]) == {"actions", "before", "after", "fields"}
        assert set(row["source"]) == {"file", "line", "column"}
        assert row["operation"] is None or set(row["operation"]) == {"id", "method", "path"}
        for change in row["change"]["fields"]:
            assert set(change) == {"path", "before", "after", "sensitive"}
    for refusal in document["blocked"]:
        assert set(refusal) == BLOCKED
    for diagnostic in document["diagnostics"]:
        assert set(diagnostic) <= DIAGNOSTIC
        assert set(diagnostic["range"]) == {"filename", "start"}


def test_a_plan_has_exactly_these_keys(project: Project) -> None:
    """`plan -o json`, and the same in the file of --plan-out."""
    path = project.plane.with_app("search", name="Before")
    project.plane.with_slot(path, preferred_engines=["mlx"])
    project.plane.with_slot(path, "vision")
    metadata = "{name: search, annotations: {octosync.dev/protect: 'true'}}"
    project.declare(
        text=f"apiVersion: octosync.dev/v1\nkind: App\nmetadata: {metadata}\n"
        "spec: {name: After, slots: [{capability: chat, preferredEngines: [coreml]}, {capability: chta}]}\n"
    )
    ran = project.plan("-o", "json", "--plan-out", "plan.json")
    assert ran.code == 4
    document = document_of(ran.stdout)
    assert_plan(document)
    assert document["blocked"]
    assert document["diagnostics"]
    assert {row["type"] for row in document["resource_changes"]} == {"app", "slot"}
    assert {row["change"]["actions"][0] for row in document["resource_changes"]} == {"create", "update", "delete"}
    saved = document_of((project.workdir.directory / "plan.json").read_text())
    assert {**saved, "timestamp": 0} == {**document, "timestamp": 0}


def test_full_adds_rows_of_unchanged_objects(project: Project) -> None:
    """`--full`: a no-op has a row without a reason; otherwise it has none."""
    project.declare()
    project.apply()
    assert document_of(project.plan("-o", "json").stdout)["resource_changes"] == []
    document = document_of(project.plan("-o", "json", "--full").stdout)
    assert_plan(document)
    assert {row["change"]["actions"][0] for row in document["resource_changes"]} == {"no-op"}
    assert {row["action_reason"] for row in document["resource_changes"]} == {None}


def test_an_apply_has_its_plan_and_one_outcome_per_action(project: Project) -> None:
    """`apply -o json`: the executed plan, and the outcome of each action, in order."""
    project.declare()
    document = document_of(project.apply("-o", "json").stdout)
    assert set(document) == {"format_version", "run", "plan", "outcomes", "waited", "error", "summary", "exit_code"}
    assert document["waited"] is None
    assert_plan(document["plan"])
    rows = [row["address"] for row in document["plan"]["resource_changes"]]
    assert [outcome["address"] for outcome in document["outcomes"]] == rows
    assert all(set(outcome) == OUTCOME for outcome in document["outcomes"])
    assert document["summary"]["done"] == len(rows)


def test_an_apply_without_changes_is_a_document_too(project: Project) -> None:
    """`apply -o json` always writes one document, with no run if nothing was applied."""
    project.declare()
    project.apply()
    document = document_of(project.apply("-o", "json").stdout)
    assert document["run"] is None
    assert document["outcomes"] == []
    assert document["exit_code"] == 0


def test_validate_has_the_same_diagnostics(project: Project) -> None:
    """`validate -o json`: exactly these keys, and the diagnostics of the plan."""
    project.declare(
        text="apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: a}\nspec: {slots: [{capability: chta}]}\n"
    )
    document = document_of(project.workdir.octosync("validate", "-f", "apps", "-o", "json").stdout)
    assert list(document) == ["format_version", "valid", "files", "apps", "diagnostics", "errors"]
    assert document["valid"] is True
    assert document["diagnostics"] == document_of(project.plan("-o", "json").stdout)["diagnostics"]


def test_json_has_no_colour_and_is_ascii(project: Project) -> None:
    """A document is the same on every terminal and in every locale."""
    project.declare(name="Süche 🔍")
    for command in ("plan", "validate"):
        options = ("--url", project.url) if command == "plan" else ()
        ran = project.workdir.octosync(
            command, "-f", "apps", *options, "-o", "json", "--color", "always", terminal=True
        )
        assert ran.stdout.isascii()
        assert "\x1b" not in ran.stdout
