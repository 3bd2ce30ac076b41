"""Runs that end early by a stop, a kill or lost responses: nothing stays half known, and the next run continues."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.support.examples import seeds
from tests.support.harness import Harness, Hook, Tap, open_harness, status_by_action
from tests.support.states import desired_app

from octosync.apply import ApplyResult, Progress
from octosync.model import App, Status

pytestmark = pytest.mark.no_cover  # long; the code they run is measured by the other tests of this folder


@contextmanager
def in_use(directory: Path) -> Iterator[tuple[Harness, list[App]]]:
    """Yield a harness and declarations: one app is created in full, another loses everything and is archived."""
    with open_harness(directory) as harness:
        harness.plane.app("old", "chat", target="com.moved", config={"model": "old"})
        harness.plane.app("zoo", "chat")
        yield (
            harness,
            [
                desired_app("new", targets=["ios:com.moved"], slots={"chat": {}}, config={"model": "@app/new/chat"}),
                desired_app("old", fields={"name": "Was"}, targets=[], slots={}, config=None, archived=True),
                desired_app("zoo", slots={"chat": {"serving_policy": "local_only"}}),
            ],
        )


def cancel_at(number: int) -> tuple[Hook, list[asyncio.Future[ApplyResult]]]:
    """Return a hook that cancels the run in the list beside it at the nth write."""
    runs: list[asyncio.Future[ApplyResult]] = []

    def kill(_: httpx.Request, now: int) -> None:
        if now == number:
            runs[0].cancel()

    return kill, runs


def stop_at(number: int) -> tuple[Tap, asyncio.Event]:
    """Return a tap that stops the run when the nth write is about to be sent."""
    stop = asyncio.Event()
    return Tap(before=lambda _, now: stop.set() if now == number else None), stop


async def test_a_stop_finishes_requests_in_progress_and_starts_none(harness: Harness) -> None:
    """The write in progress finishes and is recorded. Every other action is not attempted, with that reason."""
    reviewed = await harness.review(*(desired_app(f"app-{n}", slots={"chat": {}}) for n in range(3)))
    stop = asyncio.Event()
    harness.plane.log()
    applied = await harness.apply(reviewed, stop=stop, transport=Tap(before=lambda *_: stop.set()))
    assert list(status_by_action(applied).values()) == ["done", *["not_attempted"] * 5]
    assert {outcome.message for outcome in applied.outcomes[1:]} == {"the run was interrupted before it"}
    assert harness.writes() == ["POST /api/v1/apps"]
    assert applied.stopped_by is None
    assert [action.status for action in harness.last_run()[1]] == [Status.DONE]
    assert set(status_by_action(await harness.reconcile(*reviewed.plan.desired)).values()) == {"done"}


async def test_a_stop_before_the_first_write(harness: Harness) -> None:
    """A run stopped before it began has one outcome per action, no request, and an empty record."""
    reviewed = await harness.review(desired_app("a"), desired_app("b"))
    stop = asyncio.Event()
    stop.set()
    harness.plane.log()
    applied = await harness.apply(reviewed, stop=stop)
    assert set(status_by_action(applied).values()) == {"not_attempted"}
    assert harness.plane.log() == []
    assert harness.last_run()[1] == ()


async def test_a_stop_cancels_a_read_before_a_write(harness: Harness) -> None:
    """If a read hangs when the stop comes, it is cancelled, since its action has sent nothing."""
    harness.plane.app("a", "chat")
    reviewed = await harness.review(desired_app("a", slots={}))
    harness.advance(31)
    stop = asyncio.Event()

    class Hanging(Tap):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            stop.set()
            await asyncio.Event().wait()
            return await super().handle_async_request(request)

    applied = await harness.apply(reviewed, stop=stop, transport=Hanging())
    assert list(status_by_action(applied).values()) == ["not_attempted"]


async def test_an_error_of_a_listener_ends_the_run(harness: Harness) -> None:
    """If progress can't be shown, for example because of a closed pipe, the run raises that error; it doesn't hang."""
    reviewed = await harness.review(*(desired_app(f"app-{n}", slots={"chat": {}}) for n in range(3)))

    def fail(_: Progress) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await harness.apply(reviewed, on_progress=fail)
    assert len(harness.last_run()[1]) == 1


async def test_a_kill_leaves_an_action_recorded_as_begun(harness: Harness) -> None:
    """If a run is cancelled during a write, that row has a beginning and no end. Earlier rows have both."""
    reviewed = await harness.review(desired_app("a", slots={"chat": {}, "tts": {}}))
    kill, runs = cancel_at(2)
    runs.append(asyncio.ensure_future(harness.apply(reviewed, transport=Tap(before=kill))))
    with pytest.raises(asyncio.CancelledError):
        await runs[0]
    recorded, actions = harness.last_run()
    assert (recorded.ended_at, recorded.exit_code) == (None, None)
    assert [(action.status, action.ended_at is None) for action in actions] == [(Status.DONE, False), (None, True)]


@pytest.mark.parametrize("committed", [False, True])
async def test_a_run_killed_at_any_write_is_continued_by_the_next(tmp_path: Path, committed: bool) -> None:
    """Killed at any write: the next run always reaches the same end, and nothing is done twice."""
    with in_use(tmp_path) as (harness, desired):
        total = len((await harness.review(*desired)).plan.actions)
        undisturbed = await harness.reconcile(*desired)
        assert len(undisturbed.outcomes) == total
        state, events = harness.state(), sorted(harness.events())
    for at in (1 + number for number in seeds(total, fewest=3)):
        with in_use(tmp_path) as (harness, desired):
            reviewed = await harness.review(*desired)
            kill, runs = cancel_at(at)
            tap = Tap(after=kill) if committed else Tap(before=kill)
            runs.append(asyncio.ensure_future(harness.apply(reviewed, transport=tap)))
            with pytest.raises(asyncio.CancelledError):
                await runs[0]
            await harness.reconcile(*desired)
            assert (await harness.review(*desired)).plan.actions == (), at
            assert harness.state() == state, at
            assert sorted(harness.events()) == events, at


@pytest.mark.parametrize("action", ["cut_before", "cut_after"])
async def test_any_lost_response_of_any_request_is_survived(tmp_path: Path, action: str) -> None:
    """With the response to any one request lost, read or write: one run, all actions done, nothing done twice."""
    with in_use(tmp_path) as (harness, desired):
        reviewed = await harness.review(*desired)
        harness.plane.log()
        await harness.apply(reviewed)
        requests = len(harness.plane.log())
        state, events = harness.state(), sorted(harness.events())
    for skip in seeds(requests, fewest=4):
        with in_use(tmp_path) as (harness, desired):
            reviewed = await harness.review(*desired)
            harness.plane.break_with({"operation": "*", "action": action, "skip": skip})
            applied = await harness.apply(reviewed)
            assert set(status_by_action(applied).values()) == {"done"}, skip
            assert harness.state() == state, skip
            assert sorted(harness.events()) == events, skip


async def test_a_run_stopped_at_any_write_is_continued_by_the_next(tmp_path: Path) -> None:
    """Stopped at any write: two runs do what one does, and moves are whole."""
    with in_use(tmp_path) as (harness, desired):
        total = len((await harness.reconcile(*desired)).outcomes)
        state, events = harness.state(), sorted(harness.events())
    for at in (1 + number for number in seeds(total, fewest=3)):
        with in_use(tmp_path) as (harness, desired):
            tap, stop = stop_at(at)
            applied = await harness.reconcile(*desired, stop=stop, transport=tap)
            result = status_by_action(applied)
            assert result["delete app/old/target/ios:com.moved"] == result["create app/new/target/ios:com.moved"], at
            await harness.reconcile(*desired)
            assert harness.state() == state, at
            assert sorted(harness.events()) == events, at
