"""Addresses: each names exactly one object, and can be parsed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octosync.model import Address, Kind

slugs = st.text(min_size=1).filter(lambda text: "/" not in text)
names = st.text(min_size=1)


def addresses() -> st.SearchStrategy[Address]:
    return st.one_of(
        slugs.map(Address.of_app),
        slugs.map(Address.of_inference_config),
        st.builds(Address.of_target, slugs, names.filter(lambda text: ":" not in text), st.text()),
        st.builds(Address.of_slot, slugs, names),
        st.builds(Address.of_capability, slugs, names, names),
    )


@given(addresses())
def test_an_address_is_read_back_from_its_text(address: Address) -> None:
    """Any address survives formatting and parsing, including names with slashes, colons and line breaks."""
    assert Address.parse(str(address)) == address


@given(addresses(), addresses())
def test_different_addresses_have_different_texts(one: Address, other: Address) -> None:
    """Two addresses have the same text or sort key only if they are equal."""
    assert (str(one) == str(other)) is (one == other)
    assert (one < other) + (other < one) + (one == other) == 1


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (Address.of_app("demo"), "app/demo"),
        (Address.of_target("demo", "ios", "com.example.demo"), "app/demo/target/ios:com.example.demo"),
        (Address.of_target("demo", "browser", "https://a.b/c"), "app/demo/target/browser:https://a.b/c"),
        (Address.of_slot("demo", "chat"), "app/demo/slot/chat"),
        (Address.of_inference_config("demo"), "app/demo/inference-config"),
        (Address.of_capability("demo", "chat", "production"), "app/demo/capability/chat@production"),
        (Address.of_slot("demo", "inference-config"), "app/demo/slot/inference-config"),
    ],
)
def test_each_kind_has_its_form(address: Address, text: str) -> None:
    """The forms of addresses are part of the plan file's format."""
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "app",
        "app/",
        "apps/demo",
        "/app/demo",
        "app/demo/",
        "app//slot/chat",
        "app/demo/slot",
        "app/demo/slot/",
        "app/demo/target",
        "app/demo/inference-config/x",
        "app/demo/inference_config",
        "app/demo/app/x",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """Only the output of `str()` is accepted; anything else is an error, never a guess."""
    with pytest.raises(ValueError, match="not an address"):
        Address.parse(text)


def test_an_app_comes_first_then_its_objects_by_kind_and_name() -> None:
    """Addresses sort app by app: the app, its targets, slots, capabilities and config."""
    wanted = [
        Address.of_app("a"),
        Address.of_target("a", "android", "z"),
        Address.of_target("a", "ios", "a"),
        Address.of_slot("a", "chat"),
        Address.of_capability("a", "chat", "production"),
        Address.of_inference_config("a"),
        Address.of_app("b"),
    ]
    assert sorted(wanted[3:] + wanted[:3]) == wanted
    assert list(Kind) == list(dict.fromkeys(address.kind for address in wanted))
