"""Enabling and optimizing: never done twice, never claimed, and never another variant than the one that was approved."""

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


def said(outcome: Outcome) -> tuple[str, str]:
    """Return status and reference."""
    return outcome.status.value, outcome.reference


def deployments(plane: Plane) -> list[dict[str, Any]]:
    """Return what is deployed."""
    found: list[dict[str, Any]] = plane.send("GET", "/apps/a/deployments")["deployments"]
    return found


def with_variant(plane: Plane, variant: str) -> None:
    """Give the slot a variant."""
    fields = {"serving_policy": "local_first", "bindings": [], "model_variant_id": variant}
    plane.send("PUT", "/apps/a/slots/chat", fields)


@pytest.mark.parametrize(("kind", "write"), [("enable capability", ENABLE), ("optimize capability", OPTIMIZE)])
@pytest.mark.parametrize("committed", [False, True])
async def test_a_lost_answer_is_resolved_by_reading_deployments(
    site: Site, kind: str, write: str, committed: bool
) -> None:
    """One read tells whether it happened; only what did not is sent again: one deployment, and one canary at most."""
    case = CASES[kind]
    case.prepare(site.plane)
    turn = await site.look(case.desired)
    site.plane.break_with({"operation": case.operation, "action": "cut_after" if committed else "cut_before"})
    site.plane.log()
    (outcome,) = (await site.act(turn)).outcomes
    again = [] if committed else [write]
    log = site.plane.log()
    assert log[:2] + [line for line in log[2:] if line != READ] == [write, READ, *again]
    assert said(outcome) == ("done", "")
    (deployment,) = deployments(site.plane)
    assert (deployment["canary"] is not None) == (kind == "optimize capability")


async def test_an_answer_that_is_lost_while_the_write_is_still_on_its_way(site: Site) -> None:
    """Sent again, since nothing was there when it was read, it meets the 409 of the first one: that is done."""
    case = CASES["enable capability"]
    case.prepare(site.plane)
    turn = await site.look(case.desired)
    site.plane.break_with({"operation": case.operation, "action": "cut_before"})

    def arrive(_: httpx.Request, number: int) -> None:
        if number == 2:
            site.plane.deploy("a")

    tap = Tap(before=arrive)
    (outcome,) = (await site.act(turn, transport=tap)).outcomes
    assert said(outcome) == ("done", "")
    assert len(tap.writes) == 2
    assert len(deployments(site.plane)) == 1


@pytest.mark.parametrize("pinned", [False, True])
async def test_a_409_with_the_deployment_that_is_wanted_is_done(site: Site, pinned: bool) -> None:
    """Somebody enabled it meanwhile, with the pinned variant where there is one: as declared, and nothing was written."""
    site.plane.app("a", target="com.a")
    with_variant(site.plane, "good")
    site.plane.catalog(good=1)
    wanted = PINNED if pinned else CASES["enable capability"].desired
    turn = await site.look(wanted)
    id_ = site.plane.deploy("a")
    applied = await site.act(turn)
    assert said(applied.outcomes[0]) == ("done", "")
    assert applied.outcomes[0].message == "it was already as declared"
    assert not applied.wrote
    assert [one["id"] for one in deployments(site.plane)] == [id_]


async def test_a_409_with_another_variant_is_a_failure_that_names_both(site: Site) -> None:
    """What somebody enabled meanwhile is not what the manifest pins: failed, and left as it is."""
    site.plane.app("a", target="com.a")
    with_variant(site.plane, "good")
    site.plane.catalog(good=1, other=0.5)
    turn = await site.look(PINNED)
    with_variant(site.plane, "other")
    site.plane.deploy("a")
    applied = await site.act(turn)
    assert said(applied.outcomes[0]) == ("failed", "enable-changed-pin")
    assert "the manifest pins good, but Octomil deployed other" in applied.outcomes[0].message
    assert not applied.wrote
    assert [one["model_variant_id"] for one in deployments(site.plane)] == ["other"]


@pytest.mark.parametrize("told", [False, True])
async def test_an_enable_that_deploys_another_variant_than_the_pin(site: Site, told: bool) -> None:
    """The answer is yes and the deployment has another variant: failed, whether or not the answer itself says so."""
    site.plane.app("a", target="com.a")
    with_variant(site.plane, "good")
    site.plane.catalog(good=1, other=0.5)
    turn = await site.look(PINNED)
    if not told:
        rule = {"operation": "apps.capabilities.enable", "action": "drop_answer_field", "field": "model_variant_id"}
        site.plane.break_with(rule)

    def rival(_: httpx.Request, number: int) -> None:
        assert number == 1
        with_variant(site.plane, "other")

    (outcome,) = (await site.act(turn, transport=Tap(before=rival))).outcomes
    assert said(outcome) == ("failed", "enable-changed-pin")
    assert "good" in outcome.message
    assert "other" in outcome.message


async def test_an_enable_whose_answer_is_lost_and_somebody_enabled_another_variant(site: Site) -> None:
    """Both variants are named, and theirs is left as it is; ours may have been there for a moment."""
    site.plane.app("a", target="com.a")
    with_variant(site.plane, "good")
    site.plane.catalog(good=1, other=0.5)
    turn = await site.look(PINNED)

    def rival(_: httpx.Request, number: int) -> None:
        assert number == 1
        with_variant(site.plane, "other")
        site.plane.deploy("a")
        site.plane.break_with({"operation": "apps.capabilities.enable", "action": "cut_before"})

    applied = await site.act(turn, transport=Tap(before=rival))
    assert said(applied.outcomes[0]) == ("failed", "enable-changed-pin")
    assert applied.wrote


async def test_a_deployment_that_names_no_capability_is_not_enabled_over(site: Site) -> None:
    """Read again before it is enabled, the capability may be deployed for all that can be read: nothing is sent."""
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
    assert said(applied.outcomes[0]) == ("failed", "unreadable-answer")
    assert "capability is missing" in applied.outcomes[0].message
    assert not applied.wrote


async def test_a_deployment_that_names_no_variant_is_no_other_one(site: Site) -> None:
    """The pin can't be confirmed, so it wasn't kept for all that is known; something was written."""
    site.plane.app("a", target="com.a")
    with_variant(site.plane, "good")
    site.plane.catalog(good=1)
    turn = await site.look(PINNED)
    nameless = {"action": "drop_answer_field", "times": None}
    site.plane.break_with(
        {"operation": "apps.capabilities.enable", "field": "model_variant_id", **nameless},
        {"operation": "apps.deployments", "field": "deployments.model_variant_id", **nameless},
    )
    applied = await site.act(turn)
    assert said(applied.outcomes[0]) == ("not_kept", "not-kept")
    assert applied.wrote


@pytest.mark.parametrize(("kind", "status"), [("enable capability", 202), ("optimize capability", 200)])
async def test_a_yes_that_shows_no_deployment_proves_nothing(site: Site, kind: str, status: int) -> None:
    """An answer with an id and a status may be a job's: reading tells that nothing came of it."""
    case = CASES[kind]
    case.prepare(site.plane)
    turn = await site.look(case.desired)
    before = deployments(site.plane)
    job = {"id": "job_1", "status": "queued"}
    site.plane.break_with({"operation": case.operation, "action": "answer", "status": status, "value": job})
    (outcome,) = (await site.act(turn)).outcomes
    assert said(outcome) == ("not_kept", "not-kept")
    assert ("no canary was started" in outcome.message) == (kind == "optimize capability")
    assert deployments(site.plane) == before


@pytest.mark.parametrize(
    ("variant", "result"), [("better", ("done", "")), ("best", ("failed", "optimize-chose-another"))]
)
async def test_a_409_while_a_canary_runs(site: Site, variant: str, result: tuple[str, str]) -> None:
    """Somebody optimized it meanwhile: done where the canary is to what was suggested, else a failure that names both."""
    CASES["optimize capability"].prepare(site.plane)
    turn = await site.look(OPTIMIZED)
    site.plane.catalog(**{"good": 1, "better": 1.2, variant: 1.5})
    site.plane.send("POST", "/apps/a/capabilities/chat/optimize", {"environment": "production"})
    applied = await site.act(turn)
    (outcome,) = applied.outcomes
    assert said(outcome) == result
    assert not applied.wrote
    (deployment,) = deployments(site.plane)
    assert deployment["canary"]["candidate_variant_id"] == variant
    if result[0] == "failed":
        assert "better was suggested and approved, but the canary uses best" in outcome.message


async def test_a_canary_to_another_variant_than_the_one_that_was_approved(site: Site) -> None:
    """What is best changes between plan and apply: the canary that runs is not the one that was shown, and that is said."""
    CASES["optimize capability"].prepare(site.plane)
    turn = await site.look(OPTIMIZED)
    site.plane.catalog(good=1, better=1.2, best=1.5)
    applied = await site.act(turn)
    assert said(applied.outcomes[0]) == ("failed", "optimize-chose-another")
    assert applied.wrote


@pytest.mark.parametrize("kind", ["enable capability", "optimize capability"])
async def test_what_waits_for_a_person_is_found_by_the_next_apply(site: Site, kind: str) -> None:
    """Awaiting approval is no failure, nothing is sent again in that run, and once it is given the next one does it."""
    case = CASES[kind]
    case.prepare(site.plane)
    site.plane.local("PUT", "/policy", {"require_approval": ["production"]})
    turn = await site.look(case.desired)
    site.plane.log()
    applied = await site.act(turn)
    assert said(applied.outcomes[0]) == ("awaiting_approval", "awaiting-approval")
    assert len(site.writes()) == 1
    assert not applied.wrote
    site.plane.local("PUT", "/policy", {})
    assert [said(one) for one in (await site.turn(case.desired)).outcomes] == [("done", "")]
