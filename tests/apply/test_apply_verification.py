"""A control plane that accepts writes without keeping them: one object is affected, and the outcome states how."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from tests.support.action_cases import CASES
from tests.support.harness import Harness, Tap, status_by_action
from tests.support.states import desired_app

from octosync.model import App

# The declared fields of each slot; the faulty control plane drops `preferred_engines`.
ENGINES = {"serving_policy": "local_only", "preferred_engines": ["coreml"]}
FORTY = 40


def slots(number: int) -> App:
    """Declare an app with one slot."""
    return desired_app(f"app-{number:02}", slots={"chat": ENGINES})


@pytest.mark.parametrize("concurrency", [1, 16])
async def test_one_object_is_affected_instead_of_forty(harness: Harness, concurrency: int) -> None:
    """If a field is dropped, the first action reports field, values and request id. The others are never sent."""
    for number in range(FORTY):
        harness.plane.app(f"app-{number:02}", "chat")
    reviewed = await harness.review(*map(slots, range(FORTY)), desired_app("other", config={"model": "m"}))
    harness.plane.log()
    harness.plane.break_with(
        {"operation": "apps.put_slot", "action": "drop_field", "field": "preferred_engines", "times": None}
    )
    applied = await harness.apply(reviewed, concurrency=concurrency)
    statuses = [outcome.status.value for outcome in applied.outcomes]
    assert statuses == ["not_kept", *["skipped"] * (FORTY - 1), "done", "done"]
    assert sum(write.startswith("PUT /api/v1/apps/app-") for write in harness.writes()) == 1
    harmed, skipped = applied.outcomes[:2]
    assert harmed.reference == "not-kept"
    (request_id,) = harmed.request_ids
    assert request_id.startswith("req_")
    assert f"(apps.put_slot, request {request_id})" in harmed.message
    assert '`preferred_engines` was sent as ["coreml"] and persisted as []' in harmed.message
    assert harmed.hints
    assert skipped.message == "`apps.put_slot` was stopped for this run: app/app-00/slot/chat was not kept"


@pytest.mark.parametrize(
    ("operation", "field", "make"),
    [
        ("apps.create", "description", lambda n: desired_app(f"new-{n}", fields={"name": "N", "description": "D"})),
        ("apps.update", "name", lambda n: desired_app(f"old-{n}", fields={"name": "N"})),
        ("apps.put_inference_config", "deep.inside", lambda n: desired_app(f"old-{n}", config={"deep": {"inside": n}})),
    ],
)
async def test_every_write_with_fields_is_verified(harness: Harness, operation: str, field: str, make: Any) -> None:
    """A field of an app or a config that is dropped is found by the first action, too."""
    for number in range(4):
        harness.plane.app(f"old-{number}")
    reviewed = await harness.review(*(make(number) for number in range(4)))
    harness.plane.break_with({"operation": operation, "action": "drop_field", "field": field, "times": None})
    if operation == "apps.update":
        # Without the name the body is empty, which is not an error: it is accepted without effect.
        assert len(reviewed.plan.actions) == 4
    applied = await harness.apply(reviewed)
    assert [outcome.status.value for outcome in applied.outcomes] == ["not_kept", *["skipped"] * 3]
    assert f"`{field}` was sent as " in applied.outcomes[0].message


@pytest.mark.parametrize("kind", ["remove target", "delete slot", "delete config", "archive app", "register target"])
async def test_an_accepted_write_without_effect_is_found(harness: Harness, kind: str) -> None:
    """An empty 200 to a write that was not carried out is found by one read."""
    case = CASES[kind]
    case.prepare(harness.plane)
    reviewed = await harness.review(case.desired)
    before = harness.state()
    harness.plane.break_with({"operation": case.operation, "action": "empty", "when": "before"})
    (outcome,) = (await harness.apply(reviewed)).outcomes
    assert outcome.status.value == "not_kept"
    assert re.search(
        "it is still there|it is not there|`archived` was sent as true and persisted as false", outcome.message
    )
    assert harness.state() == before


async def test_an_archive_that_is_accepted_without_effect(harness: Harness) -> None:
    """A response that shows the app unarchived is a failure, whether or not the operation was verified before."""
    for slug in ("a", "b"):
        harness.plane.app(slug)
    reviewed = await harness.review(desired_app("a", archived=True), desired_app("b", archived=True))
    null = {"operation": "apps.archive", "action": "set_answer_field", "field": "archived_at", "value": None}
    harness.plane.break_with({**null, "times": None})
    harness.plane.log()
    assert set(status_by_action(await harness.apply(reviewed)).values()) == {"done"}
    assert harness.plane.log().count("GET /api/v1/apps/b") == 1


@pytest.mark.parametrize("kind", CASES)
async def test_a_response_without_a_body_is_verified_by_one_read(harness: Harness, kind: str) -> None:
    """After an empty 200, one read of the object shows that all fields were kept."""
    case = CASES[kind]
    case.prepare(harness.plane)
    reviewed = await harness.review(case.desired)
    harness.plane.break_with({"operation": case.operation, "action": "empty"})
    harness.plane.log()
    (outcome,) = (await harness.apply(reviewed)).outcomes
    assert (outcome.status.value, outcome.message) == ("done", "")
    write, read = harness.plane.log()
    assert write.startswith(case.write)
    assert read.startswith("GET ")


async def test_a_response_that_omits_a_field_is_verified_once(harness: Harness) -> None:
    """A field that is kept but never returned costs one read in all, not one per object."""
    for number in range(5):
        harness.plane.app(f"app-{number:02}", "chat")
    reviewed = await harness.review(*map(slots, range(5)))
    hidden = {"operation": "apps.put_slot", "action": "drop_answer_field", "field": "preferred_engines", "times": None}
    harness.plane.break_with(hidden)
    harness.plane.log()
    applied = await harness.apply(reviewed)
    assert set(status_by_action(applied).values()) == {"done"}
    assert sum(line.startswith("GET ") for line in harness.plane.log()) == 1


async def test_a_response_that_shows_another_value_is_always_verified(harness: Harness) -> None:
    """A field that one response omitted, although it was kept, must still match in every response that shows it."""
    reviewed = await harness.review(
        *(desired_app(f"app-{n}", config={"parameters": {"top_p": 1}, "n": n}) for n in range(3))
    )
    put = "apps.put_inference_config"
    harness.plane.break_with(
        {"operation": put, "action": "drop_answer_field", "field": "parameters"},
        {"operation": put, "action": "drop_field", "field": "parameters.top_p", "slug": "app-1"},
    )
    applied = await harness.apply(reviewed)
    result = {name: status for name, status in status_by_action(applied).items() if name.endswith("inference-config")}
    assert list(result.values()) == ["done", "not_kept", "done"]


async def test_a_later_field_is_verified_too(harness: Harness) -> None:
    """If the first objects do not declare the dropped field, the first that does is sent alone, and only it is affected."""
    for number in range(20):
        harness.plane.app(f"app-{number:02}", "chat")
    plain = [desired_app(f"app-{n:02}", slots={"chat": {"serving_policy": "local_only"}}) for n in range(10)]
    reviewed = await harness.review(*plain, *map(slots, range(10, 20)))
    harness.plane.break_with(
        {"operation": "apps.put_slot", "action": "drop_field", "field": "preferred_engines", "times": None}
    )
    applied = await harness.apply(reviewed)
    statuses = [outcome.status.value for outcome in applied.outcomes]
    assert statuses == [*["done"] * 10, "not_kept", *["skipped"] * 9]


async def test_one_failing_object_does_not_stop_verified_fields(harness: Harness) -> None:
    """Once its fields are verified, an object that is not kept fails alone. The others of its operation go on."""
    for number in range(6):
        harness.plane.app(f"app-{number:02}", "chat")
    reviewed = await harness.review(*map(slots, range(6)))
    harness.plane.break_with(
        {"operation": "apps.put_slot", "action": "drop_field", "field": "preferred_engines", "slug": "app-03"}
    )
    applied = await harness.apply(reviewed, concurrency=1)
    assert [outcome.status.value for outcome in applied.outcomes] == [
        *["done"] * 3,
        "not_kept",
        *["done"] * 2,
    ]


async def test_the_first_action_of_each_operation_is_sent_alone(harness: Harness) -> None:
    """While an operation is unverified, at most one of its requests is in progress. Other operations are not delayed."""
    desired = [desired_app(f"app-{n}", slots={"chat": {}}, config={"n": n}) for n in range(6)]
    reviewed = await harness.review(*desired)
    in_progress: dict[str, int] = {}
    answered: set[str] = set()

    def kind_of(request: httpx.Request) -> str:
        return request.url.path.rsplit("/", 1)[-1]

    def before(request: httpx.Request, _: int) -> None:
        kind = kind_of(request)
        in_progress[kind] = in_progress.get(kind, 0) + 1
        assert kind in answered or in_progress[kind] == 1

    def after(request: httpx.Request, _: int) -> None:
        in_progress[kind_of(request)] -= 1
        answered.add(kind_of(request))

    applied = await harness.apply(reviewed, transport=Tap(before=before, after=after))
    assert set(status_by_action(applied).values()) == {"done"}


@pytest.mark.parametrize("whole", [True, False])
async def test_only_a_whole_move_verifies_its_removal(harness: Harness, whole: bool) -> None:
    """A registration shows that the target was free. If it fails, the next removal must still be verified."""
    harness.plane.app("a", target="com.a")
    harness.plane.app("b")
    harness.plane.app("c", target="com.c")
    reviewed = await harness.review(
        desired_app("a", targets=[]), desired_app("b", targets=["ios:com.a"]), desired_app("c", targets=[])
    )
    if not whole:
        harness.plane.break_with({"operation": "apps.create_target", "action": "status", "status": 422})
    harness.plane.log()
    await harness.apply(reviewed, concurrency=1)
    assert harness.plane.log().count("GET /api/v1/apps/c/targets") == (0 if whole else 1)


async def test_a_write_that_cannot_be_read_is_unproved(harness: Harness) -> None:
    """If a write is accepted without a body and the read fails, the action fails as unproved and counts as written."""
    harness.plane.app("a", "chat")
    reviewed = await harness.review(desired_app("a", slots={"chat": ENGINES}))
    harness.plane.break_with(
        {"operation": "apps.put_slot", "action": "empty"},
        {"operation": "apps.list_slots", "action": "status", "status": 403, "code": "forbidden", "times": None},
    )
    applied = await harness.apply(reviewed)
    (outcome,) = applied.outcomes
    assert (outcome.status.value, outcome.reference) == ("failed", "outcome-unproved")
    assert "accepted" in outcome.message
    assert outcome.hints[0].startswith("Apply again")
    assert applied.wrote


@pytest.mark.parametrize("long", [False, True])
async def test_not_kept_shows_no_secret_and_no_long_value(harness: Harness, long: bool) -> None:
    """A sensitive value is never shown, and a long value is truncated."""
    secret = "hunter2-correct-horse" + "x" * 500
    key = "notes" if long else "api_key"
    reviewed = await harness.review(desired_app("a", config={key: secret}))
    harness.plane.break_with({"operation": "apps.put_inference_config", "action": "drop_field", "field": key})
    outcome = (await harness.apply(reviewed)).outcomes[-1]
    assert outcome.status.value == "not_kept"
    assert len(outcome.message) < 500
    if long:
        assert f"… ({len(secret) + 2} characters)" in outcome.message
    else:
        assert "hunter2" not in str(outcome)
        assert "`api_key` was sent as (sensitive) and persisted as nothing" in outcome.message
