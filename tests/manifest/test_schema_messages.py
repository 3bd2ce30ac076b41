"""The diagnostics of wrong fields."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.manifests import Workspace, app, child, only, rules, slot

from octosync.model import Severity, closest

ROOT = Path(__file__).parents[2]


def test_an_unknown_field_is_shown_with_its_place_and_a_suggestion(workspace: Workspace) -> None:
    """File, line, column, path, rule, source line, width and suggestion: all that a report needs."""
    found = only(workspace.load_text(slot("servingPolcy: local_first"), "apps/demo.yaml"))
    assert found.severity is Severity.ERROR
    assert found.rule == "unknown-field"
    assert found.summary == "`servingPolcy` is not a field of a slot"
    assert str(found.origin) == "apps/demo.yaml:8:7"
    assert found.path == "spec.slots[0].servingPolcy"
    assert (found.excerpt, found.width) == ("      servingPolcy: local_first", 12)
    assert found.suggestion == "servingPolicy"
    assert "preferredEngines" in found.notes[0]
    assert found.notes[1] == "`octosync explain app.spec.slots` explains them"


@pytest.mark.parametrize(
    ("spec", "rule", "path", "suggestion"),
    [
        ("archived: yes", "wrong-type", "spec.archived", "true"),
        ("archived: off", "wrong-type", "spec.archived", "false"),
        ("archived: 1", "wrong-type", "spec.archived", None),
        ("archived: [1]", "wrong-type", "spec.archived", None),
        ("name: 12", "wrong-type", "spec.name", '"12"'),
        ("name: true", "wrong-type", "spec.name", '"true"'),
        ("name: 1.0", "wrong-type", "spec.name", '"1.0"'),
        ("name: null", "wrong-type", "spec.name", None),
        ("name: {a: b}", "wrong-type", "spec.name", None),
        ('name: ""', "invalid-value", "spec.name", None),
        ("targets: {}", "wrong-type", "spec.targets", None),
        ("targets: null", "wrong-type", "spec.targets", None),
        ("targets: [ios]", "wrong-type", "spec.targets[0]", None),
        ("targets: [{platform: IOS, identifier: a.b}]", "invalid-value", "spec.targets[0].platform", "ios"),
        ("targets: [{platform: iOs , identifier: a.b}]", "invalid-value", "spec.targets[0].platform", "ios"),
        ("targets: [{platform: iso, identifier: a.b}]", "unknown-platform", "spec.targets[0].platform", "ios"),
        ("slots: [{capability: Chat}]", "invalid-value", "spec.slots[0].capability", "chat"),
        ("slots: [{capability: a b/}]", "invalid-value", "spec.slots[0].capability", None),
        ("slots: [{capability: chat, servingPolicy: [a]}]", "wrong-type", "spec.slots[0].servingPolicy", None),
        (
            "slots: [{capability: chat, servingPolicy: LocalFirst}]",
            "invalid-value",
            "spec.slots[0].servingPolicy",
            "local_first",
        ),
        (
            "slots: [{capability: chat, preferredEngines: [1]}]",
            "wrong-type",
            "spec.slots[0].preferredEngines[0]",
            '"1"',
        ),
        ("slots: [{capability: chat, preferredEngines: mlx}]", "wrong-type", "spec.slots[0].preferredEngines", None),
        ("targets: [{platform: ios, identifier: '${X}'}]", "undefined-variable", "spec.targets[0].identifier", None),
        ("slots: [{capability: chat, bindings: [a]}]", "wrong-type", "spec.slots[0].bindings[0]", None),
        ("slots: [{capability: chat, deploy: {}}]", "missing-field", "spec.slots[0].deploy.environments", None),
        (
            "slots: [{capability: chat, deploy: {environments: []}}]",
            "invalid-value",
            "spec.slots[0].deploy.environments",
            None,
        ),
        (
            "slots: [{capability: chat, deploy: {environments: [prod]}}]",
            "invalid-value",
            "spec.slots[0].deploy.environments[0]",
            None,
        ),
        (
            "slots: [{capability: chat, deploy: {environments: [staging], minImprovement: 5}}]",
            "invalid-value",
            "spec.slots[0].deploy.minImprovement",
            None,
        ),
        (
            "slots: [{capability: chat, deploy: {environments: [staging], minImprovement: true}}]",
            "wrong-type",
            "spec.slots[0].deploy.minImprovement",
            None,
        ),
        ("inferenceConfig: [1]", "wrong-type", "spec.inferenceConfig", None),
        ("inference_config: {}", "unknown-field", "spec.inference_config", "inferenceConfig"),
        ("zebra: {}", "unknown-field", "spec.zebra", None),
        ('"a b": {}', "unknown-field", 'spec."a b"', None),
    ],
)
def test_each_wrong_value_is_one_error_with_its_path(
    workspace: Workspace, spec: str, rule: str, path: str, suggestion: str | None
) -> None:
    """A wrong value is reported once, at its place, with a suggestion."""
    found = only(workspace.load_text(app(spec)))
    assert (found.rule, found.path, found.suggestion) == (rule, path, suggestion)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1]", ["wrong-type"]),
        ("just text", ["wrong-type"]),
        ("kind: App", ["missing-field", "missing-field"]),
        ("kind: Apps", ["missing-field"]),
        ("apiVersion: octosync.dev/v1", ["missing-field"]),
        ("a: b", ["missing-field"]),
        ("kind: App\nmetadata: {name: a}\nspec: {nmae: x}", ["missing-field", "unknown-field"]),
        ("apiVersion: 1\nkind: App", ["wrong-type"]),
        ("apiVersion: octosync.dev/v1\nkind: [App]", ["wrong-type"]),
        ("apiVersion: octosync.dev/v1\nkind: App", ["missing-field"]),
        ("apiVersion: octosync.dev/v1\nkind: App\nmetadata: {}", ["missing-field"]),
        ("apiVersion: octosync.dev/v1\nkind: App\nmetadata: x", ["wrong-type"]),
        ("apiVersion: octosync.dev/v1\nkind: AppTarget", ["missing-field"]),
        ("apiVersion: octosync.dev/v1\nkind: AppTarget\nspec: [x]", ["wrong-type"]),
        ("apiVersion: octosync.dev/v1\nkind: Slot\nspec: {}", ["unknown-kind"]),
        ("apiVersion: octosync.dev\nkind: App", ["unknown-version"]),
        ("apiVersion: octosync.dev/v1beta1\nkind: App", ["unknown-version"]),
        ("apiVersion: octosync.dve/v1\nkind: App\nmetadata: {name: a}", ["unknown-version"]),
        (
            "apiVersion: apps/v1\nkind: Deployment\nspec: {on: !!str '${X}'}",
            ["tag"],
        ),
        ("apiVersion: argoproj.io/v1alpha1\nkind: App\n", ["foreign-document", "no-documents"]),
    ],
)
def test_a_foreign_document_is_distinguished(workspace: Workspace, text: str, expected: list[str]) -> None:
    """Another group is a notice. A wrong kind or version of octosync, and a document without either, are errors."""
    found = [rule for rule in rules(workspace.load_text(text)) if rule != "no-documents"]
    assert sorted(found) == sorted(rule for rule in expected if rule != "no-documents")


PLAN = '{"format_version": "1.0", "octosync_version": "0.1.0", "resource_changes": [], "summary": {}'


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (PLAN + "}", "octosync-output"),
        (PLAN + ', "a_later_key": 1}', "octosync-output"),
        ('{"format_version": "1.0", "valid": true, "files": 1, "diagnostics": []}', "octosync-output"),
        ('{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "octosync"}}}]}', "octosync-output"),
        (PLAN + ', "kind": "App"}', "unknown-field"),
        (PLAN + ', "apiVersion": "octosync.dev/v1"}', "missing-field"),
        (PLAN + ', "summary": {}}', "duplicate-key"),
        (PLAN.replace('"1.0"', "1.0") + "}", "missing-field"),
        (PLAN.replace("resource_changes", "changes") + "}", "missing-field"),
        ('{"runs": [{"tool": {"driver": {"name": "other"}}}]}', "missing-field"),
        ('{"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "other"}', "missing-field"),
        ('{"swagger": "2.0", "definitions": {"com.example.v1.App": {}}}', "missing-field"),
        ('{"format_version": "1.0", "run": "1", "app": "a", "app_key": "x", "manifest": ""}', "missing-field"),
    ],
)
def test_an_output_of_octosync_is_no_manifest(workspace: Workspace, text: str, rule: str) -> None:
    """A plan, a schema or another output of octosync is ignored with a notice; a similar document is an error as before."""
    workspace.write({"a.yaml": app(), "b.json": text})
    found = workspace.load()
    assert rule in rules(found)
    assert found.has_errors == (rule != "octosync-output")
    if not found.has_errors:
        assert (list(found.state.apps), len(found.diagnostics)) == (["demo"], 1)


@pytest.mark.parametrize("schema", sorted((ROOT / "schemas").iterdir()), ids=lambda path: path.name)
def test_a_published_schema_is_no_manifest(workspace: Workspace, schema: Path) -> None:
    """Each schema that `octosync schema` prints is recognised."""
    workspace.write({"a.yaml": app(), "b.json": schema.read_text(encoding="utf-8")})
    assert rules(workspace.load()) == ["octosync-output"]


def test_metadata_of_kubernetes_tools_is_accepted(workspace: Workspace) -> None:
    """namespace, foreign labels and annotations are accepted and ignored."""
    metadata = "namespace: default\nlabels: {app.kubernetes.io/name: x}\nannotations: {example.com/a: b}"
    found = workspace.load_text(
        app(metadata=metadata) + "---\n" + child("InferenceConfig", "app: demo\nconfig: {}", metadata=metadata)
    )
    assert not found.diagnostics
    assert found.state.apps["demo"].labels == {"app.kubernetes.io/name": "x"}


@pytest.mark.parametrize("key", ["labels", "annotations"])
def test_labels_and_annotations_are_text(workspace: Workspace, key: str) -> None:
    """`protect: true` is a boolean, and the error shows how to write it."""
    found = only(workspace.load_text(app(metadata=f"{key}: {{octosync.dev/protect: true}}")))
    assert (found.rule, found.suggestion) == ("wrong-type", '"true"')
    assert found.path == f'metadata.{key}."octosync.dev/protect"'
    assert only(workspace.load_text(app(metadata=f"{key}: [a]"))).rule == "wrong-type"


@pytest.mark.parametrize("slug", ["a", "a-b", "0", "a" * 63])
def test_valid_slugs(workspace: Workspace, slug: str) -> None:
    """One to 63 lower-case letters, digits and inner hyphens."""
    assert not workspace.load_text(app(name=f'"{slug}"')).diagnostics


@pytest.mark.parametrize("slug", ["", "-a", "a-", "A", "a_b", "a.b", "a" * 64, "ä", "a\\n"])
def test_invalid_slugs(workspace: Workspace, slug: str) -> None:
    """Any other slug is an error, in the App and in its children."""
    assert rules(workspace.load_text(app(name=f'"{slug}"'))) == ["invalid-slug"]
    assert rules(workspace.load_text(child("InferenceConfig", f'app: "{slug}"\nconfig: {{}}'))) == ["invalid-slug"]


def test_json_and_yaml_are_checked_alike(workspace: Workspace) -> None:
    """A JSON manifest has lines and columns too."""
    text = '{"apiVersion": "octosync.dev/v1", "kind": "App",\n "metadata": {"name": "demo"},\n "spec": {"nam": "x"}}'
    found = only(workspace.load_text(text, "a.json"))
    assert (found.rule, str(found.origin), found.suggestion) == ("unknown-field", "a.json:3:11", "name")


def test_long_lines_are_not_shown_and_long_values_are_truncated(workspace: Workspace) -> None:
    """A minified line is no help. A quoted value stays on one line."""
    found = only(workspace.load_text(app(f"slots: [{{capability: {'X' * 400}}}]")))
    assert found.excerpt is None
    assert len(found.summary) < 200
    found = only(workspace.load_text(app('slots: [{capability: "a\\nb\\tc"}]')))
    assert "`a⏎b c`" in found.summary


def test_a_multi_line_value_is_marked_to_the_end_of_its_first_line(workspace: Workspace) -> None:
    """The caret line never leaves the source line."""
    found = only(workspace.load_text(app("slots: 'a\n\n    b'")))
    assert found.excerpt is not None
    assert found.origin is not None
    assert found.origin.column - 1 + found.width == len(found.excerpt)


@pytest.mark.parametrize(
    ("word", "expected"), [("serving_policy", "servingPolicy"), ("bindngs", "bindings"), ("xyz", None), ("", None)]
)
def test_suggestions_are_other_spellings_or_similar_names(word: str, expected: str | None) -> None:
    """A name that differs a lot is never suggested."""
    assert closest(word, ("servingPolicy", "bindings", "deploy")) == expected
