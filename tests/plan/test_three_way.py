"""Three-way plans distinguish changes of the manifests from live changes, field by field, and touch nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.golden import assert_golden
from tests.support.sample_reports import document_of, plan_report, run_info
from tests.support.states import NOW, child_app, desired_app, live_app, observation, plan_of, policy_of

from octosync.errors import ErrorResponse, Missing, Unavailable
from octosync.model import Address, App, Event, Observation, Origin, Reason, State
from octosync.plan import Action, GuardPolicy, HoldPolicy, Invocation, Plan, PlanOptions, ReadNeeds, judge, make_plan
from octosync.plan.three_way.merge import to_read
from octosync.plan.three_way.verdict import Base, UnappliedChanges, as_live, changed_apps
from octosync.report import render_plan

HOLD = timedelta(minutes=30)
HOLDING = HoldPolicy(span=HOLD)


@dataclass(frozen=True)
class Kind:
    """One kind of field: how the tree declares a value, and how it is live. Values are 0, 1 and 2; None is undeclared."""

    name: str
    declared: Callable[[Any], App]
    live: Callable[[Any], App]
    address: Address


def app_with(**sections: Any) -> App:
    """Declare app a, with a slot field, a config or app fields."""
    return desired_app("a", **sections)


POLICIES = ("local_first", "local_only", "cloud_only")
SLOT = Address.of_slot("a", "chat")


def field_kind(name: str, values: tuple[Any, ...]) -> Kind:
    """Return the kind of a slot field."""
    return Kind(
        name,
        lambda value: app_with(slots={"chat": {} if value is None else {name: values[value]}}),
        lambda value: live_app("a", slots={"chat": {name: values[value]}}),
        SLOT,
    )


# Value 0 of a kind is what the control plane has if nothing is declared.
KINDS = (
    field_kind("serving_policy", POLICIES),
    field_kind("preferred_engines", ([], ["coreml"], ["mlx"])),
    field_kind("bindings", ([], [{"binding_key": "b"}], [{"binding_key": "c"}])),
    field_kind("model_variant_id", (None, "v1", "v2")),
    Kind(
        "description",
        lambda value: app_with(fields={} if value is None else {"description": (None, "one", "two")[value]}),
        lambda value: live_app("a", description=(None, "one", "two")[value]),
        Address.of_app("a"),
    ),
    Kind(
        "inference config",
        lambda value: child_app("a") if value is None else child_app("a", config=(None, {"n": 1}, {"n": 2})[value]),
        lambda value: live_app("a", config=(None, {"n": 1}, {"n": 2})[value]),
        Address.of_inference_config("a"),
    ),
)
IDS = [kind.name for kind in KINDS]


def plan3(tree: App | None, base: App | None, live: App | Observation | None, **more: Any) -> Plan:
    """Plan a tree against a base and live state; `tip` and `attempted` are apps, one per state."""
    tip, attempted = more.pop("tip", None), more.pop("attempted", ())
    known = Base(
        state=State.from_apps(*([base] if base else [])),
        tip=None if tip is None else State.from_apps(*tip),
        attempted=tuple(State.from_apps(app) for app in attempted),
        unknown=more.pop("unknown", frozenset()),
    )
    seen = live if isinstance(live, Observation) else observation(*([live] if live else []))
    return plan_of([tree] if tree else [], seen, base=known, **more)


def reason(plan: Plan, address: Address) -> Reason | None:
    """Return the reason of an object's action; None if it has none."""
    return next((action.reason for action in plan.actions if action.address == address), None)


# Tree, base, live and the reason: the table of the rules by values. 1 is what was declared.
TABLE = [
    (1, 1, 1, None),
    (2, 1, 1, Reason.MANIFEST_CHANGED),
    (1, 1, 2, Reason.DRIFT),
    (1, 1, 0, Reason.DRIFT),
    (2, 1, 2, None),
    (2, 1, 0, Reason.DIVERGED),
    (1, None, 2, Reason.MANIFEST_CHANGED),
    (1, None, 1, None),
    (None, 1, 1, Reason.REMOVED),
    (None, 1, 0, None),
    (None, None, 2, None),
]


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
@pytest.mark.parametrize(("tree", "base", "live", "wanted"), TABLE)
def test_the_table(kind: Kind, tree: int | None, base: int | None, live: int, wanted: Reason | None) -> None:
    """Every row of the table, for every kind of field: which side changed decides the reason, and whether it is planned."""
    made = plan3(kind.declared(tree), kind.declared(base), kind.live(live))
    if kind.name == "inference config" and wanted is not None and live == 0 and tree not in {None, 0}:
        assert reason(made, kind.address) in {wanted, Reason.NEW}
        return
    assert reason(made, kind.address) is wanted


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_a_field_that_is_no_longer_declared_returns_to_its_default(kind: Kind) -> None:
    """A removed field gets the value of a field that was never declared, and a second plan is empty."""
    if kind.name == "inference config":
        made = plan3(kind.declared(None), kind.declared(1), kind.live(1))
        assert [action.verb.value for action in made.actions] == ["delete"]
        return
    made = plan3(kind.declared(None), kind.declared(1), kind.live(1))
    (action,) = made.actions
    after = live_app("a", **_as_live(action.after, kind))
    assert not plan3(kind.declared(None), kind.declared(1), after).actions


def _as_live(after: Any, kind: Kind) -> dict[str, Any]:
    if kind.address == SLOT:
        return {"slots": {"chat": after}}
    return {"description": after.get("description")}


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
@pytest.mark.parametrize("live", [0, 1, 2])
def test_a_field_that_changed_at_the_tip_is_stale(kind: Kind, live: int) -> None:
    """Equal to its base but changed at the tip: for any live value, it is left alone and listed."""
    made = plan3(kind.declared(1), kind.declared(1), kind.live(live), tip=[kind.declared(2)])
    assert made.actions == ()
    assert made.left_alone.stale == (kind.address,)
    assert kind.address not in made.unchanged


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
@pytest.mark.parametrize("live", [0, 1, 2])
def test_a_field_that_only_the_tip_declares_is_stale(kind: Kind, live: int) -> None:
    """Declared at the tip, and neither in the base nor in this branch: left alone and listed."""
    made = plan3(kind.declared(None), kind.declared(None), kind.live(live), tip=[kind.declared(1)])
    assert made.actions == ()
    assert made.left_alone.stale == (kind.address,)


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_a_value_of_an_unfinished_apply_is_not_drift(kind: Kind) -> None:
    """A live value that an attempted revision declared is neither drift nor diverged, and is not held."""
    attempted = [kind.declared(2)]
    assert reason(plan3(kind.declared(1), kind.declared(1), kind.live(2), attempted=attempted), kind.address) is (
        Reason.MANIFEST_CHANGED
    )
    gone = plan3(kind.declared(None), kind.declared(1), kind.live(2), attempted=attempted)
    assert reason(gone, kind.address) is Reason.REMOVED


def test_objects_that_only_an_unfinished_apply_declared_are_removed() -> None:
    """Children that tree and base never had are read and removed, with their position; a section of its own is released."""
    live = live_app("a", targets=["ios:x", "ios:y"], slots={"chat": {}}, config={"n": 1})
    attempted = child_app("a", targets=["ios:x"], slots={"chat": {}}, config={"n": 1})
    everything = ["app/a/inference-config", "app/a/slot/chat", "app/a/target/ios:x"]
    for tree in (desired_app("a"), None):
        made = plan3(tree, tree, live, attempted=[attempted])
        assert sorted(str(action.address) for action in made.actions) == everything
        assert {action.reason for action in made.actions} == {Reason.REMOVED}
        (read,) = to_read(
            State.from_apps(*([tree] if tree else [])), Base(attempted=(State.from_apps(attempted),)), prune=False
        )
        assert len(read.sections) == 3
    kept = plan3(desired_app("a"), desired_app("a"), live, attempted=[targets("ios:x")])
    assert (kept.actions, kept.left_alone.released) == ((), (TARGET,))


def test_an_app_that_only_an_unfinished_apply_declared_is_an_orphan() -> None:
    """No manifest declares it: it is listed, and archived with prune."""
    attempted = [targets("ios:x")]
    assert plan3(None, None, live_targets("ios:x"), attempted=attempted).left_alone.orphan_apps == ("a",)
    (action,) = plan3(None, None, live_targets("ios:x"), attempted=attempted, prune=True).actions
    assert (action.verb.value, action.reason) == ("archive", Reason.REMOVED)


def test_an_app_of_an_unfinished_apply_has_changed() -> None:
    """Base and tree are equal, but another state was attempted since: the app is planned, so that nothing of it stays."""
    app, attempt = targets("ios:x"), targets("ios:y")
    assert changed_apps(
        State.from_apps(app), Base(state=State.from_apps(app), attempted=(State.from_apps(attempt),))
    ) == {"a"}
    assert (
        changed_apps(State.from_apps(app), Base(state=State.from_apps(app), attempted=(State.from_apps(app),)))
        == frozenset()
    )


def targets(*keys: str, **more: Any) -> App:
    """Declare an app with a whole list of targets."""
    return desired_app("a", targets=keys, **more)


def live_targets(*keys: str) -> App:
    """Return the live app with targets."""
    return live_app("a", targets=keys)


TARGET = Address.of_target("a", "ios", "x")


@pytest.mark.parametrize(
    ("tree", "base", "live", "wanted"),
    [
        (targets("ios:x"), targets(), live_targets(), ("create", Reason.NEW)),
        (targets("ios:x"), targets("ios:x"), live_targets(), ("create", Reason.DRIFT)),
        (targets(), targets(), live_targets("ios:x"), ("delete", Reason.DRIFT)),
        (targets(), targets("ios:x"), live_targets("ios:x"), ("delete", Reason.REMOVED)),
        (targets(), targets("ios:x"), live_targets(), None),
        (targets(), desired_app("a"), live_targets("ios:x"), ("delete", Reason.MANIFEST_CHANGED)),
        (desired_app("a"), targets("ios:x"), live_targets("ios:x"), None),
        (child_app("a"), child_app("a", targets=["ios:x"]), live_targets("ios:x"), ("delete", Reason.REMOVED)),
        (child_app("a"), child_app("a"), live_targets("ios:x"), None),
    ],
    ids=[
        "new",
        "deleted by hand",
        "added by hand",
        "removed",
        "removed, gone",
        "list first declared",
        "section released",
        "child removed",
        "undeclared",
    ],
)
def test_the_table_for_objects(tree: App, base: App, live: App, wanted: tuple[str, Reason] | None) -> None:
    """Every row for the existence of a target, in owned lists and in child documents."""
    made = plan3(tree, base, live)
    assert [(action.verb.value, action.reason) for action in made.actions] == ([wanted] if wanted else [])


def test_a_document_that_is_removed_with_its_list_is_released() -> None:
    """A list and a document that added to it, removed together, are released. Removed one by one, the object is deleted."""
    both, live = targets("ios:x", "ios:y"), live_targets("ios:x", "ios:y")
    made = plan3(desired_app("a"), both, live)
    assert (made.actions, len(made.left_alone.released)) == ((), 2)
    own_left = replace(desired_app("a"), targets=targets("ios:y").targets)
    assert plan3(own_left, both, live).left_alone.released == (TARGET,)
    (action,) = plan3(desired_app("a"), own_left, live).actions
    assert (str(action.address), action.reason) == ("app/a/target/ios:y", Reason.REMOVED)
    (action,) = plan3(targets("ios:x"), both, live).actions
    assert (str(action.address), action.reason) == ("app/a/target/ios:y", Reason.REMOVED)


def test_a_released_section_is_left_alone_and_listed() -> None:
    """Targets, slots, a config and a deploy without their key: nothing is deleted, and everything is listed."""
    base = desired_app("a", targets=["ios:x"], slots={"chat": {}}, config={"n": 1}, deploy={"chat": "production"})
    live = live_app("a", targets=["ios:x"], slots={"chat": {}}, config={"n": 1})
    made = plan3(desired_app("a"), base, live)
    assert made.actions == ()
    assert list(map(str, made.left_alone.released)) == [
        "app/a/target/ios:x",
        "app/a/slot/chat",
        "app/a/inference-config",
    ]
    still = plan3(desired_app("a", slots={"chat": {}}), base, live)
    assert "app/a/capability/chat@production" in map(str, still.left_alone.released)


def test_a_released_target_that_another_app_declares_is_a_warning() -> None:
    """A move that is reverted together with the list: no action removes the target, and the plan reports that once."""
    tree, base = [targets("ios:x"), desired_app("b")], [targets(), desired_app("b", targets=["ios:x"])]
    holder = live_app("b", targets=["ios:x"])
    for unread in (replace(holder, targets=(), complete_sections=frozenset()), holder):
        made = plan_of(tree, observation(live_targets(), unread), base=Base(state=State.from_apps(*base)))
        assert [(diagnostic.rule, "`b`" in diagnostic.summary) for diagnostic in made.diagnostics] == [
            ("target-held-elsewhere", True)
        ]


def test_an_app_without_manifests_is_an_orphan() -> None:
    """It is listed and left alone with all its children; with prune it is archived, and nothing else of it is touched."""
    base, live = targets("ios:x"), live_targets("ios:x")
    made = plan3(None, base, live)
    assert (made.actions, made.left_alone.orphan_apps) == ((), ("a",))
    pruned = plan3(None, base, live, prune=True)
    assert [(action.verb.value, action.reason) for action in pruned.actions] == [("archive", Reason.REMOVED)]
    assert pruned.left_alone.orphan_apps == ()
    assert plan3(None, base, None, prune=True).actions == ()
    assert plan3(None, base, live_app("a", archived=True), prune=True).actions == ()


def test_a_protected_orphan_stays_protected() -> None:
    """Protection in the base also covers what the tree dropped, or no longer protects."""
    base = targets("ios:x", protected=True)
    pruned = plan3(None, base, live_targets("ios:x"), prune=True)
    assert "protected" in [refusal.guard for refusal in judge(pruned, GuardPolicy())]
    emptied = plan3(targets(), base, live_targets("ios:x"))
    assert "protected" in [refusal.guard for refusal in judge(emptied, GuardPolicy())]


def test_children_without_an_app_document_are_deleted() -> None:
    """If a child document is removed, its object is deleted, though nothing in the tree names the app."""
    base = child_app("a", targets=["ios:x"], slots={"chat": {}}, config={"n": 1})
    live = live_app("a", targets=["ios:x", "ios:y"], slots={"chat": {}, "tts": {}}, config={"n": 1})
    made = plan3(None, base, live)
    assert sorted(str(action.address) for action in made.actions) == [
        "app/a/inference-config",
        "app/a/slot/chat",
        "app/a/target/ios:x",
    ]
    assert {action.reason for action in made.actions} == {Reason.REMOVED}


def test_a_failed_read_is_not_an_absence() -> None:
    """An object that is to be removed and could not be read is an error of its app."""
    base = child_app("a", targets=["ios:x"])
    failed = observation(errors={"a": Unavailable("unavailable", "503")})
    assert set(plan3(None, base, failed).errors) == {"a"}


def test_a_removal_has_its_position_in_the_base() -> None:
    """The row of a deleted object has the position of its declaration in the base."""
    origin = Origin("3f9d2c1:apps/a.yaml", 7, 5)
    base = targets("ios:x")
    base = replace(base, targets=tuple(replace(target, origin=origin) for target in base.targets))
    (action,) = plan3(targets(), base, live_targets("ios:x")).actions
    assert action.origin == origin


def test_an_app_that_main_archived_or_removed_meanwhile_is_stale() -> None:
    """A branch without that change leaves the whole app alone."""
    tree = base = targets("ios:x")
    for tip in ([], [targets("ios:x", archived=True)]):
        made = plan3(tree, base, live_targets(), tip=tip)
        assert (made.actions, made.left_alone.stale) == ((), (Address.of_app("a"),))


def test_an_object_that_main_added_meanwhile_is_not_deleted() -> None:
    """A list that this branch owns doesn't delete what main added to it since."""
    made = plan3(targets("ios:x"), targets("ios:x"), live_targets("ios:x", "ios:y"), tip=[targets("ios:x", "ios:y")])
    assert made.actions == ()


def test_a_row_has_the_gravest_reason_and_keeps_stale_fields() -> None:
    """One field changed here, one drifted, one is stale: one PUT with the reason drift and the live value of the stale field."""
    base = desired_app("a", slots={"chat": {"serving_policy": "local_first", "preferred_engines": ["mlx"]}})
    tree = desired_app("a", slots={"chat": {"serving_policy": "local_only", "preferred_engines": ["mlx"]}})
    live = live_app("a", slots={"chat": {"serving_policy": "local_first", "preferred_engines": ["coreml"]}})
    (action,) = plan3(tree, base, live).actions
    assert action.reason is Reason.DRIFT
    tip = desired_app("a", slots={"chat": {"serving_policy": "local_first", "preferred_engines": ["coreml"]}})
    made = plan3(tree, base, live, tip=[tip])
    (action,) = made.actions
    assert action.reason is Reason.MANIFEST_CHANGED
    assert action.body is not None
    assert action.body["preferred_engines"] == ["coreml"]
    assert made.left_alone.stale == (SLOT,)


def test_a_diverged_change_is_refused() -> None:
    """It would overwrite a live change, so a guard refuses it, and its flag allows it."""
    kind = KINDS[0]
    made = plan3(kind.declared(1), kind.declared(0), kind.live(2))
    (blocked,) = judge(made, GuardPolicy())
    assert (blocked.guard, blocked.override, blocked.addresses) == ("diverged", "--allow-diverged", (SLOT,))
    assert judge(made, policy_of(allow_diverged=True)) == ()


def test_a_renamed_app_is_reported() -> None:
    """A new app has all targets of a pruned one: the model references that end are named."""
    base = desired_app("a", targets=["ios:x"], slots={"chat": {}})
    known = Base(state=State.from_apps(base))
    live = live_app("a", targets=["ios:x"], slots={"chat": {}})
    made = plan_of([desired_app("b", targets=["ios:x"])], live, base=known, prune=True)
    diagnostic = next(diagnostic for diagnostic in made.diagnostics if diagnostic.rule == "renamed-app")
    assert "`b`" in diagnostic.summary
    assert "@app/a/chat" in diagnostic.summary


def test_a_pruned_app_gives_up_targets_that_another_declares() -> None:
    """A target moves before its app is archived, whether the base declared it or not. The others stay and are listed."""
    live = live_app("a", targets=["ios:x", "ios:y", "ios:z"])
    known = Base(state=State.from_apps(desired_app("a", targets=["ios:x"])))
    (read,) = to_read(State.from_apps(), known, prune=True)
    assert {section.value for section in read.sections} == {"targets"}
    made = plan_of([desired_app("b", targets=["ios:x", "ios:y"])], live, base=known, prune=True)
    done = [
        (action.verb.value, str(action.address), action.reason)
        for action in made.actions
        if action.reason is not Reason.NEW
    ]
    assert done == [
        ("delete", "app/a/target/ios:x", Reason.MOVED),
        ("delete", "app/a/target/ios:y", Reason.MOVED),
        ("create", "app/b/target/ios:x", Reason.MOVED),
        ("create", "app/b/target/ios:y", Reason.MOVED),
        ("archive", "app/a", Reason.REMOVED),
    ]
    (stranded,) = (
        diagnostic.summary for diagnostic in made.diagnostics if diagnostic.rule == "archive-strands-identifiers"
    )
    assert stranded.endswith(": ios:z")


def test_a_target_of_an_orphan_is_a_warning() -> None:
    """An orphan is not read, so the warning is at the line that declares the target, and names how to move it."""
    known = Base(state=State.from_apps(desired_app("a", targets=["ios:x"])))
    made = plan_of([desired_app("b", targets=["ios:x"])], base=known)
    (warning,) = (diagnostic for diagnostic in made.diagnostics if diagnostic.rule == "target-held-elsewhere")
    assert "app `a`, which no manifest has any more, had this target" in warning.summary
    assert "--prune" in warning.notes[0]
    assert plan_of([desired_app("b", targets=["ios:y"])], base=known).diagnostics == ()


# -- holding


def event(minutes: float, **more: Any) -> Event:
    """Return an event about the slot, this many minutes ago."""
    return Event(
        **{
            "id": "evt_1",
            "app": "a",
            "actor": "ana",
            "resource": ("slot", "chat"),
            "at": NOW - timedelta(minutes=minutes),
            **more,
        }
    )


def drifted(feed: Any, *, tree: App | None = None, cut: bool = False, hold: HoldPolicy | None = HOLDING) -> Plan:
    """Plan a slot whose policy was changed live, with this feed."""
    kind = KINDS[0]
    seen = observation(kind.live(2), org_feed=feed, org_feed_is_cut=cut)
    needs = ReadNeeds(canaries=False, traffic=False, authors_since=NOW - HOLD)
    return plan3(tree or kind.declared(1), kind.declared(1), seen, hold=hold, read_needs=needs)


def test_recent_drift_is_held_and_old_drift_is_reverted() -> None:
    """Younger than the hold: shown with its end, not applied, in no guard. Older, or in no feed: planned."""
    made = drifted((event(10),))
    assert made.actions == ()
    (held,) = made.held
    assert (held.action.address, held.action.reason, held.until) == (SLOT, Reason.DRIFT, NOW + timedelta(minutes=20))
    assert made.last_changes[SLOT].event.actor == "ana"
    assert SLOT not in made.unchanged
    for feed in ((event(31),), (), (event(10, resource=("slot", "tts")),)):
        assert [action.address for action in drifted(feed).actions] == [SLOT]


def test_an_event_that_names_no_object_holds_its_whole_app() -> None:
    """If events don't name an object, the newest change of the app counts."""
    assert drifted((event(1, resource=None),)).held


def test_drift_older_than_a_cut_feed_is_held() -> None:
    """It may be recent, so it is held; with the whole feed it is not."""
    assert drifted((event(1, app="b"),), cut=True).held
    assert not drifted((event(1, app="b"),)).held


def test_without_a_feed_drift_is_reverted_at_once_with_a_notice() -> None:
    """Without a feed there is no hold, and a notice has the reason. With a hold of 0 there is neither.

    The subject of the notice is the same in every run, although its message names the request.
    """
    made = drifted(Missing("unknown-route", "no such route", response=ErrorResponse(request_id="req_1")))
    assert made.actions
    (notice,) = made.diagnostics
    assert notice.rule == "drift-not-held"
    assert notice.summary == f"{notice.subject}: no such route (request req_1)"
    both = (desired_app("a", fields={"name": "n"}, targets=["ios:x"]), live_app("a", name="m"))
    feed = observation(both[1], org_feed=Missing("unknown-route", "no such route"))
    (notice,) = plan3(both[0], both[0], feed, hold=HoldPolicy(span=timedelta(minutes=30))).diagnostics
    assert (notice.summary.partition(":")[0], notice.notes[0]) == ("app/a", "Not held either: app/a/target/ios:x")
    assert drifted((event(0.1),), hold=HoldPolicy(span=timedelta(0))).actions
    assert not drifted(Missing("unknown-route", "no such route"), hold=HoldPolicy(span=timedelta(0))).diagnostics


def test_a_deleted_app_is_created_again_at_once() -> None:
    """An archived app is still readable, so an absent app was not archived by hand: it is created again with its children."""
    app = targets("ios:x")
    made = plan3(app, app, observation(org_feed=(event(1, resource=None),)), hold=HOLDING)
    assert [(action.verb.value, action.reason) for action in made.actions] == [("create", Reason.DRIFT)] * 2
    assert made.held == ()


def test_other_fields_of_a_held_object_are_planned() -> None:
    """A change of the manifests is planned with the live value of the held field; the held field has its own row."""
    base = desired_app("a", slots={"chat": {"serving_policy": "local_only"}})
    tree = desired_app("a", slots={"chat": {"serving_policy": "local_only", "preferred_engines": ["mlx"]}})
    live = live_app("a", slots={"chat": {"serving_policy": "cloud_only"}})
    made = plan3(tree, base, observation(live, org_feed=(event(1),)), hold=HOLDING)
    (action,) = made.actions
    assert [change.path[0] for change in action.fields] == ["preferred_engines"]
    (held,) = made.held
    assert {change.path[0] for change in held.action.fields} == {"serving_policy"}


def test_a_target_that_was_moved_by_hand_is_held_on_both_sides() -> None:
    """A move by hand is drift: the feed is read for it, and while it is recent neither half is reverted."""
    old, new = targets("ios:x"), desired_app("b", targets=[])
    seen = observation(live_targets(), live_app("b", targets=["ios:x"]))
    known = Base(state=State.from_apps(old, new))
    needs = ReadNeeds(canaries=False, traffic=False, authors_since=NOW - HOLD)
    draft = plan_of([old, new], seen, base=known, hold=HOLDING, read_needs=needs)
    assert draft.questions.org_feed_since == NOW - HOLD
    feed = (event(1, resource=None), event(2, app="b", resource=None))
    made = plan_of([old, new], replace(seen, org_feed=feed), base=known, hold=HOLDING, read_needs=needs)
    assert made.actions == ()
    assert [str(held.action.address) for held in made.held] == ["app/a/target/ios:x", "app/b/target/ios:x"]


def test_an_archive_is_planned_while_a_field_of_the_app_is_held() -> None:
    """A name that was changed live a moment ago is held; the archive is planned once, for its own reason."""
    base, live = desired_app("a", fields={"name": "A"}), live_app("a", name="B")
    fresh = observation(live, org_feed=(event(1, resource=None),))
    made = plan3(replace(base, archived=True), base, fresh, hold=HOLDING)
    assert [(action.verb.value, action.reason) for action in made.actions] == [("archive", Reason.MANIFEST_CHANGED)]
    assert [held.action.verb.value for held in made.held] == ["update"]
    reverted = plan3(replace(base, archived=True), base, live)
    assert [(action.verb.value, action.reason) for action in reverted.actions] == [
        ("update", Reason.DRIFT),
        ("archive", Reason.MANIFEST_CHANGED),
    ]


def test_a_deleted_app_is_drift_unless_the_base_archived_it() -> None:
    """It was deleted live if the base has it; if the base archived it, its absence is no drift."""
    app = targets("ios:x")
    assert reason(plan3(app, app, None), app.address) is Reason.DRIFT
    assert reason(plan3(app, replace(app, archived=True), None), app.address) is Reason.NEW


def test_a_plan_with_drift_needs_the_feed_first() -> None:
    """Until the feed has been read, a plan with drift is a draft that needs it."""
    seen = observation(KINDS[0].live(2))
    needs = ReadNeeds(canaries=False, traffic=False, authors_since=NOW - HOLD)
    made = plan3(KINDS[0].declared(1), KINDS[0].declared(1), seen, hold=HOLDING, read_needs=needs)
    assert made.questions.org_feed_since == NOW - HOLD


# -- whole apps

fields = st.fixed_dictionaries(
    {},
    optional={
        "serving_policy": st.sampled_from(POLICIES),
        "preferred_engines": st.sampled_from([[], ["mlx"], ["coreml", "mlx"]]),
        "public_client_allowed": st.booleans(),
    },
)


@st.composite
def apps(draw: st.DrawFn) -> App:
    """Declare an app in some of its sections, as a document or by children only."""
    slots = draw(st.dictionaries(st.sampled_from(["chat", "tts"]), fields))
    keys = draw(st.lists(st.sampled_from(["ios:x", "ios:y", "macos:z"]), unique=True))
    config = draw(st.one_of(st.none(), st.fixed_dictionaries({"n": st.integers(0, 2)})))
    if draw(st.booleans()):
        return child_app("a", slots=slots, targets=keys, **({"config": config} if config else {}))
    more: dict[str, Any] = {}
    if draw(st.booleans()):
        more["slots"] = slots
    if draw(st.booleans()):
        more["targets"] = keys
    if draw(st.booleans()):
        more["config"] = config
    return desired_app("a", fields=draw(st.sampled_from([{}, {"description": "one"}])), **more)


def live_as_declared(app: App) -> App:
    """Return an app that is live as it is declared."""
    config = app.inference_config
    return live_app(
        "a",
        description=app.fields.get("description"),  # type: ignore[arg-type]
        targets=[f"{target.platform}:{target.identifier}" for target in app.targets],
        slots={slot.capability: dict(slot.fields) for slot in app.slots},
        config=None if config is None else config.config,
    )


@given(app=apps())
def test_equal_tree_base_and_live_state_give_an_empty_plan(app: App) -> None:
    """No action, and no object is stale, released or held."""
    made = plan3(app, app, live_as_declared(app))
    assert made.actions == ()
    assert (made.left_alone.stale, made.left_alone.released, made.held) == ((), (), ())


@given(tree=apps(), base=apps())
def test_without_live_changes_nothing_is_drift(tree: App, base: App) -> None:
    """If live equals the base, every change is one of the tree: none is drift or diverged, and none is held."""
    made = plan3(tree, base, observation(live_as_declared(base), org_feed=(event(0.1, resource=None),)), hold=HOLDING)
    assert {action.reason for action in made.actions} & {Reason.DRIFT, Reason.DIVERGED} == set()
    assert made.held == ()


@given(app=apps(), existing=apps())
def test_undeclared_objects_are_not_touched(app: App, existing: App) -> None:
    """Live objects that the child documents of tree and base don't declare stay unchanged."""
    tree = replace(child_app("a"), slots=app.slots, targets=app.targets)
    live = live_as_declared(existing)
    named = {*(slot.address for slot in tree.slots), *(target.address for target in tree.targets)}
    for action in plan3(tree, tree, live).actions:
        assert action.address in named


def test_possible_removals_are_read() -> None:
    """Sections in which only the base has children are read too; released lists and orphans are not."""
    base = Base(state=State.from_apps(child_app("a", targets=["ios:x"]), desired_app("b", slots={"chat": {}})))
    (read,) = to_read(State.from_apps(), base, prune=False)
    assert (read.slug, {section.value for section in read.sections}) == ("a", {"targets"})
    assert [app.slug for app in to_read(State.from_apps(), base, prune=True)] == ["a", "b"]
    assert to_read(State.from_apps(desired_app("b")), base, prune=False).apps["b"].sections == frozenset()


def test_a_three_way_plan_is_the_golden_one() -> None:
    """Reasons in words, author and end, what is stale, released and orphaned, with held actions counted separately."""
    tree = [
        desired_app(
            "a",
            slots={
                "chat": {"serving_policy": "local_only"},
                "tts": {"serving_policy": "local_only"},
                "vision": {"preferred_engines": ["mlx"]},
                "ocr": {"serving_policy": "local_only"},
            },
            config={"n": 2},
        ),
        desired_app("c"),
    ]
    base = [
        desired_app(
            "a",
            slots={
                "chat": {"serving_policy": "local_only"},
                "tts": {},
                "vision": {"preferred_engines": ["coreml"]},
                "ocr": {"serving_policy": "local_only"},
                "reasoning": {},
            },
            config={"n": 1},
        ),
        desired_app("b"),
        desired_app("c", targets=["ios:c"]),
    ]
    tip = [
        replace(
            base[0],
            slots=tuple(
                replace(slot, fields={**slot.fields, "public_client_allowed": True})
                if slot.capability == "ocr"
                else slot
                for slot in base[0].slots
            ),
        ),
        *base[1:],
    ]
    live = [
        live_app(
            "a",
            slots={
                "chat": {"serving_policy": "cloud_only"},
                "tts": {},
                "vision": {"preferred_engines": ["sherpa-onnx"]},
                "ocr": {"serving_policy": "cloud_first"},
                "reasoning": {},
            },
            config={"n": 1},
        ),
        live_app("c", targets=["ios:c"]),
    ]
    seen = observation(*live, org_feed=(event(10),), requests=9)
    known = Base(state=State.from_apps(*base), tip=State.from_apps(*tip))
    made = plan_of(tree, seen, base=known, hold=HOLDING)
    about = run_info(trailers=("diverged",), invocation=Invocation(paths=("apps/",), base="origin/main"))
    text = render_plan(plan_report(made, about=about, blocked=judge(made, GuardPolicy())), colour=False)
    assert_golden(Path(__file__).parent / "golden" / "three_way.txt", text)
    document: Any = document_of(made, about=about, blocked=judge(made, GuardPolicy()))
    assert document["summary"]["held"] == 1
    assert document["blocked"][0]["trailer"] == "Octosync-Allow: diverged"
    assert [row["held_until"] for row in document["resource_changes"] if row["held_until"]] == ["2030-01-01T12:20:00Z"]
    assert document["scope"]["left_alone"]["orphan_apps"] == ["b"]
    assert document["scope"]["left_alone"]["released"] == ["app/c/target/ios:c"]


def test_public_clients_that_the_plan_disables_are_no_warning() -> None:
    """A revert of `publicClientAllowed: true` is a row of the plan, and no finding asks for the same."""
    live = live_app("a", slots={"chat": {"public_client_allowed": True}})
    base, tree = (desired_app("a", slots={"chat": fields}) for fields in ({"public_client_allowed": True}, {}))
    reverted = plan3(tree, base, live)
    assert (reason(reverted, SLOT), reverted.diagnostics) == (Reason.REMOVED, ())
    (finding,) = plan3(desired_app("a", slots={"chat": {"preferred_engines": ["mlx"]}}), tree, live).diagnostics
    assert finding.rule == "undeclared-public-client"


def test_an_archive_that_waits_is_no_drift() -> None:
    """An app that main removed, and that gives a target to a suspended app, is archived by the change that ends the wait only."""
    given = desired_app("d", targets=["ios:1"], suspended=True)
    applied = State.from_apps(
        desired_app("b", targets=["ios:1", "ios:2"]), desired_app("c", targets=[]), desired_app("d", targets=[])
    )
    merged = State.from_apps(desired_app("c", targets=["ios:2"]), given)
    base = Base(state=merged, unapplied=UnappliedChanges.between(merged, Base(state=applied)))

    def planned(*tree: App) -> Plan:
        plan = make_plan(State.from_apps(*tree), as_live(applied, merged), PlanOptions(now=NOW, base=base, prune=True))
        assert plan.drifted == ()
        assert plan.pending is not None
        assert rows(plan.pending.actions) == ["delete app/b/target/ios:2 moved", "create app/c/target/ios:2 moved"]
        return plan

    def rows(actions: Iterable[Action]) -> list[str]:
        return [f"{action.verb.value} {action.address} {action.reason.value}" for action in actions]

    waits = planned(*merged)
    assert (rows(waits.actions), [*map(str, waits.left_alone.waiting)]) == ([], ["app/b", "app/b/target/ios:1"])
    assert rows(planned(desired_app("c", targets=["ios:1", "ios:2"]), replace(given, targets=())).actions) == [
        "delete app/b/target/ios:1 moved",
        "create app/c/target/ios:1 moved",
        "archive app/b removed",
    ]
    assert rows(planned(desired_app("b", targets=["ios:2"]), desired_app("c", targets=[]), given).actions) == [
        "delete app/c/target/ios:2 moved",
        "create app/b/target/ios:2 moved",
    ]


def test_what_is_pending_is_found_in_linear_time() -> None:
    """The apps that differ from what was applied are compared once: four times as many apps take about four times the calls."""

    def calls(count: int) -> int:
        applied, merged = (
            State.from_apps(*(desired_app(f"app-{number}", fields={"name": name}) for number in range(count)))
            for name in ("Before", "After")
        )
        number = 0

        def count_call(*_: object) -> None:
            nonlocal number
            number += 1

        sys.setprofile(count_call)
        try:
            unapplied = UnappliedChanges.between(merged, Base(state=applied))
        finally:
            sys.setprofile(None)
        assert unapplied is not None
        assert unapplied.apps == merged.apps.keys()
        return number

    assert calls(80) < 5 * calls(20)
