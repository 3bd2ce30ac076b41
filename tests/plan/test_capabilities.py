"""Capabilities in a plan: what is enabled in which environment, its preview, and what is left alone."""

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
from octosync.plan import DeployPolicy, EnableCapability, Fingerprint, Plan, ReadNeeds

PRODUCTION = Address.of_capability("a", "chat", "production")
STAGING = Address.of_capability("a", "chat", "staging")
WANTED = desired_app("a", slots={"chat": {}}, deploy={"chat": "staging production"})
ALL_NEEDS = ReadNeeds()


def deployed_app(*deployments: Deployment, **more: Any) -> App:
    """Return the live app with its slot."""
    return live_app("a", **{"slots": {"chat": {}}, "deployments": deployments, **more})


def enables(plan: Plan) -> dict[str, EnableCapability]:
    """Return the enable actions by capability and environment."""
    return {action.address.name: action for action in plan.actions if isinstance(action, EnableCapability)}


def rules(plan: Plan) -> list[str]:
    """Return the rules of the plan's diagnostics."""
    return [diagnostic.rule for diagnostic in plan.diagnostics]


def test_each_environment_without_a_live_deployment_is_enabled() -> None:
    """One action per environment, after app, targets and slot. Its body is the environment."""
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
def test_a_live_deployment_is_not_enabled_again(status: str) -> None:
    """Every status except rolled back is live, unknown ones included: nothing is planned, and it counts as unchanged."""
    plan = plan_of(
        WANTED, deployed_app(live_deployment("a", status=status), live_deployment("a", environment="staging"))
    )
    assert plan.actions == ()
    assert plan.unchanged == (Address.of_app("a"), Address.of_slot("a", "chat"), PRODUCTION, STAGING)


def test_a_slot_without_deploy_is_never_deployed() -> None:
    """Without `deploy` nothing is enabled or reported, for any past or present deployment."""
    plan = plan_of(
        desired_app("a", slots={"chat": {}}),
        deployed_app(live_deployment("a"), live_deployment("a", environment="staging")),
    )
    assert not plan.actions
    assert not plan.diagnostics
    assert plan.left_alone.undeclared_deployments == ()


def test_a_child_document_deploys_too() -> None:
    """A slot in a child document enables its capability."""
    child = child_app("a", slots={"chat": {}})
    child = replace(child, slots=(replace(child.slots[0], deploy=WANTED.slots[0].deploy),))
    assert set(enables(plan_of(child, deployed_app()))) == {"chat@production", "chat@staging"}


def test_a_rolled_back_deployment_is_enabled_only_on_request() -> None:
    """It is left alone, with a warning that names the flag. With the flag it is enabled."""
    live = deployed_app(live_deployment("a", status="rolled_back"), live_deployment("a", environment="staging"))
    plan = plan_of(WANTED, live)
    assert plan.actions == ()
    assert plan.left_alone.rolled_back == (PRODUCTION,)
    (warning,) = plan.diagnostics
    assert (warning.rule, warning.severity) == ("rolled-back", Severity.WARNING)
    assert "--retry-rolled-back" in warning.notes[0]
    again = plan_of(WANTED, live, deploy=DeployPolicy(retry_rolled_back=True))
    assert action_lines(again) == ["enable app/a/capability/chat@production"]
    assert again.left_alone.rolled_back == ()


def test_a_newer_live_deployment_counts() -> None:
    """A rolled-back deployment and then a live one: the capability is deployed."""
    live = deployed_app(
        live_deployment("a", status="rolled_back", id="d1"),
        live_deployment("a", id="d2"),
        live_deployment("a", environment="staging"),
    )
    assert plan_of(WANTED, live).actions == ()


def test_an_undeclared_environment_is_left_alone_and_listed() -> None:
    """There is no API to undeploy. A live deployment in an undeclared environment is listed; a rolled-back one is not."""
    wanted = desired_app("a", slots={"chat": {}}, deploy={"chat": "production"})
    gone = live_deployment("a", environment="development", status="rolled_back")
    plan = plan_of(wanted, deployed_app(live_deployment("a"), live_deployment("a", environment="staging"), gone))
    assert plan.actions == ()
    assert plan.left_alone.undeclared_deployments == (STAGING,)


def test_a_preview_is_read_only_if_app_and_slot_exist() -> None:
    """If one is missing there is no preview, and the action has the reason. Without previews none is read."""
    draft = plan_of(WANTED, deployed_app(), read_needs=ALL_NEEDS)
    assert draft.questions.previews == (PRODUCTION, STAGING)
    new_slot = plan_of(WANTED, live_app("a"), read_needs=ALL_NEEDS)
    assert new_slot.questions.previews == ()
    assert enables(new_slot)["chat@staging"].no_preview == "the slot does not exist yet"
    new_app = plan_of(WANTED, read_needs=ALL_NEEDS)
    assert not new_app.questions
    assert enables(new_app)["chat@staging"].no_preview == "the app does not exist yet"
    without = plan_of(WANTED, deployed_app(), read_needs=ALL_NEEDS, deploy=DeployPolicy(previews=False))
    assert not without.questions
    assert enables(without)["chat@staging"].no_preview == "not asked for"


def test_a_preview_is_part_of_its_action() -> None:
    """The action has the orchestrator's answer, and the preview is not read again."""
    preview = Preview(variant="v1", reason="fits", devices=3, assignments=(Assignment(platform="ios", devices=3),))
    seen = observation(deployed_app(), previews={PRODUCTION: preview, STAGING: preview})
    plan = plan_of(WANTED, seen, read_needs=ALL_NEEDS)
    assert not plan.questions
    assert enables(plan)["chat@production"].preview == preview
    assert enables(plan)["chat@production"].preview_note == ""


def test_a_preview_is_of_the_state_before_the_plan() -> None:
    """If the plan changes slot or targets first, the action notes that the preview is of the state before."""
    wanted = desired_app(
        "a", targets=["ios:x"], slots={"chat": {"serving_policy": "local_only"}}, deploy={"chat": "production"}
    )
    seen = observation(deployed_app(), previews={PRODUCTION: Preview(variant="v1")})
    note = enables(plan_of(wanted, seen))["chat@production"].preview_note
    assert note == "as it is now, before this plan changes the slot and the targets"


def test_a_preview_notes_a_pin_that_the_plan_sets_first() -> None:
    """The previewed variant is not the one that will be deployed: the note names the variant that is pinned first."""
    wanted = desired_app("a", slots={"chat": {"model_variant_id": "v2"}}, deploy={"chat": "production"})
    plan = plan_of(wanted, observation(deployed_app(), previews={PRODUCTION: Preview(variant="v1")}))
    assert enables(plan)["chat@production"].preview_note == "as it is now, before this plan pins v2"
    assert not plan.diagnostics


def test_a_preview_that_fails_is_a_warning_on_its_action() -> None:
    """The plan does not fail: it contains the action, with the reason for the missing preview."""
    error = Unavailable("unavailable", "no answer", response=ErrorResponse(request_id="req_1"), hints=("Try again.",))
    plan = plan_of(WANTED, observation(deployed_app(), previews={PRODUCTION: error, STAGING: Preview(variant="v1")}))
    assert not plan.errored
    assert enables(plan)["chat@production"].no_preview == "not available: see the warning preview-failed"
    (warning,) = plan.diagnostics
    assert (warning.rule, warning.severity) == ("preview-failed", Severity.WARNING)
    assert "chat@production" in warning.summary
    assert warning.summary.endswith(": no answer (request req_1)")


def test_a_failed_preview_names_its_request_once() -> None:
    """The error of a response names its request already."""
    error = Unavailable("unavailable", "no answer (503, request req_1)", response=ErrorResponse(request_id="req_1"))
    (warning, _) = plan_of(
        WANTED, observation(deployed_app(), previews={PRODUCTION: error, STAGING: error})
    ).diagnostics
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
    """A variant other than the pinned one is a warning that names both, unless this plan sets the pin."""
    fields = {} if pinned is None else {"model_variant_id": pinned}
    wanted = desired_app("a", slots={"chat": fields}, deploy={"chat": "production"})
    seen = observation(
        deployed_app(slots={"chat": {"model_variant_id": live}}), previews={PRODUCTION: Preview(variant=previewed)}
    )
    plan = plan_of(wanted, seen)
    assert rules(plan) == (["enable-differs-from-pin"] if warned else [])
    assert enables(plan)["chat@production"].pin == pinned
    if warned:
        assert "pins v1" in plan.diagnostics[0].summary
        assert "deploy v2" in plan.diagnostics[0].summary


def test_a_new_target_has_no_assignment_to_a_deployment() -> None:
    """Enabling assigned devices to the targets of that time. The plan reports that, with what Octomil offers."""
    wanted = desired_app("a", targets=["ios:new"], slots={"chat": {}}, deploy={"chat": "production"})
    plan = plan_of(wanted, deployed_app(live_deployment("a")))
    (notice,) = plan.diagnostics
    assert (notice.rule, notice.severity) == ("target-without-assignment", Severity.NOTICE)
    assert "chat@production" in notice.summary
    assert any("--retry-rolled-back" in note for note in notice.notes)


def test_a_deleted_slot_leaves_its_deployment_running() -> None:
    """The plan reports that the deployment keeps running. Without a live deployment it reports nothing."""
    wanted = desired_app("a", slots={})
    plan = plan_of(wanted, deployed_app(live_deployment("a"), live_deployment("a", "tts", "staging")))
    (notice,) = plan.diagnostics
    assert (notice.rule, notice.severity) == ("deployment-goes-on", Severity.NOTICE)
    assert "chat@production" in notice.summary
    assert "tts" not in notice.summary
    assert plan_of(wanted, deployed_app(live_deployment("a", status="rolled_back"))).diagnostics == ()


@pytest.mark.parametrize(("variant", "reported"), [("v2", True), ("v1", False), (None, False)])
def test_a_pin_does_not_change_a_deployment(variant: str | None, reported: bool) -> None:
    """A PUT that pins a variant other than the deployed one can't change the deployment: the plan names both."""
    wanted = desired_app("a", slots={"chat": {"model_variant_id": "v1"}}, deploy={"chat": "production"})
    plan = plan_of(
        wanted,
        deployed_app(live_deployment("a", variant=variant), live_deployment("a", "tts", "staging", variant="v3")),
    )
    assert rules(plan) == (["deployment-keeps-its-variant"] if reported else [])
    if reported:
        assert "v1 is pinned" in plan.diagnostics[0].summary
        assert plan.diagnostics[0].summary.endswith(": chat@production v2")


def test_archived_and_suspended_apps_deploy_nothing() -> None:
    """An app that is suspended, or to be archived, enables nothing."""
    suspended = desired_app("a", slots={"chat": {}}, deploy={"chat": "production"}, suspended=True)
    assert plan_of(suspended, deployed_app()).actions == ()
    archived = replace(WANTED, archived=True)
    assert not enables(plan_of(archived, deployed_app()))


def test_a_fingerprint_covers_the_deployment_and_not_its_progress() -> None:
    """Another deployment, variant or canary is another fingerprint; the progress of a canary and the status are not."""
    canary = Canary(candidate="v2", percentage=10)

    def fingerprint(*deployments: Deployment) -> Fingerprint:
        return plan_of(WANTED, deployed_app(*deployments)).fingerprints[PRODUCTION]

    base = fingerprint(live_deployment("a", canary=canary))
    assert fingerprint(live_deployment("a", canary=Canary(candidate="v2", percentage=90))) == base
    assert fingerprint(live_deployment("a", canary=canary, status="paused")) == base
    others = [
        fingerprint(),
        fingerprint(live_deployment("a")),
        fingerprint(live_deployment("a", canary=Canary(candidate="v3", percentage=10))),
        fingerprint(live_deployment("a", canary=canary, id="other")),
        fingerprint(live_deployment("a", canary=canary, variant="v9")),
        fingerprint(live_deployment("a", canary=canary, status="rolled_back")),
    ]
    assert len({base, *others}) == len(others) + 1
