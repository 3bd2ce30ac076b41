"""The apps that --app and -l select."""

from __future__ import annotations

import pytest

from octosync.errors import UsageError
from octosync.manifest import select
from octosync.model import App, State

STATE = State.from_apps(
    App(slug="search-eu", labels={"team": "search", "tier": "gold"}),
    App(slug="search-us", labels={"team": "search"}),
    App(slug="checkout", labels={"team": "shop", "tier": "gold"}),
)


@pytest.mark.parametrize(
    ("apps", "selector", "expected"),
    [
        ([], None, ["checkout", "search-eu", "search-us"]),
        (["search-*"], None, ["search-eu", "search-us"]),
        (["search-*", "checkout"], None, ["checkout", "search-eu", "search-us"]),
        ([], "team=search", ["search-eu", "search-us"]),
        ([], "team==search, tier!=gold", ["search-us"]),
        ([], "tier!=gold", ["search-us"]),
        (["*-eu"], "team=search", ["search-eu"]),
        ([], "tier=", []),
    ],
)
def test_patterns_add_and_terms_restrict(apps: list[str], selector: str | None, expected: list[str]) -> None:
    """Any pattern, and all terms. An absent label has no value, so it is unequal to every value."""
    if expected:
        assert list(select(STATE, apps=apps, selector=selector).apps) == expected
    else:
        with pytest.raises(UsageError, match="nothing-selected"):
            select(STATE, apps=apps, selector=selector)


@pytest.mark.parametrize("selector", ["team", "=x", "team=a b", "team=x,", "", "team in (a)", "!team"])
def test_a_malformed_selector_is_a_usage_error(selector: str) -> None:
    """The error shows how to write a selector."""
    with pytest.raises(UsageError, match="malformed-selector") as raised:
        select(STATE, selector=selector)
    assert "team=search" in raised.value.hints[0]


@pytest.mark.parametrize(
    ("state", "pattern", "hint"),
    [
        (STATE, "serach-eu", "Did you mean --app search-eu?"),
        (STATE, "zzz*", "Declared: checkout, search-eu, search-us"),
        (
            State.from_apps(*(App(slug=f"a{n}") for n in range(11))),
            "zzz",
            "Declared: a0, a1, a10, a2, a3, a4, a5, a6, a7, a8, …",
        ),
        (State(), "zzz", "No app is declared."),
    ],
)
def test_a_pattern_that_matches_nothing_is_a_usage_error(state: State, pattern: str, hint: str) -> None:
    """A typo must not select nothing and look like a success."""
    with pytest.raises(UsageError, match="no-such-app") as raised:
        select(state, apps=["*"] * bool(state.apps) + [pattern])
    assert raised.value.hints == (hint,)
