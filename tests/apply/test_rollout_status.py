"""The rollouts to wait for after a run, and how a read changes their status."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from tests.support.states import desired_app, live_app, live_deployment, plan_of

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
    """Return the outcome of each action: the given status of its verb, else done."""
    return [
        Outcome(
            address=action.address,
            verb=action.verb.value,
            status=statuses.get(action.verb.value, Status.DONE),
        )
        for action in plan.actions
    ]


def waited_for(desired: App, live: App, **statuses: Status) -> list[str]:
    """Return the names of the rollouts to watch after the plan for an app was applied."""
    plan = plan_of(desired, live)
    return names(rollouts_to_watch(plan, State.from_apps(live), ended(plan, **statuses)))


def names(followed: Iterable[RolloutWatch]) -> list[str]:
    return [watch.address.name for watch in followed]


def live(*deployments: Deployment) -> App:
    return live_app("a", slots={"chat": {}}, deployments=deployments)


def changed(deploy: str | None = "production") -> App:
    """Declare a change of the slot."""
    slots = {"chat": {"preferred_engines": ["mlx"]}}
    return desired_app("a", slots=slots, deploy={"chat": deploy} if deploy else None)


def test_an_enable_is_waited_for_only_once_it_is_done() -> None:
    """A failed enable was reported already and has no rollout."""
    desired = desired_app("a", slots={"chat": {}}, deploy={"chat": "production staging"})
    assert waited_for(desired, live()) == ["chat@production", "chat@staging"]
    assert waited_for(desired, live(), enable=Status.FAILED) == []


def test_an_enable_that_awaits_approval_is_listed_but_not_waited_for() -> None:
    """The approval may take any time, so waiting is pointless. The rollout is still listed."""
    desired = desired_app("a", slots={"chat": {}}, deploy={"chat": "production"})
    plan = plan_of(desired, live())
    (watch,) = rollouts_to_watch(plan, State.from_apps(live()), ended(plan, enable=Status.AWAITING_APPROVAL))
    assert watch.rollout == RolloutStatus(address=AT, result=RolloutResult.AWAITING_APPROVAL)
    assert not watch.is_pending


def test_a_changed_slot_is_waited_for_where_it_is_declared_and_deployed() -> None:
    """Undeclared environments and rolled back deployments are not waited for."""
    there = (
        live_deployment("a"),
        live_deployment("a", environment="development"),
        live_deployment("a", environment="staging", status="rolled_back"),
    )
    assert waited_for(changed("production staging"), live(*there)) == ["chat@production"]
    assert waited_for(changed("production staging"), live(*there), update=Status.FAILED) == []


def test_a_slot_without_declared_deployment_is_waited_for_wherever_it_is_deployed() -> None:
    """Something else deploys it, but this run changed it."""
    there = (live_deployment("a"), live_deployment("a", environment="staging"))
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
def test_a_run_without_writes_waits_for_what_is_in_progress(facts: dict[str, Any], waits: bool) -> None:
    """A canary or a deployment that just started is in progress. Waiting for one that stopped long ago would only time out."""
    desired = desired_app("a", slots={"chat": {}}, deploy={"chat": "production"})
    assert bool(waited_for(desired, live(live_deployment("a", **facts)))) is waits


def begun(**facts: Any) -> RolloutWatch:
    return RolloutWatch(RolloutStatus(address=AT, **facts))


def after(watch: RolloutWatch, *deployments: Deployment, coverage: Coverage = COVERED) -> RolloutStatus:
    """Read the coverage and the deployments, and return the resulting status."""
    return finish_if_covered(record_deployments(record_coverage(watch, coverage), deployments)).rollout


def test_coverage_is_not_enough_while_a_canary_runs() -> None:
    """Coverage counts devices with any variant, and the run started the canary."""
    rollout = after(begun(), live_deployment("a", canary=CANARY))
    assert (rollout.result, rollout.canary) == (None, CANARY)
    assert after(begun(canary=CANARY), live_deployment("a", variant="v2")).result is RolloutResult.COVERED


def test_a_canary_that_ends_without_its_variant_was_rolled_back() -> None:
    """The deployment is live and covered, but by the previous variant: that is not a success."""
    rollout = after(begun(canary=CANARY), live_deployment("a"))
    assert (rollout.result, rollout.ended, rollout.variant) == (RolloutResult.ROLLED_BACK, CANARY, "v1")


@pytest.mark.parametrize(
    ("canary", "variant"), [(Canary(percentage=30.0), "v1"), (CANARY, None)], ids=["no candidate", "no variant"]
)
def test_a_canary_without_known_variants_counts_as_a_success(canary: Canary, variant: str | None) -> None:
    """If the control plane names no candidate or no current variant, the end of the canary counts as a success."""
    assert after(begun(canary=canary), live_deployment("a", variant=variant)).result is RolloutResult.COVERED


def test_a_canary_that_just_started_may_not_be_listed_yet() -> None:
    """Until a read shows the canary or its variant, the rollout has no result and does not count as rolled back."""
    expecting = RolloutWatch(RolloutStatus(address=AT), expects="v2")
    unseen = record_deployments(record_coverage(expecting, COVERED), [live_deployment("a")])
    assert finish_if_covered(unseen).rollout.result is None
    seen = record_deployments(unseen, [live_deployment("a", canary=CANARY)])
    assert (
        finish_if_covered(record_deployments(seen, [live_deployment("a", variant="v2")])).rollout.result
        is RolloutResult.COVERED
    )
    assert (
        finish_if_covered(record_deployments(expecting, [live_deployment("a", variant="v2")])).rollout.result is None
    )  # no coverage yet


def test_an_unlisted_deployment_is_neither_success_nor_failure() -> None:
    """A list that lags is not a rollback, and coverage alone may belong to another environment."""
    assert after(begun()).result is None
    old = RolloutWatch(RolloutStatus(address=AT), over=frozenset({"old"}))
    assert after(old, live_deployment("a", status="rolled_back", id="old")).result is None
    assert after(old, live_deployment("a", status="rolled_back", id="new")).result is RolloutResult.ROLLED_BACK


def test_an_unknown_status_is_neither_success_nor_failure() -> None:
    """Coverage decides, whatever status Octomil returns for the deployment."""
    assert after(begun(), live_deployment("a", status="warming"), coverage=HALF).result is None
    assert after(begun(), live_deployment("a", status="warming")).result is RolloutResult.COVERED


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
def test_only_an_explicit_count_of_zero_means_no_devices(coverage: Coverage, result: RolloutResult | None) -> None:
    """A missing count is not zero, and the status "covered" is final."""
    assert after(begun(), live_deployment("a"), coverage=coverage).result is result
