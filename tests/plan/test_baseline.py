"""The baseline records what was done object by object: the next plan has the rest of this one, for the same reasons."""

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

REVERT_AT_ONCE = HoldPolicy(span=timedelta(0), first_seen={})


@dataclass
class Watched:
    """A control plane and the baseline of its apps."""

    plane: SimulatedPlane
    baselines: dict[str, App] = field(default_factory=dict)

    @property
    def base(self) -> Base:
        """Return the baselines as a base."""
        return Base(state=State.from_apps(*self.baselines.values()))

    def plan(self, tree: State, hold: HoldPolicy = REVERT_AT_ONCE) -> Plan:
        """Observe, and plan against the baselines."""
        seen = self.plane.observed(to_read(tree, self.base, prune=False))
        return make_plan(tree, seen, PlanOptions(now=NOW, base=self.base, hold=hold))

    def apply_part(self, tree: State, plan: Plan, left_out: set[ActionKey] | None = None) -> set[ActionKey]:
        """Apply a part of a plan, record it in the baselines, and return the keys of what was done."""
        actions = exclude(plan, left_out or set()).actions
        done = {action.key for action in actions} - carry_out(actions, self.plane)
        for slug in {*tree.apps, *self.baselines}:
            app = next_baseline(self.baselines.get(slug), tree.apps.get(slug), plan, done)
            self.baselines.pop(slug, None)
            if app is not None:
                self.baselines[slug] = app
        return done


def some(plan: Plan, dice: Random) -> set[ActionKey]:
    return {action.key for action in plan.actions if dice.random() < 0.3}


def planned(plan: Plan) -> dict[ActionKey, Reason]:
    return {action.key: action.reason for action in plan.actions}


def in_order(app: App) -> App:
    """Sort an app's lists as the loader does."""
    return replace(
        app,
        targets=tuple(sorted(app.targets, key=lambda target: target.unique_key)),
        slots=tuple(sorted(app.slots, key=lambda slot: slot.capability)),
    )


def is_left_alone(plan: Plan, slug: str) -> bool:
    """Return whether an app was left as it is, in part or as a whole, because it could not be planned."""
    aside = {*plan.errors, *plan.left_alone.suspended, *(address.app for address in plan.archived_undeclared)}
    # Half of a move whose other half is in a suspended app.
    waiting = (address.app for address in plan.left_alone.waiting)
    return slug in aside or slug in waiting


def check_rest(plan: Plan, done: set[ActionKey], again: Plan) -> None:
    """Check that the next plan has what was not done, for the same reasons.

    The children of an app that was missing are new once the app exists: they come back with it.
    """
    rest = {key: reason for key, reason in planned(plan).items() if key not in done}
    assert planned(again).keys() == rest.keys()
    made = {key.address.app for key in done if key == ActionKey(Address.of_app(key.address.app), Verb.CREATE)}
    assert [key for key in rest if planned(again)[key] is not rest[key] and key.address.app not in made] == []


thoroughly = examples(120)
dice = st.randoms(use_true_random=True)


@thoroughly
@given(situations(), situations(), dice)
def test_after_a_full_apply_the_baseline_is_the_tree(first: Situation, second: Situation, chance: Random) -> None:
    """The baseline is as declared, except for unplannable parts; the next plan has only what the control plane rejected."""
    watched = Watched(first.plane)
    watched.apply_part(first.desired, watched.plan(first.desired), some(watched.plan(first.desired), chance))
    tree = second.desired
    plan = watched.plan(tree)
    done = watched.apply_part(tree, plan)
    undone = {key for key in planned(plan) if key not in done}
    if not undone:
        compared = [app for app in tree if not is_left_alone(plan, app.slug) and (app.declared or app.sections)]
        kept = (watched.baselines[app.slug] for app in compared)
        assert (
            changed_apps(State.from_apps(*map(in_order, compared)), Base(state=State.from_apps(*map(in_order, kept))))
            == frozenset()
        )
    assert {*planned(watched.plan(tree))} <= undone


@thoroughly
@given(situations(), situations(), dice)
def test_after_a_partial_apply_the_rest_is_planned_for_the_same_reasons(
    first: Situation, second: Situation, chance: Random
) -> None:
    """For any parts that applies leave out: no change is lost, none is added, and none gets another reason."""
    watched = Watched(first.plane)
    watched.apply_part(first.desired, watched.plan(first.desired), some(watched.plan(first.desired), chance))
    tree = second.desired
    plan = watched.plan(tree)
    for _ in range(3):
        done = watched.apply_part(tree, plan, some(plan, chance))
        again = watched.plan(tree)
        check_rest(plan, done, again)
        plan = again


@thoroughly
@given(situations(), situations(), situations(), dice)
def test_a_baseline_has_only_declared_members(
    first: Situation, second: Situation, third: Situation, chance: Random
) -> None:
    """Members of a list that is not owned are removed only if manifests declared them; orphans keep everything."""
    watched = Watched(first.plane)
    ever: set[Address] = set()

    def members(apps: Collection[App]) -> set[Address]:
        return {target.address for app in apps for target in app.targets} | {
            slot.address for app in apps for slot in app.slots
        }

    for tree in (first.desired, second.desired):
        ever |= members(tree.apps.values())
        plan = watched.plan(tree)
        watched.apply_part(tree, plan, some(plan, chance))
        assert members(watched.baselines.values()) <= ever
    tree = third.desired
    for action in watched.plan(tree).actions:
        app = tree.apps.get(action.address.app)
        section = {"target": Section.TARGETS, "slot": Section.SLOTS}.get(action.address.kind.value)
        if action.destructive and section is not None and (app is None or section not in app.complete_sections):
            assert action.address in ever


@thoroughly
@given(situations(), situations(), dice)
def test_held_drift_stays_held(first: Situation, second: Situation, chance: Random) -> None:
    """Held drift stays held in every plan while changes of the manifests are applied beside it, in parts or as a whole."""
    watched = Watched(first.plane)
    watched.apply_part(first.desired, watched.plan(first.desired))
    for slug, app in second.plane.apps.items():
        if slug in watched.plane.apps and not watched.plane.apps[slug].archived:
            live = watched.plane.apps[slug]
            live.slots, live.config, live.fields = copy.deepcopy((app.slots, app.config, app.fields))
    tree = second.desired
    forever = HoldPolicy(span=None)
    plan = watched.plan(tree, forever)
    for _ in range(3):
        done = watched.apply_part(tree, plan, some(plan, chance))
        again = watched.plan(tree, forever)
        archived = {key.address.app for key in done if key.verb is Verb.ARCHIVE}  # none of its objects is planned again
        still = [held.action.key for held in plan.held if held.action.address.app not in archived]
        assert [held.action.key for held in again.held] == still
        check_rest(plan, done, again)
        plan = again


# -- single cases

SLOT = Address.of_slot("a", "chat")
EMERGENCY = HoldPolicy(span=timedelta(minutes=30), first_seen={})


def after(before: App | None, tree: App | None, live: App, *, done: Any = (), **more: Any) -> tuple[Plan, App | None]:
    """Plan an app and return its baseline with these actions (`verb address`) done, or (True) all of them."""
    presumed = more.pop("presumed", False)
    base = Base(
        state=State.from_apps(*([before] if before else [tree] if presumed and tree else [])),
        presumed=frozenset({"a"} if presumed else ()),
    )
    plan = plan_of([tree] if tree else [], observation(live, **more), base=base, hold=EMERGENCY)
    keys = {action.key for action in plan.actions if done is True or f"{action.verb.value} {action.address}" in done}
    return plan, next_baseline(before, tree, plan, keys)


def reasons(before: App | None, tree: App, live: App) -> list[tuple[str, Reason]]:
    """Return the actions of the next plan, with their reasons."""
    base = Base(state=State.from_apps(*([before] if before else [])))
    plan = plan_of(tree, observation(live), base=base, hold=REVERT_AT_ONCE)
    return [(f"{action.verb.value} {action.address.name}", action.reason) for action in plan.actions]


def test_an_applied_field_beside_a_held_one_is_recorded() -> None:
    """The baseline has both as declared: the applied field is live, and the held one was declared before."""
    before = desired_app("a", slots={"chat": {"serving_policy": "local_only", "preferred_engines": []}})
    tree = desired_app("a", slots={"chat": {"serving_policy": "local_only", "preferred_engines": ["mlx"]}})
    plan, app = after(before, tree, live_app("a", slots={"chat": {"serving_policy": "cloud_only"}}), done=True)
    assert (len(plan.held), len(plan.actions)) == (1, 1)
    assert app == tree
    live = live_app("a", slots={"chat": {"serving_policy": "cloud_only", "preferred_engines": ["mlx"]}})
    assert reasons(app, tree, live) == [("update chat", Reason.DRIFT)]


def test_a_failed_update_beside_a_held_field_is_planned_again() -> None:
    """The baseline of the object is unchanged, so its change is still a change of the manifests."""
    before = desired_app("a", slots={"chat": {"serving_policy": "local_only", "preferred_engines": []}})
    tree = desired_app("a", slots={"chat": {"serving_policy": "local_only", "preferred_engines": ["mlx"]}})
    _, app = after(before, tree, live_app("a", slots={"chat": {"serving_policy": "cloud_only"}}))
    assert app == before
    assert reasons(app, tree, live_app("a", slots={"chat": {"serving_policy": "local_only"}})) == [
        ("update chat", Reason.MANIFEST_CHANGED)
    ]


def test_a_removal_that_was_not_done_is_planned_again() -> None:
    """An object stays in the baseline until it is removed: in owned lists, in child documents and in apps without a document."""
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


def test_a_list_is_owned_once_its_foreign_members_are_removed() -> None:
    """Until then, the remaining members are removed because the manifests own the list now, not because of drift."""
    before, tree = desired_app("a"), desired_app("a", targets=["ios:z"])
    live = live_app("a", targets=["ios:x", "ios:y"])
    _, app = after(before, tree, live, done={"create app/a/target/ios:z", "delete app/a/target/ios:x"})
    assert app == replace(tree, complete_sections=frozenset())
    left = live_app("a", targets=["ios:y", "ios:z"])
    assert reasons(app, tree, left) == [("delete ios:y", Reason.MANIFEST_CHANGED)]
    assert after(app, tree, left, done=True)[1] == tree


def test_an_addition_to_an_owned_list_is_drift() -> None:
    """Held or not removed yet, it never enters the baseline, and the list stays owned."""
    tree = desired_app("a", targets=["ios:x"])
    live = live_app("a", targets=["ios:x", "ios:y"])
    plan, app = after(tree, tree, live)
    assert [str(held.action.address) for held in plan.held] == ["app/a/target/ios:y"]
    assert app == tree
    assert reasons(app, tree, live) == [("delete ios:y", Reason.DRIFT)]


def test_a_released_section_leaves_the_baseline() -> None:
    """Its members stay live permanently. If the section is declared again, the list is owned anew."""
    before = desired_app("a", targets=["ios:x"], slots={"chat": {}}, config={"n": 1})
    live = live_app("a", targets=["ios:x"], slots={"chat": {}}, config={"n": 1})
    plan, app = after(before, desired_app("a"), live)
    assert len(plan.left_alone.released) == 3
    assert app == desired_app("a")
    assert reasons(app, desired_app("a"), live) == []
    assert reasons(app, desired_app("a", targets=[]), live) == [("delete ios:x", Reason.MANIFEST_CHANGED)]


def test_an_orphan_keeps_its_baseline() -> None:
    """An app whose manifests are gone stays an orphan in every plan, with all its children."""
    before = desired_app("a", targets=["ios:x"])
    plan, app = after(before, None, live_app("a", targets=["ios:x"]))
    assert (plan.left_alone.orphan_apps, app) == (("a",), before)


def test_an_app_that_could_not_be_planned_keeps_its_baseline() -> None:
    """Failed reads, suspended apps and undeclared archives keep the baseline: nothing new is known of them."""
    before, tree = desired_app("a", targets=["ios:x"]), desired_app("a", targets=[])
    live = live_app("a", targets=["ios:x"])
    failed = plan_of(
        tree, observation(errors={"a": Unavailable("unavailable", "503")}), base=Base(state=State.from_apps(before))
    )
    assert next_baseline(before, tree, failed, ()) is before
    assert after(before, replace(tree, suspension=desired_app("a", suspended=True).suspension), live)[1] is before
    assert after(before, tree, live_app("a", archived=True))[1] is before
    assert after(None, tree, live_app("a", archived=True))[1] is None


def test_an_app_is_protected_until_its_plan_is_done() -> None:
    """Labels, protection and suspension are recorded once no action of the app is open, except for held drift."""
    before = desired_app("a", targets=["ios:x"], protected=True, labels={"team": "old"})
    tree = desired_app("a", targets=[], labels={"team": "new"})
    live = live_app("a", targets=["ios:x"])
    open_, settled = (after(before, tree, live, done=done)[1] for done in ((), True))
    assert open_ is not None
    assert (open_.protected, open_.labels) == (True, {"team": "old"})
    assert settled == tree


def test_an_archive_that_was_not_done_is_planned_again() -> None:
    """Once it is done, the baseline is the app as declared, open changes of its children included."""
    before, tree = desired_app("a", targets=["ios:x"]), desired_app("a", targets=["ios:x"], archived=True)
    live = live_app("a", targets=["ios:x"])
    _, app = after(before, tree, live)
    assert app == before
    assert reasons(app, tree, live) == [("archive a", Reason.MANIFEST_CHANGED)]
    assert after(before, tree, live, done=True)[1] == tree
    assert after(tree, tree, live_app("a", archived=True))[1] == tree


def test_objects_that_were_not_created_are_not_recorded() -> None:
    """An app whose create failed has no baseline. Of a created app the created children are recorded, and the rest is new."""
    tree = desired_app("a", targets=["ios:x", "ios:y"])
    plan = plan_of(tree, (), base=Base())
    assert next_baseline(None, tree, plan, ()) is None
    done = {action.key for action in plan.actions if not str(action.address).endswith("y")}
    app = next_baseline(None, tree, plan, done)
    assert app == desired_app("a", targets=["ios:x"])
    assert reasons(app, tree, live_app("a", targets=["ios:x"])) == [("create ios:y", Reason.NEW)]


def test_children_of_a_recreated_app_are_new() -> None:
    """A deleted app is created again with its children: if some are not done yet, they are new, not drift."""
    tree = desired_app("a", targets=["ios:x"])
    plan = plan_of(tree, (), base=Base(state=State.from_apps(tree)))
    app = next_baseline(tree, tree, plan, {plan.actions[0].key})
    assert reasons(app, tree, live_app("a")) == [("create ios:x", Reason.NEW)]


@pytest.mark.parametrize("base", [desired_app("a"), child_app("a"), child_app("a", config={"n": 1})])
def test_a_config_that_was_not_applied_keeps_its_reason(base: App) -> None:
    """Its reason is the same in the next plan, for a put and a delete, declared by an app or by a child document."""
    live = live_app("a", config={"n": 1})
    for tree in (desired_app("a", config={"n": 2}), desired_app("a", config=None), child_app("a", config={"n": 2})):
        if base.declared and not tree.declared:
            continue
        plan, app = after(base, tree, live)
        (action,) = plan.actions
        assert reasons(app, tree, live) == [(f"{action.verb.value} inference-config", action.reason)]
        assert after(base, tree, live, done=True)[1] == tree


def test_a_first_baseline_has_held_and_equal_objects() -> None:
    """After a first apply without a baseline, what is held becomes drift and stays held; what failed is still planned."""
    tree = desired_app(
        "a", slots={"chat": {"serving_policy": "local_only"}, "tts": {}}, targets=["ios:x"], config={"n": 1}
    )
    live = live_app("a", slots={"chat": {"serving_policy": "cloud_only"}, "tts": {}}, config={"n": 1})
    young = Event(id="evt_1", app="a", actor="ana", resource=("slot", "chat"), at=NOW - timedelta(minutes=1))
    plan, app = after(None, tree, live, presumed=True, org_feed=(young,))
    assert [held.action.address for held in plan.held] == [SLOT]
    assert app == replace(tree, targets=())
    assert reasons(app, tree, live) == [("create ios:x", Reason.NEW), ("update chat", Reason.DRIFT)]


def test_a_deleted_app_that_is_held_keeps_its_baseline() -> None:
    """It was deleted live, and that is not reverted: it stays drift, and its new objects stay new."""
    before, tree = desired_app("a", targets=["ios:x"]), desired_app("a", targets=["ios:x", "ios:y"])
    plan = plan_of(tree, (), base=Base(state=State.from_apps(before)), hold=HoldPolicy(span=None))
    app = next_baseline(before, tree, plan, ())
    assert app == before
    again = plan_of(tree, (), base=Base(state=State.from_apps(before)), hold=REVERT_AT_ONCE)
    assert {str(action.address): action.reason for action in again.actions} == {
        "app/a": Reason.DRIFT,
        "app/a/target/ios:x": Reason.DRIFT,
        "app/a/target/ios:y": Reason.NEW,
    }


def test_a_held_object_without_a_baseline_stays_held() -> None:
    """A foreign target in an owned list, or an archive, is drift in the next plan, even if other removals of the list failed."""
    tree, live = desired_app("a", targets=[]), live_app("a", targets=["ios:x", "ios:y"])
    young = Event(id="evt_1", app="a", actor="ana", resource=("target", "ios:x"), at=NOW - timedelta(minutes=1))
    plan, app = after(None, tree, live, presumed=True, org_feed=(young,))
    assert ([held.action.address.name for held in plan.held], len(plan.actions)) == (["ios:x"], 1)
    assert ("delete ios:x", Reason.DRIFT) in reasons(app, tree, live)
    tree = desired_app("a", archived=True)
    whole = replace(young, resource=None)
    plan, app = after(None, tree, live_app("a"), presumed=True, org_feed=(whole,))
    assert [held.action.verb.value for held in plan.held] == ["archive"]
    assert reasons(app, tree, live_app("a")) == [("archive a", Reason.DRIFT)]
