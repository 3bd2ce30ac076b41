"""What is waited for after a run, and what a reading makes of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from tests.support.states import deployed, desired_app, live_app, plan_of

from octosync.apply import RolloutWatch, rollouts_to_watch
from octosync.apply.rollout import finish_if_covered, record_coverage, record_deployments
from octosync.model import (
    Address,
    App,
    Canary,
    Coverage,
    Deployment,
    Outcome,
    RolloutResult,
    RolloutStatus,
    State,
    Status,
)
from octosync.plan import Plan

AT = Address.of_capability("a", "chat", "production")
COVERED = Coverage(capability="chat", status="covered", covered_devices=40, total_devices=40)
HALF = Coverage(capability="chat", status="partial", covered_devices=20, total_devices=40)
CANARY = Canary(candidate="v2", percentage=30.0)


def ended(plan: Plan, **statuses: Status) -> list[Outcome]:
    """End each action as its verb says, else done."""
    return [
        Outcome(
            address=action.address,
            verb=action.verb.value,
            status=statuses.get(action.verb.value, Status.DONE),
        )
        for action in plan.actions
    ]


def waited_for(desired: App, live: App, **statuses: Status) -> list[str]:
    """Return what is waited for after the plan for an app was carried out."""
    plan = plan_of(desired, live)
    return names(rollouts_to_watch(plan, State.from_apps(live), ended(plan, **statuses)))


def names(followed: Iterable[RolloutWatch]) -> list[str]:
    return [one.address.name for one in followed]


def live(*deployments: Deployment) -> App:
    return live_app("a", slots={"chat": {}}, deployments=deployments)


def changed(deploy: str | None = "production") -> App:
    """Declare a change of the slot."""
    slots = {"chat": {"preferred_engines": ["mlx"]}}
    return desired_app("a", slots=slots, deploy={"chat": deploy} if deploy else None)


def test_an_enable_is_waited_for_once_it_is_done() -> None:
    """And only then: what failed was told already, and nothing came of it."""
    desired = desired_app("a", slots={"chat": {}}, deploy={"chat": "production staging"})
    assert waited_for(desired, live()) == ["chat@production", "chat@staging"]
    assert waited_for(desired, live(), enable=Status.FAILED) == []


def test_an_enable_that_awaits_approval_is_not_waited_for_and_says_so() -> None:
    """A person decides when, so there is no point in waiting; but it is listed."""
    desired = desired_app("a", slots={"chat": {}}, deploy={"chat": "production"})
    plan = plan_of(desired, live())
    (one,) = rollouts_to_watch(plan, State.from_apps(live()), ended(plan, enable=Status.AWAITING_APPROVAL))
    assert one.rollout == RolloutStatus(address=AT, result=RolloutResult.AWAITING_APPROVAL)
    assert not one.is_pending


def test_a_slot_that_was_put_is_waited_for_where_it_is_declared_and_deployed() -> None:
    """Not where it is left alone, and not where it was rolled back."""
    there = (
        deployed("a"),
        deployed("a", environment="development"),
        deployed("a", environment="staging", status="rolled_back"),
    )
    assert waited_for(changed("production staging"), live(*there)) == ["chat@production"]
    assert waited_for(changed("production staging"), live(*there), update=Status.FAILED) == []


def test_a_slot_that_declares_no_deployment_is_waited_for_wherever_it_is_deployed() -> None:
    """Somebody deploys it by other means; that it was touched counts all the same."""
    there = (deployed("a"), deployed("a", environment="staging"))
    assert waited_for(changed(None), live(*there)) == ["chat@production", "chat@staging"]


@pytest.mark.parametrize(
    ("facts", "waits"),
    [
        ({"status": "started", "starting": True}, True),
        ({"canary": CANARY}, True),
        ({"status": "active"}, False),
        ({"status": "completed"}, False),
        ({"status": "paused"}, False),
        ({"status": "rolled_back"}, False),
    ],
)
def test_a_run_that_touches_nothing_waits_for_what_was_under_way(facts: dict[str, Any], waits: bool) -> None:
    """A canary, or a deployment that was just started; what has stood still for long would only let it time out."""
    desired = desired_app("a", slots={"chat": {}}, deploy={"chat": "production"})
    assert bool(waited_for(desired, live(deployed("a", **facts)))) is waits


def begun(**facts: Any) -> RolloutWatch:
    return RolloutWatch(RolloutStatus(address=AT, **facts))


def after(one: RolloutWatch, *deployments: Deployment, coverage: Coverage = COVERED) -> RolloutStatus:
    """Read coverage and deployments."""
    return finish_if_covered(record_deployments(record_coverage(one, coverage), deployments)).rollout


def test_devices_that_have_it_are_not_enough_while_a_canary_runs() -> None:
    """Coverage says who has some variant; the canary is what this run is about."""
    rollout = after(begun(), deployed("a", canary=CANARY))
    assert (rollout.result, rollout.canary) == (None, CANARY)
    assert after(begun(canary=CANARY), deployed("a", variant="v2")).result is RolloutResult.COVERED


def test_a_canary_that_ends_without_its_variant_was_taken_back() -> None:
    """The deployment is live and covered, but by the variant from before: that is no success."""
    rollout = after(begun(canary=CANARY), deployed("a"))
    assert (rollout.result, rollout.ended, rollout.variant) == (RolloutResult.ROLLED_BACK, CANARY, "v1")


@pytest.mark.parametrize(
    ("canary", "variant"), [(Canary(percentage=30.0), "v1"), (CANARY, None)], ids=["no candidate", "no variant"]
)
def test_nothing_is_claimed_of_a_canary_that_names_nothing(canary: Canary, variant: str | None) -> None:
    """Where the control plane doesn't say which variant was meant, or is there, its end is taken for a success."""
    assert after(begun(canary=canary), deployed("a", variant=variant)).result is RolloutResult.COVERED


def test_a_canary_that_was_just_started_may_not_be_listed_yet() -> None:
    """Until a reading shows it, or its variant, nothing is settled, and nothing was taken back."""
    expecting = RolloutWatch(RolloutStatus(address=AT), expects="v2")
    unseen = record_deployments(record_coverage(expecting, COVERED), [deployed("a")])
    assert finish_if_covered(unseen).rollout.result is None
    seen = record_deployments(unseen, [deployed("a", canary=CANARY)])
    assert (
        finish_if_covered(record_deployments(seen, [deployed("a", variant="v2")])).rollout.result
        is RolloutResult.COVERED
    )
    assert (
        finish_if_covered(record_deployments(expecting, [deployed("a", variant="v2")])).rollout.result is None
    )  # no coverage yet


def test_a_deployment_that_is_not_listed_is_neither_success_nor_failure() -> None:
    """A list that lags behind is no rollback, and coverage alone may be another environment's."""
    assert after(begun()).result is None
    old = RolloutWatch(RolloutStatus(address=AT), over=frozenset({"old"}))
    assert after(old, deployed("a", status="rolled_back", id="old")).result is None
    assert after(old, deployed("a", status="rolled_back", id="new")).result is RolloutResult.ROLLED_BACK


def test_an_unknown_status_is_neither_success_nor_failure() -> None:
    """Coverage decides, whatever Octomil calls the deployment's state."""
    assert after(begun(), deployed("a", status="warming"), coverage=HALF).result is None
    assert after(begun(), deployed("a", status="warming")).result is RolloutResult.COVERED


@pytest.mark.parametrize(
    ("coverage", "result"),
    [
        (Coverage(capability="chat", status="uncovered", total_devices=0), RolloutResult.NO_DEVICES),
        (Coverage(capability="chat", status="uncovered"), None),
        (Coverage(capability="chat", status="covered", total_devices=0), RolloutResult.COVERED),
        (Coverage(capability="chat", status="covered"), RolloutResult.COVERED),
        (HALF, None),
    ],
)
def test_only_devices_that_are_said_to_be_none_are_none(coverage: Coverage, result: RolloutResult | None) -> None:
    """A count that is missing is not a zero, and what counts as covered is covered."""
    assert after(begun(), deployed("a"), coverage=coverage).result is result
