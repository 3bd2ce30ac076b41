"""Moves: a target leaves one app and enters another as one unit, and every failure in between is reported exactly."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest
from tests.support.harness import RESUME, Harness, Tap, status_by_action
from tests.support.states import desired_app

from octosync.model import App, Outcome

MOVED = [desired_app("from", targets=[]), desired_app("to", targets=["ios:com.moved"])]
LEAVE, ENTER = "delete app/from/target/ios:com.moved", "create app/to/target/ios:com.moved"


def before_the_move(harness: Harness) -> None:
    """Register a target to the app `from`."""
    harness.plane.app("from", target="com.moved")
    harness.plane.app("to")


def failing(operation: str, **more: Any) -> dict[str, Any]:
    """Return a fault that fails an operation permanently."""
    return {"operation": operation, "action": "status", "status": 503, "times": None, **more}


async def finish(harness: Harness, *desired: App) -> None:
    """Run again without faults and assert that everything is as declared."""
    harness.plane.break_with()
    applied = await harness.reconcile(*desired)
    assert set(status_by_action(applied).values()) == {"done"}
    assert (await harness.review(*desired)).plan.actions == ()


async def test_two_apps_swap_a_target(harness: Harness) -> None:
    """A target is unique in the org, and two apps can still exchange theirs in one apply."""
    for slug in ("left", "right"):
        harness.plane.app(slug, target=f"com.{slug}")
    desired = [desired_app("left", targets=["ios:com.right"]), desired_app("right", targets=["ios:com.left"])]
    applied = await harness.reconcile(*desired)
    assert set(status_by_action(applied).values()) == {"done"}
    state = harness.state()
    assert (state["left"]["targets"], state["right"]["targets"]) == (["ios:com.right"], ["ios:com.left"])
    assert (await harness.review(*desired)).plan.actions == ()


async def test_a_target_leaves_an_app_that_is_to_be_archived(harness: Harness) -> None:
    """The whole move comes before the archive, and the target is kept by an app that is created for it."""
    harness.plane.app("from", target="com.moved")
    desired = [desired_app("from", targets=[], archived=True), MOVED[1]]
    applied = await harness.reconcile(*desired)
    assert status_by_action(applied) == {
        "create app/to": "done",
        LEAVE: "done",
        ENTER: "done",
        "archive app/from": "done",
    }
    assert harness.state()["to"]["targets"] == ["ios:com.moved"]
    assert harness.state()["from"]["archived"] is True


@pytest.mark.parametrize("status", [503, 422, 401])
async def test_the_second_half_fails(harness: Harness, status: int) -> None:
    """If the target was removed but not registered, the message starts with that and names the command that finishes it."""
    before_the_move(harness)
    reviewed = await harness.review(*MOVED)
    harness.plane.break_with(failing("apps.create_target", status=status))
    applied = await harness.apply(reviewed)
    assert status_by_action(applied) == {LEAVE: "done", ENTER: "failed"}
    outcome = applied.outcomes[1]
    assert outcome.message.startswith(
        "registered nowhere: ios:com.moved was removed from app `from`, and its registration to `to` failed: "
    )
    assert outcome.hints[0] == f"Finish it:  {RESUME} --app to"
    assert harness.state()["from"]["targets"] == harness.state()["to"]["targets"] == []
    await finish(harness, MOVED[1])
    assert harness.state()["to"]["targets"] == ["ios:com.moved"]


async def test_the_archive_waits_for_both_halves(harness: Harness) -> None:
    """While a target is registered nowhere, its old app is not archived, since it may have to take the target back."""
    before_the_move(harness)
    reviewed = await harness.review(desired_app("from", targets=[], archived=True), MOVED[1])
    harness.plane.break_with(failing("apps.create_target", status=422))
    applied = await harness.apply(reviewed)
    assert status_by_action(applied) == {LEAVE: "done", ENTER: "failed", "archive app/from": "skipped"}
    assert harness.state()["from"]["archived"] is False


async def test_an_unknown_second_half_is_not_reported_as_failed(harness: Harness) -> None:
    """If the response to the registration is lost and can't be verified: "possibly registered nowhere"."""
    before_the_move(harness)
    reviewed = await harness.review(*MOVED)
    harness.plane.break_with(
        {"operation": "apps.create_target", "action": "cut_after", "times": None}, failing("apps.list_targets")
    )
    outcome = (await harness.apply(reviewed)).outcomes[1]
    assert outcome.reference == "outcome-unknown"
    assert outcome.message.startswith("possibly registered nowhere: ios:com.moved was removed from app `from`")
    harness.plane.break_with()
    assert (await harness.review(*MOVED)).plan.actions == ()


async def test_another_user_takes_the_target_between_the_halves(harness: Harness) -> None:
    """If a third app holds the target by then, the message names that app and does not claim "registered nowhere"."""
    before_the_move(harness)
    harness.plane.app("thief")
    reviewed = await harness.review(*MOVED)

    def steal(_: httpx.Request, number: int) -> None:
        if number == 1:
            harness.plane.send("POST", "/apps/thief/targets", {"platform": "ios", "identifier": "com.moved"})

    applied = await harness.apply(reviewed, transport=Tap(after=steal))
    assert status_by_action(applied) == {LEAVE: "done", ENTER: "failed"}
    outcome = applied.outcomes[1]
    assert outcome.reference == "target-held-elsewhere"
    assert "nowhere" not in outcome.message
    assert "taken by app `thief`" in outcome.message


async def test_a_removal_that_was_accepted_without_effect(harness: Harness) -> None:
    """If the control plane accepts the removal without doing it, the 409 to the registration shows it. Nothing is lost."""
    before_the_move(harness)
    reviewed = await harness.review(*MOVED)
    harness.plane.break_with({"operation": "apps.delete_target", "action": "empty", "status": 204, "when": "before"})
    outcome = (await harness.apply(reviewed)).outcomes[1]
    assert outcome.reference == "target-held-elsewhere"
    assert outcome.message.startswith("not moved from app `from`, although its removal was accepted: ")
    assert "taken by app `from`" in outcome.message
    assert harness.state()["from"]["targets"] == ["ios:com.moved"]
    await finish(harness, *MOVED)


async def test_the_first_half_fails(harness: Harness) -> None:
    """If the removal fails, the registration is skipped with the reason. The next run does both."""
    before_the_move(harness)
    reviewed = await harness.review(*MOVED)
    harness.plane.break_with(failing("apps.delete_target", status=422))
    harness.plane.log()
    applied = await harness.apply(reviewed)
    assert status_by_action(applied) == {LEAVE: "failed", ENTER: "skipped"}
    assert applied.outcomes[1].message == "needs delete app/from/target/ios:com.moved, which failed"
    assert not any("POST" in write for write in harness.writes())
    await finish(harness, *MOVED)


async def test_the_first_half_is_stale(harness: Harness) -> None:
    """If the target was registered anew under another id meanwhile, neither half is done."""
    before_the_move(harness)
    reviewed = await harness.review(*MOVED)
    harness.advance(31)
    (there,) = harness.plane.send("GET", "/apps/from/targets")["targets"]
    harness.plane.send("DELETE", f"/apps/from/targets/{there['id']}")
    harness.plane.send("POST", "/apps/from/targets", {"platform": "ios", "identifier": "com.moved"})
    applied = await harness.apply(reviewed)
    assert status_by_action(applied) == {LEAVE: "stale", ENTER: "skipped"}
    assert harness.state()["from"]["targets"] == ["ios:com.moved"]


async def test_lost_responses_on_both_halves(harness: Harness) -> None:
    """The effect of each half is found by reading the app that it concerns."""
    before_the_move(harness)
    reviewed = await harness.review(*MOVED)
    for number, action in enumerate(("cut_before", "cut_after")):
        harness.plane.break_with(
            {"operation": "apps.delete_target", "action": action}, {"operation": "apps.create_target", "action": action}
        )
        if number:
            reviewed = await harness.review(
                desired_app("from", targets=["ios:com.moved"]), desired_app("to", targets=[])
            )
        assert set(status_by_action(await harness.apply(reviewed)).values()) == {"done"}
    assert harness.state()["from"]["targets"] == ["ios:com.moved"]


async def test_a_stop_between_the_halves_still_does_the_second_half(harness: Harness) -> None:
    """If a run is interrupted during the first half, it sends the second half before it ends."""
    before_the_move(harness)
    reviewed = await harness.review(*MOVED, desired_app("zz"))
    stop = asyncio.Event()
    tap = Tap(after=lambda _, number: stop.set() if number == 1 else None)
    applied = await harness.apply(reviewed, stop=stop, transport=tap, concurrency=1)
    assert status_by_action(applied) == {LEAVE: "done", ENTER: "done", "create app/zz": "not_attempted"}
    assert harness.state()["to"]["targets"] == ["ios:com.moved"]


async def test_an_error_elsewhere_between_the_halves_still_allows_the_second_half(harness: Harness) -> None:
    """If another action stops the run during the first half, the second half is still sent."""
    before_the_move(harness)
    reviewed = await harness.review(*MOVED, desired_app("aa"), desired_app("zz", fields={"name": "Z"}, config={"m": 1}))
    harness.plane.break_with(failing("apps.create", status=401))
    applied = await harness.apply(reviewed)
    assert (status_by_action(applied)[LEAVE], status_by_action(applied)[ENTER]) == ("done", "done")
    assert applied.stopped_by is not None


def outcome_of(outcomes: tuple[Outcome, ...], name: str) -> Outcome:
    """Return the outcome of an action by its verb and address."""
    return next(outcome for outcome in outcomes if f"{outcome.verb} {outcome.address}" == name)


async def test_a_target_stays_where_it_is_if_its_new_app_is_not_created(harness: Harness) -> None:
    """If the app that receives the target can't be created, the removal is not attempted."""
    harness.plane.app("from", target="com.moved")
    reviewed = await harness.review(*MOVED)
    harness.plane.break_with(failing("apps.create", status=422))
    applied = await harness.apply(reviewed)
    assert status_by_action(applied) == {"create app/to": "failed", LEAVE: "skipped", ENTER: "skipped"}
    assert outcome_of(applied.outcomes, LEAVE).message == "needs create app/to, which failed"
    assert harness.state()["from"]["targets"] == ["ios:com.moved"]


TEN = [f"ios:com.{number}" for number in range(10)]
REFUSALS = [
    {"action": "status", "status": 402, "code": "plan_limit_exceeded"},
    {"action": "status", "status": 403, "code": "forbidden"},
    {"action": "status", "status": 403, "code": "approval_required"},
    {"action": "status", "status": 422},
    {"action": "status", "status": 500},
    {"action": "html", "status": 502},
    {"action": "status", "status": 503},
    {"action": "cut_before"},
    {"action": "empty", "status": 201, "when": "before"},
]


@pytest.mark.parametrize(
    "fault", REFUSALS, ids=lambda fault: f"{fault['action']} {fault.get('code', fault.get('status'))}"
)
async def test_one_refused_registration_stops_all_later_moves(harness: Harness, fault: dict[str, Any]) -> None:
    """Of ten moves one ends half-way, whatever the response. The other targets keep their app, and other actions go on."""
    harness.plane.app("from", target="com.0")
    for number in range(1, 10):
        harness.plane.send("POST", "/apps/from/targets", {"platform": "ios", "identifier": f"com.{number}"})
    harness.plane.app("other", target="com.gone")
    harness.plane.app("to")
    desired = [desired_app("from", targets=[]), desired_app("to", targets=TEN), desired_app("other", targets=[])]
    reviewed = await harness.review(*desired, desired_app("fresh", slots={"chat": {}}))
    harness.plane.break_with({"operation": "apps.create_target", "times": None, **fault})
    applied = await harness.apply(reviewed)
    assert harness.state()["from"]["targets"] == TEN[1:]
    found = status_by_action(applied)
    moves = {name: result for name, result in found.items() if "/from/" in name or "/to/" in name}
    assert list(moves.values())[:2] != ["done", "done"]
    assert list(moves.values()).count("skipped") == 18
    assert {result for name, result in found.items() if name not in moves} == {"done"}
    skipped = next(outcome for outcome in applied.outcomes if outcome.status.value == "skipped")
    assert re.fullmatch(
        "moves were stopped for this run: create app/to/target/ios:com.0 (failed|awaits approval|was not kept)"
        "|`apps.create_target` was stopped for this run: app/to/target/ios:com.0 was not kept",
        skipped.message,
    )
    await finish(harness, *desired)


@pytest.mark.parametrize(("status", "code", "moves"), [(402, "plan_limit_exceeded", False), (409, "conflict", True)])
async def test_a_registration_without_risk_precedes_every_move(
    harness: Harness, status: int, code: str, moves: bool
) -> None:
    """If it is refused, every target stays where it is, unless the reason is only that another app holds this one target."""
    before_the_move(harness)
    reviewed = await harness.review(*MOVED, desired_app("zz", targets=["ios:com.new"]))
    harness.plane.break_with({"operation": "apps.create_target", "action": "status", "status": status, "code": code})
    applied = await harness.apply(reviewed)
    found = status_by_action(applied)
    assert found["create app/zz/target/ios:com.new"] == "failed"
    assert {found[LEAVE], found[ENTER]} == {"done" if moves else "skipped"}


ARCHIVES = [desired_app("a", archived=True), desired_app("c", archived=True)]


async def test_archives_come_last_in_the_run(harness: Harness) -> None:
    """An archive can't be undone: archives follow all other actions, moves and other apps included, one at a time."""
    before_the_move(harness)
    for slug in ("a", "c"):
        harness.plane.app(slug)
    desired = [*ARCHIVES, *MOVED, desired_app("b", slots={"chat": {}}, config={"n": 1}), desired_app("z")]
    tap = Tap()
    applied = await harness.reconcile(*desired, transport=tap)
    assert set(status_by_action(applied).values()) == {"done"}
    archived = [request.url.path.endswith("/archive") for request in tap.writes]
    assert archived == sorted(archived)
    assert list(status_by_action(applied))[-2:] == ["archive app/a", "archive app/c"]


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (failing("apps.create", status=422), "create app/z failed"),
        (failing("apps.create_target", status=503), "create app/to/target/ios:com.moved failed"),
        (failing("apps.put_slot", status=403, code="approval_required"), "create app/b/slot/chat awaits approval"),
        ({"operation": "apps.put_slot", "action": "empty", "when": "before"}, "create app/b/slot/chat was not kept"),
    ],
)
async def test_no_archive_after_an_action_that_was_not_done(harness: Harness, fault: dict[str, Any], why: str) -> None:
    """If any action of any app fails, both archives are left for the next run, with the reason."""
    before_the_move(harness)
    for slug in ("a", "b", "c"):
        harness.plane.app(slug)
    desired = [*ARCHIVES, *MOVED, desired_app("b", slots={"chat": {}}), desired_app("z")]
    reviewed = await harness.review(*desired)
    harness.plane.break_with(fault)
    applied = await harness.apply(reviewed)
    messages = {outcome.message for outcome in applied.outcomes if outcome.verb == "archive"}
    assert messages == {f"archives were stopped for this run: {why}"}
    assert not harness.state()["a"]["archived"]
    harness.plane.break_with()
    await harness.reconcile(*desired)
    assert harness.state()["a"]["archived"]


@pytest.mark.parametrize(("code", "second"), [("forbidden", "skipped"), ("approval_required", "done")])
async def test_an_archive_that_fails_stops_the_next_and_one_that_awaits_approval_does_not(
    harness: Harness, code: str, second: str
) -> None:
    """A refusal may concern every archive. An approval concerns one archive, so the others are still sent."""
    for slug in ("a", "c"):
        harness.plane.app(slug)
    reviewed = await harness.review(*ARCHIVES)
    harness.plane.break_with({"operation": "apps.archive", "action": "status", "status": 403, "code": code})
    assert status_by_action(await harness.apply(reviewed))["archive app/c"] == second


async def test_an_interrupted_run_archives_nothing(harness: Harness) -> None:
    """If a run is stopped while other writes are in progress, those finish and no archive starts."""
    harness.plane.app("a")
    reviewed = await harness.review(desired_app("a", archived=True), desired_app("z"))
    stop = asyncio.Event()
    applied = await harness.apply(reviewed, stop=stop, transport=Tap(before=lambda *_: stop.set()))
    assert status_by_action(applied) == {"create app/z": "done", "archive app/a": "not_attempted"}
