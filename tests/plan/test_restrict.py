"""Refused actions are removed with everything that needs them; the rest can be applied, in order and with whole moves."""

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
    """Plan one of each: a move into a new app, a swap, removals, slots with references, an enable and an archive."""
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


def check_consistent(plan: Plan) -> None:
    """Check that a plan can be applied: an action follows what it needs, and a move is complete."""
    before: set[ActionKey] = set()
    for action in plan.actions:
        assert set(action.depends_on) <= before
        before.add(action.key)
    leaving = {
        action.address for action in plan.actions if isinstance(action, RemoveTarget) and action.moves_to is not None
    }
    entering = {
        action.moves_from
        for action in plan.actions
        if isinstance(action, RegisterTarget) and action.moves_from is not None
    }
    assert leaving == entering


@given(keys=st.lists(st.sampled_from(KEYS), unique=True))
def test_a_restricted_plan_can_be_applied(keys: list[Any]) -> None:
    """No excluded action stays, and none that needs it; everything else stays unchanged, in its order."""
    narrowed = exclude(PLAN, keys)
    check_consistent(narrowed)
    assert not {action.key for action in narrowed.actions} & set(keys)
    assert narrowed.actions == tuple(action for action in PLAN.actions if action in narrowed.actions)
    assert replace(narrowed, actions=PLAN.actions) == PLAN
    gone = [action for action in PLAN.actions if action not in narrowed.actions]
    for action in gone:
        # The action is excluded, needs an excluded action, or is half of a move.
        halves = (
            a.key for a in gone if action.address in {getattr(a, "moves_to", None), getattr(a, "moves_from", None)}
        )
        needs = {*action.depends_on, *halves} & {a.key for a in gone}
        assert action.key in keys or needs


def test_excluding_nothing_gives_the_same_plan() -> None:
    """The plan is the same for no keys and for the keys of another plan."""
    assert exclude(PLAN, []) is PLAN
    unrelated = plan_of(desired_app("z"))
    assert exclude(PLAN, [action.key for action in unrelated.actions]) is PLAN


def unblocked_actions(plan: Plan, *guards: str, **policy: Any) -> list[str]:
    """Return the actions that remain after these guards have refused."""
    blocked = judge(plan, policy_of(**policy))
    assert tuple(dict.fromkeys(refusal.guard for refusal in blocked)) == guards
    return action_lines(unblocked(plan, blocked))


def test_a_guard_that_counts_excludes_all_removals() -> None:
    """Their moves, the archive and the enables are excluded too; creates, updates and new slots stay."""
    assert sorted(unblocked_actions(PLAN, "deletes", max_deletes=4)) == [
        "create app/new",
        "create app/new/slot/tts",
        "update app/a/inference-config",
        "update app/a/slot/chat",
        "update app/b",
        "update app/c",
    ]


def test_the_guard_for_archives_excludes_only_archives() -> None:
    """Removals stay, also those of the app that is not archived."""
    gone = set(action_lines(PLAN)) - set(unblocked_actions(PLAN, "archives", max_archives=0, allow_deletes="all"))
    assert gone == {"archive app/c"}


def test_a_guard_that_names_objects_excludes_those() -> None:
    """A protected app keeps everything it has, while its update stays: an update loses nothing."""
    live = live_app("a", targets=["ios:1"], slots={"chat": {}})
    tree = desired_app("a", targets=[], slots={"chat": {"preferred_engines": ["mlx"]}}, archived=True, protected=True)
    made = plan_of(replace(tree, fields={"description": "a"}), live)
    assert unblocked_actions(made, "protected") == ["update app/a", "update app/a/slot/chat"]
    busy = observation(live, routing={"a": RoutingStats(total=7)})
    made = plan_of(desired_app("a", targets=[], slots={"chat": {"preferred_engines": ["mlx"]}}), busy)
    assert unblocked_actions(made, "live-traffic") == ["update app/a/slot/chat"]
    canary = live_app(
        "a",
        slots={"chat": {}, "tts": {}},
        deployments=[live_deployment("a", canary=Canary(percentage=5, candidate="v2"))],
    )
    wanted = desired_app("a", slots={name: {"preferred_engines": ["mlx"]} for name in ("chat", "tts")})
    assert unblocked_actions(plan_of(wanted, canary), "during-canary") == ["update app/a/slot/tts"]


def test_a_refused_half_excludes_the_whole_move() -> None:
    """The other half is excluded too, and so is the archive that waits for it."""
    tree = [desired_app("a", targets=[], protected=True), desired_app("b", targets=["ios:1"], slots={"chat": {}})]
    made = plan_of(tree, [live_app("a", targets=["ios:1"]), live_app("b")])
    assert unblocked_actions(made, "protected") == ["create app/b/slot/chat"]
    (blocked,) = judge(made, GuardPolicy())
    narrowed = unblocked(made, [replace(blocked, addresses=blocked.addresses[:1])])
    assert action_lines(narrowed) == ["create app/b/slot/chat"]


def test_only_the_diverged_object_is_excluded() -> None:
    """The other objects of the app stay, and the address of a diverged app means its update."""
    base = desired_app("a", fields={"description": "1"}, slots={"chat": {}})
    tree = desired_app("a", fields={"description": "2"}, slots={"chat": {"preferred_engines": ["mlx"]}})
    live = live_app("a", description="3", slots={"chat": {}})
    made = plan_of(tree, live, base=Base(state=State.from_apps(base)))
    assert unblocked_actions(made, "diverged") == ["update app/a/slot/chat"]
    assert judge(made, GuardPolicy(), in_watch=True) == ()


def test_a_frozen_app_is_excluded_as_a_whole() -> None:
    """Its creates and updates too, and a target that would leave a frozen app stays there. Other apps are planned."""
    tree = [
        desired_app("a", targets=[], fields={"description": "2"}),
        desired_app("b", targets=["ios:1"], fields={"description": "2"}),
        desired_app("c", targets=["ios:2"]),
    ]
    live = [live_app("a", targets=["ios:1"]), live_app("b")]
    window = FreezeWindow(cron="0 0 * * *", duration=timedelta(days=1), exempt=("b",))
    made = plan_of(tree, live, freeze=[window])
    assert unblocked_actions(made, "frozen") == ["update app/b"]
    assert judge(unblocked(made, judge(made, GuardPolicy())), GuardPolicy()) == ()


def test_refusals_of_a_larger_plan_apply_to_their_part() -> None:
    """Counts apply to every part, objects to the part that has them, an archived app to all of its actions."""
    small = plan_of(desired_app("a", targets=["ios:2"]), live_app("a", targets=["ios:1"]))
    elsewhere = (Address.of_app("z"),)

    def refused(guard: str, addresses: tuple[Address, ...] = elsewhere) -> list[str]:
        return action_lines(unblocked(small, [Refusal(guard=guard, message="", override=None, addresses=addresses)]))

    assert refused("deletes") == ["create app/a/target/ios:2"]
    assert refused("archives") == refused("protected") == refused("archived") == action_lines(small)
    assert refused("archived", (Address.of_app("a"),)) == []
    assert refused("rollback", ()) == []
