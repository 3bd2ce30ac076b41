"""Sensitive values: which values are sensitive, and that all of them are redacted."""

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
    """The default patterns match in upper and lower case."""
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
    """Keys of the contract that match a pattern only by their letters are shown."""
    assert not Sensitivity().covers(key)


def test_patterns_can_be_chosen() -> None:
    """Configured patterns replace the default ones, and are case-insensitive."""
    chosen = Sensitivity(("*Pin*",))
    assert chosen.covers("user_pin")
    assert not chosen.covers("api_key")


@pytest.mark.parametrize(
    "key",
    [
        *(
            "max_new_tokens",
            "maxNewTokens",
            "suppress-tokens",
            "stopTokens",
            "token_id",
            "eos_token_id",
            "stop_token_ids",
        ),
        *("eos_token", "tokenizer", "tokenizer_path", "tokenization", "keywords", "keyframe_interval"),
        *("keypointCount", "key_points"),
    ],
)
def test_parameters_of_models_are_not(key: str) -> None:
    """Common names of models and media that match a default pattern only by their letters are shown."""
    assert not Sensitivity().covers(key)
    assert Sensitivity((key,)).covers(key)


@pytest.mark.parametrize(
    "key",
    [
        *("tokens", "access_tokens", "accessTokens", "hf_tokens", "api_token_id", "token_value", "secret_tokens"),
        *("tokenizer_api_key", "keyword_secret", "tokenizertoken", "stop_tokens_secret", "authorization:Bearer"),
    ],
)
def test_a_credential_is_sensitive_beside_such_a_word(key: str) -> None:
    """The rest of a name counts, and so does a word that marks tokens as credentials."""
    assert Sensitivity().covers(key)


@pytest.mark.parametrize("value", [0, 1234, 0.5, True, None, [], {}, [1, 2, [3]]])
def test_numbers_booleans_and_null_are_no_secrets(value: JsonValue) -> None:
    """Such values are shown under a sensitive key; inside an object with that key they are not."""
    rules = Sensitivity()
    assert rules.redact({"password": value}) == {"password": value}
    assert rules.redact({"password": {"pin": value}}) == {"password": None}


@pytest.mark.parametrize(
    ("path", "cut"),
    [
        (("parameters", "api_key"), ("parameters", "api_key")),
        (("a", "tokens", SECRET, "b"), ("a", "tokens")),
        (("a", f"token:{SECRET}"), ("a", f"token:{SENSITIVE}")),
        (("list", "0"), ("list", "0")),
        ((), ()),
    ],
)
def test_a_path_ends_at_its_first_sensitive_key(path: tuple[str, ...], cut: tuple[str, ...]) -> None:
    """A name under a sensitive key may be the secret itself."""
    assert Sensitivity().cut(path) == cut


@pytest.mark.parametrize(
    "value",
    [
        {"api_key": SECRET},
        {"a": {"b": {"token": SECRET}}},
        {"a": [1, {"b": [{"password": SECRET}]}]},
        {"secret": {"harmless": SECRET, "list": [SECRET]}},
        {"authorization": [SECRET, {"x": SECRET}]},
        {"tokens": {SECRET: 1}},
        {f"api_key:{SECRET}": None, f"authorization : {SECRET}": 1},
    ],
)
def test_nothing_of_a_secret_is_left_at_any_depth(value: JsonObject) -> None:
    """Redaction replaces all values under a sensitive key, in objects and lists; `occurs_in` finds them."""
    rules = Sensitivity()
    assert rules.occurs_in(value)
    assert SECRET not in canonical_json(rules.redact(value))
    assert SENSITIVE in canonical_json(rules.redact(value, SENSITIVE))


@given(json_objects())
def test_redaction_keeps_everything_else(value: dict[str, JsonValue]) -> None:
    """A value without sensitive keys is unchanged; other values keep their keys; redacting twice has the same result as once."""
    rules = Sensitivity()
    redacted = rules.redact(value)
    assert isinstance(redacted, dict)
    assert redacted.keys() == value.keys()
    assert rules.redact(redacted) == redacted
    if not rules.occurs_in(value):
        assert canonical_json(redacted) == canonical_json(value)
