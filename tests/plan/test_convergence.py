"""Convergence: any declaration is planned against any live state and applied to a simulated control plane.

The simulated plane implements what the API documents of its writes, and imports no planner code.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.support.random_states import UNKNOWN_TARGETS, Situation, changes, situations
from tests.support.sample_reports import document_of
from tests.support.simulated_plane import PlaneApp, carry_out
from tests.support.states import NOW

from octosync.contract import normalise_slot_fields
from octosync.model import App, JsonValue, Reason, Section, Slot, State, Target
from octosync.plan import ActionKey, ArchiveApp, Plan, PlanOptions, RegisterTarget, RemoveTarget, make_plan
from octosync.plan.three_way.verdict import Base, UnappliedChanges, as_live

T = TypeVar("T")

pytestmark = pytest.mark.no_cover  # slow under coverage; other tests of this package cover the same code

thoroughly = examples(250)
chances = st.randoms(use_true_random=True)


def plan_for(situation: Situation) -> Plan:
    seen = situation.plane.observed(situation.desired)
    return make_plan(situation.desired, seen, PlanOptions(now=NOW))


def is_held(app: App | None) -> bool:
    return app is not None and app.suspension is not None


@thoroughly
@given(situations(), chances)
def test_a_plan_after_apply_has_only_rejected_actions(situation: Situation, chance: Random) -> None:
    """In any order that the dependencies allow, the next plan has what the control plane rejected, and nothing else."""
    undone = carry_out(plan_for(situation).actions, situation.plane, chance)
    assert {action.key for action in plan_for(situation).actions} <= undone


@thoroughly
@given(situations(), st.integers(0, 20), chances)
def test_an_interrupted_run_is_finished_by_the_next(situation: Situation, cut: int, chance: Random) -> None:
    """Wherever a run stops, another plan and apply reach the same end state, without a journal."""
    straight = Situation(copy.deepcopy(situation.plane), situation.desired)
    carry_out(plan_for(straight).actions, straight.plane, chance)
    carry_out(plan_for(situation).actions[:cut], situation.plane)
    carry_out(plan_for(situation).actions, situation.plane, chance)
    assert {slug: _without_ids(app) for slug, app in situation.plane.apps.items()} == {
        slug: _without_ids(app) for slug, app in straight.plane.apps.items()
    }


@thoroughly
@given(situations(), chances)
def test_only_a_target_that_another_app_keeps_is_rejected(situation: Situation, chance: Random) -> None:
    """The order leaves one rejection: registering a target of an app that is not planned to give it up. The plan expects it."""
    plan = plan_for(situation)
    before = situation.plane.snapshot()
    for key in carry_out(plan.actions, situation.plane, chance):
        action = plan.by_key()[key]
        if isinstance(action, RegisterTarget):
            assert action.moves_from is None
            holder = next(
                slug for slug, app in before.items() if (action.platform, action.identifier) in app.targets.values()
            )
            owner = situation.desired.apps.get(holder)
            assert (
                owner is None
                or Section.TARGETS not in owner.complete_sections
                or is_held(owner)
                or before[holder].archived
            )
        else:
            assert isinstance(action, ArchiveApp)


@thoroughly
@given(situations(), chances)
def test_nothing_undeclared_is_touched(situation: Situation, chance: Random) -> None:
    """Undeclared apps, sections, objects and fields, and everything of a suspended app, are unchanged afterwards."""
    before = situation.plane.snapshot()
    carry_out(plan_for(situation).actions, situation.plane, chance)
    for slug, old in before.items():
        new, owner = situation.plane.apps[slug], situation.desired.apps.get(slug)
        if owner is None or is_held(owner) or old.archived:
            assert new == old
        else:
            _check_untouched(owner, old, new)


@thoroughly
@given(situations(), chances)
def test_no_declared_target_is_lost(situation: Situation, chance: Random) -> None:
    """A target that is live and declared is registered after the run, in its old app or in its new one."""
    claimed = {target.unique_key for app in situation.desired for target in app.targets}
    held = {key for app in situation.plane.apps.values() for key in app.targets.values()} & claimed
    plan = plan_for(situation)
    carry_out(plan.actions, situation.plane, chance)
    lost = {key for key in held if situation.plane.holder_of(key) is None}
    # The app that claims it can't take it: it is archived, or absent and not created.
    hopeless = set(plan.errors) | {address.app for address in plan.archived_undeclared}
    hopeless |= {app.slug for app in situation.desired if app.archived}
    assert all(any(t.unique_key == key for slug in hopeless for t in _targets_of(situation, slug)) for key in lost)


@thoroughly
@given(situations())
def test_every_action_follows_what_it_needs(situation: Situation) -> None:
    """The order is topological, every dependency is in the plan, and no action is in it twice."""
    done: set[ActionKey] = set()
    for action in plan_for(situation).actions:
        assert done.issuperset(action.depends_on)
        assert action.key not in done
        done.add(action.key)


@thoroughly
@given(situations())
def test_a_plan_has_both_halves_of_a_move_or_neither(situation: Situation) -> None:
    """The halves of a move name each other, and the first waits for everything that the second waits for."""
    plan = plan_for(situation)
    leaving = {a.address: a for a in plan.actions if isinstance(a, RemoveTarget) and a.moves_to}
    entering = {a.address: a for a in plan.actions if isinstance(a, RegisterTarget) and a.moves_from}
    assert {a.moves_to for a in leaving.values()} == set(entering)
    assert {a.moves_from for a in entering.values()} == set(leaving)
    for second in entering.values():
        first = leaving[second.moves_from] if second.moves_from else None
        assert first is not None
        assert set(second.depends_on) == {*first.depends_on, first.key}


@thoroughly
@given(situations(), chances)
def test_the_order_of_the_input_changes_nothing(situation: Situation, chance: Random) -> None:
    """The plan is the same value for any order of apps, lists and fields."""

    def shuffled(items: Iterable[T]) -> list[T]:
        copied = list(items)
        chance.shuffle(copied)
        return copied

    def mixed(app: App) -> App:
        slots = tuple(replace(slot, fields=dict(shuffled(slot.fields.items()))) for slot in shuffled(app.slots))
        fields = dict(shuffled(app.fields.items()))
        return replace(app, targets=tuple(shuffled(app.targets)), slots=slots, fields=fields)

    seen = situation.plane.observed(situation.desired)
    plan = make_plan(situation.desired, seen, PlanOptions(now=NOW))
    again = make_plan(
        State.from_apps(*map(mixed, shuffled(situation.desired))),
        replace(seen, state=State.from_apps(*map(mixed, shuffled(seen.state)))),
        PlanOptions(now=NOW),
    )
    assert [action.substance for action in again.actions] == [action.substance for action in plan.actions]
    assert replace(again, desired=situation.desired) == _with_errors_of(plan, again)


@thoroughly
@given(changes(), st.booleans())
def test_a_change_can_be_planned_against_its_base_alone(change: tuple[State, State], prune: bool) -> None:
    """With --offline a base has neither IDs nor times, and every removal, change and move is still planned."""
    base, tree = change
    plan = make_plan(tree, as_live(base, tree), PlanOptions(now=NOW, base=Base(state=base), prune=prune))
    rows: Any = document_of(plan)["resource_changes"]
    assert plan.errors == {}
    for row in rows:
        removes = row["type"] == "target" and row["change"]["actions"] == ["delete"]
        assert row["operation"]["path"].endswith("/targets/{target_id}") == removes


@thoroughly
@given(changes(), changes(), st.booleans())
def test_what_is_merged_and_not_applied_is_no_part_of_a_plan(
    merge: tuple[State, State], change: tuple[State, State], prune: bool
) -> None:
    """With live state exactly as applied, nothing is drift or diverged; that includes what waits for a suspended app."""
    (applied, merged), (_, tree) = merge, change
    merged = State.from_apps(*(app for app in merged if not app.archived))
    seen = as_live(applied, merged)
    unapplied = UnappliedChanges.between(merged, Base(state=applied))
    options = PlanOptions(now=NOW, base=Base(state=merged, unapplied=unapplied), prune=prune)
    plan = make_plan(tree, seen, options)
    assert plan.drifted == ()
    assert not {Reason.DRIFT, Reason.DIVERGED} & {action.reason for action in plan.actions}


def _with_errors_of(plan: Plan, again: Plan) -> Plan:
    """Return a plan with the errors of another, after comparing their texts: exceptions compare by identity."""
    assert {s: (e.reference, e.message) for s, e in plan.errors.items()} == {
        s: (e.reference, e.message) for s, e in again.errors.items()
    }
    return replace(plan, errors=again.errors)


def _targets_of(situation: Situation, slug: str) -> tuple[Target, ...]:
    return situation.desired.apps[slug].targets


def _without_ids(app: PlaneApp) -> PlaneApp:
    return replace(app, targets={str(key): key for key in sorted(app.targets.values())})


def _check_untouched(owner: App, old: PlaneApp, new: PlaneApp) -> None:
    assert {k: v for k, v in new.fields.items() if k not in owner.fields} == {
        k: v for k, v in old.fields.items() if k not in owner.fields
    }
    assert new.archived == (old.archived or (new.archived and owner.archived))
    kept = {
        key for key in old.targets.values() if Section.TARGETS not in owner.complete_sections or key in UNKNOWN_TARGETS
    }
    assert kept <= set(new.targets.values())
    if owner.inference_config is None:
        assert new.config == old.config
    for capability, fields in old.slots.items():
        declared = owner.slot(capability)
        if declared is not None:
            _check_carried(declared, fields, new.slots[capability])
        elif Section.SLOTS not in owner.complete_sections:
            assert new.slots[capability] == fields


def _check_carried(declared: Slot, old: dict[str, JsonValue], new: dict[str, JsonValue]) -> None:
    # The PUT replaces the whole slot, so every remaining field was carried over.
    kept = normalise_slot_fields(new)
    for name, value in normalise_slot_fields(old).items():
        if name not in declared.fields:
            assert kept.get(name) == value, name
