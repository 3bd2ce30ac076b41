"""Every problem is reported in one pass, and none is a consequence of another."""

from __future__ import annotations

import pytest
from tests.support.manifests import Workspace, app, child, only, rules, slot

TARGETS = "targets:\n  - {platform: ios, identifier: com.example.demo}"
TARGET = child("AppTarget", "app: demo\nplatform: ios\nidentifier: com.example.demo")

ALL_AT_ONCE = """\
nmae: x
targets:
  - {platform: iso, identifier: com.example.demo}
  - {platform: ios, identifier: com.example.demo}
  - {platform: ios, identifier: com.example.demo}
slots:
  - capability: chatt
    servingPolcy: local_first
    preferredEngines: [coremll]
  - capability: tts
    servingPolicy: {routingMode: local_only, fallback: {allowCloudFallback: true, allowLocalFallback: true}}
    deploy: {environments: [development], optimize: auto}
    variant: phi
  - variant: ""
    preferredEngines: [mxl]
    bindings: [1, {binding_key: a}, {binding_key: a}]
    deploy: {environments: [staging, prod, staging], optimize: auto}
"""


def test_one_wrong_field_does_not_hide_other_problems(workspace: Workspace) -> None:
    """After an invalid slug and errors in a slot, every other check of the document still runs."""
    found = workspace.load_text(app(ALL_AT_ONCE, name="Canary_demo"))
    assert [(diagnostic.rule, diagnostic.path) for diagnostic in found.diagnostics] == [
        ("invalid-slug", "metadata.name"),
        ("unknown-field", "spec.nmae"),
        ("unknown-platform", "spec.targets[0].platform"),
        ("declared-twice", "spec.targets[2].identifier"),
        ("unknown-capability", "spec.slots[0].capability"),
        ("unknown-field", "spec.slots[0].servingPolcy"),
        ("unknown-engine", "spec.slots[0].preferredEngines[0]"),
        ("contradictory-policy", "spec.slots[1].servingPolicy"),
        ("auto-with-pinned-variant", "spec.slots[1].deploy.optimize"),
        ("auto-in-development", "spec.slots[1].deploy.optimize"),
        ("missing-field", "spec.slots[2].capability"),
        ("invalid-value", "spec.slots[2].variant"),
        ("unknown-engine", "spec.slots[2].preferredEngines[0]"),
        ("wrong-type", "spec.slots[2].bindings[0]"),
        ("declared-twice", "spec.slots[2].bindings[2]"),
        ("invalid-value", "spec.slots[2].deploy.environments[1]"),
        ("repeated-value", "spec.slots[2].deploy.environments[2]"),
    ]
    assert not found.state.apps


@pytest.mark.parametrize("broken", ["x: y\n", "  x: y\n", "\x00", "a: [", "a: !!x y"])
def test_an_unreadable_document_causes_no_errors_elsewhere(workspace: Workspace, broken: str) -> None:
    """Children of an App with an unreadable document have no error."""
    workspace.write({"app.yaml": broken, "target.yaml": TARGET, "slot.yaml": slot("").replace("name: demo", "name: x")})
    found = workspace.load()
    assert {diagnostic.origin.file for diagnostic in found.diagnostics if diagnostic.origin} == {"app.yaml"}
    assert len(found.diagnostics) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (app("nmae: x\ntargets: []"), ["unknown-field"]),
        (app("targets: null"), ["wrong-type"]),
        (app("archived: yes"), ["wrong-type"]),
        (app("archived: true\ntargets: null", name="b"), ["wrong-type"]),
        (app("archived: true\ntargets: [{platform: ios}]"), ["missing-field", "archive-strands-identifiers"]),
        (app(TARGETS, name="Demo"), ["invalid-slug", "declared-twice"]),
        (app("nmae: x", name="${X}"), ["undefined-variable", "unknown-field"]),
        (TARGET.replace("app: demo", "app: Demo"), ["invalid-slug", "declared-twice"]),
        (TARGET.replace("app: demo", "apps: demo"), ["unknown-field", "declared-twice"]),
        (TARGET.replace("app: demo", "app: other"), ["target-claimed-twice"]),
        (TARGET.replace("platform: ios", "platform: IOS"), ["invalid-value"]),
        (child("CapabilitySlot", "app: demo\ndeploy: {environments: [staging], optimize: auto}\nvariant: a"),
         ["missing-field", "auto-with-pinned-variant"]),
    ],
)  # fmt: skip
def test_conflicts_between_documents_are_found_despite_other_errors(
    workspace: Workspace, text: str, expected: list[str]
) -> None:
    """A target claimed twice is found whatever other errors there are, and an unreadable value is never a duplicate."""
    workspace.write({"a.yaml": TARGET, "b.yaml": text})
    found = workspace.load()
    assert sorted(rules(found)) == sorted(expected)
    assert all(diagnostic.origin is None or diagnostic.origin.file == "b.yaml" for diagnostic in found.diagnostics)


def test_two_documents_with_unreadable_apps_still_conflict(workspace: Workspace) -> None:
    """The target is declared twice, whichever apps they are. The message names no app."""
    workspace.write({"a.yaml": app(TARGETS, name="A_1"), "b.yaml": app(TARGETS, name="B_1")})
    found = workspace.load()
    assert rules(found) == ["invalid-slug", "invalid-slug", "declared-twice"]
    assert found.diagnostics[2].notes == ("the other: a.yaml:7:7",)


def test_slots_without_a_capability_are_not_duplicates(workspace: Workspace) -> None:
    """Neither wrong nor undefined capabilities are compared."""
    text = app("slots:\n  - capability: Chat\n  - capability: Chat\n  - capability: ${X}\n  - capability: ${X}")
    assert rules(workspace.load_text(text)) == ["invalid-value"] * 2 + ["undefined-variable"] * 2


def test_an_undefined_variable_is_the_only_problem_of_its_value(workspace: Workspace) -> None:
    """The value is not also reported as an unknown engine, a repeated value or an invalid annotation."""
    fields = (
        "preferredEngines: ['${X}', '${X}']\nservingPolicy: ${X}\ndeploy: {environments: ['${X}', '${X}']}\n"
        "bindings: [{binding_key: '${X}'}, {binding_key: '${X}'}]"
    )
    text = slot(fields).replace("name: demo", "name: demo\n  annotations: {octosync.dev/protect: '${X}'}")
    assert set(rules(workspace.load_text(text))) == {"undefined-variable"}


def test_an_app_that_is_declared_twice_is_checked_twice(workspace: Workspace) -> None:
    """A copy is one error, not one per line. A problem that only the copy has is found."""
    workspace.write({"a.yaml": app(TARGETS), "b.yaml": app(TARGETS + "\nslots: [{capability: chta}]")})
    assert rules(workspace.load()) == ["duplicate-app", "unknown-capability"]


def test_the_value_of_a_duplicate_key_is_checked(workspace: Workspace) -> None:
    """The second list is ignored, and its own problems are still reported."""
    found = workspace.load_text(app("slots: []\nslots: [{capability: chat, foo: 1}]\nslot: []\nslot: []"))
    assert [(diagnostic.rule, diagnostic.path) for diagnostic in found.diagnostics] == [
        ("duplicate-key", "spec.slots"),
        ("unknown-field", "spec.slots[0].foo"),
        ("unknown-field", "spec.slot"),
        ("duplicate-key", "spec.slot"),
    ]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("slots: *base", ["unknown-alias"]),
        ("name: .nan", ["not-json-number"]),
        (".inf: x\n.inf: y", ["not-json-number"] * 2),
        ('name: "\\a"', ["control-character"]),
        ('slots: [{capability: "\\a"}]', ["control-character"]),
        ("? [x]\n: y\n? [z]\n: y", ["non-string-key"] * 2),
        ("1: x\n1: y", ["non-string-key"] * 2),
        ("targets: [{platform: ios, 1: a.b}]", ["non-string-key"]),
        ("targets: [&t {platform: ios, identifier: a.b}, {<<: *t, platform: macos}]", ["merge-key"]),
        ("<<: {a: b}\n<<: {a: b}", ["merge-key"] * 2),
        ("deploy: x\nslots: [{capability: chat, deploy: {environments: [staging], minImprovement: .inf}}]",
         ["unknown-field", "not-json-number"]),
        ("inferenceConfig: {api_key: *gone}", ["unknown-alias"]),
        ("name: !!str x\nnmae: y", ["tag"]),
    ],
)  # fmt: skip
def test_an_unreadable_value_is_reported_once(workspace: Workspace, spec: str, expected: list[str]) -> None:
    """A value or key that could not be read is not also reported as a wrong type, unknown or missing."""
    assert rules(workspace.load_text(app(spec))) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: !!python/object:os.system x", ["tag"]),
        ("!!map {a: !x b}", ["tag", "tag"]),
        ("*a", ["unknown-alias"]),
        ("apiVersion: .inf\nkind: App", ["not-json-number"]),
        ("apiVersion: octosync.dev/v1\nkind: *x", ["unknown-alias"]),
        ("<<: {apiVersion: octosync.dev/v1, kind: App}\nspec: {}", ["merge-key"]),
        ("<<: {apiVersion: octosync.dev/v1}\nkind: Apps", ["merge-key"]),
        ("apiversion: octosync.dev/v1\nkind: App\nmetadata: {name: a}", ["unknown-field"]),
        ("apiversion: octosync.dev/v1\nkind: Apps", ["unknown-field"]),
        ("apiVersion: octosync.dev/v1\nKind: App\nmetadata: {name: a}", ["unknown-field"]),
    ],
)
def test_a_document_has_no_errors_for_fields_that_may_exist(
    workspace: Workspace, text: str, expected: list[str]
) -> None:
    """Refused tags, aliases and merge keys, and misspelt keys, cause no errors about missing fields."""
    assert rules(workspace.load_text(text)) == expected


@pytest.mark.parametrize("broken", ["a: &a {b: *a}", "a: " + "[" * 40 + "]" * 40, "a: [" + "1," * 100_000 + "]"])
def test_a_document_beyond_a_limit_does_not_hide_later_ones(workspace: Workspace, broken: str) -> None:
    """The rest of the document is not read, but the next document is."""
    found = workspace.load_text(f"{broken}\nb: {{c: 1, c: 2}}\n---\n{app(name='Demo')}")
    assert rules(found) == [found.diagnostics[0].rule, "invalid-slug"]
    assert found.diagnostics[1].excerpt == "  name: Demo"


def test_skipped_text_shows_no_sensitive_values(workspace: Workspace) -> None:
    """Beyond a limit it is unknown which values are sensitive, so a line is only shown if none of its keys may be."""
    text = "a: &a\n  b: *a\n  password: hunter2\n---\n" + app("nmae: x")
    found = workspace.load_text(text)
    assert [(diagnostic.rule, diagnostic.excerpt) for diagnostic in found.diagnostics] == [
        ("recursive-alias", None),
        ("unknown-field", "  nmae: x"),
    ]
    assert found.diagnostics[0].summary == "alias is inside its own anchor"
    assert workspace.load_text("a: &a\n  b: *a\n  password: [hunter2").diagnostics[0].excerpt is None


def test_a_misspelt_field_is_not_also_missing(workspace: Workspace) -> None:
    """One typo is one error."""
    assert rules(workspace.load_text(app("targets: [{platform: ios, identifer: a.b}]"))) == ["unknown-field"]
    assert rules(workspace.load_text(app("targets: [{platform: ios, colour: a.b}]"))) == [
        "missing-field",
        "unknown-field",
    ]


def test_a_preference_without_auto_is_reported_with_its_wrong_value(workspace: Workspace) -> None:
    """It must be omitted, right or wrong. A null is reported once."""
    policy = (
        "servingPolicy:\n  routingMode: local_only\n  routingPreference: {}\n"
        "  fallback: {{allowCloudFallback: false, allowLocalFallback: true}}"
    )
    found = workspace.load_text(slot(policy.format("fast")))
    assert rules(found) == ["preference-without-auto", "invalid-value"]
    assert rules(workspace.load_text(slot(policy.format("null")))) == ["wrong-type"]
    assert rules(workspace.load_text(slot(policy.format("${X}")))) == ["undefined-variable"]


def test_a_missing_file_has_no_line(workspace: Workspace) -> None:
    """Its place is its name."""
    found = only(workspace.load("nowhere.yaml"))
    assert str(found.origin) == "nowhere.yaml"
    link = workspace.directory / "link.yaml"
    link.symlink_to("nowhere.yaml")
    assert only(workspace.load("link.yaml")).summary == "link.yaml links to something that does not exist"
    assert only(workspace.load(".")).summary == "link.yaml links to something that does not exist"


@pytest.mark.parametrize(
    ("text", "rule", "note"),
    [
        (app("name: {{ .Values.name }}"), "non-string-key", "render the file first"),
        ("{{- if .Values.x }}\n" + app(), "yaml-syntax", "render the file first"),
        ("<<<<<<< HEAD\n" + app() + "=======\n>>>>>>> main\n", "yaml-syntax", "not resolved: app.yaml:1:1"),
        (app("targets:\n  - {platform: ios\nslots: []"), "yaml-syntax", "opened at app.yaml:7:7"),
        (app("name: [a"), "yaml-syntax", "opened at app.yaml:6:9"),
        (app("targets:\n  - platform:ios\n    identifier:a.b"), "wrong-type", "with a space behind it"),
        (app("targets: [ios]"), "wrong-type", ""),
        (slot("deploy: {environments: [staging], optimize: true}"), "wrong-type", "never, suggest, auto"),
        (slot("deploy: {environments: [staging], minImprovement: 5%}"), "wrong-type", "at least 0 and at most 1"),
        (app("targets: null"), "wrong-type", "if octosync is not to own it"),
        (app("targets: [null]"), "wrong-type", ""),
        (app(metadata="labels: null"), "wrong-type", "leave the key out"),
        (app("name: " + "a: b"), "yaml-syntax", ""),
    ],
)
def test_a_common_mistake_is_recognised(workspace: Workspace, text: str, rule: str, note: str) -> None:
    """Unrendered templates, merge conflicts, brackets and missing spaces are one error each, with its cause."""
    found = only(workspace.load_text(text))
    assert found.rule == rule
    assert note in " ".join(found.notes)
    assert bool(found.notes) is bool(note)


@pytest.mark.parametrize(
    ("key", "suggestion"),
    [
        ("octosync.dev/protct", "octosync.dev/protect"),
        ("octosync/protect", "octosync.dev/protect"),
        ("octosync.io/suspended", "octosync.dev/suspend"),
        ("octosync.dev/foo", None),
    ],
)
def test_an_annotation_that_resembles_ours_is_a_warning(workspace: Workspace, key: str, suggestion: str | None) -> None:
    """A protection with any misspelt part protects nothing."""
    found = only(workspace.load_text(app(metadata=f'annotations: {{{key}: "true"}}')))
    assert (found.rule, found.suggestion) == ("unknown-annotation", suggestion)


def test_an_annotation_of_another_group_is_ignored(workspace: Workspace) -> None:
    """It is ignored, however similar the name of its group is."""
    metadata = 'annotations: {octopus.dev/foo: x, example.com/protect: "true", protect: "true"}'
    assert not workspace.load_text(app(metadata=metadata)).diagnostics


@pytest.mark.parametrize("contexts", ["[a]", "{a: null}", "{a: {}}"])
def test_an_invalid_context_is_not_unknown(workspace: Workspace, contexts: str) -> None:
    """`defaultContext` is checked against the written contexts, not against the valid ones."""
    assert "unknown-context" not in rules(workspace.configure(f"contexts: {contexts}\ndefaultContext: a\n"))


def test_a_missing_value_is_marked_one_column_wide(workspace: Workspace) -> None:
    """For a key without a value, the mark is behind its colon and not to the end of the line."""
    found = only(workspace.load_text(app("description:    # later")))
    assert found.width == 1
