"""Refusals: the effect of each on its action, on the actions that depend on it, and on the run."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.action_cases import CASES, OVERWRITING
from tests.support.harness import Harness, Tap, status_by_action
from tests.support.states import desired_app

from octosync.contract import PRESETS
from octosync.errors import ExitCode
from octosync.model import Outcome
from octosync.report import exit_code_of_outcomes
from octosync.server.settings import DEFAULT_ORG_ID

PUT_SLOT = {"serving_policy": "local_only"}


def refusal(operation: str, status: int, code: str, **more: Any) -> dict[str, Any]:
    """Return a fault that refuses an operation permanently."""
    return {"operation": operation, "action": "status", "status": status, "code": code, "times": None, **more}


def result_of(outcome: Outcome) -> tuple[str, str]:
    """Return the status and the error reference."""
    return outcome.status.value, outcome.reference


@pytest.mark.parametrize("details", [True, False])
async def test_a_target_that_another_app_holds(harness: Harness, details: bool) -> None:
    """The registration fails on a 409, whether or not it names the holder. The message names the holder if it is known."""
    harness.plane.app("a")
    harness.plane.app("holder", target="com.a")
    reviewed = await harness.review(desired_app("a", targets=["ios:com.a"]))
    if not details:
        harness.plane.break_with(refusal("apps.create_target", 409, "conflict", message="Taken"))
    (outcome,) = (await harness.apply(reviewed)).outcomes
    assert result_of(outcome) == ("failed", "target-held-elsewhere")
    if details:
        assert "taken by app `holder`" in outcome.message
        assert "`holder`" in outcome.hints[0]
    else:
        assert "taken by another app of the org" in outcome.message
        assert "archived apps keep their targets" in outcome.hints[0]


@pytest.mark.parametrize("details", [True, False])
async def test_a_target_that_the_app_holds_already(harness: Harness, details: bool) -> None:
    """A 409 about a target that the same app already holds is done: the target is as declared."""
    harness.plane.app("a")
    reviewed = await harness.review(desired_app("a", targets=["ios:com.a"]))
    harness.plane.send("POST", "/apps/a/targets", {"platform": "ios", "identifier": "com.a"})
    if not details:
        harness.plane.break_with(refusal("apps.create_target", 409, "conflict"))
    applied = await harness.apply(reviewed)
    assert result_of(applied.outcomes[0]) == ("done", "")
    assert applied.outcomes[0].message == "it was already as declared"
    assert not applied.wrote


@pytest.mark.parametrize("name", ["Ours", "Theirs"])
async def test_an_app_that_another_user_created(harness: Harness, name: str) -> None:
    """If the slug was taken meanwhile, the action is done if the app is as declared, else stale with its children skipped."""
    reviewed = await harness.review(desired_app("a", fields={"name": "Ours"}, slots={"chat": {}}), desired_app("b"))
    harness.plane.send("POST", "/apps", {"slug": "a", "name": name})
    applied = await harness.apply(reviewed)
    result = ["done", "done", "done"] if name == "Ours" else ["stale", "skipped", "done"]
    assert list(status_by_action(applied).values()) == result
    assert harness.state()["a"]["name"] == name


async def test_an_archived_app_under_the_slug_is_stale(harness: Harness) -> None:
    """If another user created and archived the app meanwhile, it can't be restored, so it is not as declared."""
    reviewed = await harness.review(desired_app("a", fields={"name": "A"}))
    harness.plane.app("a")
    harness.plane.send("POST", "/apps/a/archive")
    (outcome,) = (await harness.apply(reviewed)).outcomes
    assert result_of(outcome) == ("stale", "object-changed")


async def test_a_409_for_a_slug_that_no_app_has(harness: Harness) -> None:
    """If a create gets a 409 and no such app can be read, it fails with the message of the control plane."""
    reviewed = await harness.review(desired_app("a"))
    harness.plane.break_with(refusal("apps.create", 409, "conflict", message="The slug is reserved"))
    (outcome,) = (await harness.apply(reviewed)).outcomes
    assert result_of(outcome) == ("failed", "conflict")
    assert "The slug is reserved" in outcome.message


async def test_a_write_into_an_app_that_was_archived_meanwhile(harness: Harness) -> None:
    """An archived app refuses every write with a 409, although the slot is unchanged: the action fails with the reason."""
    harness.plane.app("a", "chat")
    reviewed = await harness.review(desired_app("a", slots={"chat": PUT_SLOT}))
    harness.plane.send("POST", "/apps/a/archive")
    (outcome,) = (await harness.apply(reviewed)).outcomes
    assert result_of(outcome) == ("failed", "conflict")
    assert "archived" in outcome.message


@pytest.mark.parametrize("kind", OVERWRITING)
async def test_a_conflict_about_an_object_that_changed(harness: Harness, kind: str) -> None:
    """If a write gets a 409 and its object is neither as declared nor as read, another user was faster: stale."""
    case = CASES[kind]
    case.prepare(harness.plane)
    reviewed = await harness.review(case.desired)
    case.interfere(harness.plane)
    harness.plane.break_with(refusal(case.operation, 409, "conflict"))
    assert result_of((await harness.apply(reviewed)).outcomes[0]) == ("stale", "object-changed")


async def test_a_slot_changed_by_another_user_is_stale(harness: Harness) -> None:
    """If another user gave the slot a variant that the manifest leaves open, it is stale and not reported as a changed pin."""
    harness.plane.app("a", "chat")
    reviewed = await harness.review(desired_app("a", slots={"chat": PUT_SLOT}))
    harness.plane.send("PUT", "/apps/a/slots/chat", {"serving_policy": "cloud_first", "model_variant_id": "v"})
    harness.plane.break_with(refusal("apps.put_slot", 409, "conflict"))
    assert result_of((await harness.apply(reviewed)).outcomes[0]) == ("stale", "object-changed")


async def test_only_registrations_report_a_holder(harness: Harness) -> None:
    """A 409 to another write may name any app: it is a conflict, with the message of the control plane."""
    harness.plane.app("a", "chat")
    reviewed = await harness.review(desired_app("a", slots={"chat": PUT_SLOT}))
    harness.plane.break_with(
        refusal("apps.put_slot", 409, "conflict", details={"app_slug": "b"}, message="Locked by b")
    )
    (outcome,) = (await harness.apply(reviewed)).outcomes
    assert result_of(outcome) == ("failed", "conflict")
    assert "Locked by b" in outcome.message


@pytest.mark.parametrize("archived_at", [None, "2030-01-01T00:00:00Z"])
async def test_a_target_that_a_409_attributes_to_the_app(harness: Harness, archived_at: str | None) -> None:
    """If the 409 names the app itself and the list does not show the target yet, it is done, unless the app is archived."""
    harness.plane.app("a")
    reviewed = await harness.review(desired_app("a", targets=["ios:com.a"]))
    details = {"app_slug": "a", "archived_at": archived_at, "identifier": "com.a"}
    harness.plane.break_with(refusal("apps.create_target", 409, "conflict", details=details, message="Registered"))
    applied = await harness.apply(reviewed)
    assert result_of(applied.outcomes[0]) == (("failed", "conflict") if archived_at else ("done", ""))
    assert not applied.wrote


RETRYABLE = {
    "rejected": (refusal("apps.put_slot", 422, "validation_error"), False),
    "conflict": (refusal("apps.put_slot", 409, "conflict"), False),
    "unavailable": (refusal("apps.put_slot", 503, "down"), True),
    "response truncated, object unreadable": (refusal("apps.list_slots", 403, "forbidden"), True),
    "object unreadable before the write": ({"operation": "apps.list_slots", "action": "garbage", "times": None}, True),
}


@pytest.mark.parametrize("why", RETRYABLE)
async def test_a_failure_is_marked_retryable_or_not(harness: Harness, why: str) -> None:
    """Outages, unknown outcomes and unreadable objects are retryable. A refusal by the control plane is not."""
    harness.plane.app("a", "chat")
    reviewed = await harness.review(desired_app("a", slots={"chat": PUT_SLOT}))
    rule, retryable = RETRYABLE[why]
    harness.advance(31 if "before" in why else 0)
    harness.plane.break_with(rule, {"operation": "apps.put_slot", "action": "truncated"})
    (outcome,) = (await harness.apply(reviewed)).outcomes
    assert (outcome.status.value, outcome.retryable) == ("failed", retryable)


async def test_a_conflict_that_cannot_be_verified(harness: Harness) -> None:
    """If a write gets a 409 and the object can't be read, the outcome is unknown."""
    harness.plane.app("a", "chat")
    reviewed = await harness.review(desired_app("a", slots={"chat": PUT_SLOT}))
    harness.plane.break_with(refusal("apps.put_slot", 409, "conflict"), refusal("apps.list_slots", 403, "forbidden"))
    assert result_of((await harness.apply(reviewed)).outcomes[0]) == ("failed", "outcome-unknown")


@pytest.mark.parametrize("kind", ["remove target", "delete slot", "delete config"])
async def test_a_404_for_an_object_that_still_exists_is_not_a_removal(harness: Harness, kind: str) -> None:
    """An unsupported path answers 404 as well, so the object is not reported as gone while reads still show it."""
    case = CASES[kind]
    case.prepare(harness.plane)
    reviewed = await harness.review(case.desired)
    harness.plane.break_with(refusal(case.operation, 404, "target_not_found"))
    applied = await harness.apply(reviewed)
    (outcome,) = applied.outcomes
    assert result_of(outcome) == ("failed", "not-removed")
    assert f"api.operations.{case.operation}" in outcome.hints[0]
    assert not applied.wrote


@pytest.mark.parametrize("kind", ["create app", "register target", "put new slot", "put new config"])
async def test_a_404_to_a_write_that_removes_nothing_is_a_failure(harness: Harness, kind: str) -> None:
    """If a write that creates or replaces an object gets a 404, it fails."""
    case = CASES[kind]
    case.prepare(harness.plane)
    reviewed = await harness.review(case.desired)
    harness.plane.break_with(refusal(case.operation, 404, "app_not_found"))
    applied = await harness.apply(reviewed)
    assert result_of(applied.outcomes[0]) == ("failed", "app-not-found")
    assert not applied.wrote


@pytest.mark.parametrize("kind", ["remove target", "delete slot", "delete config"])
async def test_an_object_that_is_already_gone_is_done(harness: Harness, kind: str) -> None:
    """If a DELETE gets a 404, another user was faster, and the state is as declared."""
    case = CASES[kind]
    case.prepare(harness.plane)
    reviewed = await harness.review(case.desired)
    await harness.reconcile(case.desired)
    applied = await harness.apply(reviewed)
    (outcome,) = applied.outcomes
    assert (*result_of(outcome), outcome.message) == ("done", "", "it was already gone")
    assert not applied.wrote


@pytest.mark.parametrize("status", [403, 409, 202])
async def test_a_write_that_needs_approval(harness: Harness, status: int) -> None:
    """`approval_required` is not a failure: the action awaits approval, its dependents are skipped, others go on, exit 5."""
    harness.plane.app("a", "chat")
    harness.plane.app("b")
    reviewed = await harness.review(
        desired_app("a", slots={}, archived=True), desired_app("b", fields={"name": "B"}, config={"m": 1})
    )
    harness.plane.break_with(refusal("apps.delete_slot", status, "approval_required"))
    applied = await harness.apply(reviewed)
    assert list(status_by_action(applied).values()) == ["awaiting_approval", "done", "skipped"]
    assert applied.outcomes[2].message == "needs delete app/a/slot/chat, which awaits approval"
    assert applied.outcomes[0].reference == "awaiting-approval"
    assert applied.stopped_by is None
    assert exit_code_of_outcomes(applied.outcomes) is ExitCode.PARTIAL


STOPPERS = {
    "401": (401, "invalid_api_key", "credential-refused"),
    "scope": (403, "insufficient_scope", "insufficient-scope"),
    "org": (403, "missing_org_context", "missing-org-context"),
}


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("stopper", STOPPERS)
async def test_a_refused_key_stops_the_run(harness: Harness, stopper: str, written: bool) -> None:
    """No other action could succeed: the rest is not attempted, with the reason. Exit 1 only if nothing was written."""
    status, code, reference = STOPPERS[stopper]
    desired = [desired_app(f"app-{n}", slots={"chat": {}}) for n in range(5)]
    reviewed = await harness.review(*desired)
    harness.plane.break_with(refusal("*", status, code, skip=2 if written else 0))
    applied = await harness.apply(reviewed, concurrency=1)
    statuses = [outcome.status.value for outcome in applied.outcomes]
    done = ["done", "done"] if written else []
    assert statuses[: len(done) + 1] == [*done, "failed"]
    assert set(statuses[len(done) + 1 :]) <= {"not_attempted", "skipped"}
    assert applied.wrote is written
    assert applied.stopped_by is not None
    assert (applied.stopped_by.reference, applied.stopped_by.exit_code) == (reference, ExitCode.ERROR)
    left = applied.outcomes[-1]
    assert left.message == f"the run stopped: {applied.stopped_by.message}"
    assert sum(not line.startswith("GET ") for line in harness.plane.log()) == len(done) + 1


async def test_an_ordinary_refusal_stops_nothing_else(harness: Harness) -> None:
    """A 403 about one object, or a 402, affects that object and everything that depends on it, transitively."""
    reviewed = await harness.review(
        desired_app("a", slots={"chat": {}}, config={"model": "@app/a/chat"}),
        desired_app("b", config={"model": "@app/a/chat"}),
        desired_app("c", slots={"chat": {}}),
    )
    harness.plane.break_with(refusal("apps.create", 403, "forbidden", slug=None, times=1))
    applied = await harness.apply(reviewed)
    assert status_by_action(applied) == {
        "create app/a": "failed",
        "create app/a/slot/chat": "skipped",
        "create app/a/inference-config": "skipped",
        "create app/b": "done",
        "create app/b/inference-config": "skipped",
        "create app/c": "done",
        "create app/c/slot/chat": "done",
    }
    by_name = {str(outcome.address): outcome.message for outcome in applied.outcomes}
    assert by_name["app/a/slot/chat"] == "needs create app/a, which failed"
    assert by_name["app/b/inference-config"] == "needs create app/a/slot/chat, which was skipped"


@pytest.mark.parametrize("written", [False, True])
async def test_an_unreachable_control_plane_stops_the_run(harness: Harness, written: bool) -> None:
    """After three actions in a row without a response the rest is not attempted. Exit 75 if nothing was written, else 5."""
    reviewed = await harness.review(*(desired_app(f"app-{n}") for n in range(9)))
    harness.plane.break_with(
        {"operation": "apps.create", "action": "status", "status": 503, "times": None, "skip": int(written)}
    )
    applied = await harness.apply(reviewed, concurrency=1)
    statuses = [outcome.status.value for outcome in applied.outcomes]
    done = ["done"] if written else []
    assert statuses == [*done, *["failed"] * 3, *["not_attempted"] * (6 - written)]
    assert applied.wrote is written
    assert applied.stopped_by is not None
    assert applied.stopped_by.exit_code is ExitCode.UNAVAILABLE


async def test_two_failures_and_a_success_do_not_stop_the_run(harness: Harness) -> None:
    """Only consecutive failures indicate that the control plane is unreachable."""
    reviewed = await harness.review(*(desired_app(f"app-{n}") for n in range(6)))
    broken = {"operation": "apps.create", "action": "status", "status": 503}
    harness.plane.break_with({**broken, "times": 6}, {**broken, "skip": 1, "times": 6})
    applied = await harness.apply(reviewed, concurrency=1)
    statuses = [outcome.status.value for outcome in applied.outcomes]
    assert statuses == ["failed", "failed", "done", "failed", "failed", "done"]
    assert applied.stopped_by is None


async def test_a_short_run_without_any_response_is_unavailable(harness: Harness) -> None:
    """If one action fails because the control plane is unreachable and the other depends on it, the exit code is 75, not 5."""
    harness.plane.app("a", "chat")
    reviewed = await harness.review(desired_app("a", slots={}, archived=True))
    harness.plane.break_with({"operation": "*", "action": "status", "status": 503, "times": None})
    applied = await harness.apply(reviewed)
    assert list(status_by_action(applied).values()) == ["failed", "skipped"]
    # Neither the write nor the read was answered, so the write may have taken effect.
    assert applied.wrote
    harness.plane.break_with({"operation": "apps.delete_slot", "action": "status", "status": 503, "times": None})
    applied = await harness.apply(reviewed)
    assert list(status_by_action(applied).values()) == ["failed", "skipped"]
    assert not applied.wrote
    assert applied.stopped_by is not None
    assert applied.stopped_by.exit_code is ExitCode.UNAVAILABLE


async def test_a_short_run_with_a_refusal_is_not_unavailable(harness: Harness) -> None:
    """If one action is refused and the other gets no response, the control plane was reachable: another run is not enough."""
    reviewed = await harness.review(desired_app("a"), desired_app("b"))
    harness.plane.break_with(
        refusal("apps.create", 422, "validation_error", slug=None, times=1), refusal("apps.create", 503, "down")
    )
    applied = await harness.apply(reviewed)
    assert [result_of(outcome) for outcome in applied.outcomes] == [("failed", "rejected"), ("failed", "unavailable")]
    assert not applied.wrote
    assert applied.stopped_by is None


async def test_failed_reads_before_the_writes_mean_nothing_was_written(harness: Harness) -> None:
    """If the reads before the writes fail, nothing was written, and the exit code is 75."""
    harness.plane.app("a", "chat", "tts", "vision")
    reviewed = await harness.review(desired_app("a", slots={}))
    harness.advance(31)
    harness.plane.break_with({"operation": "apps.list_slots", "action": "status", "status": 503, "times": None})
    applied = await harness.apply(reviewed)
    assert set(status_by_action(applied).values()) == {"failed"}
    assert not applied.wrote
    assert applied.stopped_by is not None
    assert applied.stopped_by.exit_code is ExitCode.UNAVAILABLE


async def test_a_refused_connection_means_nothing_was_written(harness: Harness) -> None:
    """If no server listens any more, each action fails, nothing is sent, and the exit code is 75."""
    reviewed = await harness.review(desired_app("a"))
    harness.plane = type(harness.plane)("http://127.0.0.1:1", harness.plane.http)
    applied = await harness.apply(reviewed)
    assert result_of(applied.outcomes[0]) == ("failed", "connection-refused")
    assert applied.stopped_by is not None
    assert applied.stopped_by.exit_code is ExitCode.UNAVAILABLE
    assert not applied.wrote


@pytest.mark.parametrize("place", ["message", "details"])
async def test_a_refused_undeclared_field_prints_the_remedy(harness: Harness, place: str) -> None:
    """If a 422 names a field that was only carried over, a hint states how to declare it read-only."""
    harness.plane.http.put("/_local/policy", json={"slot_fields": ["tier", "tie"]}).raise_for_status()
    harness.plane.app("a")
    harness.plane.send("PUT", "/apps/a/slots/chat", {"bindings": [], "tier": "gold", "tie": "black"})
    reviewed = await harness.review(desired_app("a", slots={"chat": PUT_SLOT}))
    named: dict[str, Any] = (
        {"message": "tier: unknown field"}
        if place == "message"
        else {"details": [{"field": "tier", "message": "unknown field"}]}
    )
    harness.plane.break_with(refusal("apps.put_slot", 422, "validation_error", **named))
    (outcome,) = (await harness.apply(reviewed)).outcomes
    assert result_of(outcome) == ("failed", "rejected")
    ways_out = [hint for hint in outcome.hints if "readOnly" in hint]
    assert len(ways_out) == 1
    assert "`tier` was carried over from live state" in ways_out[0]
    assert ways_out[0].endswith("api: {readOnly: {slot: [tier]}}")


@pytest.mark.parametrize("declared", [True, False])
async def test_a_refused_key_inside_an_undeclared_field_is_named_with_its_path(
    harness: Harness, declared: bool
) -> None:
    """The hint covers only the refused key, so the rest of the policy or binding is not lost. There is one hint."""
    harness.plane.http.put("/_local/policy", json={"slot_fields": ["serving_policy.rev"]}).raise_for_status()
    harness.plane.app("a")
    policy = {**PRESETS["private"], "rev": 3}
    harness.plane.send(
        "PUT", "/apps/a/slots/chat", {"serving_policy": policy, "bindings": [{"binding_key": "k", "id": "b1"}]}
    )
    harness.plane.http.put("/_local/policy", json={"slot_fields": []}).raise_for_status()
    fields: dict[str, Any] = {"preferred_engines": ["mlx"]}
    if declared:
        fields |= {"serving_policy": PRESETS["local_first"], "bindings": [{"binding_key": "k"}]}
    desired = desired_app("a", slots={"chat": fields})
    (refused,) = (await harness.apply(await harness.review(desired))).outcomes
    assert result_of(refused) == ("failed", "rejected")
    assert [hint.partition("api: ")[2] for hint in refused.hints if "readOnly" in hint] == [
        "{readOnly: {slot: [serving_policy.rev]}}"
    ]
    problem = [{"field": "bindings[0].id", "message": "unknown field"}]
    harness.plane.break_with(refusal("apps.put_slot", 422, "validation_error", details=problem))
    (refused,) = (await harness.apply(await harness.review(desired))).outcomes
    assert [hint.partition("api: ")[2] for hint in refused.hints if "readOnly" in hint] == [
        "{readOnly: {slot: [bindings.id]}}"
    ]


@pytest.mark.parametrize("pinned", [True, False])
async def test_a_control_plane_that_requires_a_variant(harness: Harness, pinned: bool) -> None:
    """A 422 about the variant has the hint to pin one, unless one was sent."""
    harness.plane.app("a")
    fields = {**PUT_SLOT, "model_variant_id": "var-1"} if pinned else PUT_SLOT
    reviewed = await harness.review(desired_app("a", slots={"chat": fields}))
    details = [{"field": "model_variant_id", "message": "must be an active catalog variant"}]
    harness.plane.break_with(refusal("apps.put_slot", 422, "validation_error", details=details))
    (outcome,) = (await harness.apply(reviewed)).outcomes
    assert any("pin `variant`" in hint for hint in outcome.hints) is not pinned


async def test_a_422_about_another_field_has_no_such_hint(harness: Harness) -> None:
    """Only fields that a slot's PUT carries over can be declared read-only."""
    harness.plane.app("a")
    reviewed = await harness.review(desired_app("a", config={"tier": 1}, slots={"chat": {}}))
    harness.plane.break_with(
        refusal("apps.put_inference_config", 422, "validation_error", message="tier"),
        refusal("apps.put_slot", 422, "validation_error", message="bindings are wrong"),
    )
    applied = await harness.apply(reviewed)
    hints = [hint for outcome in applied.outcomes for hint in outcome.hints]
    assert not any("readOnly" in hint or "pin `variant`" in hint for hint in hints)


async def test_the_hints_of_a_refusal_are_kept(harness: Harness) -> None:
    """If a 422 is a proxy's HTML page and names no field, the hint still states that it is a page."""
    harness.plane.app("a")
    reviewed = await harness.review(desired_app("a", slots={"chat": {}}))
    harness.plane.break_with({"operation": "apps.put_slot", "action": "html", "status": 422})
    (outcome,) = (await harness.apply(reviewed)).outcomes
    assert result_of(outcome) == ("failed", "rejected")
    assert any("HTML page" in hint for hint in outcome.hints)


async def test_the_first_create_reveals_the_org(harness: Harness) -> None:
    """If an org is configured and no live object names one, a create is sent alone, and a wrong org stops the run."""
    harness.connection["org"] = DEFAULT_ORG_ID
    reviewed = await harness.review(*(desired_app(f"app-{n}", slots={"chat": {}}) for n in range(4)))
    wrong = {"operation": "apps.create", "action": "set_answer_field", "field": "org_id", "value": "org-elsewhere"}
    harness.plane.break_with({**wrong, "times": None})
    harness.plane.log()
    applied = await harness.apply(reviewed)
    assert harness.writes() == ["POST /api/v1/apps"]
    first = applied.outcomes[0]
    assert result_of(first) == ("failed", "wrong-org")
    assert "org-elsewhere" in first.message
    assert harness.connection["org"] in first.message
    assert {outcome.status.value for outcome in applied.outcomes[1:]} <= {"skipped", "not_attempted"}
    assert applied.stopped_by is not None
    assert applied.wrote  # the app exists, in the wrong org: exit 1 would claim that nothing was written


@pytest.mark.parametrize("right", [True, False])
async def test_nothing_is_sent_before_the_org_is_known(harness: Harness, right: bool) -> None:
    """If no read names the org, even an earlier action of the plan waits for the create that reveals it."""
    harness.connection["org"] = DEFAULT_ORG_ID
    harness.plane.app("a", "chat")
    nameless = {"operation": "apps.get", "action": "drop_answer_field", "field": "org_id", "times": None}
    harness.plane.break_with(nameless)
    reviewed = await harness.review(desired_app("a", slots={"chat": PUT_SLOT}), desired_app("b"))
    assert [action.operation for action in reviewed.plan.actions] == ["apps.put_slot", "apps.create"]
    org = {"operation": "apps.create", "action": "set_answer_field", "field": "org_id"}
    harness.plane.break_with(nameless, {**org, "value": DEFAULT_ORG_ID if right else "org-elsewhere"})
    harness.plane.log()
    applied = await harness.apply(reviewed)
    assert list(status_by_action(applied).values()) == (["done", "done"] if right else ["not_attempted", "failed"])
    assert harness.writes() == ["POST /api/v1/apps", *(["PUT /api/v1/apps/a/slots/chat"] if right else [])]


@pytest.mark.parametrize("names_org", [True, False])
async def test_the_right_org_lets_all_actions_continue(harness: Harness, names_org: bool) -> None:
    """If the first create is in the right org, or its response names none, the others are sent concurrently."""
    harness.connection["org"] = DEFAULT_ORG_ID
    reviewed = await harness.review(*(desired_app(f"app-{n}") for n in range(6)))
    if not names_org:
        harness.plane.break_with(
            {"operation": "apps.create", "action": "drop_answer_field", "field": "org_id", "times": None}
        )
    tap = Tap()
    assert set(status_by_action(await harness.apply(reviewed, transport=tap)).values()) == {"done"}
    assert tap.most_in_flight > 1
