"""Guards refuse by default, at the limit and not before it, and name the exact flag that allows the change."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.states import NOW, desired_app, live_app, live_deployment, observation, plan_of, policy_of

from octosync.model import (
    Address,
    App,
    Canary,
    ControllerSuspension,
    Deploy,
    FreezeWindow,
    Hold,
    OperatorControls,
    OptimizationCheck,
    Optimize,
    Origin,
    RoutingStats,
    Section,
    State,
)
from octosync.plan import (
    ALL,
    FLAGS,
    GUARDS,
    GuardPolicy,
    Override,
    Plan,
    ReadNeeds,
    Refusal,
    judge,
    overrides_of,
    read_needs_of,
    refused_actions,
)
from octosync.plan.guards.table import Reach
from octosync.plan.three_way.verdict import Base


def removing(number: int, of: int, **more: Any) -> Plan:
    """Plan the removal of `number` of `of` live targets."""
    live = live_app("a", targets=[f"ios:{n}" for n in range(of)])
    return plan_of(desired_app("a", targets=[f"ios:{n}" for n in range(number, of)], **more), live)


def refusals(plan: Plan, **policy: Any) -> list[str]:
    """Return the names of the guards that refuse."""
    return [blocked.guard for blocked in judge(plan, policy_of(**policy))]


@pytest.mark.parametrize(
    ("number", "of", "policy", "refused"),
    [
        # The count: ten is allowed, eleven is not.
        (10, 100, {}, False),
        (11, 100, {}, True),
        (3, 100, {"max_deletes": 2}, True),
        (2, 100, {"max_deletes": 2}, False),
        (1, 100, {"max_deletes": 0}, True),
        (0, 100, {"max_deletes": 0}, False),
        # The share: 30% is allowed and more is not, from ten objects on.
        (3, 10, {}, False),
        (4, 10, {}, True),
        (9, 9, {}, False),
        (4, 13, {}, True),
        (4, 14, {}, False),
        (1, 10, {"max_delete_percent": 10}, False),
        (2, 10, {"max_delete_percent": 10}, True),
        (2, 2, {"min_objects": 3}, False),
        (2, 2, {"min_objects": 2}, True),
        (2, 2, {"min_objects": 2, "max_delete_percent": 100}, False),
        # A flag raises both, up to its number.
        (12, 20, {"allow_deletes": 12}, False),
        (13, 20, {"allow_deletes": 12}, True),
        (4, 10, {"allow_deletes": 4}, False),
        (20, 20, {"allow_deletes": ALL}, False),
        (1, 20, {"allow_deletes": 0}, True),
    ],
)
def test_deletes_at_the_boundary(number: int, of: int, policy: dict[str, Any], refused: bool) -> None:
    """The limit itself is allowed and one more is refused, for the count and for the share."""
    assert refusals(removing(number, of), **policy) == (["deletes"] if refused else [])


@pytest.mark.parametrize(
    ("number", "of", "message"),
    [(11, 100, "11 removals, at most 10"), (4, 10, "4 of 10 targets"), (31, 103, "31 removals")],
)
def test_a_refusal_has_the_numbers_and_its_flag(number: int, of: int, message: str) -> None:
    """The message has the numbers, the flag is ready to be typed, and it allows exactly this plan."""
    plan = removing(number, of)
    (blocked,) = judge(plan, GuardPolicy())
    assert blocked.message.startswith(message)
    assert blocked.override == f"--allow-deletes {number}"
    assert len(blocked.addresses) == number
    assert judge(plan, policy_of(allow_deletes=number)) == ()


def test_a_share_just_over_the_limit_is_not_rounded_to_it() -> None:
    """A refusal never claims that 30% is more than 30%."""
    (blocked,) = judge(removing(31, 103), policy_of(max_deletes=99))
    assert (
        blocked.message
        == "31 of 103 targets in the apps of this change would be removed (30.1%), at most 30% are allowed in a run"
    )


def test_counts_agree_with_their_nouns() -> None:
    """One removal is singular, two are plural."""
    (blocked,) = judge(removing(1, 5), policy_of(max_deletes=0))
    assert blocked.message == "1 removal, at most 0 are allowed in a run"
    (blocked,) = judge(removing(2, 5), policy_of(max_deletes=1))
    assert blocked.message == "2 removals, at most 1 is allowed in a run"


def test_counts_cover_all_kinds_and_shares_one_kind() -> None:
    """The count is over all kinds; a share is of the objects of one kind."""
    slugs = [f"app-{n:02d}" for n in range(10)]
    live = [live_app(slug, targets=[f"ios:{slug}"], slots={"chat": {}}, config={"m": 1}) for slug in slugs]
    none: dict[str, Any] = {"targets": [], "slots": {}, "config": None}
    desired = [desired_app(slug, **none if slug < "app-03" else {}) for slug in slugs]
    plan = plan_of(desired, live)
    assert len(plan.actions) == 9
    assert refusals(plan) == []
    assert refusals(plan, max_deletes=8) == ["deletes"]
    four = plan_of([desired_app(slug, **none if slug < "app-04" else {}) for slug in slugs], live)
    assert refusals(four, max_deletes=99) == ["deletes", "deletes", "deletes"]
    messages = [blocked.message for blocked in judge(four, policy_of(max_deletes=99))]
    assert [message.split(" in the apps")[0] for message in messages] == [
        "4 of 10 targets",
        "4 of 10 slots",
        "4 of 10 inference configs",
    ]


def test_only_live_objects_that_were_read_count() -> None:
    """The share is of live objects; declared objects and absent configs don't count."""
    live = [live_app(f"a{n}", config={"m": 1} if n < 9 else None) for n in range(20)]
    wanted = [desired_app(f"a{n}", config=None if n < 9 else {"m": 2}) for n in range(20)]
    assert refusals(plan_of(wanted, live)) == []


def test_a_move_counts_as_one() -> None:
    """Moving eleven targets is eleven removals, not twenty-two; ten are allowed."""
    for number, refused in ((10, False), (11, True)):
        keys = [f"ios:{n}" for n in range(number)]
        rest = [f"android:{n}" for n in range(100)]
        live = [live_app("a", targets=[*keys, *rest]), live_app("b")]
        plan = plan_of([desired_app("a", targets=rest), desired_app("b", targets=keys)], live)
        assert len(plan.actions) == 2 * number
        assert refusals(plan) == (["deletes"] if refused else [])


@pytest.mark.parametrize(
    ("number", "policy", "refused"),
    [
        (1, {}, False),
        (2, {}, True),
        (2, {"max_archives": 2}, False),
        (1, {"max_archives": 0}, True),
        (3, {"allow_archives": 3}, False),
        (4, {"allow_archives": 3}, True),
        (2, {"allow_deletes": ALL}, True),
    ],
)
def test_archives_at_the_boundary(number: int, policy: dict[str, Any], refused: bool) -> None:
    """One archive per run unless more are allowed. Allowing deletes allows no archive, and an archive is not a delete."""
    plan = plan_of(
        [desired_app(f"a{n}", archived=True) for n in range(number)], [live_app(f"a{n}") for n in range(number)]
    )
    assert refusals(plan, **policy) == (["archives"] if refused else [])
    for blocked in judge(plan, policy_of(**policy)):
        assert blocked.override == f"--allow-archives {number}"
        assert "be undone" in blocked.message


@pytest.mark.parametrize(
    ("declared", "refused"),
    [
        ({"targets": []}, True),
        ({"slots": {}}, True),
        ({"config": None}, True),
        ({"archived": True}, True),
        ({"config": {"m": 2}}, False),
        ({"slots": {"chat": {"bindings": []}}}, False),
        ({"targets": ["ios:x", "ios:y"]}, False),
        ({"fields": {"name": "n"}}, False),
    ],
)
def test_a_protected_app_loses_nothing(declared: dict[str, Any], refused: bool) -> None:
    """Every delete and archive in a protected app is refused. Other changes, and unprotected apps, are not."""
    live = live_app("a", targets=["ios:x"], slots={"chat": {"bindings": [{"use_case": "x"}]}}, config={"m": 1})
    assert refusals(plan_of(desired_app("a", protected=True, **declared), live)) == (["protected"] if refused else [])
    assert refusals(plan_of(desired_app("a", protected=True, **declared), live), allow_protected=True) == []
    assert refusals(plan_of(desired_app("a", **declared), live)) == []


def test_a_protected_refusal_names_apps_and_objects() -> None:
    """The message has the number of deletions and the apps; the addresses are those of the objects."""
    live = [live_app(slug, slots={"chat": {}}) for slug in "abc"]
    plan = plan_of([desired_app(slug, slots={}, protected=slug != "b") for slug in "abc"], live)
    (blocked,) = judge(plan, GuardPolicy())
    assert blocked.message.startswith("2 deletions in protected apps a, c ")
    assert blocked.override == "--allow-protected"
    assert list(map(str, blocked.addresses)) == ["app/a/slot/chat", "app/c/slot/chat"]


def test_no_flag_unarchives_an_app() -> None:
    """An archived app that isn't declared as archived is refused with any flag. The hint is about the manifests."""
    plan = plan_of(desired_app("a"), live_app("a", archived=True, read=()))
    everything = policy_of(allow_deletes=ALL, allow_archives=99, allow_protected=True)
    (blocked,) = judge(plan, everything)
    assert (blocked.guard, blocked.override) == ("archived", None)
    assert "archived: true" in (blocked.way_out or "")
    assert list(map(str, blocked.addresses)) == ["app/a"]


def test_refusals_are_in_the_order_of_the_guards() -> None:
    """Deletes, archives, protected, archived: every refusal is listed."""
    live = [
        live_app("a", targets=["ios:x"]),
        live_app("b"),
        live_app("c"),
        live_app("d", archived=True, read=()),
    ]
    wanted = [
        desired_app("a", targets=[], protected=True),
        desired_app("b", archived=True),
        desired_app("c", archived=True),
        desired_app("d"),
    ]
    assert refusals(plan_of(wanted, live), max_deletes=0) == ["deletes", "archives", "protected", "archived"]


def test_judging_does_not_change_the_plan() -> None:
    """A verdict is separate from the plan: a refused action is still shown as planned."""
    plan = removing(11, 100)
    before = plan.actions
    verdict: tuple[Refusal, ...] = judge(plan, GuardPolicy())
    assert verdict
    assert plan.actions == before


def test_an_empty_plan_is_never_refused() -> None:
    """An empty plan passes the strictest limits."""
    plan = plan_of([], observation())
    assert judge(plan, policy_of(max_deletes=0, max_delete_percent=0, min_objects=0, max_archives=0)) == ()


@pytest.mark.parametrize(
    ("policy", "overrides"),
    [
        ({}, []),
        ({"max_deletes": 99, "max_archives": 9}, []),
        ({"allow_deletes": 12}, [("deletes", "12", "--allow-deletes")]),
        ({"allow_deletes": 0}, [("deletes", "0", "--allow-deletes")]),
        ({"allow_deletes": ALL}, [("deletes", "all", "--allow-deletes")]),
        ({"allow_archives": 2}, [("archives", "2", "--allow-archives")]),
        ({"allow_diverged": True}, [("diverged", "", "--allow-diverged")]),
        ({"allow_frozen": True}, [("frozen", "", "--allow-frozen")]),
        (
            {"allow_deletes": 1, "allow_archives": 1, "allow_protected": True},
            [
                ("deletes", "1", "--allow-deletes"),
                ("archives", "1", "--allow-archives"),
                ("protected", "", "--allow-protected"),
            ],
        ),
    ],
)
def test_every_override_is_listed(policy: dict[str, Any], overrides: list[tuple[str, str, str]]) -> None:
    """Every flag that loosens a guard is listed with its value, needed or not; limits of the configuration are not overrides."""
    wanted = [Override(guard=guard, value=value, source=source) for guard, value, source in overrides]
    assert list(overrides_of(policy_of(**policy))) == wanted


CANARY = Canary(candidate="v2", percentage=40)


def with_canary(slug: str = "a", **more: Any) -> App:
    """Return a live app with targets and slots, with a canary of chat."""
    return live_app(
        slug,
        **{
            "targets": ["ios:x", "ios:y"],
            "slots": {"chat": {}, "tts": {}},
            "deployments": [live_deployment(slug, canary=CANARY), live_deployment(slug, "tts")],
            **more,
        },
    )


@pytest.mark.parametrize(
    ("desired", "refused"),
    [
        (desired_app("a", slots={"chat": {"serving_policy": "local_only"}, "tts": {}}), True),
        (desired_app("a", slots={"tts": {}}), True),
        (desired_app("a", targets=["ios:x"]), True),
        (desired_app("a", slots={"chat": {}, "tts": {"serving_policy": "local_only"}}), False),
        (desired_app("a", slots={"chat": {}, "tts": {}, "vision": {}}), False),
        (desired_app("a", targets=["ios:x", "ios:y", "ios:z"]), False),
        (desired_app("a", fields={"name": "New"}, config={"n": 1}), False),
        (desired_app("a", slots={"chat": {}, "tts": {}}), False),
    ],
    ids=["put", "delete", "remove a target", "another slot", "new slot", "new target", "app and config", "nothing"],
)
def test_a_canary_protects_its_slot_and_targets(desired: App, refused: bool) -> None:
    """Its slot is neither written nor deleted, and no target of its app is removed. Other changes are allowed."""
    plan = plan_of(desired, with_canary())
    assert refusals(plan) == (["during-canary"] if refused else [])
    assert refusals(plan, allow_during_canary=True) == []


def test_the_canarys_progress_is_in_the_message() -> None:
    """Its address, progress and candidate, what it stops, the flag, and how to see when it is complete."""
    plan = plan_of(desired_app("a", slots={"tts": {}}), with_canary())
    (blocked,) = judge(plan, GuardPolicy())
    assert blocked.message == "a: 1 change while a canary runs: chat@production at 40% to v2"
    assert blocked.override == "--allow-during-canary"
    assert (blocked.way_out, blocked.look_at) == ("Wait until it is complete", "a")
    assert list(map(str, blocked.addresses)) == ["app/a/slot/chat"]


def test_a_canary_stops_nothing_in_other_apps() -> None:
    """Removals and changes of another app, with the same names, are not refused."""
    unrelated = live_app("b", targets=["android:x"], slots={"chat": {}, "tts": {}})
    loses = desired_app("b", targets=[], slots={"chat": {"serving_policy": "local_only"}})
    plan = plan_of([desired_app("a"), loses], [with_canary(), unrelated])
    assert len(plan.actions) == 3
    assert refusals(plan) == []


def test_two_canaries_in_one_app_are_one_refusal() -> None:
    """Changes that either of them blocks are refused, and both are shown; canaries of two apps are two refusals."""
    both = [live_deployment("a", canary=CANARY), live_deployment("a", "tts", canary=Canary(candidate="v9"))]
    plan = plan_of(desired_app("a", slots={"chat": {}}), with_canary(deployments=both))
    (blocked,) = judge(plan, GuardPolicy())
    assert blocked.message == "a: 1 change while a canary runs: chat@production at 40% to v2, tts@production to v9"
    assert list(map(str, blocked.addresses)) == ["app/a/slot/tts"]
    apps = [desired_app(slug, slots={"tts": {}}) for slug in "ab"]
    two = judge(plan_of(apps, [with_canary("a"), with_canary("b", targets=[])]), GuardPolicy())
    assert [(blocked.guard, blocked.look_at) for blocked in two] == [("during-canary", "a"), ("during-canary", "b")]


@pytest.mark.parametrize(("capability", "refused"), [("chat", True), ("tts", False)])
def test_an_optimize_beside_a_canary_is_refused_for_the_same_slot_only(capability: str, refused: bool) -> None:
    """An optimize of a slot with a running canary is refused; that of another slot is not."""
    deployments = [live_deployment("a"), live_deployment("a", "tts")]
    better = OptimizationCheck(available=True, suggested="v2", improvement={"latency": 0.5})
    deploy = Deploy(environments=("production",), optimize=Optimize.AUTO)
    wanted = desired_app("a", slots={"chat": {}, "tts": {}}, deploy={capability: deploy})
    address = Address.of_capability("a", capability, "production")
    plan = plan_of(wanted, observation(with_canary(deployments=deployments), checks={address: better}, canaries=0))
    assert [action.verb.value for action in plan.actions] == ["optimize"]
    begun = replace(plan, canaries=(live_deployment("a", environment="staging", canary=CANARY),))
    assert refusals(begun) == (["during-canary"] if refused else [])


def test_a_canary_without_details_still_stops_changes() -> None:
    """A canary without percentage and candidate is a canary."""
    live = with_canary(deployments=[live_deployment("a", canary=Canary())])
    (blocked,) = judge(plan_of(desired_app("a", slots={"tts": {}}), live), GuardPolicy())
    assert blocked.message.endswith("while a canary runs: chat@production")


def test_a_second_optimize_of_a_slot_is_not_planned() -> None:
    """While a canary of a slot runs, an optimize of it in another environment waits, and so blocks nothing."""
    staging = live_deployment("a", environment="staging")
    live = with_canary(deployments=[live_deployment("a", canary=CANARY), staging])
    check = OptimizationCheck(available=True, suggested="v2", improvement={"latency": 0.5})
    deploy = Deploy(environments=("production", "staging"), optimize=Optimize.AUTO)
    wanted = desired_app("a", slots={"chat": {}, "tts": {}}, deploy={"chat": deploy})
    plan = plan_of(wanted, observation(live, checks={staging.address: check}, canaries=1))
    assert plan.actions == ()
    assert refusals(plan) == []


@pytest.mark.parametrize(
    ("desired", "refused"),
    [
        (desired_app("a", archived=True), True),
        (desired_app("a", targets=["ios:x"]), True),
        (desired_app("a", slots={"tts": {}}), True),
        (desired_app("a", slots={"chat": {"serving_policy": "local_only"}, "tts": {}}), False),
        (desired_app("a", targets=["ios:x", "ios:y", "ios:z"], config=None), False),
    ],
    ids=["archive", "remove a target", "delete a slot", "put a slot", "register a target"],
)
def test_an_app_with_requests_loses_nothing(desired: App, refused: bool) -> None:
    """Archive, slot removal and target removal of an app with requests are refused, with their number; other changes are not."""
    live = with_canary(deployments=[])
    plan = plan_of(desired, observation(live, routing={"a": RoutingStats(total=1234)}))
    assert refusals(plan) == (["live-traffic"] if refused else [])
    assert refusals(plan, allow_live_traffic=True) == []
    if refused:
        assert "1,234 requests" in judge(plan, GuardPolicy())[0].message
    assert refusals(plan_of(desired, observation(live, routing={"a": RoutingStats(total=0)}))) == []


def test_requests_of_one_app_stop_nothing_in_another() -> None:
    """Only the app that has them is refused, though both lose a slot."""
    live = [live_app(slug, slots={"chat": {}}) for slug in "ab"]
    plan = plan_of(
        [desired_app(slug, slots={}) for slug in "ab"], observation(*live, routing={"a": RoutingStats(total=1)})
    )
    (blocked,) = judge(plan, GuardPolicy())
    assert list(map(str, blocked.addresses)) == ["app/a/slot/chat"]
    assert blocked.message == "a has had 1 request (routing statistics), and would lose a slot or target"


def test_a_move_is_blocked_with_both_halves() -> None:
    """A canary or traffic of the old app blocks the registration too."""
    live = observation(with_canary(), live_app("b"), routing={"a": RoutingStats(total=1)})
    plan = plan_of([desired_app("a", targets=["ios:x"]), desired_app("b", targets=["ios:y"])], live)
    for blocked in judge(plan, GuardPolicy()):
        assert list(map(str, blocked.addresses)) == ["app/a/target/ios:y", "app/b/target/ios:y"]
    assert refusals(plan) == ["during-canary", "live-traffic"]


def test_a_lifted_guard_needs_no_request() -> None:
    """Request counts are read once if a guard needs them, and not at all with its flag."""
    lists = set(Section) - {Section.DEPLOYMENTS}
    seen = observation(live_app("a", targets=["ios:x"], read=lists))
    plan = plan_of(desired_app("a", targets=[]), seen, read_needs=read_needs_of(GuardPolicy(), None))
    assert (plan.questions.deployments, plan.questions.routing) == (("a",), ("a",))
    lifted = policy_of(allow_during_canary=True, allow_live_traffic=True)
    assert not plan_of(desired_app("a", targets=[]), seen, read_needs=read_needs_of(lifted, None)).questions
    answered = observation(live_app("a", targets=["ios:x"]), routing={"a": RoutingStats(total=0)})
    assert not plan_of(desired_app("a", targets=[]), answered, read_needs=ReadNeeds()).questions


def test_deployments_of_a_deleted_slot_are_always_read() -> None:
    """Every deletion reports whether its deployment keeps running, so a lifted guard saves no request there."""
    seen = observation(live_app("a", slots={"chat": {}}, read=set(Section) - {Section.DEPLOYMENTS}))
    lifted = read_needs_of(policy_of(allow_during_canary=True, allow_live_traffic=True), None)
    assert plan_of(desired_app("a", slots={}), seen, read_needs=lifted).questions.deployments == ("a",)


def test_overrides_in_force_are_listed() -> None:
    """They are listed whether they are needed or not."""
    policy = policy_of(allow_during_canary=True, allow_live_traffic=True)
    assert [override.source for override in overrides_of(policy)] == ["--allow-during-canary", "--allow-live-traffic"]


def freeze(hours: int = 60, **more: Any) -> FreezeWindow:
    """Return a window that opens at noon of the day of `NOW`, once a year."""
    return FreezeWindow(cron="0 12 1 1 *", duration=timedelta(hours=hours), **more)


def renamed(*slugs: str, **more: Any) -> Plan:
    """Plan another name for each of these apps."""
    return plan_of([desired_app(slug, fields={"name": "B"}) for slug in slugs], map(live_app, slugs), **more)


def test_changes_inside_a_freeze_window_are_refused() -> None:
    """The message has apps, changes, window and end; the hint is to wait; the flag lifts it."""
    plan = renamed("a", "b", freeze=[freeze(origin=Origin("octosync.yaml", 7, 5))])
    (blocked,) = judge(plan, GuardPolicy())
    assert (blocked.guard, blocked.override, blocked.way_out) == ("frozen", "--allow-frozen", "Wait until then")
    assert blocked.message == "a, b: 2 changes inside a freeze window (octosync.yaml:7), until 2030-01-04 00:00 UTC"
    assert blocked.addresses == (App(slug="a").address, App(slug="b").address)
    assert judge(plan, policy_of(allow_frozen=True)) == ()
    assert overrides_of(policy_of(allow_frozen=True)) == (Override(guard="frozen", value="", source="--allow-frozen"),)


def test_only_frozen_apps_with_changes_are_refused() -> None:
    """An exempt app is named as one that can be planned alone. An app without changes is not refused."""
    window = freeze(exempt=("sandbox-*",))
    (blocked,) = judge(renamed("a", "sandbox-x", "sandbox-y", freeze=[window]), GuardPolicy())
    assert blocked.message.startswith("a: 1 change inside a freeze window, until")
    assert blocked.way_out == "Wait until then, or plan the others alone: --app sandbox-x --app sandbox-y"
    assert judge(renamed("sandbox-x", freeze=[window]), GuardPolicy()) == ()
    assert judge(plan_of(desired_app("a"), live_app("a"), freeze=[window]), GuardPolicy()) == ()
    assert judge(renamed("a", freeze=[window], now=NOW - timedelta(seconds=1)), GuardPolicy()) == ()


def test_apps_of_different_windows_are_separate_refusals() -> None:
    """Each refusal has its own end, and only the first of many apps are named."""
    many = [f"app-{number}" for number in range(9)]
    plan = renamed(
        *many,
        "z",
        *(f"free-{n}" for n in range(7)),
        freeze=[freeze(1, exempt=("z", "free-*")), freeze(2, exempt=("app-*", "free-*"))],
    )
    first, second = judge(plan, GuardPolicy())
    assert first.message.startswith("app-0, app-1, app-2, app-3, app-4 and 4 more: 9 changes inside")
    assert (first.message[-20:], second.message[-20:]) == ("2030-01-01 13:00 UTC", "2030-01-01 14:00 UTC")
    assert len(first.addresses) == 9
    assert first.way_out == "Wait until then, or plan the others alone: 7 apps, with --app"


def test_a_freeze_without_an_end_has_nothing_to_wait_for() -> None:
    """The message has no end, and the hint names only the apps that can be planned alone."""
    always = FreezeWindow(cron="* * * * *", duration=timedelta(hours=1), exempt=("b",))
    (blocked,) = judge(renamed("a", freeze=[always]), GuardPolicy())
    assert blocked.message.endswith("a freeze window, with no end in sight")
    assert blocked.way_out is None
    (blocked,) = judge(renamed("a", "b", freeze=[always]), GuardPolicy())
    assert blocked.way_out == "Plan the others alone: --app b"


@pytest.mark.parametrize("exempt", ["a", "b"])
def test_a_move_out_of_or_into_a_frozen_app_is_refused_in_both(exempt: str) -> None:
    """Half a move would leave the target unregistered, so neither app can be planned alone."""
    wanted = [desired_app("a", targets=[]), desired_app("b", targets=["ios:x"])]
    live = [live_app("a", targets=["ios:x"]), live_app("b", targets=[])]
    (blocked,) = judge(plan_of(wanted, live, freeze=[freeze(exempt=(exempt,))]), GuardPolicy())
    assert sorted(address.app for address in blocked.addresses) == ["a", "b"]
    assert blocked.way_out == "Wait until then"


def on_hold(*slugs: str, suspension: ControllerSuspension | None = None) -> OperatorControls:
    """Return holds of these apps until two hours after `NOW`."""
    holds = (Hold(app=slug, until=NOW + timedelta(hours=2), reason="incident 4711", at=NOW) for slug in slugs)
    return OperatorControls(holds={hold.app: hold for hold in holds}, suspension=suspension)


def test_without_a_base_every_change_of_an_app_on_hold_is_refused() -> None:
    """Each of them may undo a change by hand. The message has the end and the reason; other apps pass; the flag lifts it."""
    plan = renamed("a", "b", controls=on_hold("a", "c"))
    (blocked,) = judge(plan, GuardPolicy())
    assert (blocked.guard, blocked.override) == ("held", "--allow-held")
    assert blocked.message == (
        "a: 1 change may undo a change by hand, and the app is on hold until 2030-01-01 14:00 UTC, "
        "since 2030-01-01 12:00 UTC: incident 4711"
    )
    assert blocked.addresses == (App(slug="a").address,)
    assert list(plan.controls.holds) == ["a"]
    assert judge(plan, policy_of(allow_held=True)) == ()
    assert judge(plan, GuardPolicy(), in_watch=True) == ()


def test_with_a_base_declared_changes_of_an_app_on_hold_are_applied() -> None:
    """A hold is about changes by hand: only what would overwrite one is refused, also if the guard `diverged` is lifted."""
    base = Base(state=State.from_apps(desired_app("a", fields={"name": "A"})))
    tree = desired_app("a", fields={"name": "B"})
    declared = plan_of(tree, live_app("a", fields={"name": "A"}), base=base, controls=on_hold("a"))
    assert (len(declared.actions), judge(declared, GuardPolicy())) == (1, ())
    overwriting = plan_of(tree, live_app("a", fields={"name": "C"}), base=base, controls=on_hold("a"))
    (blocked,) = judge(overwriting, policy_of(allow_diverged=True))
    assert blocked.message.startswith("a: 1 change would undo a change by hand, and the app is on hold until")


def test_a_suspension_refuses_every_plan_with_changes() -> None:
    """The refusal names no object, so it concerns the whole plan; an empty plan passes."""
    everything = OperatorControls(suspension=ControllerSuspension(at=NOW, reason="incident 4711"))
    (blocked,) = judge(renamed("a", "b", controls=everything), GuardPolicy())
    assert (blocked.guard, blocked.override, blocked.addresses) == ("suspended", "--allow-suspended", ())
    assert blocked.message == "2 changes while the controller is suspended, since 2030-01-01 12:00 UTC: incident 4711"
    assert judge(renamed("a", controls=everything), policy_of(allow_suspended=True)) == ()
    assert judge(plan_of(desired_app("a"), live_app("a"), controls=everything), GuardPolicy()) == ()


def test_a_refused_update_is_marked_and_one_beside_a_refused_archive_is_not() -> None:
    """Both have the address of the app: a freeze covers both, the guard for archives only the archive."""
    plan = plan_of(desired_app("a", fields={"name": "B"}, archived=True), live_app("a"), freeze=[freeze()])
    kinds = {action.key: type(action).__name__ for action in plan.actions}
    assert sorted(kinds.values()) == ["ArchiveApp", "UpdateApp"]
    archives = judge(plan, policy_of(max_archives=0, allow_frozen=True))
    assert [kinds[key] for key in refused_actions(plan.actions, archives)] == ["ArchiveApp"]
    assert len(refused_actions(plan.actions, judge(plan, GuardPolicy()))) == 2


def test_the_basis_of_a_refusal_keeps_its_form() -> None:
    """The state file stores it: in another form, an update of octosync would apply what was refused before."""
    assert policy_of(allow_deletes=3, max_deletes=4, max_delete_percent=12.5).basis == (
        "GuardPolicy(max_deletes=4, max_delete_percent=12.5, min_objects=10, max_archives=1, allow_deletes=3, "
        "allow_archives=None, allow_protected=False, allow_during_canary=False, allow_live_traffic=False, "
        "allow_diverged=False, allow_frozen=False)"
    )
    assert policy_of(allow_rollback=True).basis.endswith("allow_frozen=False, allow_rollback=True)")


@pytest.mark.parametrize("settings", [{"limits": {"maxRemovals": 1}}, {"allowed": {"delete": 1}}])
def test_a_policy_accepts_only_known_guards(settings: dict[str, Any]) -> None:
    """A misspelt limit or guard is an error, not ignored."""
    with pytest.raises(ValueError, match="neither a limit nor a guard"):
        GuardPolicy(**settings)


def test_only_guards_that_count_take_a_number() -> None:
    """The record of a guard is consistent: what it counts decides what its refusal excludes and how it is lifted."""
    assert set(FLAGS) <= set(GUARDS)
    for guard in GUARDS.values():
        assert guard.counts == (guard.reach is Reach.COUNTED) == bool(guard.limits)
        assert guard.flag is FLAGS.get(guard.id)
