"""The stop of a controller while the control plane never answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.support.controllers import FastClock, manifest, run_controller, served_plane_at
from tests.support.processes import until
from tests.support.proxies import delay_response, run_proxy

from octosync.state import JournalReader


async def test_a_missing_response_does_not_prevent_the_stop(tmp_path: Path) -> None:
    """The response to a write is awaited for a limited time.

    Then the controller stops, and the journal keeps the write as open.
    """
    clock = FastClock(20)
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / "demo.json").write_text(manifest(targets=("com.demo",)))
    with served_plane_at(clock) as plane:
        async with run_proxy(plane.url) as proxy:
            proxy.inject(delay_response, which=lambda exchange: exchange.writes)
            async with run_controller(tmp_path, replace(plane, url=proxy.url), clock) as watch:
                await until(lambda: proxy.injected)
                watch.controller.stop.set()
                await until(watch.task.done)
                assert proxy.in_flight == 1
            assert proxy.writes() == ["POST /apps"]
    with JournalReader(tmp_path / "state.db") as recorded:
        (run,) = recorded.runs()
        assert run.ended_at is None
        assert [(str(action.address), action.status) for action in recorded.actions(run.id)] == [("app/demo", None)]
