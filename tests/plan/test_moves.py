"""A target that moves between apps is one unit: it is never removed without being registered, and never lost."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import pytest
from tests.support.sample_reports import run_info
from tests.support.states import NOW, action_lines, child_app, desired_app, live_app, plan_of, policy_of

from octosync.model import App, Reason
from octosync.plan import GuardPolicy, Plan, RegisterTarget, RemoveTarget, judge
from octosync.report.plan import left_alone_lines, rest_words


def rules(plan: Plan) -> list[str]:
    """Return the rules of the plan's diagnostics."""
    return [finding.rule for finding in plan.diagnostics]


def moves_in(plan: Plan) -> set[tuple[str, str]]:
    """Return the plan's moves as (from app, to app), after matching both halves."""
    first = {(a.address, a.moves_to) for a in plan.actions if isinstance(a, RemoveTarget) and a.moves_to is not None}
    second = {
        (a.moves_from, a.address) for a in plan.actions if isinstance(a, RegisterTarget) and a.moves_from is not None
    }
    assert first == second
    return {(old.app, new.app) for old, new in second}


def apps(**targets: Iterable[str]) -> list[App]:
    """Declare apps, each with its whole list of targets."""
    return [desired_app(slug, targets=list(keys)) for slug, keys in targets.items()]


def live(**targets: Iterable[str]) -> list[App]:
    """Return live apps, each with its targets."""
    return [live_app(slug, targets=list(keys)) for slug, keys in targets.items()]


def test_a_move_is_a_removal_and_then_a_registration() -> None:
    """Both halves have the reason `moved` and the address of the other; the second directly follows the first."""
    plan = plan_of(apps(b=["ios:x"], a=[]), live(a=["ios:x"], b=[]))
    assert action_lines(plan) == ["delete app/a/target/ios:x", "create app/b/target/ios:x"]
    assert moves_in(plan) == {("a", "b")}
    assert {action.reason for action in plan.actions} == {Reason.MOVED}
    assert plan.actions[1].depends_on == (plan.actions[0].key,)


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        ({"a": ["ios:1"], "b": ["ios:2"]}, {"a": ["ios:2"], "b": ["ios:1"]}, {("a", "b"), ("b", "a")}),
        (
            {"a": ["ios:1"], "b": ["ios:2"], "c": ["ios:3"]},
            {"a": ["ios:3"], "b": ["ios:1"], "c": ["ios:2"]},
            {("a", "b"), ("b", "c"), ("c", "a")},
        ),
        ({"a": ["ios:1", "ios:2"], "b": []}, {"a": [], "b": ["ios:1", "ios:2"]}, {("a", "b")}),
        ({"a": ["ios:1"], "b": []}, {"a": ["android:1"], "b": ["ios:1"]}, {("a", "b")}),
    ],
)
def test_swaps_and_rotations_have_no_cycle(
    before: dict[str, list[str]], after: dict[str, list[str]], moved: set[tuple[str, str]]
) -> None:
    """Every removal of a tuple precedes its registration, so any exchange of targets can be ordered."""
    plan = plan_of(apps(**after), live(**before))
    assert moves_in(plan) == moved
    order = {action.key: place for place, action in enumerate(plan.actions)}
    assert all(order[need] < order[action.key] for action in plan.actions for need in action.depends_on)


def test_the_receiving_app_is_created_before_the_first_half() -> None:
    """A target leaves its app only after everything that its registration waits for."""
    plan = plan_of(apps(z=["ios:x"], a=[]), live(a=["ios:x"]))
    assert action_lines(plan) == ["create app/z", "delete app/a/target/ios:x", "create app/z/target/ios:x"]
    create, removal, registration = plan.actions
    assert removal.depends_on == (create.key,)
    assert set(registration.depends_on) == {create.key, removal.key}


def test_a_target_moves_off_an_app_that_is_archived_in_the_same_plan() -> None:
    """The archive waits for both halves: an archived app could not take its target back."""
    wanted = [desired_app("a", archived=True, targets=[]), desired_app("b", targets=["ios:x"])]
    plan = plan_of(wanted, live(a=["ios:x"], b=[]))
    assert action_lines(plan) == ["delete app/a/target/ios:x", "create app/b/target/ios:x", "archive app/a"]
    assert set(plan.actions[-1].depends_on) == {plan.actions[0].key, plan.actions[1].key}


def test_a_child_document_can_receive_a_target() -> None:
    """The receiving end of a move may be an AppTarget document."""
    plan = plan_of([desired_app("a", targets=[]), child_app("b", targets=["ios:x"])], live(a=["ios:x"], b=[]))
    assert moves_in(plan) == {("a", "b")}


@pytest.mark.parametrize("suspended", ["a", "b"])
@pytest.mark.parametrize("read", [True, False])
def test_neither_half_is_planned_if_an_end_is_suspended(suspended: str, read: bool) -> None:
    """A suspended app gives and takes nothing, whether it was read or not; the half that waits is reported."""
    keys: dict[str, list[str]] = {"a": [], "b": ["ios:x"]}
    wanted = [desired_app(slug, targets=keys[slug], suspended=slug == suspended) for slug in keys]
    seen = [app for app in live(a=["ios:x"], b=[]) if read or app.slug != suspended]
    plan = plan_of(wanted, seen)
    assert plan.left_alone.suspended == (suspended,)
    if suspended == "a" and not read:
        # The holder is unknown: the registration is tried, and the control plane names the holder.
        assert action_lines(plan) == ["create app/b/target/ios:x"]
        return
    assert action_lines(plan) == []
    assert rules(plan) == ["move-waits"]
    half = "app/a/target/ios:x" if suspended == "b" else "app/b/target/ios:x"
    assert [str(address) for address in plan.left_alone.waiting] == [half]
    assert rest_words(plan) == "1 suspended, 1 waiting"
    assert f"Waiting for a suspended app at the other end of a move: {half}" in left_alone_lines(plan, run_info())


def test_a_move_to_a_suspended_app_that_is_archived_is_blocked() -> None:
    """It would wait forever, so guard `archived` names the app. Without a waiting move, a suspended app is left alone."""
    taker = desired_app("b", targets=["ios:x"], suspended=True)
    seen = [live_app("a", targets=["ios:x"]), live_app("b", archived=True, read=())]
    plan = plan_of([desired_app("a", targets=[]), taker], seen)
    assert (action_lines(plan), rules(plan)) == ([], ["move-waits"])
    (blocked,) = judge(plan, GuardPolicy())
    assert (blocked.guard, blocked.addresses) == ("archived", (taker.address,))
    assert judge(plan_of([desired_app("a", targets=["ios:x"]), taker], seen), GuardPolicy()) == ()


def test_other_moves_of_a_rotation_are_planned() -> None:
    """In a rotation with one suspended app, the move between the others is planned."""
    wanted = [
        desired_app("a", targets=["ios:3"]),
        desired_app("b", targets=["ios:1"]),
        desired_app("c", targets=["ios:2"], suspended=True),
    ]
    plan = plan_of(wanted, live(a=["ios:1"], b=["ios:2"], c=["ios:3"]))
    assert action_lines(plan) == ["delete app/a/target/ios:1", "create app/b/target/ios:1"]
    assert rules(plan) == ["move-waits", "move-waits"]


@pytest.mark.parametrize(
    ("archived", "counterpart"),
    [
        (desired_app("a", archived=True, targets=[]), desired_app("b", targets=["ios:x"], suspended=True)),
        (desired_app("b", archived=True, targets=["ios:x"]), desired_app("a", targets=[], suspended=True)),
    ],
)
def test_an_archive_waits_with_a_move_that_waits(archived: App, counterpart: App) -> None:
    """An app whose target waits to move isn't archived first, because an archive can't be undone."""
    plan = plan_of([archived, counterpart], live(a=["ios:x"], b=[]))
    assert action_lines(plan) == []
    assert rules(plan) == ["move-waits", "move-waits"]
    assert any("archive waits" in finding.summary for finding in plan.diagnostics)


def test_an_expired_suspension_has_no_effect() -> None:
    """A suspension ends at its time, and the move is planned."""
    for until, planned in ((NOW, 2), (NOW + timedelta(seconds=1), 0)):
        wanted = [desired_app("a", targets=[]), desired_app("b", targets=["ios:x"], suspended=until)]
        assert len(plan_of(wanted, live(a=["ios:x"], b=[])).actions) == planned


@pytest.mark.parametrize("read", [True, False])
def test_a_suspended_app_is_left_alone_with_any_declaration(read: bool) -> None:
    """Nothing of a suspended app is planned, compared or reported missing, child documents and unread apps included."""
    seen = [live_app("a", name="other", targets=["ios:y"])] if read else []
    for wanted in (
        desired_app("a", fields={"name": "n"}, targets=["ios:x"], slots={"chat": {}}, config={}, suspended=True),
        desired_app("a", archived=True, suspended=True),
    ):
        plan = plan_of(wanted, seen)
        assert (plan.actions, plan.unchanged, plan.fingerprints, plan.errors) == ((), (), {}, {})
    child = child_app("a", targets=["ios:x"], suspension=desired_app("a", suspended=True).suspension)
    plan = plan_of(child, seen)
    assert (plan.actions, plan.errors) == ((), {})


def test_a_protected_source_blocks_both_halves() -> None:
    """The guard names the removal, and the registration that can't happen without it."""
    wanted = [desired_app("a", targets=[], protected=True), desired_app("b", targets=["ios:x"])]
    plan = plan_of(wanted, live(a=["ios:x"], b=[]))
    (blocked,) = judge(plan, GuardPolicy())
    assert blocked.guard == "protected"
    assert list(map(str, blocked.addresses)) == ["app/a/target/ios:x", "app/b/target/ios:x"]
    assert judge(plan, policy_of(allow_protected=True)) == ()


def test_a_protected_receiver_blocks_nothing() -> None:
    """Protection is against loss: a protected app may gain a target."""
    wanted = [desired_app("a", targets=[]), desired_app("b", targets=["ios:x"], protected=True)]
    assert judge(plan_of(wanted, live(a=["ios:x"], b=[])), GuardPolicy()) == ()


def test_a_known_holder_that_keeps_its_target_is_a_warning() -> None:
    """If another app keeps the target, the plan warns that the control plane will reject the registration."""
    wanted = [child_app("a", targets=["ios:y"]), desired_app("b", targets=["ios:x"])]
    plan = plan_of(wanted, live(a=["ios:x", "ios:y"], b=[]))
    assert action_lines(plan) == ["create app/b/target/ios:x"]
    (finding,) = plan.diagnostics
    assert (finding.rule, finding.severity.value) == ("target-held-elsewhere", "warning")
    assert "`a`" in finding.summary


def test_an_unknown_holder_is_not_guessed() -> None:
    """If no app that was read has the target, its registration is planned, and the control plane decides."""
    plan = plan_of(apps(b=["ios:x"]), live(b=[]))
    assert action_lines(plan) == ["create app/b/target/ios:x"]
    assert plan.diagnostics == ()
    assert moves_in(plan) == set()
