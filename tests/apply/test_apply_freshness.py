"""The control plane keeps the last write, so apply reads an object at most 30 seconds before it overwrites it."""

from __future__ import annotations

import httpx
import pytest
from tests.support.action_cases import CASES, OVERWRITING
from tests.support.harness import Harness, Tap, status_by_action
from tests.support.states import desired_app

from octosync.apply import FRESH_FOR_SECONDS, ApplyResult
from octosync.model import Status

LOCAL_ONLY = {"serving_policy": "local_only"}


def only_result(applied: ApplyResult) -> tuple[str, str]:
    """Return the status and the error reference of the only outcome."""
    (outcome,) = applied.outcomes
    return outcome.status.value, outcome.reference


@pytest.mark.parametrize("kind", OVERWRITING)
async def test_an_old_read_never_overwrites_a_foreign_write(harness: Harness, kind: str) -> None:
    """If an object read over 30 s ago has changed, the action is stale and sends nothing. The other actions go on."""
    case = OVERWRITING[kind]
    case.prepare(harness.plane)
    reviewed = await harness.review(case.desired, desired_app("zz"))
    harness.advance(FRESH_FOR_SECONDS + 0.1)
    case.interfere(harness.plane)
    foreign = harness.state()["a"]
    harness.plane.log()
    applied = await harness.apply(reviewed)
    (stale,) = (outcome for outcome in applied.outcomes if outcome.address.app == "a")
    assert sorted(status_by_action(applied).values()) == ["done", "stale"]
    assert stale.status is Status.STALE
    assert stale.reference == "object-changed"
    assert "it changed since it was read" in stale.message
    assert any("Plan again" in hint for hint in stale.hints)
    assert harness.writes() == ["POST /api/v1/apps"]
    assert harness.state()["a"] == foreign


@pytest.mark.parametrize("kind", OVERWRITING)
async def test_an_old_read_that_is_still_valid_is_repeated_before_the_write(harness: Harness, kind: str) -> None:
    """If an object read over 30 s ago is unchanged, apply reads it once more and then writes."""
    case = OVERWRITING[kind]
    case.prepare(harness.plane)
    reviewed = await harness.review(case.desired)
    harness.advance(FRESH_FOR_SECONDS + 0.1)
    harness.plane.log()
    assert only_result(await harness.apply(reviewed)) == ("done", "")
    first, second, *_ = harness.plane.log()
    assert first.startswith("GET ")
    assert second.startswith(case.write)


@pytest.mark.parametrize("kind", CASES)
async def test_a_fresh_read_is_not_repeated(harness: Harness, kind: str) -> None:
    """A read is valid for 30 s. A create or a registration overwrites nothing and never needs another read."""
    case = CASES[kind]
    case.prepare(harness.plane)
    reviewed = await harness.review(case.desired)
    harness.advance(FRESH_FOR_SECONDS if kind in OVERWRITING else 3600)
    harness.plane.log()
    assert only_result(await harness.apply(reviewed)) == ("done", "")
    assert harness.plane.log()[0].startswith(case.write)


async def test_one_read_serves_a_whole_section(harness: Harness) -> None:
    """Objects of one section with an old read cost one read together, and each is compared on its own."""
    capabilities = ["chat", "tts", "vision", "embedding"]
    harness.plane.app("a", *capabilities)
    reviewed = await harness.review(desired_app("a", slots=dict.fromkeys(capabilities, LOCAL_ONLY)))
    harness.advance(31)
    harness.plane.send("DELETE", "/apps/a/slots/tts")
    harness.plane.log()
    applied = await harness.apply(reviewed)
    assert status_by_action(applied) == {
        "update app/a/slot/chat": "done",
        "update app/a/slot/embedding": "done",
        "update app/a/slot/tts": "stale",
        "update app/a/slot/vision": "done",
    }
    assert harness.plane.log().count("GET /api/v1/apps/a/slots") == 1


async def test_an_action_that_depends_on_a_stale_one_is_skipped(harness: Harness) -> None:
    """An archive depends on all objects of its app: if one is stale, the archive is skipped with the reason. Other apps go on."""
    harness.plane.app("a", "chat", target="com.a")
    harness.plane.app("b", "chat")
    reviewed = await harness.review(
        desired_app("a", archived=True, targets=[], slots={}), desired_app("b", slots={"chat": LOCAL_ONLY})
    )
    harness.advance(31)
    harness.plane.send("PUT", "/apps/a/slots/chat", {"serving_policy": "cloud_only", "bindings": []})
    applied = await harness.apply(reviewed)
    assert status_by_action(applied) == {
        "delete app/a/target/ios:com.a": "done",
        "delete app/a/slot/chat": "stale",
        "archive app/a": "skipped",
        "update app/b/slot/chat": "done",
    }
    (archive,) = (outcome for outcome in applied.outcomes if outcome.verb == "archive")
    assert archive.message == "needs delete app/a/slot/chat, which was stale"


@pytest.mark.parametrize("before", [0, 31])
@pytest.mark.parametrize("between", [0, 31])
async def test_our_own_update_is_not_a_foreign_change(harness: Harness, before: float, between: float) -> None:
    """If one run updates and archives an app, the archive expects the updated fields, whichever action reads again."""
    harness.plane.app("a")
    reviewed = await harness.review(desired_app("a", fields={"name": "Last name"}, archived=True))
    harness.advance(before)
    tap = Tap(after=lambda *_: harness.advance(between))
    assert status_by_action(await harness.apply(reviewed, transport=tap)) == {
        "update app/a": "done",
        "archive app/a": "done",
    }


async def test_an_app_that_was_archived_meanwhile_is_stale(harness: Harness) -> None:
    """An archived app accepts no write, so apply sends none."""
    harness.plane.app("a")
    reviewed = await harness.review(desired_app("a", fields={"name": "Ours"}))
    harness.advance(31)
    harness.plane.send("POST", "/apps/a/archive")
    harness.plane.log()
    assert only_result(await harness.apply(reviewed)) == ("stale", "object-changed")
    assert harness.writes() == []


async def test_an_update_does_not_hide_a_foreign_change_from_the_archive(harness: Harness) -> None:
    """Our own update does not renew the read before it: a foreign change since that read prevents the archive."""
    harness.plane.app("a")
    reviewed = await harness.review(desired_app("a", fields={"name": "Last name"}, archived=True))
    harness.advance(29)
    harness.plane.send("PATCH", "/apps/a", {"description": "Don't archive this, we need it"})
    tap = Tap(after=lambda *_: harness.advance(2))
    assert status_by_action(await harness.apply(reviewed, transport=tap)) == {
        "update app/a": "done",
        "archive app/a": "stale",
    }


@pytest.mark.parametrize("seconds", [0, 31])
async def test_children_of_an_app_created_in_this_run_need_no_read_at_first(harness: Harness, seconds: float) -> None:
    """An app created in this run is known to be empty for 30 s. After that, its children are read like any others."""
    reviewed = await harness.review(desired_app("a", slots={"chat": {}}, config={"m": 1}))
    harness.plane.log()
    tap = Tap(after=lambda _, number: harness.advance(seconds if number == 1 else 0))
    applied = await harness.apply(reviewed, transport=tap)
    assert set(status_by_action(applied).values()) == {"done"}
    reads = [line for line in harness.plane.log() if line.startswith("GET ")]
    assert len(reads) == (2 if seconds else 0)


async def test_a_foreign_child_of_our_new_app_is_left_alone(harness: Harness) -> None:
    """If another user adds a child to an app that this run created, apply sees it after 30 s and leaves it alone."""
    reviewed = await harness.review(desired_app("a", slots={"chat": LOCAL_ONLY}))

    def interfere(_: httpx.Request, number: int) -> None:
        if number == 1:
            harness.advance(31)
            harness.plane.send("PUT", "/apps/a/slots/chat", {"serving_policy": "cloud_first", "bindings": []})

    applied = await harness.apply(reviewed, transport=Tap(after=interfere))
    assert status_by_action(applied) == {"create app/a": "done", "create app/a/slot/chat": "stale"}
    assert harness.state()["a"]["slots"]["chat"]["serving_policy"]["routing_preference"] == "cloud"


async def test_an_app_that_already_existed_is_not_assumed_empty(harness: Harness) -> None:
    """If another user created the same app and its children, apply reads the children before it writes them."""
    reviewed = await harness.review(desired_app("a", fields={"name": "A"}, slots={"chat": LOCAL_ONLY}))
    harness.plane.app("a")
    harness.plane.send("PUT", "/apps/a/slots/chat", {"serving_policy": "cloud_first", "bindings": []})
    applied = await harness.apply(reviewed)
    assert status_by_action(applied) == {"create app/a": "done", "create app/a/slot/chat": "stale"}
    assert harness.state()["a"]["slots"]["chat"]["serving_policy"]["routing_preference"] == "cloud"


async def test_an_app_with_a_lost_create_response_is_not_assumed_empty(harness: Harness) -> None:
    """If another user adds a child while the response to our create is lost, apply reads it before it writes."""
    reviewed = await harness.review(desired_app("a", slots={"chat": LOCAL_ONLY}))
    harness.plane.break_with({"operation": "apps.create", "action": "cut_after"})

    class Meanwhile(Tap):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "GET" and request.url.path == "/api/v1/apps/a":
                harness.plane.send("PUT", "/apps/a/slots/chat", {"serving_policy": "cloud_first", "bindings": []})
            return await super().handle_async_request(request)

    applied = await harness.apply(reviewed, transport=Meanwhile())
    assert status_by_action(applied) == {"create app/a": "done", "create app/a/slot/chat": "stale"}
    assert harness.state()["a"]["slots"]["chat"]["serving_policy"]["routing_preference"] == "cloud"


async def test_a_failed_read_fails_the_action_and_sends_nothing(harness: Harness) -> None:
    """A failed read proves nothing: the action fails with the reason, sends no write, and is retryable."""
    harness.plane.app("a", "chat")
    reviewed = await harness.review(desired_app("a", slots={"chat": LOCAL_ONLY}), desired_app("b"))
    harness.advance(31)
    harness.plane.break_with({"operation": "apps.list_slots", "action": "garbage", "times": None})
    harness.plane.log()
    applied = await harness.apply(reviewed)
    assert status_by_action(applied) == {"update app/a/slot/chat": "failed", "create app/b": "done"}
    assert applied.outcomes[0].reference == "unreadable-answer"
    assert applied.outcomes[0].retryable
    assert harness.writes() == ["POST /api/v1/apps"]


@pytest.mark.parametrize("kind", ["update app", "put live slot", "delete config", "remove target"])
async def test_a_vanished_app_is_not_a_failed_read(harness: Harness, kind: str) -> None:
    """If the whole app is gone, its actions are stale, or done if they removed something. They are not read errors."""
    case = CASES[kind]
    case.prepare(harness.plane)
    reviewed = await harness.review(case.desired)
    harness.advance(31)
    gone = {"action": "status", "status": 404, "code": "app_not_found", "slug": "a", "times": None}
    harness.plane.break_with({"operation": "*", **gone})
    harness.plane.log()
    gone_too = kind.startswith(("delete", "remove"))
    assert only_result(await harness.apply(reviewed)) == (("done", "") if gone_too else ("stale", "object-changed"))
    assert harness.writes() == []


@pytest.mark.parametrize("interferes", [True, False])
async def test_a_write_that_a_429_delays_is_preceded_by_another_read(harness: Harness, interferes: bool) -> None:
    """If a 429 delays a write beyond the 30 s of its read, apply reads again before it resends the write."""
    harness.plane.app("a", "chat")
    reviewed = await harness.review(desired_app("a", slots={"chat": LOCAL_ONLY}))
    harness.plane.break_with({"operation": "apps.put_slot", "action": "status", "status": 429, "retry_after": 0})
    harness.plane.log()

    def wait(_: httpx.Request, number: int) -> None:
        if number == 1:
            harness.advance(31)
            if interferes:
                harness.plane.break_with()
                harness.plane.send("PUT", "/apps/a/slots/chat", {"preferred_engines": ["mlx"], "bindings": []})
                harness.plane.log()

    applied = await harness.apply(reviewed, transport=Tap(after=wait))
    assert only_result(applied)[0] == ("stale" if interferes else "done")
    log = harness.plane.log()
    put, get = "PUT /api/v1/apps/a/slots/chat", "GET /api/v1/apps/a/slots"
    assert log == ([get] if interferes else [put, get, put])


async def test_a_write_whose_read_is_always_too_old_fails(harness: Harness) -> None:
    """If every read expires before its write may be sent, nothing is sent, and the outcome states what to change."""
    harness.plane.app("a", "chat")
    reviewed = await harness.review(desired_app("a", slots={"chat": LOCAL_ONLY}))
    harness.plane.log()

    class Slow(Tap):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = await super().handle_async_request(request)
            harness.advance(31)
            return response

    harness.advance(31)
    assert only_result(await harness.apply(reviewed, transport=Slow())) == ("failed", "no-time-to-write")
    assert harness.plane.log() == ["GET /api/v1/apps/a/slots"] * 3


@pytest.mark.parametrize("kind", OVERWRITING)
async def test_a_change_that_another_run_made_first_is_done(harness: Harness, kind: str) -> None:
    """If two runs apply the same manifests at once, a change that the other run made is done and is not resent."""
    case = CASES[kind]
    case.prepare(harness.plane)
    reviewed = await harness.review(case.desired)
    await harness.reconcile(case.desired)
    harness.advance(31)
    harness.plane.log()
    applied = await harness.apply(reviewed)
    assert only_result(applied) == ("done", "")
    assert applied.outcomes[0].message.startswith("it was already")
    assert harness.writes() == []
    assert not applied.wrote


async def test_a_move_whose_removal_was_done_by_hand_still_registers_the_target(harness: Harness) -> None:
    """If another user removed the target, apply still registers it, and the journal contains both halves."""
    harness.plane.app("from", target="com.moved")
    harness.plane.app("to")
    reviewed = await harness.review(desired_app("from", targets=[]), desired_app("to", targets=["ios:com.moved"]))
    await harness.reconcile(desired_app("from", targets=[]))
    harness.advance(31)
    harness.plane.log()
    assert set(status_by_action(await harness.apply(reviewed)).values()) == {"done"}
    assert harness.writes() == ["POST /api/v1/apps/to/targets"]
    assert harness.state()["to"]["targets"] == ["ios:com.moved"]
    _, actions = harness.last_run()
    assert [action.status for action in actions] == [Status.DONE, Status.DONE]
