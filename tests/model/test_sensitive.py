"""Sensitive values: which they are, and that none is left."""

from __future__ import annotations

import pytest
from hypothesis import given
from tests.support.json_values import json_objects

from octosync.model import SENSITIVE, JsonObject, JsonValue, Sensitivity, canonical_json

SECRET = "hunter2"


@pytest.mark.parametrize(
    "key",
    ["api_key", "apiKey", "KEY", "my-key-1", "access_token", "Secret", "client_secret", "PASSWORD", "Authorization"],
)
def test_keys_that_hold_secrets_are_sensitive(key: str) -> None:
    """The default patterns hold whatever the case."""
    assert Sensitivity().covers(key)


@pytest.mark.parametrize(
    "key",
    [
        "binding_key",
        "bindingKey",
        "deployment_key",
        "max_tokens",
        "maxTokens",
        "keyboard_prediction",
        "model",
        "author",
    ],
)
def test_the_contracts_own_keys_are_not(key: str) -> None:
    """Keys of the contract that a pattern catches by their letters only are shown."""
    assert not Sensitivity().covers(key)


def test_patterns_can_be_chosen() -> None:
    """Configured patterns replace the default ones, matched without regard to case."""
    chosen = Sensitivity(("*Pin*",))
    assert chosen.covers("user_pin")
    assert not chosen.covers("api_key")


@pytest.mark.parametrize(
    ("path", "covered"),
    [
        (("parameters", "api_key"), True),
        (("api_key", "inner"), True),
        (("list", 0, "token"), True),
        (("list", 0), False),
        ((), False),
    ],
)
def test_a_path_is_sensitive_when_any_key_on_it_is(path: tuple[str | int, ...], covered: bool) -> None:
    """What is nested under a sensitive key is sensitive whatever it is called."""
    assert Sensitivity().covers_path(path) is covered


@pytest.mark.parametrize(
    "value",
    [
        {"api_key": SECRET},
        {"a": {"b": {"token": SECRET}}},
        {"a": [1, {"b": [{"password": SECRET}]}]},
        {"secret": {"harmless": SECRET, "list": [SECRET]}},
        {"authorization": [SECRET, {"x": SECRET}]},
    ],
)
def test_nothing_of_a_secret_is_left_at_any_depth(value: JsonObject) -> None:
    """Redaction replaces everything under a sensitive key, in objects and lists, and can be told by `occurs_in`."""
    rules = Sensitivity()
    assert rules.occurs_in(value)
    assert SECRET not in canonical_json(rules.redact(value))
    assert SENSITIVE in canonical_json(rules.redact(value, SENSITIVE))


@given(json_objects())
def test_redaction_keeps_everything_else(value: dict[str, JsonValue]) -> None:
    """A value without sensitive keys comes back as it was; one with some keeps its keys; twice is once."""
    rules = Sensitivity()
    redacted = rules.redact(value)
    assert isinstance(redacted, dict)
    assert redacted.keys() == value.keys()
    assert rules.redact(redacted) == redacted
    if not rules.occurs_in(value):
        assert canonical_json(redacted) == canonical_json(value)
