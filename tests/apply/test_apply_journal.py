"""The journal of a run: a record before and after each request, without values, and the behaviour when it fails."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import httpx
import pytest
from tests.support.calls import KEY
from tests.support.every_kind import populate
from tests.support.site import Site, Tap, fates
from tests.support.states import desired_app

from octosync.errors import OctosyncError
from octosync.model import Status

SECRET = "hunter2-correct-horse"


def break_journal(site: Site) -> None:
    """Make the journal unusable under a run that has it open."""
    with closing(sqlite3.connect(site.journal)) as database:
        database.execute("alter table action rename to gone")


def mend_journal(site: Site) -> None:
    """Make the journal usable again."""
    with closing(sqlite3.connect(site.journal)) as database:
        database.execute("alter table gone rename to action")


async def test_an_action_is_recorded_before_its_request_and_after_it(site: Site) -> None:
    """Before a write is sent its row has no end. After the run every row has an end and its request id."""
    turn = await site.look(*populate(site.plane))

    def about_to_go(request: httpx.Request, number: int) -> None:
        actions = site.last_run()[1]
        assert request.method != "GET"
        assert len(actions) >= number
        assert any(action.status is None for action in actions)

    applied = await site.act(turn, transport=Tap(before=about_to_go))
    run, actions = site.last_run()
    assert run.exit_code == 0
    assert len(actions) == len(applied.outcomes)
    by_key = {f"{outcome.verb} {outcome.address}": outcome for outcome in applied.outcomes}
    operations = {f"{action.verb.value} {action.address}": action.operation for action in turn.plan.actions}
    for action in actions:
        outcome = by_key.pop(f"{action.verb} {action.address}")
        assert (action.status, action.request_ids) == (outcome.status, outcome.request_ids)
        assert action.operation == operations[f"{action.verb} {action.address}"]
        assert action.request_ids[0].startswith("req_")
        assert action.ended_at is not None
        assert action.ended_at >= action.begun_at
    assert by_key == {}


async def test_unsent_actions_are_recorded_by_outcome(site: Site) -> None:
    """A stale action and a skipped half of a move have rows. An action that was skipped or not attempted has none."""
    site.plane.app("a", "chat", target="com.a")
    site.plane.app("b")
    turn = await site.look(
        desired_app("a", slots={}, targets=[], archived=True), desired_app("b", targets=["ios:com.a"])
    )
    site.later(31)
    site.plane.send("PUT", "/apps/a/slots/chat", {"bindings": [], "serving_policy": "cloud_only"})
    site.plane.break_with({"operation": "apps.delete_target", "action": "status", "status": 422})
    await site.act(turn)
    rows = {f"{action.verb} {action.address}": (action.status, action.reference) for action in site.last_run()[1]}
    assert rows == {
        "delete app/a/target/ios:com.a": (Status.FAILED, "rejected"),
        "create app/b/target/ios:com.a": (Status.SKIPPED, ""),
        "delete app/a/slot/chat": (Status.STALE, "object-moved"),
    }


async def test_the_file_contains_no_values_and_no_secrets(site: Site) -> None:
    """The journal contains neither the API key nor a value from a manifest or a response, even if a message quotes one."""
    config = {"api_key": SECRET, "model": "a-model-of-mine"}
    turn = await site.look(
        desired_app("a", config=config, slots={"chat": {"preferred_engines": ["an-engine-of-mine"]}}), desired_app("b")
    )
    site.plane.break_with(
        {"operation": "apps.put_inference_config", "action": "drop_field", "field": "model"},
        {"operation": "apps.put_slot", "action": "status", "status": 422, "message": f"No {SECRET} {KEY}, sorry"},
    )
    applied = await site.act(turn)
    assert sorted(fates(applied).values()) == ["done", "done", "failed", "not_kept"]
    held = b"".join(file.read_bytes() for file in site.journal.parent.glob("state.db*"))
    for value in (KEY, SECRET, "a-model-of-mine", "an-engine-of-mine", "sorry"):
        assert value.encode() not in held


async def test_nothing_is_sent_without_a_journal(site: Site) -> None:
    """Apply finds an unusable journal before its first write."""
    site.journal.mkdir()
    turn = await site.look(desired_app("a"))
    with pytest.raises(OctosyncError, match="the journal can't be used"):
        await site.act(turn)
    assert site.writes() == []


async def test_a_journal_that_fails_before_a_write_stops_the_run(site: Site) -> None:
    """An action that can't be recorded is not sent. Sent ones are reported, and the rest have the reason as their message."""
    turn = await site.look(*(desired_app(f"app-{n}") for n in range(4)))
    tap = Tap(after=lambda _, number: break_journal(site) if number == 2 else None)
    site.plane.log()
    applied = await site.act(turn, transport=tap, concurrency=1)
    assert list(fates(applied).values()) == ["done", "done", "not_attempted", "not_attempted"]
    assert len(site.writes()) == 2
    assert applied.stopped_by is not None
    assert applied.stopped_by.reference == "journal-unusable"
    assert applied.wrote
    assert applied.outcomes[3].message.startswith(f"the run stopped: {site.journal}: the journal can't be used")


async def test_a_journal_that_fails_between_the_halves_of_a_move(site: Site) -> None:
    """A journal failure must not lose a target: the second half, already recorded as begun, is sent, then the run stops."""
    site.plane.app("from", target="com.a")
    site.plane.app("to")
    turn = await site.look(desired_app("from", targets=[]), desired_app("to", targets=["ios:com.a"]), desired_app("zz"))
    tap = Tap(after=lambda _, number: break_journal(site) if number == 1 else None)
    applied = await site.act(turn, transport=tap, concurrency=1)
    assert list(fates(applied).values()) == ["done", "done", "not_attempted"]
    assert site.state()["to"]["targets"] == ["ios:com.a"]
    assert applied.stopped_by is not None
    mend_journal(site)
    assert [(action.verb, action.status) for action in site.last_run()[1]] == [("delete", None), ("create", None)]


async def test_a_journal_that_fails_after_a_stale_read(site: Site) -> None:
    """A stale result that was found before the failure is still the outcome of its action."""
    site.plane.app("a", "chat")
    turn = await site.look(desired_app("a", slots={}))
    site.later(31)
    site.plane.send("PUT", "/apps/a/slots/chat", {"bindings": [], "serving_policy": "cloud_only"})

    class Breaking(Tap):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            break_journal(site)
            return await super().handle_async_request(request)

    applied = await site.act(turn, transport=Breaking())
    assert list(fates(applied).values()) == ["stale"]
    assert applied.stopped_by is not None
    assert not applied.wrote
