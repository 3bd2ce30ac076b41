"""Secrets in manifests."""

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
    """This includes excerpt, summary, path, note and suggestion, whatever other errors there are."""
    found = workspace.load_text(text)
    assert found.diagnostics
    shown = repr(
        [
            (diagnostic.summary, diagnostic.path, diagnostic.excerpt, diagnostic.suggestion, diagnostic.notes)
            for diagnostic in found.diagnostics
        ]
    )
    assert SECRET not in shown
    assert "872101" not in shown
    assert str(0x872101) not in shown


def test_a_literal_under_a_sensitive_key_is_a_warning_with_its_path(workspace: Workspace) -> None:
    """At any depth, once for the outermost key. Null, booleans, numbers, variables and keys of the contract have no warning."""
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
    assert [(diagnostic.rule, diagnostic.path) for diagnostic in found.diagnostics] == [
        ("secret-in-manifest", "spec.inferenceConfig.credentials[0].api_key"),
        ("secret-in-manifest", "spec.inferenceConfig.credentials[0].tokens"),
        ("secret-in-manifest", "spec.inferenceConfig.key"),
    ]
    assert not found.has_errors
    assert all(diagnostic.excerpt is None for diagnostic in found.diagnostics)


@pytest.mark.parametrize(
    "declared", ["inferenceConfig: {model: m1, api_key:%s}", "inferenceConfig: {? api_key:%s : null}"]
)
def test_a_key_joined_with_its_value_is_a_warning_without_the_value(workspace: Workspace, declared: str) -> None:
    """In YAML, `api_key:VALUE` is a key without a value: its line has a warning and is not shown."""
    warning = only(workspace.load_text(app(declared % SECRET)))
    assert (warning.rule, warning.path) == ("colon-in-key", 'spec.inferenceConfig."api_key:(sensitive)"')
    assert warning.origin is not None
    assert warning.origin.line == 6
    assert SECRET not in repr(warning)


@pytest.mark.parametrize("value", ["1", f"{SECRET}", "[x]", ""])
def test_a_value_in_the_key_of_a_label_is_not_shown(workspace: Workspace, value: str) -> None:
    """Neither the path of an error nor the warning contains it, whatever is under the key."""
    found = workspace.load_text(app(metadata=f"labels: {{api_token:{SECRET}: {value}}}"))
    assert found.diagnostics
    assert SECRET not in repr(found.diagnostics)


def test_a_quoted_key_with_a_colon_is_a_plain_key(workspace: Workspace) -> None:
    """A null under a key in quotes, or under a key with several words, may be intended."""
    assert not workspace.load_text(app("inferenceConfig: {'a:b': null, example.com/a:b, urn:x: 1}")).diagnostics


def test_parameters_of_language_models_are_not_secrets(workspace: Workspace) -> None:
    """Neither their names nor numbers, booleans and nulls cause a warning."""
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
    assert all(SECRET not in f"{diagnostic.summary}{diagnostic.excerpt}" for diagnostic in found.diagnostics)


def test_lines_without_a_sensitive_value_are_still_shown(workspace: Workspace) -> None:
    """While the text can be parsed, a secret hides only its own lines."""
    found = workspace.load_text(app("inferenceConfig:\n  token:\n    a: b\nzebra: 1"))
    assert [(diagnostic.rule, diagnostic.excerpt) for diagnostic in found.diagnostics] == [
        ("secret-in-manifest", None),
        ("unknown-field", "  zebra: 1"),
    ]
    assert only(workspace.load_text(app("name: a: b"))).excerpt == "  name: a: b"
