"""Sensitive values: what the controller reads, plans, holds, writes and remembers of them shows none, anywhere."""

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
from octosync.watch.notify.messages import Sender, document_of
from octosync.watch.status import AppState

DECLARED, ANAS, COMMITTED = "declared-1f7c", "anas-93be", "committed-52aa"


def config(value: str) -> dict[str, Any]:
    """Return an inference config with a value that must not be seen, under a nested key and in the name of one."""
    return {"provider": "local", "options": {"api_key": value, "tokens": {f"{value}-name": 1}, "retries": 3}}


async def everything(watch: RunningController) -> str:
    """Return all that the controller shows: log, metrics, pages, JSON and notices."""
    pages = []
    async with app_client(watch.controller.api, metrics=watch.controller.metrics.render) as ask:
        for path in ("/", "/apps/demo", "/api/status", "/metrics"):
            answer = await ask.get(path)
            assert answer.status_code == 200
            pages.append(answer.text)
    sender = Sender(control_plane=ControlPlane(url=watch.plane.url), version="1")
    told = [json.dumps(document_of(one, sender, "1")) for one in watch.recorder.notices]
    return "\n".join((watch.log.getvalue(), *pages, *told))


def files(folder: Path) -> bytes:
    """Return all bytes of the state file and what SQLite keeps beside it."""
    return b"".join(path.read_bytes() for path in folder.glob("state.db*"))


@pytest.mark.parametrize("fails", [False, True])
async def test_a_sensitive_value_is_nowhere(tmp_path: Path, fails: bool) -> None:
    """Neither what is declared nor what somebody made of it, held, written over or refused, is in anything but requests."""
    clock = FastClock(60)
    declare(tmp_path, "demo", inferenceConfig=config(DECLARED))
    seen = ""
    with plane_of_ana(clock) as plane:
        settings: Any = {"drift_hold": timedelta(hours=4), "resync": NEVER}
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until_in_sync()
            plane.send("PUT", "/apps/demo/inference-config", config(ANAS))
            await watch.until(lambda: watch.app().state is AppState.HELD)
            seen += await everything(watch)
            if fails:
                echo = {"message": f"bad value {COMMITTED}", "status": 422, "times": None}
                plane.break_with({"operation": "apps.put_inference_config", "action": "status", **echo})
            declare(tmp_path, "demo", inferenceConfig=config(COMMITTED))
            over = AppState.REFUSED if fails else AppState.IN_SYNC
            await watch.until(lambda: watch.app().state is over)
            seen += await everything(watch)
        kept = files(tmp_path)
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until(lambda: watch.app().read_at is not None)
            seen += await everything(watch)
    for value in (DECLARED, ANAS, COMMITTED):
        assert value not in seen
        assert value.encode() not in kept
    assert "inference-config" in seen
