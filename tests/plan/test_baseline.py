"""What was done is remembered object by object, so that the next plan is the rest of this one, for the same reasons."""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.support.random_states import Situation, situations
from tests.support.simulated_plane import SimulatedPlane, carry_out
from tests.support.states import NOW, child_app, desired_app, live_app, observation, plan_of

from octosync.errors import Unavailable
from octosync.model import Address, App, Event, Reason, Section, State
from octosync.plan import ActionKey, HoldPolicy, Plan, PlanOptions, Verb, exclude, make_plan, next_baseline
from octosync.plan.three_way.merge import to_read
from octosync.plan.three_way.verdict import Base, changed_apps

HEALED = HoldPolicy(span=timedelta(0), first_seen={})


@dataclass
class Watched:
    """A control plane, and what is remembered of it."""

    plane: SimulatedPlane
    memory: dict[str, App] = field(default_factory=dict)

    @property
    def base(self) -> Base:
        """What is remembered, as a base."""
        return Base(state=State.from_apps(*self.memory.values()))

    def plan(self, tree: State, hold: HoldPolicy = HEALED) -> Plan:
        """Look, and plan against the memory."""
        seen = self.plane.observed(to_read(tree, self.base, prune=False))
        return make_plan(tree, seen, PlanOptions(now=NOW, base=self.base, hold=hold))

    def turn(self, tree: State, plan: Plan, left_out: set[ActionKey] | None = None) -> set[ActionKey]:
        """Carry out a plan, in part; remember; return what was done."""
        actions = exclude(plan, left_out or set()).actions
        done = {action.key for action in actions} - carry_out(actions, self.plane)
        for slug in {*tree.apps, *self.memory}:
            app = next_baseline(self.memory.get(slug), tree.apps.get(slug), plan, done)
            self.memory.pop(slug, None)
            if app is not None:
                self.memory[slug] = app
        return done


def some(plan: Plan, dice: Random) -> set[ActionKey]:
    return {action.key for action in plan.actions if dice.random() < 0.3}


def planned(plan: Plan) -> dict[ActionKey, Reason]:
    return {action.key: action.reason for action in plan.actions}


def in_order(app: App) -> App:
    """Sort an app's lists as the loader does."""
    return replace(
        app,
        targets=tuple(sorted(app.targets, key=lambda one: one.unique_key)),
        slots=tuple(sorted(app.slots, key=lambda one: one.capability)),
    )


def as_left(plan: Plan, slug: str) -> bool:
    """Say whether an app was left as it is, in part or as a whole, since it could not be planned."""
    aside = {*plan.errors, *plan.left_alone.suspended, *(one.app for one in plan.archived_undeclared)}
    # Half a move whose other half is in a suspended app.
    waiting = (address.app for address in plan.left_alone.waiting)
    return slug in aside or slug in waiting


def check_rest(plan: Plan, done: set[ActionKey], again: Plan) -> None:
    """Check that what is planned again is what was not done, for the reasons that it had.

    What an app had that was not there at all is new once the app is: it was to come back with it.
    """
    rest = {key: reason for key, reason in planned(plan).items() if key not in done}
    assert planned(again).keys() == rest.keys()
    made = {key.address.app for key in done if key == ActionKey(Address.of_app(key.address.app), Verb.CREATE)}
    assert [key for key in rest if planned(again)[key] is not rest[key] and key.address.app not in made] == []


thoroughly = examples(120)
dice = st.randoms(use_true_random=True)


@thoroughly
@given(situations(), situations(), dice)
def test_after_all_was_done_the_tree_is_remembered(first: Situation, second: Situation, chance: Random) -> None:
    """As it is declared, but for what could not be planned; and the next plan has what the control plane refused, alone."""
    watched = Watched(first.plane)
    watched.turn(first.desired, watched.plan(first.desired), some(watched.plan(first.desired), chance))
    tree = second.desired
    plan = watched.plan(tree)
    done = watched.turn(tree, plan)
    undone = {key for key in planned(plan) if key not in done}
    if not undone:
        compared = [app for app in tree if not as_left(plan, app.slug) and (app.declared or app.sections)]
        kept = (watched.memory[app.slug] for app in compared)
        assert (
            changed_apps(State.from_apps(*map(in_order, compared)), Base(state=State.from_apps(*map(in_order, kept))))
            == frozenset()
        )
    assert {*planned(watched.plan(tree))} <= undone


@thoroughly
@given(situations(), situations(), dice)
def test_after_some_was_done_the_rest_is_planned_for_the_same_reasons(
    first: Situation, second: Situation, chance: Random
) -> None:
    """Whatever was left out of whatever turns: no change is lost, none comes up, and none has another reason."""
    watched = Watched(first.plane)
    watched.turn(first.desired, watched.plan(first.desired), some(watched.plan(first.desired), chance))
    tree = second.desired
    plan = watched.plan(tree)
    for _ in range(3):
        done = watched.turn(tree, plan, some(plan, chance))
        again = watched.plan(tree)
        check_rest(plan, done, again)
        plan = again


@thoroughly
@given(situations(), situations(), situations(), dice)
def test_nothing_is_remembered_that_nobody_declared(
    first: Situation, second: Situation, third: Situation, chance: Random
) -> None:
    """Members of a list that is not owned are removed only where they stood in manifests; orphans keep all they have."""
    watched = Watched(first.plane)
    ever: set[Address] = set()

    def members(apps: Collection[App]) -> set[Address]:
        return {one.address for app in apps for one in app.targets} | {one.address for app in apps for one in app.slots}

    for tree in (first.desired, second.desired):
        ever |= members(tree.apps.values())
        plan = watched.plan(tree)
        watched.turn(tree, plan, some(plan, chance))
        assert members(watched.memory.values()) <= ever
    tree = third.desired
    for action in watched.plan(tree).actions:
        app = tree.apps.get(action.address.app)
        section = {"target": Section.TARGETS, "slot": Section.SLOTS}.get(action.address.kind.value)
        if action.destructive and section is not None and (app is None or section not in app.complete_sections):
            assert action.address in ever


@thoroughly
@given(situations(), situations(), dice)
def test_drift_that_is_held_is_drift_the_next_time(first: Situation, second: Situation, chance: Random) -> None:
    """What others did stays held, turn for turn, while what the manifests change goes on beside it, in parts or not."""
    watched = Watched(first.plane)
    watched.turn(first.desired, watched.plan(first.desired))
    for slug, app in second.plane.apps.items():
        if slug in watched.plane.apps and not watched.plane.apps[slug].archived:
            there = watched.plane.apps[slug]
            there.slots, there.config, there.fields = copy.deepcopy((app.slots, app.config, app.fields))
    tree = second.desired
    forever = HoldPolicy(span=None)
    plan = watched.plan(tree, forever)
    for _ in range(3):
        done = watched.turn(tree, plan, some(plan, chance))
        again = watched.plan(tree, forever)
        archived = {key.address.app for key in done if key.verb is Verb.ARCHIVE}  # nothing of it is planned any more
        still = [one.action.key for one in plan.held if one.action.address.app not in archived]
        assert [one.action.key for one in again.held] == still
        check_rest(plan, done, again)
        plan = again


# -- case by case

SLOT = Address.of_slot("a", "chat")
EMERGENCY = HoldPolicy(span=timedelta(minutes=30), first_seen={})


def after(before: App | None, tree: App | None, live: App, *, done: Any = (), **more: Any) -> tuple[Plan, App | None]:
    """Plan an app, and remember it with these actions (`verb address`) done, or (True) all of them."""
    presumed = more.pop("presumed", False)
    base = Base(
        state=State.from_apps(*([before] if before else [tree] if presumed and tree else [])),
        presumed=frozenset({"a"} if presumed else ()),
    )
    plan = plan_of([tree] if tree else [], observation(live, **more), base=base, hold=EMERGENCY)
    keys = {one.key for one in plan.actions if done is True or f"{one.verb.value} {one.address}" in done}
    return plan, next_baseline(before, tree, plan, keys)


def reasons(before: App | None, tree: App, live: App) -> list[tuple[str, Reason]]:
    """Return what is planned next."""
    base = Base(state=State.from_apps(*([before] if before else [])))
    plan = plan_of(tree, observation(live), base=base, hold=HEALED)
    return [(f"{one.verb.value} {one.address.name}", one.reason) for one in plan.actions]


def test_one_field_that_is_applied_beside_one_that_is_held_is_remembered() -> None:
    """Both as declared: the applied one since it is live, the held one since that is what it was."""
    before = desired_app("a", slots={"chat": {"serving_policy": "local_only", "preferred_engines": []}})
    tree = desired_app("a", slots={"chat": {"serving_policy": "local_only", "preferred_engines": ["mlx"]}})
    plan, app = after(before, tree, live_app("a", slots={"chat": {"serving_policy": "cloud_only"}}), done=True)
    assert (len(plan.held), len(plan.actions)) == (1, 1)
    assert app == tree
    live = live_app("a", slots={"chat": {"serving_policy": "cloud_only", "preferred_engines": ["mlx"]}})
    assert reasons(app, tree, live) == [("update chat", Reason.DRIFT)]


def test_an_update_that_failed_beside_one_that_is_held_is_the_manifests_next_time() -> None:
    """The object stays as it was remembered, so its change is still one."""
    before = desired_app("a", slots={"chat": {"serving_policy": "local_only", "preferred_engines": []}})
    tree = desired_app("a", slots={"chat": {"serving_policy": "local_only", "preferred_engines": ["mlx"]}})
    _, app = after(before, tree, live_app("a", slots={"chat": {"serving_policy": "cloud_only"}}))
    assert app == before
    assert reasons(app, tree, live_app("a", slots={"chat": {"serving_policy": "local_only"}})) == [
        ("update chat", Reason.MANIFEST_CHANGED)
    ]


def test_a_removal_that_was_not_done_is_one_the_next_time() -> None:
    """What is to go stays in memory until it is gone, in owned lists and in files of its own, vanished apps included."""
    before = desired_app("a", targets=["ios:x", "ios:y"])
    live = live_app("a", targets=["ios:x", "ios:y"])
    tree = desired_app("a", targets=[])
    _, app = after(before, tree, live, done={"delete app/a/target/ios:x"})
    assert app == desired_app("a", targets=["ios:y"])
    assert reasons(app, tree, live_app("a", targets=["ios:y"])) == [("delete ios:y", Reason.REMOVED)]
    assert after(before, tree, live, done=True)[1] == tree
    child = child_app("a", targets=["ios:x", "ios:y"])
    assert after(child, None, live)[1] == child
    assert after(child, None, live, done={"delete app/a/target/ios:x"})[1] == child_app("a", targets=["ios:y"])
    assert after(child, None, live, done=True)[1] is None


def test_a_list_is_owned_only_once_all_is_gone_that_others_had_in_it() -> None:
    """Until then what is left is to go since the manifests took the list over, not since somebody added it."""
    before, tree = desired_app("a"), desired_app("a", targets=["ios:z"])
    live = live_app("a", targets=["ios:x", "ios:y"])
    _, app = after(before, tree, live, done={"create app/a/target/ios:z", "delete app/a/target/ios:x"})
    assert app == replace(tree, complete_sections=frozenset())
    left = live_app("a", targets=["ios:y", "ios:z"])
    assert reasons(app, tree, left) == [("delete ios:y", Reason.MANIFEST_CHANGED)]
    assert after(app, tree, left, done=True)[1] == tree


def test_what_somebody_adds_to_a_list_that_is_owned_is_drift() -> None:
    """Held or failed to be removed, it never enters the memory, and the list stays owned."""
    tree = desired_app("a", targets=["ios:x"])
    live = live_app("a", targets=["ios:x", "ios:y"])
    plan, app = after(tree, tree, live)
    assert [str(one.action.address) for one in plan.held] == ["app/a/target/ios:y"]
    assert app == tree
    assert reasons(app, tree, live) == [("delete ios:y", Reason.DRIFT)]


def test_a_section_that_is_let_go_of_is_forgotten() -> None:
    """Its members stay where they are for good; taken up again, the list has to be owned anew."""
    before = desired_app("a", targets=["ios:x"], slots={"chat": {}}, config={"n": 1})
    live = live_app("a", targets=["ios:x"], slots={"chat": {}}, config={"n": 1})
    plan, app = after(before, desired_app("a"), live)
    assert len(plan.left_alone.released) == 3
    assert app == desired_app("a")
    assert reasons(app, desired_app("a"), live) == []
    assert reasons(app, desired_app("a", targets=[]), live) == [("delete ios:x", Reason.MANIFEST_CHANGED)]


def test_an_app_that_vanished_is_never_forgotten() -> None:
    """An orphan stays one, turn for turn, with all it had."""
    before = desired_app("a", targets=["ios:x"])
    plan, app = after(before, None, live_app("a", targets=["ios:x"]))
    assert (plan.left_alone.orphan_apps, app) == (("a",), before)


def test_what_could_not_be_planned_is_remembered_as_it_was() -> None:
    """Failed reads, suspended apps and archives that nobody declares: nothing is known of them that is new."""
    before, tree = desired_app("a", targets=["ios:x"]), desired_app("a", targets=[])
    live = live_app("a", targets=["ios:x"])
    failed = plan_of(
        tree, observation(errors={"a": Unavailable("unavailable", "503")}), base=Base(state=State.from_apps(before))
    )
    assert next_baseline(before, tree, failed, ()) is before
    assert after(before, replace(tree, suspension=desired_app("a", suspended=True).suspension), live)[1] is before
    assert after(before, tree, live_app("a", archived=True))[1] is before
    assert after(None, tree, live_app("a", archived=True))[1] is None


def test_an_app_is_protected_until_all_that_was_planned_is_done() -> None:
    """Labels, protection and suspension are the tree's once nothing of it is open, held drift aside."""
    before = desired_app("a", targets=["ios:x"], protected=True, labels={"team": "old"})
    tree = desired_app("a", targets=[], labels={"team": "new"})
    live = live_app("a", targets=["ios:x"])
    open_, settled = (after(before, tree, live, done=done)[1] for done in ((), True))
    assert open_ is not None
    assert (open_.protected, open_.labels) == (True, {"team": "old"})
    assert settled == tree


def test_an_archive_that_was_not_done_is_one_the_next_time() -> None:
    """And once it is done the app is remembered as it is declared, whatever was open of its children."""
    before, tree = desired_app("a", targets=["ios:x"]), desired_app("a", targets=["ios:x"], archived=True)
    live = live_app("a", targets=["ios:x"])
    _, app = after(before, tree, live)
    assert app == before
    assert reasons(app, tree, live) == [("archive a", Reason.MANIFEST_CHANGED)]
    assert after(before, tree, live, done=True)[1] == tree
    assert after(tree, tree, live_app("a", archived=True))[1] == tree


def test_what_could_not_be_created_is_not_remembered() -> None:
    """Nothing, of an app whose create failed; of one that was created, what was done, and the rest is new."""
    tree = desired_app("a", targets=["ios:x", "ios:y"])
    plan = plan_of(tree, (), base=Base())
    assert next_baseline(None, tree, plan, ()) is None
    done = {one.key for one in plan.actions if not str(one.address).endswith("y")}
    app = next_baseline(None, tree, plan, done)
    assert app == desired_app("a", targets=["ios:x"])
    assert reasons(app, tree, live_app("a", targets=["ios:x"])) == [("create ios:y", Reason.NEW)]


def test_what_an_app_had_that_comes_back_is_not_held_when_a_turn_was_too_short() -> None:
    """An app that somebody deleted is made again with all it had: the rest of that is new, not somebody's drift."""
    tree = desired_app("a", targets=["ios:x"])
    plan = plan_of(tree, (), base=Base(state=State.from_apps(tree)))
    app = next_baseline(tree, tree, plan, {plan.actions[0].key})
    assert reasons(app, tree, live_app("a")) == [("create ios:x", Reason.NEW)]


@pytest.mark.parametrize("base", [desired_app("a"), child_app("a"), child_app("a", config={"n": 1})])
def test_a_config_that_was_not_put_or_deleted_is_as_it_was(base: App) -> None:
    """Its reason stays, whoever declares it, and whether it is to be or not to be."""
    live = live_app("a", config={"n": 1})
    for tree in (desired_app("a", config={"n": 2}), desired_app("a", config=None), child_app("a", config={"n": 2})):
        if base.declared and not tree.declared:
            continue
        plan, app = after(base, tree, live)
        (action,) = plan.actions
        assert reasons(app, tree, live) == [(f"{action.verb.value} inference-config", action.reason)]
        assert after(base, tree, live, done=True)[1] == tree


def test_what_nobody_remembered_is_remembered_as_held_or_equal() -> None:
    """After a first turn without memory: what is held becomes drift, and stays held; what failed is still planned."""
    tree = desired_app(
        "a", slots={"chat": {"serving_policy": "local_only"}, "tts": {}}, targets=["ios:x"], config={"n": 1}
    )
    live = live_app("a", slots={"chat": {"serving_policy": "cloud_only"}, "tts": {}}, config={"n": 1})
    young = Event(id="evt_1", app="a", actor="ana", resource=("slot", "chat"), at=NOW - timedelta(minutes=1))
    plan, app = after(None, tree, live, presumed=True, org_feed=(young,))
    assert [one.action.address for one in plan.held] == [SLOT]
    assert app == replace(tree, targets=())
    assert reasons(app, tree, live) == [("create ios:x", Reason.NEW), ("update chat", Reason.DRIFT)]


def test_an_app_that_is_left_away_is_remembered_as_declared() -> None:
    """Somebody took it away, and that is not undone: it stays drift, and what is new of it stays new."""
    before, tree = desired_app("a", targets=["ios:x"]), desired_app("a", targets=["ios:x", "ios:y"])
    plan = plan_of(tree, (), base=Base(state=State.from_apps(before)), hold=HoldPolicy(span=None))
    app = next_baseline(before, tree, plan, ())
    assert app == before
    again = plan_of(tree, (), base=Base(state=State.from_apps(before)), hold=HEALED)
    assert {str(one.address): one.reason for one in again.actions} == {
        "app/a": Reason.DRIFT,
        "app/a/target/ios:x": Reason.DRIFT,
        "app/a/target/ios:y": Reason.NEW,
    }


def test_what_nobody_remembered_and_is_held_stays_held_whatever_it_is() -> None:
    """A foreign target in an owned list, and an archive: drift the next time, though others of the list failed to be removed."""
    tree, live = desired_app("a", targets=[]), live_app("a", targets=["ios:x", "ios:y"])
    young = Event(id="evt_1", app="a", actor="ana", resource=("target", "ios:x"), at=NOW - timedelta(minutes=1))
    plan, app = after(None, tree, live, presumed=True, org_feed=(young,))
    assert ([one.action.address.name for one in plan.held], len(plan.actions)) == (["ios:x"], 1)
    assert ("delete ios:x", Reason.DRIFT) in reasons(app, tree, live)
    tree = desired_app("a", archived=True)
    whole = replace(young, resource=None)
    plan, app = after(None, tree, live_app("a"), presumed=True, org_feed=(whole,))
    assert [one.action.verb.value for one in plan.held] == ["archive"]
    assert reasons(app, tree, live_app("a")) == [("archive a", Reason.DRIFT)]
