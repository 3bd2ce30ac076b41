"""What guards refuse is taken out with all that needs it; the rest can still be applied, in order and in whole moves."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.support.states import action_lines, desired_app, live_app, live_deployment, observation, plan_of, policy_of

from octosync.model import Address, Canary, FreezeWindow, RoutingStats, State
from octosync.plan import ActionKey, GuardPolicy, Plan, Refusal, RegisterTarget, RemoveTarget, exclude, judge, unblocked
from octosync.plan.three_way.verdict import Base


def everything() -> Plan:
    """Plan a bit of all: a move into a new app, a swap, removals, slots with what names them, an enable and an archive."""
    wanted = [
        desired_app(
            "a",
            targets=["ios:2"],
            slots={"chat": {"preferred_engines": []}},
            config={"m": "@app/new/tts"},
            deploy={"chat": "staging"},
        ),
        desired_app("b", targets=["ios:1"], fields={"description": "b"}),
        desired_app("c", targets=[], slots={}, archived=True, fields={"description": "c"}),
        desired_app("new", targets=["ios:3"], slots={"tts": {}}),
    ]
    slots: dict[str, Any] = {"chat": {"preferred_engines": ["mlx"]}, "ocr": {}}
    live = [
        live_app("a", targets=["ios:1", "ios:4"], slots=slots, config={"m": "@app/a/ocr"}),
        live_app("b", targets=["ios:2"]),
        live_app("c", targets=["ios:3"], slots={"chat": {}}),
    ]
    return plan_of([replace(wanted[0], complete_sections=live[0].complete_sections), *wanted[1:]], live)


PLAN = everything()
KEYS = [action.key for action in PLAN.actions]


def consistent(plan: Plan) -> None:
    """Check that a plan can be applied: what an action needs comes before it, and a move is whole."""
    before: set[ActionKey] = set()
    for action in plan.actions:
        assert set(action.depends_on) <= before
        before.add(action.key)
    leaving = {one.address for one in plan.actions if isinstance(one, RemoveTarget) and one.moves_to is not None}
    entering = {
        one.moves_from for one in plan.actions if isinstance(one, RegisterTarget) and one.moves_from is not None
    }
    assert leaving == entering


@given(keys=st.lists(st.sampled_from(KEYS), unique=True))
def test_what_stays_can_be_applied_and_is_as_it_was(keys: list[Any]) -> None:
    """Whatever is left out: none of it stays, nothing stays that needs it, and all that stays is as it was, in its order."""
    narrowed = exclude(PLAN, keys)
    consistent(narrowed)
    assert not {one.key for one in narrowed.actions} & set(keys)
    assert narrowed.actions == tuple(one for one in PLAN.actions if one in narrowed.actions)
    assert replace(narrowed, actions=PLAN.actions) == PLAN
    gone = [one for one in PLAN.actions if one not in narrowed.actions]
    for action in gone:
        # Each is named, or needs something that is gone, or is half a move.
        moves = (one.key for one in gone if getattr(one, "moves_to", None) == action.address)
        moved = (one.key for one in gone if getattr(one, "moves_from", None) == action.address)
        needs = {*action.depends_on, *moves, *moved} & {one.key for one in gone}
        assert action.key in keys or needs


def test_nothing_left_out_is_the_same_plan() -> None:
    """Neither for no keys, nor for those of another plan."""
    assert exclude(PLAN, []) is PLAN
    other = plan_of(desired_app("z"))
    assert exclude(PLAN, [one.key for one in other.actions]) is PLAN


def left(plan: Plan, *guards: str, **policy: Any) -> list[str]:
    """Return what is left once the guards have judged; these are they that refuse."""
    blocked = judge(plan, policy_of(**policy))
    assert tuple(dict.fromkeys(one.guard for one in blocked)) == guards
    return action_lines(unblocked(plan, blocked))


def test_a_guard_that_counts_takes_out_all_removals_and_what_needs_them() -> None:
    """With them go their moves, the archive and what is to be enabled; creates, updates and new slots go on."""
    assert sorted(left(PLAN, "deletes", max_deletes=4)) == [
        "create app/new",
        "create app/new/slot/tts",
        "update app/a/inference-config",
        "update app/a/slot/chat",
        "update app/b",
        "update app/c",
    ]


def test_the_guard_of_archives_takes_out_these_alone() -> None:
    """Removals go on, be they of the app that is not archived."""
    gone = set(action_lines(PLAN)) - set(left(PLAN, "archives", max_archives=0, allow_deletes="all"))
    assert gone == {"archive app/c"}


def test_a_guard_that_names_objects_takes_out_these() -> None:
    """A protected app keeps all it has, while its update goes on: nothing is lost by that."""
    live = live_app("a", targets=["ios:1"], slots={"chat": {}})
    tree = desired_app("a", targets=[], slots={"chat": {"preferred_engines": ["mlx"]}}, archived=True, protected=True)
    made = plan_of(replace(tree, fields={"description": "a"}), live)
    assert left(made, "protected") == ["update app/a", "update app/a/slot/chat"]
    busy = observation(live, routing={"a": RoutingStats(total=7)})
    made = plan_of(desired_app("a", targets=[], slots={"chat": {"preferred_engines": ["mlx"]}}), busy)
    assert left(made, "live-traffic") == ["update app/a/slot/chat"]
    canary = live_app(
        "a",
        slots={"chat": {}, "tts": {}},
        deployments=[live_deployment("a", canary=Canary(percentage=5, candidate="v2"))],
    )
    wanted = desired_app("a", slots={name: {"preferred_engines": ["mlx"]} for name in ("chat", "tts")})
    assert left(plan_of(wanted, canary), "during-canary") == ["update app/a/slot/tts"]


def test_a_move_that_is_refused_at_one_end_does_not_happen_at_the_other() -> None:
    """The other half goes with it, and so does the archive that waits for it."""
    tree = [desired_app("a", targets=[], protected=True), desired_app("b", targets=["ios:1"], slots={"chat": {}})]
    made = plan_of(tree, [live_app("a", targets=["ios:1"]), live_app("b")])
    assert left(made, "protected") == ["create app/b/slot/chat"]
    (blocked,) = judge(made, GuardPolicy())
    narrowed = unblocked(made, [replace(blocked, addresses=blocked.addresses[:1])])
    assert action_lines(narrowed) == ["create app/b/slot/chat"]


def test_what_diverged_is_taken_out_alone() -> None:
    """The app's other objects go on, and an app's update that diverged is meant by its own address."""
    base = desired_app("a", fields={"description": "1"}, slots={"chat": {}})
    tree = desired_app("a", fields={"description": "2"}, slots={"chat": {"preferred_engines": ["mlx"]}})
    live = live_app("a", description="3", slots={"chat": {}})
    made = plan_of(tree, live, base=Base(state=State.from_apps(base)))
    assert left(made, "diverged") == ["update app/a/slot/chat"]
    assert judge(made, GuardPolicy(), in_watch=True) == ()


def test_what_is_frozen_is_taken_out_whole_and_the_other_apps_go_on() -> None:
    """Creates and updates of apps too, and a target that would come from a frozen app stays there."""
    tree = [
        desired_app("a", targets=[], fields={"description": "2"}),
        desired_app("b", targets=["ios:1"], fields={"description": "2"}),
        desired_app("c", targets=["ios:2"]),
    ]
    live = [live_app("a", targets=["ios:1"]), live_app("b")]
    window = FreezeWindow(cron="0 0 * * *", duration=timedelta(days=1), exempt=("b",))
    made = plan_of(tree, live, freeze=[window])
    assert left(made, "frozen") == ["update app/b"]
    assert judge(unblocked(made, judge(made, GuardPolicy())), GuardPolicy()) == ()


def test_refusals_of_a_larger_plan_are_minded_where_they_are_about_this_one() -> None:
    """Counts hold for every part, objects for where they are, an app in the archive for all of it."""
    small = plan_of(desired_app("a", targets=["ios:2"]), live_app("a", targets=["ios:1"]))
    elsewhere = (Address.of_app("z"),)

    def refused(guard: str, addresses: tuple[Address, ...] = elsewhere) -> list[str]:
        return action_lines(unblocked(small, [Refusal(guard=guard, message="", override=None, addresses=addresses)]))

    assert refused("deletes") == ["create app/a/target/ios:2"]
    assert refused("archives") == refused("protected") == refused("archived") == action_lines(small)
    assert refused("archived", (Address.of_app("a"),)) == []
    assert refused("rollback", ()) == []
