"""Strategies for JSON: small values with few keys, so that examples collide, nest and differ in one place."""

from __future__ import annotations

from hypothesis import strategies as st

from octosync.model import JsonValue

KEYS = ("a", "b", "__meta", "é", "", "max_tokens", "api_key")

scalars: st.SearchStrategy[JsonValue] = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 0.0, -0.0, 1.0, 1.5, 2**53, 2**53 + 1, float(2**53), 10**400, 1e300]),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "1", "True", "null", "a\nb", "😀", "\ud800"]),
    st.text(max_size=3),
)


def json_values() -> st.SearchStrategy[JsonValue]:
    """Return a strategy for any JSON value, rarely deep."""
    return st.recursive(
        scalars,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)),
        max_leaves=8,
    )


def json_objects() -> st.SearchStrategy[dict[str, JsonValue]]:
    """Return a strategy for any JSON object, rarely deep."""
    return st.dictionaries(st.sampled_from(KEYS), json_values(), max_size=4)
