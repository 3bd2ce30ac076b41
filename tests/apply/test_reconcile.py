"""One reconcile pass: a plan that may not be applied is refused as a whole before the first write."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.harness import NOW, Harness
from tests.support.states import child_app, desired_app

from octosync.errors import GuardRefused, OctosyncError
from octosync.plan import GuardPolicy
from octosync.reconcile import refuse_unsafe


@pytest.mark.parametrize("broken", [1, 3])
async def test_an_errored_plan_is_not_applied_in_part(harness: Harness, broken: int) -> None:
    """If any app can't be planned, nothing is written. The error names the first app with the reason and counts the others."""
    lost = [child_app(f"lost-{number}", slots={"chat": {}}) for number in range(broken)]
    reviewed = await harness.review(desired_app("fine"), *lost)
    assert len(reviewed.plan.actions) == 1
    with pytest.raises(OctosyncError) as raised:
        await harness.apply(reviewed)
    assert raised.value.reference == "plan-errored"
    rest = f", and {broken - 1} more" if broken > 1 else ""
    assert raised.value.message.startswith(f"lost-0{rest} could not be planned, so nothing is applied: ")
    assert "`lost-0` does not exist" in raised.value.message
    assert any("--app" in hint for hint in raised.value.hints)
    assert harness.writes() == []


async def test_a_failed_read_is_not_an_absence(harness: Harness) -> None:
    """An app with an unreadable section is an error of the plan, never an app to create."""
    harness.plane.app("a", "chat")
    harness.plane.break_with({"operation": "apps.list_slots", "action": "status", "status": 403, "times": None})
    reviewed = await harness.review(desired_app("a", slots={"chat": {}, "tts": {}}), desired_app("b"))
    assert [str(action.address) for action in reviewed.plan.actions] == ["app/b"]
    assert set(reviewed.plan.errors) == {"a"}
    with pytest.raises(OctosyncError, match="plan-errored"):
        refuse_unsafe(reviewed)


async def test_a_guard_blocks_the_whole_plan(harness: Harness) -> None:
    """If a guard blocks one action, no action of the plan is applied."""
    for slug in ("a", "b"):
        harness.plane.app(slug)
    reviewed = await harness.review(
        desired_app("a", archived=True), desired_app("b", archived=True), desired_app("c"), policy=GuardPolicy()
    )
    assert [blocked.guard for blocked in reviewed.refusals] == ["archives"]
    harness.plane.log()
    with pytest.raises(GuardRefused, match="archives: "):
        await harness.apply(reviewed)
    assert harness.plane.log() == []


async def test_a_suspension_is_checked_against_the_time_of_the_pass(harness: Harness) -> None:
    """An app suspended at that time is neither planned nor read in full. A moment later it is both."""
    harness.plane.app("a", "chat")
    slots = {"chat": {"serving_policy": "local_only"}}
    harness.plane.log()
    suspended = await harness.review(desired_app("a", slots=slots, suspended=NOW + timedelta(seconds=1)))
    assert suspended.plan.actions == ()
    assert not any(line.endswith("/slots") for line in harness.plane.log())
    over = await harness.review(desired_app("a", slots=slots, suspended=NOW))
    assert len(over.plan.actions) == 1
