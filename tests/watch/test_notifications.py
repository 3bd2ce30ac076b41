"""Notifications of a running controller: related changes are one notification, sent once they are decided, and resolved later."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.support.commits import commit
from tests.support.controllers import FastClock, RunningController, run_controller
from tests.support.plane import Plane
from tests.support.scripted_server import ScriptedServer, http_reply, scripted_server
from tests.support.watched_apps import CLOUD, NEVER, app_slugs, plane_of_ana

from octosync.model import NotifyEvent, Secret
from octosync.plan import ControlPlane
from octosync.watch.log import Log
from octosync.watch.notify.endpoints import Endpoint
from octosync.watch.notify.notices import Sender
from octosync.watch.notify.webhook import Notifier
from octosync.watch.status import AppState

SLUGS = app_slugs(12)


def full(**spec: Any) -> dict[str, dict[str, Any]]:
    """Declare a target and a slot of each app."""
    return {slug: {"targets": (f"com.{slug}",), "slots": {"chat": "local_first"}, **spec} for slug in SLUGS}


def notifications(server: ScriptedServer) -> list[dict[str, Any]]:
    """Return the bodies that a receiver got."""
    return [json.loads(request.body) for request in server.received]


@asynccontextmanager
async def controller_with_receiver(
    folder: Path, plane: Plane, clock: FastClock, **settings: Any
) -> AsyncIterator[tuple[RunningController, ScriptedServer]]:
    """Run a controller with a receiver of all events."""
    sender = Sender(control_plane=ControlPlane(url=plane.url), version="1", external_url="https://octosync.example.com")
    async with scripted_server(http_reply(204)) as server:
        endpoint = Endpoint(url=Secret(f"{server.url}/hook"), name=server.url, events=frozenset(NotifyEvent))
        async with (
            Notifier((endpoint,), sender, clock=clock, log=Log(io.StringIO(), clock)) as notifier,
            run_controller(folder, plane, clock, notifier=notifier, resync=NEVER, **settings) as watch,
        ):
            yield watch, server


async def test_a_commit_and_its_refusal_are_one_notification_each(tmp_path: Path) -> None:
    """The results for 12 apps are sent once, when all are decided, with the request that approves exactly them."""
    clock = FastClock(30)
    commit(tmp_path, full())
    with plane_of_ana(clock) as plane:
        async with controller_with_receiver(tmp_path, plane, clock) as (watch, server):
            await watch.until_in_sync()
            await watch.until(lambda: notifications(server))
            (first,) = notifications(server)
            assert (first["event"], first["app_count"], first["address_count"]) == ("applied", 12, 36)
            commit(tmp_path, full(targets=(), slots={"chat": "cloud_first"}))
            await watch.until(lambda: len(watch.status.blocked) == 1 and len(notifications(server)) == 3)
            by_event = {body["event"]: body for body in notifications(server)[1:]}
            assert set(by_event) == {"applied", "blocked"}
            assert by_event["applied"]["address_count"] == 12
            refused, (blocked,) = by_event["blocked"], watch.status.blocked
            assert refused["message"].startswith("12 removals, at most 10 are allowed together: 12 apps")
            assert f"POST /approve?guard=deletes&seen={blocked.seen}" in refused["hints"][0]
            assert f"'https://octosync.example.com/approve?guard=deletes&seen={blocked.seen}'" in refused["text"]
            watch.approve("deletes")
            await watch.until_in_sync()
            await watch.until(lambda: len(notifications(server)) == 5)
            assert {body["event"] for body in notifications(server)[3:]} == {"applied", "resolved"}


async def test_changes_by_hand_and_their_revert_are_one_notification_each(tmp_path: Path) -> None:
    """A burst is sent once, with its author, its end and the commands that keep it.

    Its revert resolves it and sends nothing else.
    """
    clock = FastClock(30)
    commit(tmp_path, full())
    with plane_of_ana(clock) as plane:
        async with controller_with_receiver(tmp_path, plane, clock, drift_hold=timedelta(minutes=5)) as (watch, server):
            await watch.until_in_sync()
            await watch.until(lambda: notifications(server))
            for slug in SLUGS[:5]:
                plane.send("PUT", f"/apps/{slug}/slots/chat", CLOUD)
            await watch.until(lambda: watch.status.count(AppState.HELD) == 5)
            await clock.advance(timedelta(minutes=5))
            await watch.until_in_sync()
            await watch.until(lambda: sum(body["address_count"] for body in notifications(server)[1:]) == 10)
            assert {body["event"] for body in notifications(server)[1:]} == {"held", "resolved"}
            held = notifications(server)[1]
            assert held["actor"] == "ana"
            assert "reverted at 2030-" in held["text"]
            assert "octosync accept app/app-0" in held["text"]


async def test_a_file_that_is_written_in_pieces_is_not_a_failure(tmp_path: Path) -> None:
    """An incomplete file is notified only if it stays incomplete. Its recovery is notified only if its failure was."""
    clock = FastClock(10)
    commit(tmp_path, full())
    with plane_of_ana(clock) as plane:
        async with controller_with_receiver(tmp_path, plane, clock) as (watch, server):
            await watch.until_in_sync()
            await watch.until(lambda: notifications(server))
            complete = (tmp_path / "apps" / "all.yaml").read_text()
            (tmp_path / "apps" / "all.yaml").write_text(complete[:-9])
            await watch.until(lambda: not watch.status.valid)
            (tmp_path / "apps" / "all.yaml").write_text(complete)
            await watch.until(lambda: watch.status.valid)
            since = clock.now()
            await watch.until(lambda: clock.now() - since > timedelta(seconds=10))
            assert len(notifications(server)) == 1
            (tmp_path / "apps" / "all.yaml").write_text(complete[:-9])
            await watch.until(lambda: len(notifications(server)) == 2)
            (tmp_path / "apps" / "all.yaml").write_text(complete)
            await watch.until(lambda: len(notifications(server)) == 3)
            assert [body["event"] for body in notifications(server)[1:]] == ["failed", "resolved"]
