"""Capabilities in a plan: what is enabled where, with what the orchestrator says of it, and what is left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.states import action_lines, child_app, desired_app, live_app, live_deployment, observation, plan_of

from octosync.errors import ErrorResponse, Unavailable
from octosync.model import (
    Address,
    App,
    Assignment,
    Canary,
    Deployment,
    Preview,
    Reason,
    Severity,
)
from octosync.plan import DeployPolicy, EnableCapability, Plan, ReadNeeds

PRODUCTION = Address.of_capability("a", "chat", "production")
STAGING = Address.of_capability("a", "chat", "staging")
WANTED = desired_app("a", slots={"chat": {}}, deploy={"chat": "staging production"})
CURIOUS = ReadNeeds()


def there(*deployments: Deployment, **more: Any) -> App:
    """Make the live app with its slot."""
    return live_app("a", **{"slots": {"chat": {}}, "deployments": deployments, **more})


def enables(plan: Plan) -> dict[str, EnableCapability]:
    """Return the enable actions by capability and environment."""
    return {action.address.name: action for action in plan.actions if isinstance(action, EnableCapability)}


def rules(plan: Plan) -> list[str]:
    """Return the rules of the plan's diagnostics."""
    return [one.rule for one in plan.diagnostics]


def test_each_environment_without_a_live_deployment_is_enabled() -> None:
    """One action an environment, after app, targets and slot, with its environment as the whole body."""
    plan = plan_of(desired_app("a", targets=["ios:x"], slots={"chat": {}}, deploy={"chat": "staging production"}))
    assert action_lines(plan) == [
        "create app/a",
        "create app/a/target/ios:x",
        "create app/a/slot/chat",
        "enable app/a/capability/chat@production",
        "enable app/a/capability/chat@staging",
    ]
    action = enables(plan)["chat@production"]
    assert (action.reason, action.body) == (Reason.NOT_DEPLOYED, {"environment": "production"})
    assert {str(key.address) for key in action.depends_on} == {"app/a", "app/a/target/ios:x", "app/a/slot/chat"}


@pytest.mark.parametrize("status", ["started", "active", "paused", "completed", "a status of tomorrow"])
def test_what_is_live_is_not_enabled_again(status: str) -> None:
    """Every status but rolled back is live, one that nobody knows yet included: nothing to do, and counted as unchanged."""
    plan = plan_of(WANTED, there(live_deployment("a", status=status), live_deployment("a", environment="staging")))
    assert plan.actions == ()
    assert plan.unchanged == (Address.of_app("a"), Address.of_slot("a", "chat"), PRODUCTION, STAGING)


def test_a_slot_without_deploy_is_never_deployed() -> None:
    """Without `deploy` nothing is enabled, whatever is or was deployed, and nothing is said of it."""
    plan = plan_of(
        desired_app("a", slots={"chat": {}}), there(live_deployment("a"), live_deployment("a", environment="staging"))
    )
    assert not plan.actions
    assert not plan.diagnostics
    assert plan.left_alone.undeclared_deployments == ()


def test_a_child_document_deploys_too() -> None:
    """A slot in a file of its own enables its capability."""
    child = child_app("a", slots={"chat": {}})
    child = replace(child, slots=(replace(child.slots[0], deploy=WANTED.slots[0].deploy),))
    assert set(enables(plan_of(child, there()))) == {"chat@production", "chat@staging"}


def test_what_was_rolled_back_is_enabled_again_only_on_request() -> None:
    """A rolled-back deployment is a warning with the flag to give, listed as left alone; with the flag it is enabled."""
    live = there(live_deployment("a", status="rolled_back"), live_deployment("a", environment="staging"))
    plan = plan_of(WANTED, live)
    assert plan.actions == ()
    assert plan.left_alone.rolled_back == (PRODUCTION,)
    (warning,) = plan.diagnostics
    assert (warning.rule, warning.severity) == ("rolled-back", Severity.WARNING)
    assert "--retry-rolled-back" in warning.notes[0]
    again = plan_of(WANTED, live, deploy=DeployPolicy(retry_rolled_back=True))
    assert action_lines(again) == ["enable app/a/capability/chat@production"]
    assert again.left_alone.rolled_back == ()


def test_a_newer_live_deployment_counts_whatever_was_rolled_back_before() -> None:
    """One rolled back, then one that is live: deployed."""
    live = there(
        live_deployment("a", status="rolled_back", id="d1"),
        live_deployment("a", id="d2"),
        live_deployment("a", environment="staging"),
    )
    assert plan_of(WANTED, live).actions == ()


def test_an_environment_that_is_not_declared_is_left_alone_and_said() -> None:
    """There is no API to undeploy: what is live beyond the declared environments is listed; rolled-back ones are nothing."""
    wanted = desired_app("a", slots={"chat": {}}, deploy={"chat": "production"})
    gone = live_deployment("a", environment="development", status="rolled_back")
    plan = plan_of(wanted, there(live_deployment("a"), live_deployment("a", environment="staging"), gone))
    assert plan.actions == ()
    assert plan.left_alone.undeclared_deployments == (STAGING,)


def test_a_preview_is_asked_only_where_app_and_slot_exist() -> None:
    """What does not exist yet has no preview, and says so; asked for none, none is asked."""
    asked = plan_of(WANTED, there(), read_needs=CURIOUS)
    assert asked.questions.previews == (PRODUCTION, STAGING)
    new_slot = plan_of(WANTED, live_app("a"), read_needs=CURIOUS)
    assert new_slot.questions.previews == ()
    assert enables(new_slot)["chat@staging"].no_preview == "the slot does not exist yet"
    new_app = plan_of(WANTED, read_needs=CURIOUS)
    assert not new_app.questions
    assert enables(new_app)["chat@staging"].no_preview == "the app does not exist yet"
    unasked = plan_of(WANTED, there(), read_needs=CURIOUS, deploy=DeployPolicy(previews=False))
    assert not unasked.questions
    assert enables(unasked)["chat@staging"].no_preview == "not asked for"


def test_a_preview_is_part_of_its_action() -> None:
    """What the orchestrator answered is there, and is not asked again."""
    preview = Preview(variant="v1", reason="fits", devices=3, assignments=(Assignment(platform="ios", devices=3),))
    seen = observation(there(), previews={PRODUCTION: preview, STAGING: preview})
    plan = plan_of(WANTED, seen, read_needs=CURIOUS)
    assert not plan.questions
    assert enables(plan)["chat@production"].preview == preview
    assert enables(plan)["chat@production"].preview_note == ""


def test_a_preview_does_not_know_what_the_plan_does_first() -> None:
    """Where slot or targets are changed before, the preview is of what was: it says so."""
    wanted = desired_app(
        "a", targets=["ios:x"], slots={"chat": {"serving_policy": "local_only"}}, deploy={"chat": "production"}
    )
    seen = observation(there(), previews={PRODUCTION: Preview(variant="v1")})
    note = enables(plan_of(wanted, seen))["chat@production"].preview_note
    assert note == "as it is now, before this plan changes the slot and the targets"


def test_a_preview_does_not_know_a_pin_that_the_plan_sets_first() -> None:
    """The variant that it names is not the one that will be deployed: it says which one is pinned before."""
    wanted = desired_app("a", slots={"chat": {"model_variant_id": "v2"}}, deploy={"chat": "production"})
    plan = plan_of(wanted, observation(there(), previews={PRODUCTION: Preview(variant="v1")}))
    assert enables(plan)["chat@production"].preview_note == "as it is now, before this plan pins v2"
    assert not plan.diagnostics


def test_a_preview_that_fails_is_a_warning_on_its_action() -> None:
    """The plan is no failed plan: the action is there, with why it has no preview."""
    error = Unavailable("unavailable", "no answer", response=ErrorResponse(request_id="req_1"), hints=("Try again.",))
    plan = plan_of(WANTED, observation(there(), previews={PRODUCTION: error, STAGING: Preview(variant="v1")}))
    assert not plan.errored
    assert enables(plan)["chat@production"].no_preview == "not available: see the warning preview-failed"
    (warning,) = plan.diagnostics
    assert (warning.rule, warning.severity) == ("preview-failed", Severity.WARNING)
    assert "chat@production" in warning.summary
    assert warning.summary.endswith(": no answer (request req_1)")


def test_a_failed_preview_names_its_request_once() -> None:
    """Errors of answers name their request already."""
    error = Unavailable("unavailable", "no answer (503, request req_1)", response=ErrorResponse(request_id="req_1"))
    (warning, _) = plan_of(WANTED, observation(there(), previews={PRODUCTION: error, STAGING: error})).diagnostics
    assert warning.summary.count("req_1") == 1


@pytest.mark.parametrize(
    ("pinned", "live", "previewed", "warned"),
    [
        ("v1", "v1", "v2", True),
        ("v1", "v1", "v1", False),
        ("v1", "v0", "v0", False),
        (None, "v1", "v2", False),
        ("v1", "v1", None, False),
    ],
)
def test_a_preview_that_differs_from_the_pin(
    pinned: str | None, live: str, previewed: str | None, warned: bool
) -> None:
    """Another variant than the pinned one is a warning that names both; not where this plan is still to pin it."""
    fields = {} if pinned is None else {"model_variant_id": pinned}
    wanted = desired_app("a", slots={"chat": fields}, deploy={"chat": "production"})
    seen = observation(
        there(slots={"chat": {"model_variant_id": live}}), previews={PRODUCTION: Preview(variant=previewed)}
    )
    plan = plan_of(wanted, seen)
    assert rules(plan) == (["enable-differs-from-pin"] if warned else [])
    assert enables(plan)["chat@production"].pin == pinned
    if warned:
        assert "pins v1" in plan.diagnostics[0].summary
        assert "deploy v2" in plan.diagnostics[0].summary


def test_a_new_target_has_no_assignment_to_what_is_deployed_already() -> None:
    """Enabling assigned devices to the targets of that time: the plan says so, and what Octomil offers."""
    wanted = desired_app("a", targets=["ios:new"], slots={"chat": {}}, deploy={"chat": "production"})
    plan = plan_of(wanted, there(live_deployment("a")))
    (notice,) = plan.diagnostics
    assert (notice.rule, notice.severity) == ("target-without-assignment", Severity.NOTICE)
    assert "chat@production" in notice.summary
    assert any("--retry-rolled-back" in note for note in notice.notes)


def test_a_deleted_slot_leaves_its_deployment_behind() -> None:
    """The plan says that the deployment goes on; where nothing live is deployed of it, there is nothing to say."""
    wanted = desired_app("a", slots={})
    plan = plan_of(wanted, there(live_deployment("a"), live_deployment("a", "tts", "staging")))
    (notice,) = plan.diagnostics
    assert (notice.rule, notice.severity) == ("deployment-goes-on", Severity.NOTICE)
    assert "chat@production" in notice.summary
    assert "tts" not in notice.summary
    assert plan_of(wanted, there(live_deployment("a", status="rolled_back"))).diagnostics == ()


@pytest.mark.parametrize(("variant", "said"), [("v2", True), ("v1", False), (None, False)])
def test_a_pin_does_not_reach_what_is_deployed_already(variant: str | None, said: bool) -> None:
    """A PUT pins another variant than the deployed one, which no API changes: the plan names both."""
    wanted = desired_app("a", slots={"chat": {"model_variant_id": "v1"}}, deploy={"chat": "production"})
    plan = plan_of(
        wanted, there(live_deployment("a", variant=variant), live_deployment("a", "tts", "staging", variant="v3"))
    )
    assert rules(plan) == (["deployment-keeps-its-variant"] if said else [])
    if said:
        assert "v1 is pinned" in plan.diagnostics[0].summary
        assert plan.diagnostics[0].summary.endswith(": chat@production v2")


def test_archived_and_suspended_apps_deploy_nothing() -> None:
    """What is left alone, or is to go, is not enabled."""
    suspended = desired_app("a", slots={"chat": {}}, deploy={"chat": "production"}, suspended=True)
    assert plan_of(suspended, there()).actions == ()
    archived = replace(WANTED, archived=True)
    assert not enables(plan_of(archived, there()))


def test_a_fingerprint_knows_what_is_deployed_and_not_how_far_it_is() -> None:
    """Another deployment, variant or canary is another fingerprint; the canary's progress is not, nor is the status."""
    canary = Canary(candidate="v2", percentage=10)

    def printed(*deployments: Deployment) -> str:
        return plan_of(WANTED, there(*deployments)).fingerprints[PRODUCTION]

    base = printed(live_deployment("a", canary=canary))
    assert printed(live_deployment("a", canary=Canary(candidate="v2", percentage=90))) == base
    assert printed(live_deployment("a", canary=canary, status="paused")) == base
    others = [
        printed(),
        printed(live_deployment("a")),
        printed(live_deployment("a", canary=Canary(candidate="v3", percentage=10))),
        printed(live_deployment("a", canary=canary, id="other")),
        printed(live_deployment("a", canary=canary, variant="v9")),
        printed(live_deployment("a", canary=canary, status="rolled_back")),
    ]
    assert len({base, *others}) == len(others) + 1
