"""The journal of a run: a record before and after each request, without values, and the behaviour when it fails."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import httpx
import pytest
from tests.support.action_cases import populate
from tests.support.clients import KEY
from tests.support.harness import Harness, Tap, status_by_action
from tests.support.states import desired_app

from octosync.errors import OctosyncError
from octosync.model import Status

SECRET = "hunter2-correct-horse"


def break_journal(harness: Harness) -> None:
    """Make the journal unusable under a run that has it open."""
    with closing(sqlite3.connect(harness.journal)) as database:
        database.execute("alter table action rename to gone")


def mend_journal(harness: Harness) -> None:
    """Make the journal usable again."""
    with closing(sqlite3.connect(harness.journal)) as database:
        database.execute("alter table gone rename to action")


async def test_an_action_is_recorded_before_its_request_and_after_it(harness: Harness) -> None:
    """Before a write is sent its row has no end. After the run every row has an end and its request id."""
    reviewed = await harness.review(*populate(harness.plane))

    def about_to_go(request: httpx.Request, number: int) -> None:
        actions = harness.last_run()[1]
        assert request.method != "GET"
        assert len(actions) >= number
        assert any(action.status is None for action in actions)

    applied = await harness.apply(reviewed, transport=Tap(before=about_to_go))
    run, actions = harness.last_run()
    assert run.exit_code == 0
    assert len(actions) == len(applied.outcomes)
    by_key = {f"{outcome.verb} {outcome.address}": outcome for outcome in applied.outcomes}
    operations = {f"{action.verb.value} {action.address}": action.operation for action in reviewed.plan.actions}
    for action in actions:
        outcome = by_key.pop(f"{action.verb} {action.address}")
        assert (action.status, action.request_ids) == (outcome.status, outcome.request_ids)
        assert action.operation == operations[f"{action.verb} {action.address}"]
        assert action.request_ids[0].startswith("req_")
        assert action.ended_at is not None
        assert action.ended_at >= action.begun_at
    assert by_key == {}


async def test_unsent_actions_are_recorded_by_outcome(harness: Harness) -> None:
    """A stale action and a skipped half of a move have rows. An action that was skipped or not attempted has none."""
    harness.plane.app("a", "chat", target="com.a")
    harness.plane.app("b")
    reviewed = await harness.review(
        desired_app("a", slots={}, targets=[], archived=True), desired_app("b", targets=["ios:com.a"])
    )
    harness.advance(31)
    harness.plane.send("PUT", "/apps/a/slots/chat", {"bindings": [], "serving_policy": "cloud_only"})
    harness.plane.break_with({"operation": "apps.delete_target", "action": "status", "status": 422})
    await harness.apply(reviewed)
    rows = {f"{action.verb} {action.address}": (action.status, action.reference) for action in harness.last_run()[1]}
    assert rows == {
        "delete app/a/target/ios:com.a": (Status.FAILED, "rejected"),
        "create app/b/target/ios:com.a": (Status.SKIPPED, ""),
        "delete app/a/slot/chat": (Status.STALE, "object-changed"),
    }


async def test_the_file_contains_no_values_and_no_secrets(harness: Harness) -> None:
    """The journal contains neither the API key nor a value from a manifest or a response, even if a message quotes one."""
    config = {"api_key": SECRET, "model": "a-model-of-mine"}
    reviewed = await harness.review(
        desired_app("a", config=config, slots={"chat": {"preferred_engines": ["an-engine-of-mine"]}}), desired_app("b")
    )
    harness.plane.break_with(
        {"operation": "apps.put_inference_config", "action": "drop_field", "field": "model"},
        {"operation": "apps.put_slot", "action": "status", "status": 422, "message": f"No {SECRET} {KEY}, sorry"},
    )
    applied = await harness.apply(reviewed)
    assert sorted(status_by_action(applied).values()) == ["done", "done", "failed", "not_kept"]
    content = b"".join(file.read_bytes() for file in harness.journal.parent.glob("state.db*"))
    for value in (KEY, SECRET, "a-model-of-mine", "an-engine-of-mine", "sorry"):
        assert value.encode() not in content


async def test_nothing_is_sent_without_a_journal(harness: Harness) -> None:
    """Apply finds an unusable journal before its first write."""
    harness.journal.mkdir()
    reviewed = await harness.review(desired_app("a"))
    with pytest.raises(OctosyncError, match="the journal can't be used"):
        await harness.apply(reviewed)
    assert harness.writes() == []


async def test_a_journal_that_fails_before_a_write_stops_the_run(harness: Harness) -> None:
    """An action that can't be recorded is not sent. Sent ones are reported, and the rest have the reason as their message."""
    reviewed = await harness.review(*(desired_app(f"app-{n}") for n in range(4)))
    tap = Tap(after=lambda _, number: break_journal(harness) if number == 2 else None)
    harness.plane.log()
    applied = await harness.apply(reviewed, transport=tap, concurrency=1)
    assert list(status_by_action(applied).values()) == ["done", "done", "not_attempted", "not_attempted"]
    assert len(harness.writes()) == 2
    assert applied.stopped_by is not None
    assert applied.stopped_by.reference == "journal-unusable"
    assert applied.wrote
    assert applied.outcomes[3].message.startswith(f"the run stopped: {harness.journal}: the journal can't be used")


async def test_a_journal_that_fails_between_the_halves_of_a_move(harness: Harness) -> None:
    """A journal failure must not lose a target: the second half, already recorded as begun, is sent, then the run stops."""
    harness.plane.app("from", target="com.a")
    harness.plane.app("to")
    reviewed = await harness.review(
        desired_app("from", targets=[]), desired_app("to", targets=["ios:com.a"]), desired_app("zz")
    )
    tap = Tap(after=lambda _, number: break_journal(harness) if number == 1 else None)
    applied = await harness.apply(reviewed, transport=tap, concurrency=1)
    assert list(status_by_action(applied).values()) == ["done", "done", "not_attempted"]
    assert harness.state()["to"]["targets"] == ["ios:com.a"]
    assert applied.stopped_by is not None
    mend_journal(harness)
    assert [(action.verb, action.status) for action in harness.last_run()[1]] == [("delete", None), ("create", None)]


async def test_a_journal_that_fails_after_a_stale_read(harness: Harness) -> None:
    """A stale result that was found before the failure is still the outcome of its action."""
    harness.plane.app("a", "chat")
    reviewed = await harness.review(desired_app("a", slots={}))
    harness.advance(31)
    harness.plane.send("PUT", "/apps/a/slots/chat", {"bindings": [], "serving_policy": "cloud_only"})

    class Breaking(Tap):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            break_journal(harness)
            return await super().handle_async_request(request)

    applied = await harness.apply(reviewed, transport=Breaking())
    assert list(status_by_action(applied).values()) == ["stale"]
    assert applied.stopped_by is not None
    assert not applied.wrote
