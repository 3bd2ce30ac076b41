"""Every problem in one pass, and none that is only another one's shadow."""

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


def test_one_wrong_field_hides_no_other_problem(workspace: Workspace) -> None:
    """A slug that no app can have, and errors in a slot, leave every other check of the document standing."""
    found = workspace.load_text(app(ALL_AT_ONCE, name="Canary_demo"))
    assert [(one.rule, one.path) for one in found.diagnostics] == [
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
def test_a_document_that_cannot_be_read_makes_nothing_missing_elsewhere(workspace: Workspace, broken: str) -> None:
    """Children of an App whose document is broken are not blamed for it."""
    workspace.write({"app.yaml": broken, "target.yaml": TARGET, "slot.yaml": slot("").replace("name: demo", "name: x")})
    found = workspace.load()
    assert {one.origin.file for one in found.diagnostics if one.origin} == {"app.yaml"}
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
def test_what_several_documents_must_agree_on_is_checked_as_far_as_it_was_read(
    workspace: Workspace, text: str, expected: list[str]
) -> None:
    """A target claimed twice is found whatever else is wrong beside it, and nothing that could not be read is a duplicate."""
    workspace.write({"a.yaml": TARGET, "b.yaml": text})
    found = workspace.load()
    assert sorted(rules(found)) == sorted(expected)
    assert all(one.origin is None or one.origin.file == "b.yaml" for one in found.diagnostics)


def test_two_documents_whose_apps_cannot_be_read_still_claim_a_target_once(workspace: Workspace) -> None:
    """Whichever apps they are, the tuple is declared once too often; neither is called by a name that it doesn't have."""
    workspace.write({"a.yaml": app(TARGETS, name="A_1"), "b.yaml": app(TARGETS, name="B_1")})
    found = workspace.load()
    assert rules(found) == ["invalid-slug", "invalid-slug", "declared-twice"]
    assert found.diagnostics[2].notes == ("the other: a.yaml:7:7",)


def test_slots_without_a_capability_are_no_duplicates(workspace: Workspace) -> None:
    """Neither wrong nor undefined capabilities are compared."""
    text = app("slots:\n  - capability: Chat\n  - capability: Chat\n  - capability: ${X}\n  - capability: ${X}")
    assert rules(workspace.load_text(text)) == ["invalid-value"] * 2 + ["undefined-variable"] * 2


def test_undefined_variables_are_all_that_is_said_of_their_values(workspace: Workspace) -> None:
    """Neither an unknown engine, nor a repeated value, nor an annotation that can't be."""
    fields = (
        "preferredEngines: ['${X}', '${X}']\nservingPolicy: ${X}\ndeploy: {environments: ['${X}', '${X}']}\n"
        "bindings: [{binding_key: '${X}'}, {binding_key: '${X}'}]"
    )
    text = slot(fields).replace("name: demo", "name: demo\n  annotations: {octosync.dev/protect: '${X}'}")
    assert set(rules(workspace.load_text(text))) == {"undefined-variable"}


def test_an_app_that_is_declared_twice_is_checked_twice(workspace: Workspace) -> None:
    """A copy gives one error, not one a line; what only the copy has wrong is found."""
    workspace.write({"a.yaml": app(TARGETS), "b.yaml": app(TARGETS + "\nslots: [{capability: chta}]")})
    assert rules(workspace.load()) == ["duplicate-app", "unknown-capability"]


def test_the_value_of_a_duplicate_key_is_checked(workspace: Workspace) -> None:
    """The second list is left out, and its own mistakes are told all the same."""
    found = workspace.load_text(app("slots: []\nslots: [{capability: chat, foo: 1}]\nslot: []\nslot: []"))
    assert [(one.rule, one.path) for one in found.diagnostics] == [
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
def test_what_could_not_be_read_is_said_once(workspace: Workspace, spec: str, expected: list[str]) -> None:
    """A value or key that was refused while reading is neither of the wrong type, nor unknown, nor missing after that."""
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
def test_a_document_is_not_blamed_for_what_it_may_well_hold(
    workspace: Workspace, text: str, expected: list[str]
) -> None:
    """Refused tags, aliases and merge keys, and misspelt keys, are not followed by the fields that they seem to lack."""
    assert rules(workspace.load_text(text)) == expected


@pytest.mark.parametrize("broken", ["a: &a {b: *a}", "a: " + "[" * 40 + "]" * 40, "a: [" + "1," * 100_000 + "]"])
def test_a_document_past_a_limit_hides_none_after_it(workspace: Workspace, broken: str) -> None:
    """The rest of it is not read; the next document is."""
    found = workspace.load_text(f"{broken}\nb: {{c: 1, c: 2}}\n---\n{app(name='Demo')}")
    assert rules(found) == [found.diagnostics[0].rule, "invalid-slug"]
    assert found.diagnostics[1].excerpt == "  name: Demo"


def test_what_is_skipped_shows_nothing_sensitive(workspace: Workspace) -> None:
    """Behind a limit nobody knows which values are sensitive, so lines are only shown where no key there seems to be."""
    text = "a: &a\n  b: *a\n  password: hunter2\n---\n" + app("nmae: x")
    found = workspace.load_text(text)
    assert [(one.rule, one.excerpt) for one in found.diagnostics] == [
        ("recursive-alias", None),
        ("unknown-field", "  nmae: x"),
    ]
    assert found.diagnostics[0].summary == "alias is inside its own anchor"
    assert workspace.load_text("a: &a\n  b: *a\n  password: [hunter2").diagnostics[0].excerpt is None


def test_a_misspelt_field_is_not_missing_as_well(workspace: Workspace) -> None:
    """One slip of the finger is one error."""
    assert rules(workspace.load_text(app("targets: [{platform: ios, identifer: a.b}]"))) == ["unknown-field"]
    assert rules(workspace.load_text(app("targets: [{platform: ios, colour: a.b}]"))) == [
        "missing-field",
        "unknown-field",
    ]


def test_a_preference_without_auto_is_found_beside_its_wrong_value(workspace: Workspace) -> None:
    """It is to be left out, right or wrong; a null says so itself."""
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
    """Templates that were not rendered, merge conflicts, brackets, missing spaces: one error, and what is behind it."""
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
def test_an_annotation_that_seems_to_be_ours_is_a_warning(
    workspace: Workspace, key: str, suggestion: str | None
) -> None:
    """A protection that is misspelt in any part protects nothing."""
    found = only(workspace.load_text(app(metadata=f'annotations: {{{key}: "true"}}')))
    assert (found.rule, found.suggestion) == ("unknown-annotation", suggestion)


def test_an_annotation_of_another_group_is_none_of_ours(workspace: Workspace) -> None:
    """However near its group's name is, and whatever it is called."""
    metadata = 'annotations: {octopus.dev/foo: x, example.com/protect: "true", protect: "true"}'
    assert not workspace.load_text(app(metadata=metadata)).diagnostics


@pytest.mark.parametrize("contexts", ["[a]", "{a: null}", "{a: {}}"])
def test_a_context_that_is_there_and_wrong_is_not_unknown(workspace: Workspace, contexts: str) -> None:
    """What `defaultContext` names is judged by what is written, not by what could be read."""
    assert "unknown-context" not in rules(workspace.configure(f"contexts: {contexts}\ndefaultContext: a\n"))


def test_nothing_written_is_one_column_wide(workspace: Workspace) -> None:
    """A key without a value is marked behind its colon, not to the end of the line."""
    found = only(workspace.load_text(app("description:    # later")))
    assert found.width == 1
