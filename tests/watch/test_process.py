"""`octosync watch` as a process: from its start, or why there is none, over what it serves, to its end."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys

from tests.support.commands import environment
from tests.support.processes import until
from tests.support.proxies import late
from tests.support.watch_bench import QUICK, Bench


async def test_it_comes_up_serves_and_ends(bench: Bench) -> None:
    """What is declared is applied, everything that is served says so, and SIGTERM ends it with 0 and whole JSON lines."""
    bench.declare(targets=("com.demo",))
    watch = bench.watch(*QUICK)
    await watch.in_sync()
    assert bench.live() == "local_first"
    assert bench.proxy.writes() == ["POST /apps", "POST /apps/demo/targets", "PUT /apps/demo/slots/chat"]
    assert watch.get("/healthz").text == "ok\n"
    assert watch.get("/readyz").status_code == 200
    assert 'octosync_apps{state="in_sync"} 1.0' in watch.get("/metrics").text
    assert "demo" in watch.get("/").text
    assert watch.status["sentence"]
    assert await watch.stopped() == 0
    assert watch.lines[-1]["event"] == "stopped"
    assert watch.printed == ""


async def test_it_is_ready_after_a_first_full_turn(bench: Bench) -> None:
    """/readyz is 503 and says why as long as no full turn is done, and /healthz is 200 all the same."""
    bench.declare()
    bench.proxy.treat(late)
    watch = bench.watch(*QUICK)
    await watch.started()
    await until(lambda: bench.proxy.acted, watch)
    assert watch.get("/readyz").status_code == 503
    assert watch.get("/readyz").text.strip()
    assert watch.get("/healthz").status_code == 200
    bench.proxy.heal()
    await watch.in_sync()
    assert watch.get("/readyz").status_code == 200


async def test_every_line_of_a_turn_has_its_run(bench: Bench) -> None:
    """All lines about what was written in one turn have one run id, which `octosync history` knows."""
    bench.declare(targets=("com.demo",))
    watch = bench.watch(*QUICK)
    await watch.in_sync()
    turn = watch.logged("action") + watch.logged("app_moved")
    assert len(turn) == 4
    (run,) = {line["run"] for line in turn}
    history = bench.start("history", "-o", "json")
    assert await history.ended() == 0
    assert run in history.printed


async def test_posts_need_the_token(bench: Bench) -> None:
    """With the token a POST does what it says; without it, or with another one, nothing, and no answer shows it."""
    bench.declare()
    watch = bench.watch(*QUICK)
    await watch.in_sync()
    assert watch.post("/suspend", token="").status_code == 401
    assert watch.post("/suspend", token="guessed").status_code == 401
    assert watch.status["suspended"] is None
    assert watch.post("/suspend", reason="a talk").json() == {"suspended": True}
    bench.declare(slots={"chat": "cloud_first"})
    await until(lambda: watch.state_of("demo") != "in_sync", watch)
    assert bench.live() == "local_first"
    assert watch.post("/resume").json() == {"suspended": False}
    await until(lambda: bench.live() == "cloud_first", watch)
    assert watch.post("/reconcile", app="nobody").status_code in {404, 409, 422}


async def test_without_a_token_posts_are_off(bench: Bench) -> None:
    """403, and the answer says how to switch them on."""
    watch = bench.watch(*QUICK, "--allow-empty", OCTOSYNC_ADMIN_TOKEN="")
    await watch.started()
    refused = watch.post("/suspend")
    assert refused.status_code == 403
    assert "OCTOSYNC_ADMIN_TOKEN" in refused.text


async def test_a_token_is_taken_without_the_newline_of_the_file_that_it_came_from(bench: Bench) -> None:
    """A Secret made from a file ends in a newline, which no header can carry; a token of nothing else is none."""
    bench.declare()
    watch = bench.watch(*QUICK, OCTOSYNC_ADMIN_TOKEN="open-sesame-1234567\n")
    await watch.started()
    assert watch.post("/suspend", token="open-sesame-1234567").status_code == 200
    assert await watch.stopped() == 0
    blank = bench.watch(*QUICK, OCTOSYNC_ADMIN_TOKEN=" \n")
    await blank.started()
    assert blank.post("/suspend", token="").status_code == 403


async def test_what_keeps_it_from_starting_is_said(bench: Bench) -> None:
    """A taken port, a state file that is none, standard input, no such key: one clear error each, and no request is sent."""
    bench.declare()
    (bench.folder / "notes.txt").write_text("no state file, but somebody's notes\n" * 20)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        starts = {
            "address-unavailable": (1, str(port), bench.watch("--listen", f"127.0.0.1:{port}", "--state", "other.db")),
            "journal-unusable": (1, "notes.txt", bench.watch("--state", "notes.txt")),
            "stdin-watched": (64, "-f -", bench.watch(paths=("-",))),
            "admin-token-weak": (1, "at least 16 characters", bench.watch(OCTOSYNC_ADMIN_TOKEN="x")),
            "admin-token-malformed": (1, "OCTOSYNC_ADMIN_TOKEN", bench.watch(OCTOSYNC_ADMIN_TOKEN="geheimnis\u00fc")),
            "token-file-unreadable": (1, "nowhere", bench.watch("--token-file", "nowhere", "--state", "third.db")),
        }
        for reference, (code, where, watch) in starts.items():
            assert await watch.ended() == code, watch.said
            (line,) = watch.lines
            assert line["reference"] == reference
            assert where in line["@message"]
            assert line["hints"]
    assert bench.proxy.exchanges == []
    assert (bench.folder / "notes.txt").read_text().startswith("no state file")


async def test_two_of_them_dont_share_a_state_file(bench: Bench) -> None:
    """The second one, on another port, is refused and says who has the file; apply is not, and a killed one leaves no lock."""
    bench.declare()
    watch = bench.watch(*QUICK)
    await watch.in_sync()
    second = bench.watch(*QUICK)
    assert await second.ended() == 1
    (line,) = second.lines
    assert line["reference"] == "state-in-use"
    assert f"process {watch.pid}" in line["@message"]
    assert any("--state" in hint for hint in line["hints"])
    applied = bench.start("apply", "-f", "apps", "--url", bench.proxy.url, "--yes")
    assert await applied.ended() == 0
    assert watch.code is None
    await watch.stopped(signal.SIGKILL)
    third = bench.watch(*QUICK)
    await third.in_sync()


async def test_in_text_errors_are_for_people(bench: Bench) -> None:
    """Without --log-format json an error at the start looks as that of any other command."""
    bench.declare()
    watch = bench.start("watch", "-f", "apps", "--url", bench.proxy.url, "--listen", "nowhere")
    assert await watch.ended() == 64
    assert watch.said.startswith("error: listen-malformed: ")


async def test_manifests_that_are_not_there_are_waited_for(bench: Bench) -> None:
    """No manifest, or a broken one: it says which and runs all the same; once there is a good one, that is applied."""
    watch = bench.watch(*QUICK)
    await watch.started()
    await until(lambda: watch.logged("manifests_invalid"), watch)
    assert watch.status["manifests"]["valid"] is False
    assert "octosync_manifests_valid 0.0" in watch.get("/metrics").text
    bench.declare()
    await until(lambda: bench.live() == "local_first", watch)
    await until(lambda: watch.status["manifests"]["valid"], watch)


async def test_the_real_command_does_the_same(bench: Bench) -> None:
    """Started as users start it, with Python and -m, it comes up, says where it answers in text, and ends with 0."""
    bench.declare()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "octosync", "watch", "-f", "apps", "--url", bench.proxy.url, "--listen", "127.0.0.1:0"),
        cwd=bench.folder, env=environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        await until(lambda: bench.live() == "local_first")
        process.terminate()
        printed, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert (process.returncode, printed) == (0, b"")
    assert b"watching 127.0.0.1: http://127.0.0.1:" in said
    assert b"Traceback" not in said
