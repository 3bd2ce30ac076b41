"""Secrets that stand in manifests all the same."""

from __future__ import annotations

import pytest
from tests.support.manifests import Workspace, app, only, rules

from octosync.manifest import Configuration
from octosync.model import Sensitivity

SECRET = "hunter2-8f1c"
ONE_LINE = (
    '{"apiVersion":"octosync.dev/v1","kind":"App","metadata":{"name":"demo","x":1},'
    f'"spec":{{"inferenceConfig":{{"authorization":"{SECRET}"}},"zebra":1}}}}'
)


@pytest.mark.parametrize(
    "text",
    [
        app(f"inferenceConfig:\n  api_key: {SECRET}"),
        app(f"inferenceConfig:\n  tokens:\n    - {SECRET}\n    - [{{x: {SECRET}}}]"),
        app(f"inferenceConfig:\n  tokens: {{{SECRET}: 1, {SECRET}: 2}}"),
        app("inferenceConfig:\n  tokens: {872101: 1}").replace("872101", "0x872101"),
        app(f"inferenceConfig:\n  password: |\n    {SECRET}\n    {SECRET}"),
        app(f"inferenceConfig:\n  x: &a {SECRET}\n  password: *a\n  x: 1"),
        app(f"inferenceConfig:\n  x: &a\n    - {SECRET}\n    - {SECRET}: [.inf]\n  password: *a"),
        app(f"inferenceConfig:\n  secret: !!str {SECRET}"),
        app(f'inferenceConfig:\n  secret: "{SECRET}'),
        app(f"inferenceConfig:\n  secret: {SECRET}: b"),
        app(f"inferenceConfig:\n  secret:\n\t- {SECRET}"),
        app(f'inferenceConfig:\n  secret: "{SECRET}\\ud83d"'),
        app(f"inferenceConfig:\n  secret: {SECRET}\0"),
        app(f"inferenceConfig:\n  secret: {{a: {{a: {{a: *{SECRET}}}}}}}"),
        app(f"inferenceConfig: {{secret: {SECRET}, secret: {SECRET}}}"),
        app("inferenceConfig:\n  secret: " + "[" * 40 + SECRET + "]" * 40),
        app(f"inferenceConfig:\n  secret: ${{{SECRET}}}"),
        app(metadata=f"annotations: {{example.com/token: {SECRET}, octosync.dev/protect: x}}"),
        app(metadata=f"labels: {{token: [{SECRET}]}}"),
        ONE_LINE,
        f"apiVersion: octosync.dev/v1\nkind: App\nmetadata: {{name: demo}}\nsecretKind: {{nested: {SECRET}}}\n",
    ],
)
def test_a_sensitive_value_is_in_no_diagnostic(workspace: Workspace, text: str) -> None:
    """Not as excerpt, summary, path, note or suggestion, whatever else is wrong around it."""
    found = workspace.load_text(text)
    assert found.diagnostics
    said = repr([(one.summary, one.path, one.excerpt, one.suggestion, one.notes) for one in found.diagnostics])
    assert SECRET not in said
    assert "872101" not in said
    assert str(0x872101) not in said


def test_a_literal_under_a_sensitive_key_is_a_warning_with_its_path(workspace: Workspace) -> None:
    """At any depth, once for the outermost key; null, booleans, numbers, variables and contract keys are none."""
    text = app(
        "inferenceConfig:\n"
        "  credentials: [{api_key: x, tokens: {a: {secret: b}}}]\n"
        "  password: null\n"
        "  use_token: true\n"
        "  key: ${REF:=}\n"
        "  secret: ''\n"
        "  token: ${REF}\n"
        "  parameters: {max_tokens: 5}\n"
        "slots: [{capability: chat, bindings: [{binding_key: a, token_count: 7}]}]"
    )
    found = workspace.load_text(text, environment={"REF": "x"}, env_allowed=["REF"])
    assert [(one.rule, one.path) for one in found.diagnostics] == [
        ("secret-in-manifest", "spec.inferenceConfig.credentials[0].api_key"),
        ("secret-in-manifest", "spec.inferenceConfig.credentials[0].tokens"),
        ("secret-in-manifest", "spec.inferenceConfig.key"),
    ]
    assert not found.has_errors
    assert all(one.excerpt is None for one in found.diagnostics)


@pytest.mark.parametrize(
    "declared", ["inferenceConfig: {model: m1, api_key:%s}", "inferenceConfig: {? api_key:%s : null}"]
)
def test_a_key_typed_with_its_value_is_a_warning_without_the_value(workspace: Workspace, declared: str) -> None:
    """`api_key:VALUE` is a key without a value to YAML: its line gets a warning, and is not shown."""
    warning = only(workspace.load_text(app(declared % SECRET)))
    assert (warning.rule, warning.path) == ("colon-in-key", 'spec.inferenceConfig."api_key:(sensitive)"')
    assert warning.origin is not None
    assert warning.origin.line == 6
    assert SECRET not in repr(warning)


@pytest.mark.parametrize("value", ["1", f"{SECRET}", "[x]", ""])
def test_a_value_typed_into_a_labels_key_is_shown_nowhere(workspace: Workspace, value: str) -> None:
    """Not in the path of an error, and not in the warning, whatever stands under the key."""
    found = workspace.load_text(app(metadata=f"labels: {{api_token:{SECRET}: {value}}}"))
    assert found.diagnostics
    assert SECRET not in repr(found.diagnostics)


def test_a_quoted_key_with_a_colon_is_a_key_with_a_colon(workspace: Workspace) -> None:
    """Null can be meant under a key in quotes, and under a key that is no plain word."""
    assert not workspace.load_text(app("inferenceConfig: {'a:b': null, example.com/a:b, urn:x: 1}")).diagnostics


def test_parameters_of_language_models_are_no_secrets(workspace: Workspace) -> None:
    """Neither their names nor any number, boolean or null is: they validate without a warning."""
    parameters = (
        "max_new_tokens: 256, max_completion_tokens: 8, min_tokens: 1, eos_token_id: 2, tokenizer: x, "
        "stop_tokens: [</s>], keyframe_interval: 5, keywords: [a], keypoints: {nose: a}, password: 1234, secret: [1, 2]"
    )
    assert not workspace.load_text(app(f"inferenceConfig: {{parameters: {{{parameters}}}}}")).diagnostics


def test_sensitive_keys_of_octosync_yaml_replace_the_default(workspace: Workspace) -> None:
    """A field may be declared sensitive, and then its wrong value is not shown either."""
    configuration = Configuration(directory=workspace.directory, sensitivity=Sensitivity(("identifier", "name")))
    text = app(f'targets:\n  - {{platform: browser, identifier: "{SECRET}"}}')
    found = workspace.load_text(text, configuration=configuration)
    assert "identifier-shape" in rules(found)
    assert all(SECRET not in f"{one.summary}{one.excerpt}" for one in found.diagnostics)


def test_lines_without_a_sensitive_value_are_still_shown(workspace: Workspace) -> None:
    """A secret hides its own lines only, while the text parses."""
    found = workspace.load_text(app("inferenceConfig:\n  token:\n    a: b\nzebra: 1"))
    assert [(one.rule, one.excerpt) for one in found.diagnostics] == [
        ("secret-in-manifest", None),
        ("unknown-field", "  zebra: 1"),
    ]
    assert only(workspace.load_text(app("name: a: b"))).excerpt == "  name: a: b"
