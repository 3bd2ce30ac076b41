"""Plans of single objects: `--target` plans an object as a whole plan does, with what it needs and nothing else."""

from __future__ import annotations

from hypothesis import given
from tests.support.examples import examples
from tests.support.random_states import Situation, changes, situations
from tests.support.states import NOW, child_app, desired_app, live_app, observation

from octosync.model import Address, Observation, Section, State
from octosync.plan import (
    ArchiveApp,
    DeleteSlot,
    Plan,
    PlanOptions,
    RegisterTarget,
    claimed_targets,
    make_plan,
    narrowed,
)
from octosync.plan.three_way.merge import to_read
from octosync.plan.three_way.verdict import Base, as_live

_NEEDS_OTHERS = (RegisterTarget, DeleteSlot, ArchiveApp)
SLOT = Address.of_slot("a", "chat")
TARGET = Address.of_target("a", "ios", "x")


def plan_of_objects(desired: State, live: Observation, *objects: Address, base: Base | None = None) -> Plan:
    tree, base = narrowed(desired, base, objects)
    return make_plan(tree, live, PlanOptions(now=NOW, base=base, objects=frozenset(objects)))


def _part_of(live: State, planned: State) -> State:
    return State.from_apps(*(app for app in live if Section.TARGETS in planned.apps.get(app.slug, app).sections))


@examples(150)
@given(situations())
def test_an_object_is_planned_as_in_a_whole_plan(situation: Situation) -> None:
    """Each action on an object is the same in its own plan, whose other actions are those that it depends on."""
    seen = situation.plane.observed(situation.desired)
    whole = make_plan(situation.desired, seen, PlanOptions(now=NOW))
    by_key = whole.by_key()
    for address in {action.address for action in whole.actions}:
        plan = plan_of_objects(situation.desired, seen, address)
        if claimed := claimed_targets(situation.desired, plan.desired, _part_of(seen.state, plan.desired)):
            tree, _ = narrowed(situation.desired, None, [address], claimed)
            plan = make_plan(tree, seen, PlanOptions(now=NOW, objects=frozenset({address})))
        if any(isinstance(action, _NEEDS_OTHERS) and by_key[action.key] != action for action in plan.actions):
            continue  # without a base, what other apps have now is not known
        assert [action for action in plan.actions if action.address == address] == [
            action for action in whole.actions if action.address == address
        ]
        assert all(action == by_key[action.key] for action in plan.actions)
        assert all(need in plan.by_key() for action in plan.actions for need in action.depends_on)


@examples(150)
@given(changes())
def test_an_object_is_planned_as_in_a_whole_plan_with_a_base(change: tuple[State, State]) -> None:
    """With a base, removals and moves are those of the whole plan, too."""
    before, tree = change
    base = Base(state=before)
    live = as_live(before, tree)
    whole = make_plan(tree, live, PlanOptions(now=NOW, base=base))
    for address in {action.address for action in whole.actions}:
        plan = plan_of_objects(tree, live, address, base=base)
        assert [action for action in plan.actions if action.address == address] == [
            action for action in whole.actions if action.address == address
        ]
        assert all(action == whole.by_key()[action.key] for action in plan.actions)


def test_only_the_sections_of_the_object_are_read() -> None:
    """A slot needs the slots of its app, an app itself nothing else, and other apps are not read."""
    tree = State.from_apps(
        desired_app("a", targets=["ios:x"], slots={"chat": {}}, config={"model": "m"}),
        desired_app("b", targets=["ios:y"], slots={}),
    )
    for address, sections in {SLOT: {Section.SLOTS}, TARGET: {Section.TARGETS}, Address.of_app("a"): set()}.items():
        part, _ = narrowed(tree, None, [address])
        assert {app.slug: set(app.sections) for app in part} == {"a": sections}


def test_both_apps_of_a_move_are_read() -> None:
    """A target that another app declares in the base moves: its removal there is part of the plan."""
    before = State.from_apps(desired_app("a", targets=[]), desired_app("b", targets=["ios:x"]))
    tree = State.from_apps(desired_app("a", targets=["ios:x"]), desired_app("b", fields={"name": "New"}, targets=[]))
    base = Base(state=before)
    part, part_of_base = narrowed(tree, base, [TARGET])
    assert part_of_base is not None
    read = to_read(part, part_of_base, prune=False)
    assert {app.slug: app.sections for app in read} == dict.fromkeys("ab", frozenset({Section.TARGETS}))
    plan = plan_of_objects(tree, as_live(before, tree), TARGET, base=base)
    assert [str(action.address) for action in plan.actions] == ["app/b/target/ios:x", "app/a/target/ios:x"]


def test_the_config_of_a_new_slot_needs_the_slot() -> None:
    """A config that names a slot, of any app, is planned with the slot if that doesn't exist yet."""
    tree = State.from_apps(
        desired_app("a", slots={"chat": {}, "tts": {}}), child_app("b", config={"model": "@app/a/chat"})
    )
    plan = plan_of_objects(tree, observation(live_app("a"), live_app("b")), Address.of_inference_config("b"))
    assert [str(action.address) for action in plan.actions] == ["app/a/slot/chat", "app/b/inference-config"]


def test_changes_that_are_left_out_are_counted() -> None:
    """The warning names the objects and counts the other changes; what is unchanged elsewhere is not listed."""
    tree = State.from_apps(desired_app("a", fields={"name": "New"}, slots={"chat": {}, "tts": {}}))
    plan = plan_of_objects(tree, observation(live_app("a")), SLOT)
    (warning,) = (found for found in plan.diagnostics if found.rule == "partial-plan")
    assert warning.summary == (
        "this plan is partial: only app/a/slot/chat, with what that needs (--target); 2 other changes are left out"
    )
    assert plan.selected == (SLOT,)
    assert set(plan.fingerprints) == {SLOT}
