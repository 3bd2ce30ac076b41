"""Enable and optimize: apply never repeats them blindly and never accepts another variant than the approved one."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.support.action_cases import AUTO, CASES
from tests.support.harness import Harness, Tap
from tests.support.plane import Plane
from tests.support.states import desired_app

from octosync.model import Outcome

ENABLE, OPTIMIZE = "POST /api/v1/apps/a/capabilities/chat/enable", "POST /api/v1/apps/a/capabilities/chat/optimize"
READ = "GET /api/v1/apps/a/deployments"
PINNED = desired_app("a", slots={"chat": {"model_variant_id": "good"}}, deploy={"chat": "production"})
OPTIMIZED = desired_app("a", slots={"chat": {}}, deploy={"chat": AUTO})


def result_of(outcome: Outcome) -> tuple[str, str]:
    """Return the status and the error reference."""
    return outcome.status.value, outcome.reference


def deployments(plane: Plane) -> list[dict[str, Any]]:
    """Return the deployments of the app."""
    found: list[dict[str, Any]] = plane.send("GET", "/apps/a/deployments")["deployments"]
    return found


def set_variant(plane: Plane, variant: str) -> None:
    """Set the variant of the slot."""
    fields = {"serving_policy": "local_first", "bindings": [], "model_variant_id": variant}
    plane.send("PUT", "/apps/a/slots/chat", fields)


@pytest.mark.parametrize(("kind", "write"), [("enable capability", ENABLE), ("optimize capability", OPTIMIZE)])
@pytest.mark.parametrize("committed", [False, True])
async def test_a_lost_response_is_resolved_by_reading_deployments(
    harness: Harness, kind: str, write: str, committed: bool
) -> None:
    """After a lost response, apply reads once and resends only a write without effect: one deployment, at most one canary."""
    case = CASES[kind]
    case.prepare(harness.plane)
    reviewed = await harness.review(case.desired)
    harness.plane.break_with({"operation": case.operation, "action": "cut_after" if committed else "cut_before"})
    harness.plane.log()
    (outcome,) = (await harness.apply(reviewed)).outcomes
    again = [] if committed else [write]
    log = harness.plane.log()
    assert log[:2] + [line for line in log[2:] if line != READ] == [write, READ, *again]
    assert result_of(outcome) == ("done", "")
    (deployment,) = deployments(harness.plane)
    assert (deployment["canary"] is not None) == (kind == "optimize capability")


async def test_a_retried_enable_meets_the_first_one_that_arrived_late(harness: Harness) -> None:
    """The read showed no deployment, so the enable is resent. Its 409 shows the first one took effect: the outcome is done."""
    case = CASES["enable capability"]
    case.prepare(harness.plane)
    reviewed = await harness.review(case.desired)
    harness.plane.break_with({"operation": case.operation, "action": "cut_before"})

    def arrive(_: httpx.Request, number: int) -> None:
        if number == 2:
            harness.plane.deploy("a")

    tap = Tap(before=arrive)
    (outcome,) = (await harness.apply(reviewed, transport=tap)).outcomes
    assert result_of(outcome) == ("done", "")
    assert len(tap.writes) == 2
    assert len(deployments(harness.plane)) == 1


@pytest.mark.parametrize("pinned", [False, True])
async def test_a_409_with_the_desired_deployment_is_done(harness: Harness, pinned: bool) -> None:
    """Another user enabled it first, with the pinned variant if there is one: the outcome is done and nothing was written."""
    harness.plane.app("a", target="com.a")
    set_variant(harness.plane, "good")
    harness.plane.catalog(good=1)
    wanted = PINNED if pinned else CASES["enable capability"].desired
    reviewed = await harness.review(wanted)
    id_ = harness.plane.deploy("a")
    applied = await harness.apply(reviewed)
    assert result_of(applied.outcomes[0]) == ("done", "")
    assert applied.outcomes[0].message == "it was already as declared"
    assert not applied.wrote
    assert [deployment["id"] for deployment in deployments(harness.plane)] == [id_]


async def test_a_409_with_another_variant_is_a_failure_that_names_both(harness: Harness) -> None:
    """Another user enabled a variant that the manifest does not pin: the action fails and the deployment stays as it is."""
    harness.plane.app("a", target="com.a")
    set_variant(harness.plane, "good")
    harness.plane.catalog(good=1, other=0.5)
    reviewed = await harness.review(PINNED)
    set_variant(harness.plane, "other")
    harness.plane.deploy("a")
    applied = await harness.apply(reviewed)
    assert result_of(applied.outcomes[0]) == ("failed", "enable-changed-pin")
    assert "the manifest pins good, but Octomil deployed other" in applied.outcomes[0].message
    assert not applied.wrote
    assert [deployment["model_variant_id"] for deployment in deployments(harness.plane)] == ["other"]


@pytest.mark.parametrize("response_names_variant", [False, True])
async def test_an_enable_that_deploys_another_variant_than_the_pin_fails(
    harness: Harness, response_names_variant: bool
) -> None:
    """The enable is accepted but deploys another variant: the action fails, whether or not the response names the variant."""
    harness.plane.app("a", target="com.a")
    set_variant(harness.plane, "good")
    harness.plane.catalog(good=1, other=0.5)
    reviewed = await harness.review(PINNED)
    if not response_names_variant:
        rule = {"operation": "apps.capabilities.enable", "action": "drop_answer_field", "field": "model_variant_id"}
        harness.plane.break_with(rule)

    def interfere(_: httpx.Request, number: int) -> None:
        assert number == 1
        set_variant(harness.plane, "other")

    (outcome,) = (await harness.apply(reviewed, transport=Tap(before=interfere))).outcomes
    assert result_of(outcome) == ("failed", "enable-changed-pin")
    assert "good" in outcome.message
    assert "other" in outcome.message


async def test_a_lost_enable_while_another_user_enables_another_variant_fails(harness: Harness) -> None:
    """The message names both variants, and the other deployment stays. The result counts as written: ours may have existed."""
    harness.plane.app("a", target="com.a")
    set_variant(harness.plane, "good")
    harness.plane.catalog(good=1, other=0.5)
    reviewed = await harness.review(PINNED)

    def interfere(_: httpx.Request, number: int) -> None:
        assert number == 1
        set_variant(harness.plane, "other")
        harness.plane.deploy("a")
        harness.plane.break_with({"operation": "apps.capabilities.enable", "action": "cut_before"})

    applied = await harness.apply(reviewed, transport=Tap(before=interfere))
    assert result_of(applied.outcomes[0]) == ("failed", "enable-changed-pin")
    assert applied.wrote


async def test_a_deployment_without_a_capability_blocks_an_enable(harness: Harness) -> None:
    """If a deployment names no capability, it may be the one to enable: the action fails and sends nothing."""
    case = CASES["enable capability"]
    case.prepare(harness.plane)
    reviewed = await harness.review(case.desired)
    harness.plane.deploy("a")
    harness.plane.break_with(
        {
            "operation": "apps.deployments",
            "action": "drop_answer_field",
            "field": "deployments.capability",
            "times": None,
        }
    )
    harness.advance(31)
    applied = await harness.apply(reviewed)
    assert result_of(applied.outcomes[0]) == ("failed", "unreadable-answer")
    assert "capability is missing" in applied.outcomes[0].message
    assert not applied.wrote


async def test_a_deployment_without_a_variant_does_not_confirm_the_pin(harness: Harness) -> None:
    """If no response names the variant, the pin is unconfirmed: the outcome is not kept, and something was written."""
    harness.plane.app("a", target="com.a")
    set_variant(harness.plane, "good")
    harness.plane.catalog(good=1)
    reviewed = await harness.review(PINNED)
    nameless = {"action": "drop_answer_field", "times": None}
    harness.plane.break_with(
        {"operation": "apps.capabilities.enable", "field": "model_variant_id", **nameless},
        {"operation": "apps.deployments", "field": "deployments.model_variant_id", **nameless},
    )
    applied = await harness.apply(reviewed)
    assert result_of(applied.outcomes[0]) == ("not_kept", "not-kept")
    assert applied.wrote


@pytest.mark.parametrize(("kind", "status"), [("enable capability", 202), ("optimize capability", 200)])
async def test_a_success_without_a_deployment_proves_nothing(harness: Harness, kind: str, status: int) -> None:
    """A response with an id and a status may describe a job. If the read shows no effect, the outcome is not kept."""
    case = CASES[kind]
    case.prepare(harness.plane)
    reviewed = await harness.review(case.desired)
    before = deployments(harness.plane)
    job = {"id": "job_1", "status": "queued"}
    harness.plane.break_with({"operation": case.operation, "action": "answer", "status": status, "value": job})
    (outcome,) = (await harness.apply(reviewed)).outcomes
    assert result_of(outcome) == ("not_kept", "not-kept")
    assert ("no canary was started" in outcome.message) == (kind == "optimize capability")
    assert deployments(harness.plane) == before


@pytest.mark.parametrize(
    ("variant", "result"), [("better", ("done", "")), ("best", ("failed", "optimize-chose-another"))]
)
async def test_a_409_while_a_canary_runs(harness: Harness, variant: str, result: tuple[str, str]) -> None:
    """Another user optimized it first: done if the canary has the suggested variant, else a failure that names both."""
    CASES["optimize capability"].prepare(harness.plane)
    reviewed = await harness.review(OPTIMIZED)
    harness.plane.catalog(**{"good": 1, "better": 1.2, variant: 1.5})
    harness.plane.send("POST", "/apps/a/capabilities/chat/optimize", {"environment": "production"})
    applied = await harness.apply(reviewed)
    (outcome,) = applied.outcomes
    assert result_of(outcome) == result
    assert not applied.wrote
    (deployment,) = deployments(harness.plane)
    assert deployment["canary"]["candidate_variant_id"] == variant
    if result[0] == "failed":
        assert "better was suggested and approved, but the canary uses best" in outcome.message


async def test_a_canary_to_another_variant_than_the_approved_one_fails(harness: Harness) -> None:
    """If the best variant changes between plan and apply, the canary is not the approved one: the action fails."""
    CASES["optimize capability"].prepare(harness.plane)
    reviewed = await harness.review(OPTIMIZED)
    harness.plane.catalog(good=1, better=1.2, best=1.5)
    applied = await harness.apply(reviewed)
    assert result_of(applied.outcomes[0]) == ("failed", "optimize-chose-another")
    assert applied.wrote


@pytest.mark.parametrize("kind", ["enable capability", "optimize capability"])
async def test_an_action_that_awaited_approval_is_done_by_the_next_apply(harness: Harness, kind: str) -> None:
    """A write that awaits approval is not a failure and is not resent in that run. The next run after approval does it."""
    case = CASES[kind]
    case.prepare(harness.plane)
    harness.plane.local("PUT", "/policy", {"require_approval": ["production"]})
    reviewed = await harness.review(case.desired)
    harness.plane.log()
    applied = await harness.apply(reviewed)
    assert result_of(applied.outcomes[0]) == ("awaiting_approval", "awaiting-approval")
    assert len(harness.writes()) == 1
    assert not applied.wrote
    harness.plane.local("PUT", "/policy", {})
    assert [result_of(outcome) for outcome in (await harness.reconcile(case.desired)).outcomes] == [("done", "")]
