"""Last write wins on the control plane, so what is overwritten was seen within 30 seconds: somebody else's work survives."""

from __future__ import annotations

import httpx
import pytest
from tests.support.every_kind import CASES, OVERWRITING
from tests.support.site import Site, Tap, fates
from tests.support.states import desired_app

from octosync.apply import FRESH_FOR_SECONDS, ApplyResult
from octosync.model import Status

LOCAL_ONLY = {"serving_policy": "local_only"}


def only(applied: ApplyResult) -> tuple[str, str]:
    """Return status and reference of the one outcome there is."""
    (outcome,) = applied.outcomes
    return outcome.status.value, outcome.reference


@pytest.mark.parametrize("kind", OVERWRITING)
async def test_a_foreign_write_is_never_overwritten_from_an_old_read(site: Site, kind: str) -> None:
    """Read more than 30 s ago and changed since: stale, nothing is sent, what somebody wrote is there; the rest goes on."""
    case = OVERWRITING[kind]
    case.prepare(site.plane)
    turn = await site.look(case.desired, desired_app("zz"))
    site.later(FRESH_FOR_SECONDS + 0.1)
    case.meddle(site.plane)
    theirs = site.state()["a"]
    site.plane.log()
    applied = await site.act(turn)
    (stale,) = (outcome for outcome in applied.outcomes if outcome.address.app == "a")
    assert sorted(fates(applied).values()) == ["done", "stale"]
    assert stale.status is Status.STALE
    assert stale.reference == "object-moved"
    assert "it changed since it was read" in stale.message
    assert any("Plan again" in hint for hint in stale.hints)
    assert site.writes() == ["POST /api/v1/apps"]
    assert site.state()["a"] == theirs


@pytest.mark.parametrize("kind", OVERWRITING)
async def test_an_old_read_that_still_holds_is_read_again_and_written(site: Site, kind: str) -> None:
    """Read more than 30 s ago and unchanged: one read more, then the write."""
    case = OVERWRITING[kind]
    case.prepare(site.plane)
    turn = await site.look(case.desired)
    site.later(FRESH_FOR_SECONDS + 0.1)
    site.plane.log()
    assert only(await site.act(turn)) == ("done", "")
    first, second, *_ = site.plane.log()
    assert first.startswith("GET ")
    assert second.startswith(case.write)


@pytest.mark.parametrize("kind", CASES)
async def test_a_fresh_read_is_not_read_again(site: Site, kind: str) -> None:
    """Until 30 s are over, a read is good enough; a creation and a registration, which overwrite nothing, need none ever."""
    case = CASES[kind]
    case.prepare(site.plane)
    turn = await site.look(case.desired)
    site.later(FRESH_FOR_SECONDS if kind in OVERWRITING else 3600)
    site.plane.log()
    assert only(await site.act(turn)) == ("done", "")
    assert site.plane.log()[0].startswith(case.write)


async def test_one_look_serves_a_whole_section(site: Site) -> None:
    """Many objects of one section that were read long ago cost one read, and each is judged by itself."""
    capabilities = ["chat", "tts", "vision", "embedding"]
    site.plane.app("a", *capabilities)
    turn = await site.look(desired_app("a", slots=dict.fromkeys(capabilities, LOCAL_ONLY)))
    site.later(31)
    site.plane.send("DELETE", "/apps/a/slots/tts")
    site.plane.log()
    applied = await site.act(turn)
    assert fates(applied) == {
        "update app/a/slot/chat": "done",
        "update app/a/slot/embedding": "done",
        "update app/a/slot/tts": "stale",
        "update app/a/slot/vision": "done",
    }
    assert site.plane.log().count("GET /api/v1/apps/a/slots") == 1


async def test_what_needs_a_stale_action_is_skipped(site: Site) -> None:
    """An archive waits for all of its app: with one object stale it is skipped and says so, and other apps go on."""
    site.plane.app("a", "chat", target="com.a")
    site.plane.app("b", "chat")
    turn = await site.look(
        desired_app("a", archived=True, targets=[], slots={}), desired_app("b", slots={"chat": LOCAL_ONLY})
    )
    site.later(31)
    site.plane.send("PUT", "/apps/a/slots/chat", {"serving_policy": "cloud_only", "bindings": []})
    applied = await site.act(turn)
    assert fates(applied) == {
        "delete app/a/target/ios:com.a": "done",
        "delete app/a/slot/chat": "stale",
        "archive app/a": "skipped",
        "update app/b/slot/chat": "done",
    }
    (archive,) = (outcome for outcome in applied.outcomes if outcome.verb == "archive")
    assert archive.message == "needs delete app/a/slot/chat, which was stale"


@pytest.mark.parametrize("before", [0, 31])
@pytest.mark.parametrize("between", [0, 31])
async def test_our_own_update_is_not_taken_for_a_foreign_one(site: Site, before: float, between: float) -> None:
    """Update and archive of one app in one run: the archive expects the update's effect, whichever of them looks again."""
    site.plane.app("a")
    turn = await site.look(desired_app("a", fields={"name": "Last name"}, archived=True))
    site.later(before)
    tap = Tap(after=lambda *_: site.later(between))
    assert fates(await site.act(turn, transport=tap)) == {"update app/a": "done", "archive app/a": "done"}


async def test_an_app_that_was_archived_meanwhile_is_stale(site: Site) -> None:
    """Nothing of an archived app can be written, so nothing is sent."""
    site.plane.app("a")
    turn = await site.look(desired_app("a", fields={"name": "Ours"}))
    site.later(31)
    site.plane.send("POST", "/apps/a/archive")
    site.plane.log()
    assert only(await site.act(turn)) == ("stale", "object-moved")
    assert site.writes() == []


async def test_an_update_hides_no_foreign_change_from_the_archive(site: Site) -> None:
    """What was read before our own update gets no younger by it: a foreign change since then keeps the archive away."""
    site.plane.app("a")
    turn = await site.look(desired_app("a", fields={"name": "Last name"}, archived=True))
    site.later(29)
    site.plane.send("PATCH", "/apps/a", {"description": "Don't archive this, we need it"})
    tap = Tap(after=lambda *_: site.later(2))
    assert fates(await site.act(turn, transport=tap)) == {"update app/a": "done", "archive app/a": "stale"}


@pytest.mark.parametrize("seconds", [0, 31])
async def test_children_of_an_app_of_this_run_need_no_look_at_first(site: Site, seconds: float) -> None:
    """An app that this run created is known to be empty for 30 s; after that its children are looked at like any other."""
    turn = await site.look(desired_app("a", slots={"chat": {}}, config={"m": 1}))
    site.plane.log()
    tap = Tap(after=lambda _, number: site.later(seconds if number == 1 else 0))
    applied = await site.act(turn, transport=tap)
    assert set(fates(applied).values()) == {"done"}
    reads = [line for line in site.plane.log() if line.startswith("GET ")]
    assert len(reads) == (2 if seconds else 0)


async def test_a_child_that_somebody_made_in_our_new_app_is_left_alone(site: Site) -> None:
    """Somebody fills an app that this run has just created: after 30 s that is seen, and not overwritten."""
    turn = await site.look(desired_app("a", slots={"chat": LOCAL_ONLY}))

    def meddle(_: httpx.Request, number: int) -> None:
        if number == 1:
            site.later(31)
            site.plane.send("PUT", "/apps/a/slots/chat", {"serving_policy": "cloud_first", "bindings": []})

    applied = await site.act(turn, transport=Tap(after=meddle))
    assert fates(applied) == {"create app/a": "done", "create app/a/slot/chat": "stale"}
    assert site.state()["a"]["slots"]["chat"]["serving_policy"]["routing_preference"] == "cloud"


async def test_an_app_that_was_there_is_not_taken_for_empty(site: Site) -> None:
    """Somebody created the app, exactly as declared, and filled it: its children are read before they are written."""
    turn = await site.look(desired_app("a", fields={"name": "A"}, slots={"chat": LOCAL_ONLY}))
    site.plane.app("a")
    site.plane.send("PUT", "/apps/a/slots/chat", {"serving_policy": "cloud_first", "bindings": []})
    applied = await site.act(turn)
    assert fates(applied) == {"create app/a": "done", "create app/a/slot/chat": "stale"}
    assert site.state()["a"]["slots"]["chat"]["serving_policy"]["routing_preference"] == "cloud"


async def test_an_app_whose_creation_was_unanswered_is_not_taken_for_empty(site: Site) -> None:
    """Our create's answer was lost, and before we knew, somebody filled the app: that is read before it is written."""
    turn = await site.look(desired_app("a", slots={"chat": LOCAL_ONLY}))
    site.plane.break_with({"operation": "apps.create", "action": "cut_after"})

    class Meanwhile(Tap):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "GET" and request.url.path == "/api/v1/apps/a":
                site.plane.send("PUT", "/apps/a/slots/chat", {"serving_policy": "cloud_first", "bindings": []})
            return await super().handle_async_request(request)

    applied = await site.act(turn, transport=Meanwhile())
    assert fates(applied) == {"create app/a": "done", "create app/a/slot/chat": "stale"}
    assert site.state()["a"]["slots"]["chat"]["serving_policy"]["routing_preference"] == "cloud"


async def test_a_look_that_fails_is_a_failure_and_nothing_is_sent(site: Site) -> None:
    """A failed read proves nothing: the action fails, says why, and its object is not touched. Trying again may help."""
    site.plane.app("a", "chat")
    turn = await site.look(desired_app("a", slots={"chat": LOCAL_ONLY}), desired_app("b"))
    site.later(31)
    site.plane.break_with({"operation": "apps.list_slots", "action": "garbage", "times": None})
    site.plane.log()
    applied = await site.act(turn)
    assert fates(applied) == {"update app/a/slot/chat": "failed", "create app/b": "done"}
    assert applied.outcomes[0].reference == "unreadable-answer"
    assert applied.outcomes[0].retryable
    assert site.writes() == ["POST /api/v1/apps"]


@pytest.mark.parametrize("kind", ["update app", "put live slot", "delete config", "remove target"])
async def test_an_app_that_is_gone_is_no_failed_read(site: Site, kind: str) -> None:
    """The control plane forgot the whole app: what was planned for it is stale, or done already, not an error of reading."""
    case = CASES[kind]
    case.prepare(site.plane)
    turn = await site.look(case.desired)
    site.later(31)
    gone = {"action": "status", "status": 404, "code": "app_not_found", "slug": "a", "times": None}
    site.plane.break_with({"operation": "*", **gone})
    site.plane.log()
    gone_too = kind.startswith(("delete", "remove"))
    assert only(await site.act(turn)) == (("done", "") if gone_too else ("stale", "object-moved"))
    assert site.writes() == []


@pytest.mark.parametrize("meddles", [True, False])
async def test_what_a_429_delays_is_looked_at_again(site: Site, meddles: bool) -> None:
    """A 429 makes a write wait longer than its read is good for: it is read again before it is sent again."""
    site.plane.app("a", "chat")
    turn = await site.look(desired_app("a", slots={"chat": LOCAL_ONLY}))
    site.plane.break_with({"operation": "apps.put_slot", "action": "status", "status": 429, "retry_after": 0})
    site.plane.log()

    def wait(_: httpx.Request, number: int) -> None:
        if number == 1:
            site.later(31)
            if meddles:
                site.plane.break_with()
                site.plane.send("PUT", "/apps/a/slots/chat", {"preferred_engines": ["mlx"], "bindings": []})
                site.plane.log()

    applied = await site.act(turn, transport=Tap(after=wait))
    assert only(applied)[0] == ("stale" if meddles else "done")
    log = site.plane.log()
    put, get = "PUT /api/v1/apps/a/slots/chat", "GET /api/v1/apps/a/slots"
    assert log == ([get] if meddles else [put, get, put])


async def test_a_write_that_never_gets_its_turn_in_time_fails(site: Site) -> None:
    """Where every look is out of date before the write may go, nothing is sent, and the outcome says what to change."""
    site.plane.app("a", "chat")
    turn = await site.look(desired_app("a", slots={"chat": LOCAL_ONLY}))
    site.plane.log()

    class Slow(Tap):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            answer = await super().handle_async_request(request)
            site.later(31)
            return answer

    site.later(31)
    assert only(await site.act(turn, transport=Slow())) == ("failed", "no-time-to-write")
    assert site.plane.log() == ["GET /api/v1/apps/a/slots"] * 3


@pytest.mark.parametrize("kind", OVERWRITING)
async def test_what_somebody_else_did_already_is_done(site: Site, kind: str) -> None:
    """Two runs of the same manifests at once: what the other has brought about is done, and is not sent again."""
    case = CASES[kind]
    case.prepare(site.plane)
    turn = await site.look(case.desired)
    await site.turn(case.desired)
    site.later(31)
    site.plane.log()
    applied = await site.act(turn)
    assert only(applied) == ("done", "")
    assert applied.outcomes[0].message.startswith("it was already")
    assert site.writes() == []
    assert not applied.wrote


async def test_a_move_whose_first_half_is_done_already_gets_its_second(site: Site) -> None:
    """Somebody removed the target by hand: it is registered where it belongs all the same, and in the journal both are."""
    site.plane.app("from", target="com.moved")
    site.plane.app("to")
    turn = await site.look(desired_app("from", targets=[]), desired_app("to", targets=["ios:com.moved"]))
    await site.turn(desired_app("from", targets=[]))
    site.later(31)
    site.plane.log()
    assert set(fates(await site.act(turn)).values()) == {"done"}
    assert site.writes() == ["POST /api/v1/apps/to/targets"]
    assert site.state()["to"]["targets"] == ["ios:com.moved"]
    _, actions = site.last_run()
    assert [action.status for action in actions] == [Status.DONE, Status.DONE]
