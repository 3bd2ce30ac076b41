"""Redaction: which parts of foreign text are shown."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

import pytest

from octosync.model import SENSITIVE, JsonValue, Redactor, Secret, safe_text
from octosync.model.redaction import LONGEST_SHOWN

KEY = 'oct_live_0"12/34é56789'


@pytest.mark.parametrize("spelling", [KEY, json.dumps(KEY), json.dumps(KEY, ensure_ascii=False), quote(KEY, safe="")])
def test_the_key_is_masked_however_it_is_spelled(spelling: str) -> None:
    """A response that echoes the key, also in JSON or a URL, does not put it into a message."""
    shown = Redactor([Secret(KEY)]).text(f"bad header {spelling} given")
    assert "bad header" in shown
    assert "(sensitive)" in shown
    assert "0123456789" not in shown
    assert "56789" not in shown


@pytest.mark.parametrize("beside", ["", "k", "ke", "key", "user:"])
@pytest.mark.parametrize("more", ["", "?", "?!", "}"])
def test_a_key_is_masked_in_its_encodings(beside: str, more: str) -> None:
    """The key is also redacted in base64 with surrounding text, in hexadecimal, percent-encoded, in another case and reversed."""
    key = "oct_live/0123+456789~a91f"
    whole = f"{beside}{key}{more}".encode()
    encoded = [
        *(encode(whole).decode() for encode in (b64encode, urlsafe_b64encode)),
        *(whole.hex(), whole.hex().upper(), f"{beside}{key.upper()}{more}", f"{more}{key[::-1]}"),
        f"{beside}{quote(key, safe='')}{more}".replace("oct_", "%6Fct%5F"),
        *(quote(b64encode(whole).decode()), json.dumps({"key": whole.decode()})),
    ]
    shown = Redactor([Secret(key)])
    for text in encoded:
        left = shown.text(f"bad: {text}.", longest=10_000)
        assert SENSITIVE in left, text
        assert len(left) < 40, left
    assert shown.text("nothing of it here: oct_live, 0123") == "nothing of it here: oct_live, 0123"


def test_what_a_body_carries_under_sensitive_keys_is_masked() -> None:
    """A 422 that quotes the sent value shows no value under a sensitive key of the manifest, at any depth."""
    body: JsonValue = {
        "credentials": {"api_key": {"parts": ["hunter2000", 987654]}},
        "model": "phi-4-mini",
        "password": True,
    }
    shown = Redactor(body=body).text("invalid: hunter2000, 987654, phi-4-mini")
    assert shown == "invalid: (sensitive), (sensitive), phi-4-mini"


def test_other_peoples_authorization_is_masked() -> None:
    """Messages never show an authorization header from an error page, of any caller."""
    assert safe_text("sent 'Authorization: Bearer abc.def' twice") == "sent 'Authorization: Bearer (sensitive)' twice"


def test_control_characters_and_line_breaks_are_neutralised() -> None:
    """A hostile message can't move the cursor, colour the terminal, or forge a line."""
    assert safe_text("a\x1b[31mred\r\nerror: b\x00\u202ec") == "a [31mred error: b c"


def test_long_texts_are_clipped() -> None:
    """A whole HTML page doesn't become a message."""
    shown = safe_text("x" * 10_000)
    assert len(shown) == LONGEST_SHOWN
    assert shown.endswith("…")


def test_structured_details_keep_their_shape() -> None:
    """Details stay usable (the holder of a target), and every string in them is safe."""
    redactor = Redactor([Secret("oct_live_0123456789")])
    details = {"app_slug": "shop", "n": [1, None, True, "oct_live_0123456789"]}
    assert redactor.value(details) == {"app_slug": "shop", "n": [1, None, True, "(sensitive)"]}


def test_what_is_masked_is_all_that_changes() -> None:
    """The key is masked at any depth, also as a key of an object; long texts, line breaks and numbers are unchanged."""
    long = "x" * 1000
    value: JsonValue = {"a": [f"is {KEY}", long, "two\nlines", 1.5, None], KEY: True}
    masked = {"a": ["is (sensitive)", long, "two\nlines", 1.5, None], "(sensitive)": True}
    assert Redactor([Secret(KEY)]).masked(value) == masked
    assert Redactor().masked(value) == value
