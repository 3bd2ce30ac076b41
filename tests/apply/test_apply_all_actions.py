"""A whole apply on a control plane without faults: every declared change is made, once and in order."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import httpx
import pytest
from tests.support.action_cases import CASES, populate
from tests.support.harness import Harness, Tap, open_harness, status_by_action
from tests.support.states import desired_app

from octosync.apply import Progress
from octosync.contract import OPERATIONS, SLOT
from octosync.model import Status, json_equal
from octosync.plan import Action, Plan


@pytest.mark.parametrize("kind", CASES)
async def test_every_kind_of_action_is_carried_out_once(harness: Harness, kind: str) -> None:
    """Each kind of action is one request with one effect. After that the plan is empty and nothing is sent."""
    case = CASES[kind]
    case.prepare(harness.plane)
    before, _ = harness.events(), harness.plane.log()
    applied = await harness.reconcile(case.desired)
    assert [outcome.status.value for outcome in applied.outcomes] == ["done"]
    (write,) = harness.writes()
    assert write.startswith(case.write)
    assert len(harness.events()) == len(before) + 1
    again = await harness.reconcile(case.desired)
    assert again.outcomes == ()
    assert harness.writes() == []


async def test_all_kinds_together_converge(harness: Harness) -> None:
    """A plan with every kind of action, a move and a swap included, is applied. A second apply sends no write."""
    desired = populate(harness.plane)
    harness.plane.log()
    reviewed = await harness.review(*desired)
    assert harness.writes() == []
    assert {action.operation for action in reviewed.plan.actions} == {case.operation for case in CASES.values()}
    applied = await harness.apply(reviewed)
    assert set(status_by_action(applied).values()) == {"done"}
    assert list(status_by_action(applied)) == [
        f"{action.verb.value} {action.address}" for action in reviewed.plan.actions
    ]
    assert len(harness.writes()) == len(reviewed.plan.actions) == reviewed.plan.requests_to_apply
    assert (await harness.reconcile(*desired)).outcomes == ()
    assert harness.writes() == []
    state = harness.state()
    assert state["left"]["targets"] == ["ios:com.right"]
    assert state["right"]["targets"] == ["ios:com.left"]
    assert state["fresh"]["targets"] == ["ios:com.fresh", "ios:com.old"]
    assert state["old"] == {
        "name": "Old, was", "description": None, "archived": True, "targets": [], "slots": {}, "config": None
    }  # fmt: skip


async def test_outcomes_do_not_depend_on_response_order(tmp_path: Path) -> None:
    """Any concurrency gives the same outcomes in the same order and the same state, failures included."""
    results = []
    for concurrency in (1, 4, 16):
        with open_harness(tmp_path / str(concurrency)) as harness:
            reviewed = await harness.review(*populate(harness.plane))
            harness.plane.break_with({"operation": "apps.update", "action": "status", "status": 422})
            applied = await harness.apply(reviewed, concurrency=concurrency)
            summary = [(o.address, o.verb, o.status, o.message.partition(" (")[0], o.hints) for o in applied.outcomes]
            results.append((summary, harness.state()))
    assert results[0] == results[1] == results[2]
    by_status = Counter(status.value for _, _, status, *_ in results[0][0])
    assert (set(by_status), by_status["skipped"]) == ({"done", "failed", "skipped"}, 1)
    assert results[0][0][-1][1:4] == (
        "archive",
        Status.SKIPPED,
        "archives were stopped for this run: update app/busy failed",
    )


@pytest.mark.parametrize("concurrency", [1, 3, 16])
async def test_concurrency_is_never_exceeded(harness: Harness, concurrency: int) -> None:
    """However large the plan, no more requests are in progress than the configured concurrency."""
    desired = [
        desired_app(f"app-{n:02}", slots={"chat": {}, "tts": {}}, targets=[f"ios:com.{n}"], config={"n": n})
        for n in range(12)
    ]
    tap = Tap()
    reviewed = await harness.review(*desired)
    applied = await harness.apply(reviewed, transport=tap, concurrency=concurrency)
    assert set(status_by_action(applied).values()) == {"done"}
    assert 1 <= tap.most_in_flight <= concurrency
    assert concurrency == 1 or tap.most_in_flight > 1


async def test_no_action_is_sent_before_its_dependencies(harness: Harness) -> None:
    """With full concurrency, no write is sent before all dependencies of its action have an outcome."""
    reviewed = await harness.review(*populate(harness.plane))
    ended: list[tuple[str, str]] = []
    begun: list[tuple[str, str]] = []

    def on_progress(progress: Progress) -> None:
        ended.append((str(progress.outcome.address), progress.outcome.verb))
        assert progress.done == len(ended)
        assert progress.total == len(reviewed.plan.actions)

    def about_to_go(request: httpx.Request, _: int) -> None:
        action = action_of(request, reviewed.plan)
        begun.append((str(action.address), action.verb.value))
        needed = {(str(need.address), need.verb.value) for need in action.depends_on}
        assert needed <= set(ended), begun[-1]

    await harness.apply(reviewed, transport=Tap(before=about_to_go), on_progress=on_progress)
    assert len(begun) == len(ended) == len(reviewed.plan.actions)


async def test_a_slot_keeps_undeclared_fields(harness: Harness) -> None:
    """A PUT replaces the slot, so it carries undeclared live fields and Octomil's variant, but no read-only field."""
    harness.plane.http.put("/_local/policy", json={"slot_fields": ["tier"]}).raise_for_status()
    harness.plane.app("a")
    live = {
        "serving_policy": "local_first",
        "bindings": [{"binding_key": "b", "use_case": "theirs"}],
        "preferred_engines": ["mlx"],
        "model_variant_id": "var-1",
        "tier": "gold",
    }
    harness.plane.send("PUT", "/apps/a/slots/chat", live)
    tap = Tap()
    applied = await harness.apply(
        await harness.review(desired_app("a", slots={"chat": {"public_client_allowed": True}})), transport=tap
    )
    assert set(status_by_action(applied).values()) == {"done"}
    (request,) = tap.writes
    body = json.loads(request.content)
    assert body.keys().isdisjoint(SLOT.read_only)
    assert (body["model_variant_id"], body["tier"], body["preferred_engines"]) == ("var-1", "gold", ["mlx"])
    live_slot = harness.state()["a"]["slots"]["chat"]
    assert live_slot["public_client_allowed"] is True
    assert {key: live_slot[key] for key in ("bindings", "preferred_engines", "model_variant_id", "tier")} == {
        key: live[key] for key in ("bindings", "preferred_engines", "model_variant_id", "tier")
    }


async def test_a_write_costs_one_request(harness: Harness) -> None:
    """Apply sends its writes, and reads only to verify: one per operation without a response body, the deletions."""
    reviewed = await harness.review(*populate(harness.plane))
    harness.plane.log()
    await harness.apply(reviewed)
    log = harness.plane.log()
    assert sum(not line.startswith("GET ") for line in log) == len(reviewed.plan.actions)
    deletions = {action.operation for action in reviewed.plan.actions if action.after is None}
    assert sum(line.startswith("GET ") for line in log) == len(deletions)


def action_of(request: httpx.Request, plan: Plan) -> Action:
    """Return the action that a request belongs to."""
    content = json.loads(request.content) if request.content else None
    return next(
        action
        for action in plan.actions
        if (request.method, request.url.path)
        == (OPERATIONS[action.operation].method, f"/api/v1{OPERATIONS[action.operation].url(action.parameters)}")
        and json_equal(content, action.body)
    )
