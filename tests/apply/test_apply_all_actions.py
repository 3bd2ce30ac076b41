"""A whole apply on a control plane without faults: every declared change is made, once and in order."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import httpx
import pytest
from tests.support.every_kind import CASES, populate
from tests.support.site import Site, Tap, fates, open_site
from tests.support.states import desired_app

from octosync.apply import Progress
from octosync.contract import OPERATIONS, SLOT
from octosync.model import Status, json_equal
from octosync.plan import Action, Plan


@pytest.mark.parametrize("kind", CASES)
async def test_every_kind_of_action_is_carried_out_once(site: Site, kind: str) -> None:
    """Each kind of action is one request with one effect. After that the plan is empty and nothing is sent."""
    case = CASES[kind]
    case.prepare(site.plane)
    before, _ = site.events(), site.plane.log()
    applied = await site.turn(case.desired)
    assert [outcome.status.value for outcome in applied.outcomes] == ["done"]
    (write,) = site.writes()
    assert write.startswith(case.write)
    assert len(site.events()) == len(before) + 1
    again = await site.turn(case.desired)
    assert again.outcomes == ()
    assert site.writes() == []


async def test_all_kinds_together_converge(site: Site) -> None:
    """A plan with every kind of action, a move and a swap included, is applied. A second apply sends no write."""
    desired = populate(site.plane)
    site.plane.log()
    turn = await site.look(*desired)
    assert site.writes() == []
    assert {action.operation for action in turn.plan.actions} == {case.operation for case in CASES.values()}
    applied = await site.act(turn)
    assert set(fates(applied).values()) == {"done"}
    assert list(fates(applied)) == [f"{action.verb.value} {action.address}" for action in turn.plan.actions]
    assert len(site.writes()) == len(turn.plan.actions) == turn.plan.requests_to_apply
    assert (await site.turn(*desired)).outcomes == ()
    assert site.writes() == []
    state = site.state()
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
        with open_site(tmp_path / str(concurrency)) as site:
            turn = await site.look(*populate(site.plane))
            site.plane.break_with({"operation": "apps.update", "action": "status", "status": 422})
            applied = await site.act(turn, concurrency=concurrency)
            summary = [(o.address, o.verb, o.status, o.message.partition(" (")[0], o.hints) for o in applied.outcomes]
            results.append((summary, site.state()))
    assert results[0] == results[1] == results[2]
    by_status = Counter(status.value for _, _, status, *_ in results[0][0])
    assert (set(by_status), by_status["skipped"]) == ({"done", "failed", "skipped"}, 1)
    assert results[0][0][-1][1:4] == (
        "archive",
        Status.SKIPPED,
        "archives were stopped for this run: update app/busy failed",
    )


@pytest.mark.parametrize("concurrency", [1, 3, 16])
async def test_concurrency_is_never_exceeded(site: Site, concurrency: int) -> None:
    """However large the plan, no more requests are in progress than the configured concurrency."""
    desired = [
        desired_app(f"app-{n:02}", slots={"chat": {}, "tts": {}}, targets=[f"ios:com.{n}"], config={"n": n})
        for n in range(12)
    ]
    tap = Tap()
    turn = await site.look(*desired)
    applied = await site.act(turn, transport=tap, concurrency=concurrency)
    assert set(fates(applied).values()) == {"done"}
    assert 1 <= tap.most_under_way <= concurrency
    assert concurrency == 1 or tap.most_under_way > 1


async def test_no_action_is_sent_before_its_dependencies(site: Site) -> None:
    """With full concurrency, no write is sent before all dependencies of its action have an outcome."""
    turn = await site.look(*populate(site.plane))
    ended: list[tuple[str, str]] = []
    begun: list[tuple[str, str]] = []

    def on_progress(progress: Progress) -> None:
        ended.append((str(progress.outcome.address), progress.outcome.verb))
        assert progress.done == len(ended)
        assert progress.total == len(turn.plan.actions)

    def about_to_go(request: httpx.Request, _: int) -> None:
        action = action_of(request, turn.plan)
        begun.append((str(action.address), action.verb.value))
        needed = {(str(need.address), need.verb.value) for need in action.depends_on}
        assert needed <= set(ended), begun[-1]

    await site.act(turn, transport=Tap(before=about_to_go), on_progress=on_progress)
    assert len(begun) == len(ended) == len(turn.plan.actions)


async def test_a_slot_keeps_undeclared_fields(site: Site) -> None:
    """A PUT replaces the slot, so it carries undeclared live fields and Octomil's variant, but no read-only field."""
    site.plane.http.put("/_local/policy", json={"slot_fields": ["tier"]}).raise_for_status()
    site.plane.app("a")
    live = {
        "serving_policy": "local_first",
        "bindings": [{"binding_key": "b", "use_case": "theirs"}],
        "preferred_engines": ["mlx"],
        "model_variant_id": "var-1",
        "tier": "gold",
    }
    site.plane.send("PUT", "/apps/a/slots/chat", live)
    tap = Tap()
    applied = await site.act(
        await site.look(desired_app("a", slots={"chat": {"public_client_allowed": True}})), transport=tap
    )
    assert set(fates(applied).values()) == {"done"}
    (request,) = tap.writes
    body = json.loads(request.content)
    assert body.keys().isdisjoint(SLOT.read_only)
    assert (body["model_variant_id"], body["tier"], body["preferred_engines"]) == ("var-1", "gold", ["mlx"])
    live_slot = site.state()["a"]["slots"]["chat"]
    assert live_slot["public_client_allowed"] is True
    assert {key: live_slot[key] for key in ("bindings", "preferred_engines", "model_variant_id", "tier")} == {
        key: live[key] for key in ("bindings", "preferred_engines", "model_variant_id", "tier")
    }


async def test_a_write_costs_one_request(site: Site) -> None:
    """Apply sends its writes, and reads only to verify: one per operation without a response body, the deletions."""
    turn = await site.look(*populate(site.plane))
    site.plane.log()
    await site.act(turn)
    log = site.plane.log()
    assert sum(not line.startswith("GET ") for line in log) == len(turn.plan.actions)
    deletions = {action.operation for action in turn.plan.actions if action.after is None}
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
