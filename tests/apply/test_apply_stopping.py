"""Runs that end early, by a stop, by a kill or by lost answers: nothing is half known, and the next run goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.support.site import Hook, Site, Tap, fates, open_site
from tests.support.states import desired_app

from octosync.apply import ApplyResult
from octosync.model import App, Status

pytestmark = pytest.mark.no_cover  # at length: what they run is measured by other tests of this room


@contextmanager
def in_use(directory: Path) -> Iterator[tuple[Site, list[App]]]:
    """Make a site and a declaration of two apps: one is created with all it has, the other gives it all up and is archived."""
    with open_site(directory) as site:
        site.plane.app("old", "chat", target="com.moved", config={"model": "old"})
        site.plane.app("zoo", "chat")
        yield (
            site,
            [
                desired_app("new", targets=["ios:com.moved"], slots={"chat": {}}, config={"model": "@app/new/chat"}),
                desired_app("old", fields={"name": "Was"}, targets=[], slots={}, config=None, archived=True),
                desired_app("zoo", slots={"chat": {"serving_policy": "local_only"}}),
            ],
        )


def cancel_at(number: int) -> tuple[Hook, list[asyncio.Future[ApplyResult]]]:
    """Make a hook that cancels at the nth write the run that is put into the list beside it."""
    runs: list[asyncio.Future[ApplyResult]] = []

    def kill(_: httpx.Request, now: int) -> None:
        if now == number:
            runs[0].cancel()

    return kill, runs


def stop_at(number: int) -> tuple[Tap, asyncio.Event]:
    """Make a tap that asks the run to stop when the nth write is about to go."""
    stop = asyncio.Event()
    return Tap(before=lambda _, now: stop.set() if now == number else None), stop


async def test_a_stop_finishes_what_is_under_way_and_starts_nothing(site: Site) -> None:
    """The write under way is finished and recorded; everything else was not attempted, and says so."""
    turn = await site.look(*(desired_app(f"app-{n}", slots={"chat": {}}) for n in range(3)))
    stop = asyncio.Event()
    site.plane.log()
    applied = await site.act(turn, stop=stop, transport=Tap(before=lambda *_: stop.set()))
    assert list(fates(applied).values()) == ["done", *["not_attempted"] * 5]
    assert {outcome.message for outcome in applied.outcomes[1:]} == {"the run was interrupted before it"}
    assert site.writes() == ["POST /api/v1/apps"]
    assert applied.stopped_by is None
    assert [action.status for action in site.last_run()[1]] == [Status.DONE]
    assert set(fates(await site.turn(*turn.plan.desired)).values()) == {"done"}


async def test_a_stop_before_the_first_write(site: Site) -> None:
    """Stopped before it began: one outcome for each action, no request, and an empty record."""
    turn = await site.look(desired_app("a"), desired_app("b"))
    stop = asyncio.Event()
    stop.set()
    site.plane.log()
    applied = await site.act(turn, stop=stop)
    assert set(fates(applied).values()) == {"not_attempted"}
    assert site.plane.log() == []
    assert site.last_run()[1] == ()


async def test_what_only_looks_again_is_called_back(site: Site) -> None:
    """A look that hangs when the stop comes is given up: nothing of its action was sent."""
    site.plane.app("a", "chat")
    turn = await site.look(desired_app("a", slots={}))
    site.later(31)
    stop = asyncio.Event()

    class Hanging(Tap):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            stop.set()
            await asyncio.Event().wait()
            return await super().handle_async_request(request)

    applied = await site.act(turn, stop=stop, transport=Hanging())
    assert list(fates(applied).values()) == ["not_attempted"]


async def test_a_kill_leaves_a_record_that_was_begun(site: Site) -> None:
    """Cancelled in the middle of a write: its row has a beginning and no end, those before it have both."""
    turn = await site.look(desired_app("a", slots={"chat": {}, "tts": {}}))
    kill, runs = cancel_at(2)
    runs.append(asyncio.ensure_future(site.act(turn, transport=Tap(before=kill))))
    with pytest.raises(asyncio.CancelledError):
        await runs[0]
    recorded, actions = site.last_run()
    assert (recorded.ended_at, recorded.exit_code) == (None, None)
    assert [(action.status, action.ended_at is None) for action in actions] == [(Status.DONE, False), (None, True)]


@pytest.mark.parametrize("committed", [False, True])
async def test_killed_at_any_write_the_next_run_goes_on(tmp_path: Path, committed: bool) -> None:
    """Die at the first write, the second, … and run again: always the same end, and nothing is done twice."""
    with in_use(tmp_path) as (site, desired):
        total = len((await site.look(*desired)).plan.actions)
        undisturbed = await site.turn(*desired)
        assert len(undisturbed.outcomes) == total
        state, events = site.state(), sorted(site.events())
    for at in range(1, total + 1):
        with in_use(tmp_path) as (site, desired):
            turn = await site.look(*desired)
            kill, runs = cancel_at(at)
            tap = Tap(after=kill) if committed else Tap(before=kill)
            runs.append(asyncio.ensure_future(site.act(turn, transport=tap)))
            with pytest.raises(asyncio.CancelledError):
                await runs[0]
            await site.turn(*desired)
            assert (await site.look(*desired)).plan.actions == (), at
            assert site.state() == state, at
            assert sorted(site.events()) == events, at


@pytest.mark.parametrize("action", ["cut_before", "cut_after"])
async def test_any_lost_answer_of_any_request_is_survived(tmp_path: Path, action: str) -> None:
    """Cut the answer to the first request, the second, …, of reads and writes alike: one run, all done, nothing twice."""
    with in_use(tmp_path) as (site, desired):
        turn = await site.look(*desired)
        site.plane.log()
        await site.act(turn)
        requests = len(site.plane.log())
        state, events = site.state(), sorted(site.events())
    for skip in range(requests):
        with in_use(tmp_path) as (site, desired):
            turn = await site.look(*desired)
            site.plane.break_with({"operation": "*", "action": action, "skip": skip})
            applied = await site.act(turn)
            assert set(fates(applied).values()) == {"done"}, skip
            assert site.state() == state, skip
            assert sorted(site.events()) == events, skip


async def test_stopped_at_any_write_the_next_run_goes_on(tmp_path: Path) -> None:
    """A polite stop at the first write, the second, …: both runs together do what one does, and the moves are whole."""
    with in_use(tmp_path) as (site, desired):
        total = len((await site.turn(*desired)).outcomes)
        state, events = site.state(), sorted(site.events())
    for at in range(1, total + 1):
        with in_use(tmp_path) as (site, desired):
            tap, stop = stop_at(at)
            applied = await site.turn(*desired, stop=stop, transport=tap)
            result = fates(applied)
            assert result["delete app/old/target/ios:com.moved"] == result["create app/new/target/ios:com.moved"], at
            await site.turn(*desired)
            assert site.state() == state, at
            assert sorted(site.events()) == events, at
