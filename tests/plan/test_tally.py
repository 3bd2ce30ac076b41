"""A change that is planned in parts is judged as a whole, and so is what was applied a moment ago."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.states import desired_app, live_app, plan_of, policy_of

from octosync.model import Kind
from octosync.plan import GuardPolicy, Plan, Tally, judge

IN_THE_APPS = "in the apps of this change"
PARTS = "{} here, {} elsewhere in the same change or in the last 10 minutes"


def removing(slug: str, number: int, of: int) -> Plan:
    """Plan the removal of `number` of `of` live targets of an app."""
    keys = [f"ios:{slug}-{n}" for n in range(of)]
    return plan_of(desired_app(slug, targets=keys[number:]), live_app(slug, targets=keys))


def archiving(slug: str) -> Plan:
    return plan_of(desired_app(slug, archived=True, targets=[]), live_app(slug))


def messages(plan: Plan, also: Tally, **policy: Any) -> list[str]:
    return [refusal.message for refusal in judge(plan, policy_of(**policy), also)]


def test_removals_in_small_parts_are_refused_as_a_whole() -> None:
    """Forty apps that lose one target each: all of them are refused, and each message explains the number."""
    parts = [removing(f"app-{n}", 1, 1) for n in range(40)]
    whole = sum(map(Tally.from_plan, parts), Tally())
    assert judge(parts[0], GuardPolicy()) == ()
    for number, part in enumerate(parts):
        others = sum((Tally.from_plan(p) for n, p in enumerate(parts) if n != number), Tally())
        assert others + Tally.from_plan(part) == whole
        (blocked,) = judge(part, GuardPolicy(), others)
        assert blocked.guard == "deletes"
        assert blocked.message == (f"40 removals ({PARTS.format(1, 39)}), at most 10 are allowed together")
        assert blocked.addresses == tuple(action.address for action in part.actions)


@pytest.mark.parametrize(("more", "refused"), [(4, False), (5, True)])
def test_the_limit_is_for_both_together(more: int, refused: bool) -> None:
    """Ten together are allowed and eleven are not; an allowed number is for both together too."""
    plan, also = removing("a", 6, 100), Tally(removals={Kind.SLOT: more})
    assert bool(messages(plan, also)) is refused
    assert messages(plan, also, allow_deletes=6 + more) == []
    assert len(messages(plan, also, allow_deletes=5 + more)) == 1


def test_a_share_is_of_both_together() -> None:
    """Removed objects of all live objects, kind by kind: the plan alone would be too few to count, or too many."""
    assert messages(removing("a", 2, 5), Tally(removals={Kind.TARGET: 1}, there={Kind.TARGET: 5})) == []
    assert messages(removing("a", 2, 5), Tally(removals={Kind.TARGET: 2}, there={Kind.TARGET: 5})) == [
        f"4 of 10 targets {IN_THE_APPS} would be removed (40%; {PARTS.format(2, 2)}), at most 30% are allowed together"
    ]
    assert messages(removing("a", 4, 10), Tally(there={Kind.TARGET: 90})) == []
    assert messages(removing("a", 2, 10), Tally(removals={Kind.SLOT: 5}, there={Kind.SLOT: 5})) == []


def test_a_share_is_of_one_kind() -> None:
    """Removed or live objects of another kind don't count; the limits are those of one plan."""
    slots = Tally(removals={Kind.SLOT: 1}, there={Kind.SLOT: 1})
    assert messages(removing("a", 3, 10), slots) == []
    assert messages(removing("a", 4, 9), slots) == []
    assert messages(removing("a", 3, 9), Tally(there={Kind.TARGET: 1})) == []
    (message,) = messages(removing("a", 3, 9), Tally(there={Kind.TARGET: 1}), max_delete_percent=29)
    assert message == f"3 of 10 targets {IN_THE_APPS} would be removed (30%), at most 29% are allowed in a run"
    assert messages(removing("a", 1, 10), Tally(removals={Kind.TARGET: 2})) == []
    (message,) = messages(removing("a", 1, 10), Tally(removals={Kind.TARGET: 3}))
    assert (
        message
        == f"4 of 10 targets {IN_THE_APPS} would be removed (40%; {PARTS.format(1, 3)}), at most 30% are allowed together"
    )
    assert messages(removing("a", 0, 10), Tally(removals={Kind.TARGET: 9})) == []


def test_archives_count_together() -> None:
    """One is allowed; a second one in another plan is refused. A plan without one passes, however many others are archived."""
    assert judge(archiving("a"), GuardPolicy()) == ()
    (blocked,) = judge(archiving("a"), GuardPolicy(), Tally.from_plan(archiving("b")))
    assert blocked.guard == "archives"
    assert blocked.message == (
        f"2 apps would be archived ({PARTS.format(1, 1)}), at most 1 is allowed together: archiving can't be undone"
    )


def test_a_plan_without_removals_always_passes() -> None:
    """Only removals are refused."""
    plan = plan_of(desired_app("a", targets=["ios:x"]), live_app("a"))
    assert judge(plan, GuardPolicy(), Tally(removals={Kind.TARGET: 400}, archives=9, there={Kind.TARGET: 400})) == ()


def test_a_tally_counts_as_the_guards_do() -> None:
    """Removals by kind, a move once, archives separately, and the live objects that were read."""
    plan = plan_of(
        [desired_app("a", targets=[], slots={}, config=None), desired_app("b", targets=["ios:x"])],
        [live_app("a", targets=["ios:x", "ios:y"], slots={"chat": {}}, config={"n": 1}), live_app("b")],
    )
    counted = Tally.from_plan(plan)
    assert counted.removals == {Kind.TARGET: 2, Kind.SLOT: 1, Kind.INFERENCE_CONFIG: 1}
    assert (counted.archives, counted.there) == (0, plan.live_counts)
    assert Tally.from_plan(archiving("a")).archives == 1
