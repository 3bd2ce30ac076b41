"""Variables in manifests."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.support.manifests import Workspace, app, only, rules

from octosync.errors import UsageError
from octosync.manifest import Configuration, Context

CONTEXT = Context(name="c", url="http://127.0.0.1", vars={"CHANNEL": "beta", "EMPTY": ""})


def described(workspace: Workspace, text: str, environment: Mapping[str, str] | None = None) -> object:
    found = workspace.load_text(
        app(f"description: {text}"), context=CONTEXT, environment=environment or {}, env_allowed=["ALLOWED"]
    )
    assert not found.diagnostics, found.diagnostics
    return found.state.apps["demo"].fields["description"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${CHANNEL}", "beta"),
        ("a ${CHANNEL}-${CHANNEL} b", "a beta-beta b"),
        ("${ABSENT:=x y}", "x y"),
        ("${ABSENT:=}z", "z"),
        ("${CHANNEL:=x}", "beta"),
        ("${EMPTY:=x}", "x"),
        ("[${EMPTY}]", "[]"),
        ("$${CHANNEL}", "${CHANNEL}"),
        ("$CHANNEL $(CHANNEL) $$ $", "$CHANNEL $(CHANNEL) $$ $"),
        ("${ALLOWED}", "from outside"),
        ("${NOT_ALLOWED:=default}", "default"),
    ],
)
def test_references_are_replaced(workspace: Workspace, text: str, expected: str) -> None:
    """The vars of the context apply first, then allowed environment variables, then the default, also if a value is empty."""
    assert described(workspace, f"'{text}'", {"ALLOWED": "from outside", "NOT_ALLOWED": "x"}) == expected


@pytest.mark.parametrize("text", ['"\\x24{CHANNEL}"', '"$\\\n    {CHANNEL}"'])
def test_references_with_escapes_are_replaced(workspace: Workspace, text: str) -> None:
    """A reference is recognized in the value, not in the text of the file."""
    assert described(workspace, text) == "beta"


def test_values_are_never_parsed_again(workspace: Workspace) -> None:
    """A value that resembles YAML, or a reference, is text."""
    for value in ("true", "{a: b}", "12", "x: y\n- z", "${CHANNEL}"):
        assert described(workspace, "${ALLOWED}", {"ALLOWED": value}) == value


def test_a_number_from_a_variable_is_text(workspace: Workspace) -> None:
    """A variable can't be used if a number is expected."""
    text = app("slots:\n  - capability: chat\n    deploy: {environments: [staging], minImprovement: '${X:=0.5}'}")
    assert only(workspace.load_text(text)).rule == "wrong-type"


def test_keys_are_not_replaced(workspace: Workspace) -> None:
    """Only values are replaced, at any depth, through aliases and in lists."""
    text = app("inferenceConfig:\n  '${CHANNEL}': &x ['${CHANNEL}']\n  again: *x\n  &k '${CHANNEL}x': *k")
    found = workspace.load_text(text, context=CONTEXT)
    config = found.state.apps["demo"].inference_config
    assert config is not None
    assert config.config == {"${CHANNEL}": ["beta"], "again": ["beta"], "${CHANNEL}x": "${CHANNEL}x"}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("${ABSENT}", "undefined-variable"),
        ("${NOT_ALLOWED}", "undefined-variable"),
        ("${ALLOWED}", "undefined-variable"),
        ("${CHANNEL", "malformed-variable"),
        ("${}", "malformed-variable"),
        ("${a-b}", "malformed-variable"),
        ("${CHANNEL:-x}", "malformed-variable"),
        ("${API_TOKEN:=x}", "secret-variable"),
        ("${myPassword}", "secret-variable"),
    ],
)
def test_an_unresolved_reference_is_one_error_with_its_path(workspace: Workspace, text: str, rule: str) -> None:
    """The field has no other error, and the notes have the remedy."""
    workspace.write({"a.yaml": app(f"name: '{text}'")})
    found = only(workspace.load("a.yaml", context=CONTEXT, environment={"NOT_ALLOWED": "x"}, env_allowed=["ALLOWED"]))
    assert (found.rule, found.path) == (rule, "spec.name")
    assert found.notes


def test_an_undefined_variable_has_its_reason(workspace: Workspace) -> None:
    """Set but not allowed, allowed but not set, and neither are different notes."""
    text = app("name: '${A}'\ndescription: '${B} ${C}'")
    found = workspace.load_text(text, environment={"A": "x"}, env_allowed=["B"])
    notes = [diagnostic.notes[0] for diagnostic in found.diagnostics]
    assert "it is not allowed: use --env A" in notes[0]
    assert notes[1:] == ["the environment doesn't set it", notes[2]]
    assert "vars in octosync.yaml" in notes[2]


def test_a_control_character_in_a_value_is_an_error(workspace: Workspace) -> None:
    """This includes bytes of the environment that are not text."""
    for value in ("a\x1bb", "a\udcffb"):
        found = workspace.load_text(app("name: ${A}"), environment={"A": value}, env_allowed=["A"])
        assert rules(found) == ["control-character"]


def test_octosync_yaml_allows_environment_variables(workspace: Workspace) -> None:
    """`env:` has the effect of --env."""
    configuration = Configuration(directory=workspace.directory, env=("A",))
    assert not workspace.load_text(app("name: ${A}"), configuration=configuration, environment={"A": "x"}).diagnostics


@pytest.mark.parametrize(
    ("name", "reference"), [("API_KEY", "secret-variable"), ("a-b", "malformed-variable"), ("", "malformed-variable")]
)
def test_env_refuses_secrets_and_invalid_names(workspace: Workspace, name: str, reference: str) -> None:
    """`--env API_KEY` is a usage error before anything is read."""
    with pytest.raises(UsageError) as raised:
        workspace.load(".", env_allowed=[name])
    assert raised.value.reference == reference
