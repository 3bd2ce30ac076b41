"""Apps that a target moves between are planned together, and no others are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest
from tests.support.states import child_app, desired_app

from octosync.model import App, State
from octosync.plan import linked_apps


def apps(**targets: str) -> State:
    """Declare apps with targets, separated by spaces."""
    return State.from_apps(*(desired_app(slug, targets=keys.split()) for slug, keys in targets.items()))


def groups_of(tree: State, base: State, holders: Mapping[tuple[str, str], str] | None = None) -> set[str]:
    """Return each group of apps as one word, and check that all apps of a group have the same group."""
    found = linked_apps(tree, base, holders or {})
    for slug, group in found.items():
        assert slug in group
        assert all(found[member] == group for member in group)
    return {"".join(sorted(group)) for group in found.values()}


@pytest.mark.parametrize(
    ("tree", "base", "groups"),
    [
        (apps(a="ios:1", b="ios:2"), apps(a="ios:1", b="ios:2"), set()),
        (apps(a="", b="ios:1"), apps(a="ios:1", b=""), {"ab"}),
        (apps(a="ios:2", b="ios:1"), apps(a="ios:1", b="ios:2"), {"ab"}),
        (apps(a="ios:3", b="ios:1", c="ios:2"), apps(a="ios:1", b="ios:2", c="ios:3"), {"abc"}),
        (apps(a="", b="ios:1", c="ios:2"), apps(a="ios:1", b="ios:2", c=""), {"abc"}),
        (apps(a="", b="ios:1", c="", d="ios:2", e="ios:3"), apps(a="ios:1", c="ios:2", e="ios:3"), {"ab", "cd"}),
        (apps(a="", b="ios:1", c="ios:2", d=""), apps(a="ios:1 ios:2", d=""), {"abc"}),
        (apps(b="ios:1"), State.from_apps(child_app("a", targets=["ios:1"])), {"ab"}),
        (apps(a="ios:1 ios:4"), apps(a="ios:1"), set()),
        (apps(), apps(a="ios:1"), set()),
    ],
    ids=["none", "move", "swap", "cycle", "chain", "two", "to two", "from removed files", "new", "orphan"],
)
def test_a_move_links_its_apps(tree: State, base: State, groups: set[str]) -> None:
    """An app that gives, receives or passes on a target is in the group; an app without a part in a move is in none."""
    assert groups_of(tree, base) == groups


def test_a_move_by_hand_links_its_apps() -> None:
    """The app that has the target live counts if it is known and is, or was, declared."""
    tree = apps(a="ios:1", b="")
    assert groups_of(tree, tree, {("ios", "1"): "b"}) == {"ab"}
    assert groups_of(tree, tree, {("ios", "1"): "a", ("ios", "9"): "b"}) == set()
    assert groups_of(tree, tree, {("ios", "1"): "unmanaged"}) == set()
    assert groups_of(apps(a="ios:1"), apps(a="ios:1", b=""), {("ios", "1"): "b"}) == {"ab"}


def test_base_and_live_may_name_different_holders() -> None:
    """Both are linked to the app that declares the target: whichever has it gives it up in the same plan."""
    assert groups_of(apps(a="ios:1", b="", c=""), apps(b="ios:1"), {("ios", "1"): "c"}) == {"abc"}


def test_a_long_chain_is_one_group() -> None:
    """However many apps pass their target on, none is left out."""
    slugs = [f"app-{n:04d}" for n in range(2000)]

    def chain(keys: Iterable[int]) -> Iterable[App]:
        return (desired_app(slug, targets=[f"ios:{key}"]) for slug, key in zip(slugs, keys, strict=True))

    base, tree = State.from_apps(*chain(range(2000))), State.from_apps(*chain(range(1, 2001)))
    assert {len(group) for group in linked_apps(tree, base, {}).values()} == {2000}
