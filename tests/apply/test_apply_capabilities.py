"""Enable and optimize: apply never repeats them blindly and never accepts another variant than the approved one."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.support.every_kind import AUTO, CASES
from tests.support.plane import Plane
from tests.support.site import Site, Tap
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
    site: Site, kind: str, write: str, committed: bool
) -> None:
    """After a lost response, apply reads once and resends only a write without effect: one deployment, at most one canary."""
    case = CASES[kind]
    case.prepare(site.plane)
    turn = await site.look(case.desired)
    site.plane.break_with({"operation": case.operation, "action": "cut_after" if committed else "cut_before"})
    site.plane.log()
    (outcome,) = (await site.act(turn)).outcomes
    again = [] if committed else [write]
    log = site.plane.log()
    assert log[:2] + [line for line in log[2:] if line != READ] == [write, READ, *again]
    assert result_of(outcome) == ("done", "")
    (deployment,) = deployments(site.plane)
    assert (deployment["canary"] is not None) == (kind == "optimize capability")


async def test_a_retried_enable_meets_the_first_one_that_arrived_late(site: Site) -> None:
    """The read showed no deployment, so the enable is resent. Its 409 shows the first one took effect: the outcome is done."""
    case = CASES["enable capability"]
    case.prepare(site.plane)
    turn = await site.look(case.desired)
    site.plane.break_with({"operation": case.operation, "action": "cut_before"})

    def arrive(_: httpx.Request, number: int) -> None:
        if number == 2:
            site.plane.deploy("a")

    tap = Tap(before=arrive)
    (outcome,) = (await site.act(turn, transport=tap)).outcomes
    assert result_of(outcome) == ("done", "")
    assert len(tap.writes) == 2
    assert len(deployments(site.plane)) == 1


@pytest.mark.parametrize("pinned", [False, True])
async def test_a_409_with_the_desired_deployment_is_done(site: Site, pinned: bool) -> None:
    """Another user enabled it first, with the pinned variant if there is one: the outcome is done and nothing was written."""
    site.plane.app("a", target="com.a")
    set_variant(site.plane, "good")
    site.plane.catalog(good=1)
    wanted = PINNED if pinned else CASES["enable capability"].desired
    turn = await site.look(wanted)
    id_ = site.plane.deploy("a")
    applied = await site.act(turn)
    assert result_of(applied.outcomes[0]) == ("done", "")
    assert applied.outcomes[0].message == "it was already as declared"
    assert not applied.wrote
    assert [deployment["id"] for deployment in deployments(site.plane)] == [id_]


async def test_a_409_with_another_variant_is_a_failure_that_names_both(site: Site) -> None:
    """Another user enabled a variant that the manifest does not pin: the action fails and the deployment stays as it is."""
    site.plane.app("a", target="com.a")
    set_variant(site.plane, "good")
    site.plane.catalog(good=1, other=0.5)
    turn = await site.look(PINNED)
    set_variant(site.plane, "other")
    site.plane.deploy("a")
    applied = await site.act(turn)
    assert result_of(applied.outcomes[0]) == ("failed", "enable-changed-pin")
    assert "the manifest pins good, but Octomil deployed other" in applied.outcomes[0].message
    assert not applied.wrote
    assert [deployment["model_variant_id"] for deployment in deployments(site.plane)] == ["other"]


@pytest.mark.parametrize("response_names_variant", [False, True])
async def test_an_enable_that_deploys_another_variant_than_the_pin_fails(
    site: Site, response_names_variant: bool
) -> None:
    """The enable is accepted but deploys another variant: the action fails, whether or not the response names the variant."""
    site.plane.app("a", target="com.a")
    set_variant(site.plane, "good")
    site.plane.catalog(good=1, other=0.5)
    turn = await site.look(PINNED)
    if not response_names_variant:
        rule = {"operation": "apps.capabilities.enable", "action": "drop_answer_field", "field": "model_variant_id"}
        site.plane.break_with(rule)

    def rival(_: httpx.Request, number: int) -> None:
        assert number == 1
        set_variant(site.plane, "other")

    (outcome,) = (await site.act(turn, transport=Tap(before=rival))).outcomes
    assert result_of(outcome) == ("failed", "enable-changed-pin")
    assert "good" in outcome.message
    assert "other" in outcome.message


async def test_a_lost_enable_while_another_user_enables_another_variant_fails(site: Site) -> None:
    """The message names both variants, and the other deployment stays. The result counts as written: ours may have existed."""
    site.plane.app("a", target="com.a")
    set_variant(site.plane, "good")
    site.plane.catalog(good=1, other=0.5)
    turn = await site.look(PINNED)

    def rival(_: httpx.Request, number: int) -> None:
        assert number == 1
        set_variant(site.plane, "other")
        site.plane.deploy("a")
        site.plane.break_with({"operation": "apps.capabilities.enable", "action": "cut_before"})

    applied = await site.act(turn, transport=Tap(before=rival))
    assert result_of(applied.outcomes[0]) == ("failed", "enable-changed-pin")
    assert applied.wrote


async def test_a_deployment_without_a_capability_blocks_an_enable(site: Site) -> None:
    """If a deployment names no capability, it may be the one to enable: the action fails and sends nothing."""
    case = CASES["enable capability"]
    case.prepare(site.plane)
    turn = await site.look(case.desired)
    site.plane.deploy("a")
    site.plane.break_with(
        {
            "operation": "apps.deployments",
            "action": "drop_answer_field",
            "field": "deployments.capability",
            "times": None,
        }
    )
    site.later(31)
    applied = await site.act(turn)
    assert result_of(applied.outcomes[0]) == ("failed", "unreadable-answer")
    assert "capability is missing" in applied.outcomes[0].message
    assert not applied.wrote


async def test_a_deployment_without_a_variant_does_not_confirm_the_pin(site: Site) -> None:
    """If no response names the variant, the pin is unconfirmed: the outcome is not kept, and something was written."""
    site.plane.app("a", target="com.a")
    set_variant(site.plane, "good")
    site.plane.catalog(good=1)
    turn = await site.look(PINNED)
    nameless = {"action": "drop_answer_field", "times": None}
    site.plane.break_with(
        {"operation": "apps.capabilities.enable", "field": "model_variant_id", **nameless},
        {"operation": "apps.deployments", "field": "deployments.model_variant_id", **nameless},
    )
    applied = await site.act(turn)
    assert result_of(applied.outcomes[0]) == ("not_kept", "not-kept")
    assert applied.wrote


@pytest.mark.parametrize(("kind", "status"), [("enable capability", 202), ("optimize capability", 200)])
async def test_a_success_without_a_deployment_proves_nothing(site: Site, kind: str, status: int) -> None:
    """A response with an id and a status may describe a job. If the read shows no effect, the outcome is not kept."""
    case = CASES[kind]
    case.prepare(site.plane)
    turn = await site.look(case.desired)
    before = deployments(site.plane)
    job = {"id": "job_1", "status": "queued"}
    site.plane.break_with({"operation": case.operation, "action": "answer", "status": status, "value": job})
    (outcome,) = (await site.act(turn)).outcomes
    assert result_of(outcome) == ("not_kept", "not-kept")
    assert ("no canary was started" in outcome.message) == (kind == "optimize capability")
    assert deployments(site.plane) == before


@pytest.mark.parametrize(
    ("variant", "result"), [("better", ("done", "")), ("best", ("failed", "optimize-chose-another"))]
)
async def test_a_409_while_a_canary_runs(site: Site, variant: str, result: tuple[str, str]) -> None:
    """Another user optimized it first: done if the canary has the suggested variant, else a failure that names both."""
    CASES["optimize capability"].prepare(site.plane)
    turn = await site.look(OPTIMIZED)
    site.plane.catalog(**{"good": 1, "better": 1.2, variant: 1.5})
    site.plane.send("POST", "/apps/a/capabilities/chat/optimize", {"environment": "production"})
    applied = await site.act(turn)
    (outcome,) = applied.outcomes
    assert result_of(outcome) == result
    assert not applied.wrote
    (deployment,) = deployments(site.plane)
    assert deployment["canary"]["candidate_variant_id"] == variant
    if result[0] == "failed":
        assert "better was suggested and approved, but the canary uses best" in outcome.message


async def test_a_canary_to_another_variant_than_the_approved_one_fails(site: Site) -> None:
    """If the best variant changes between plan and apply, the canary is not the approved one: the action fails."""
    CASES["optimize capability"].prepare(site.plane)
    turn = await site.look(OPTIMIZED)
    site.plane.catalog(good=1, better=1.2, best=1.5)
    applied = await site.act(turn)
    assert result_of(applied.outcomes[0]) == ("failed", "optimize-chose-another")
    assert applied.wrote


@pytest.mark.parametrize("kind", ["enable capability", "optimize capability"])
async def test_an_action_that_awaited_approval_is_done_by_the_next_apply(site: Site, kind: str) -> None:
    """A write that awaits approval is not a failure and is not resent in that run. The next run after approval does it."""
    case = CASES[kind]
    case.prepare(site.plane)
    site.plane.local("PUT", "/policy", {"require_approval": ["production"]})
    turn = await site.look(case.desired)
    site.plane.log()
    applied = await site.act(turn)
    assert result_of(applied.outcomes[0]) == ("awaiting_approval", "awaiting-approval")
    assert len(site.writes()) == 1
    assert not applied.wrote
    site.plane.local("PUT", "/policy", {})
    assert [result_of(outcome) for outcome in (await site.turn(case.desired)).outcomes] == [("done", "")]
