"""The end of a controller, where the control plane would keep it waiting for ever."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.support.controllers import FastClock, manifest, plane_at, run_controller
from tests.support.processes import until
from tests.support.proxies import delay_response, run_proxy

from octosync.state import JournalReader


async def test_an_answer_that_never_comes_holds_up_no_end(tmp_path: Path) -> None:
    """The write that was sent is waited for, for a while; then the end comes all the same, and the journal has it as open."""
    clock = FastClock(20)
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / "demo.json").write_text(manifest(targets=("com.demo",)))
    with plane_at(clock) as plane:
        async with run_proxy(plane.url) as proxy:
            proxy.inject(delay_response, which=lambda one: one.writes)
            async with run_controller(tmp_path, replace(plane, url=proxy.url), clock) as watch:
                await until(lambda: proxy.injected)
                watch.controller.stop.set()
                await until(watch.task.done)
                assert proxy.in_flight == 1
            assert proxy.writes() == ["POST /apps"]
    with JournalReader(tmp_path / "state.db") as recorded:
        (run,) = recorded.runs()
        assert run.ended_at is None
        assert [(str(one.address), one.status) for one in recorded.actions(run.id)] == [("app/demo", None)]
