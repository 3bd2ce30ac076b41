"""Sensitive values: nothing that the controller shows or stores contains them."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.controller_http import app_client
from tests.support.controllers import FastClock, RunningController, run_controller
from tests.support.watched_apps import NEVER, declare, plane_of_ana

from octosync.plan import ControlPlane
from octosync.watch.notify.notices import Sender, document_of
from octosync.watch.status import AppState

DECLARED, BY_HAND, COMMITTED = "declared-1f7c", "by-hand-93be", "committed-52aa"


def config(value: str) -> dict[str, Any]:
    """Return an inference config with a sensitive value, under a nested key and as part of a key."""
    return {"provider": "local", "options": {"api_key": value, "tokens": {f"{value}-name": 1}, "retries": 3}}


async def everything(watch: RunningController) -> str:
    """Return all that the controller shows: log, metrics, pages, JSON and notifications."""
    pages = []
    async with app_client(watch.controller.api, metrics=watch.controller.metrics.render) as client:
        for path in ("/", "/apps/demo", "/api/status", "/metrics"):
            response = await client.get(path)
            assert response.status_code == 200
            pages.append(response.text)
    sender = Sender(control_plane=ControlPlane(url=watch.plane.url), version="1")
    notifications = [json.dumps(document_of(notice, sender, "1")) for notice in watch.recorder.notices]
    return "\n".join((watch.log.getvalue(), *pages, *notifications))


def files(folder: Path) -> bytes:
    """Return the bytes of the state file and of SQLite's files beside it."""
    return b"".join(path.read_bytes() for path in folder.glob("state.db*"))


@pytest.mark.parametrize("fails", [False, True])
async def test_sensitive_values_are_in_requests_only(tmp_path: Path, fails: bool) -> None:
    """Neither a declared value nor one set by hand is shown or stored, whether it is held, overwritten or rejected."""
    clock = FastClock(60)
    declare(tmp_path, "demo", inferenceConfig=config(DECLARED))
    shown = ""
    with plane_of_ana(clock) as plane:
        settings: Any = {"drift_hold": timedelta(hours=4), "resync": NEVER}
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until_in_sync()
            plane.send("PUT", "/apps/demo/inference-config", config(BY_HAND))
            await watch.until(lambda: watch.app().state is AppState.HELD)
            shown += await everything(watch)
            if fails:
                echo = {"message": f"bad value {COMMITTED}", "status": 422, "times": None}
                plane.break_with({"operation": "apps.put_inference_config", "action": "status", **echo})
            declare(tmp_path, "demo", inferenceConfig=config(COMMITTED))
            final = AppState.REFUSED if fails else AppState.IN_SYNC
            await watch.until(lambda: watch.app().state is final)
            shown += await everything(watch)
        stored = files(tmp_path)
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until(lambda: watch.app().read_at is not None)
            shown += await everything(watch)
    for value in (DECLARED, BY_HAND, COMMITTED):
        assert value not in shown
        assert value.encode() not in stored
    assert "inference-config" in shown
