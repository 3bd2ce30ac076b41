"""`octosync watch` as a process: how it starts, why it may refuse to start, what it serves and how it stops."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import sys

from tests.support.commands import environment
from tests.support.postgres import require_postgres
from tests.support.processes import until
from tests.support.proxies import delay_response
from tests.support.watch_bench import QUICK, Bench


async def test_it_starts_serves_and_stops(bench: Bench) -> None:
    """It applies the manifests, every endpoint reports that, and SIGTERM stops it with exit code 0 and complete JSON lines.

    Until the first resync is complete, /readyz returns 503 with a reason, while /healthz returns 200. All log lines about the
    writes of one run have one run id, and `octosync history` lists it.
    """
    bench.declare(targets=("com.demo",))
    bench.proxy.inject(delay_response)
    watch = bench.watch(*QUICK)
    await watch.wait_until_started()
    await until(lambda: bench.proxy.injected, watch)
    assert watch.get("/readyz").status_code == 503
    assert watch.get("/readyz").text.strip()
    assert watch.get("/healthz").status_code == 200
    bench.proxy.restore()
    await watch.wait_until_in_sync()
    assert bench.live() == "local_first"
    assert bench.proxy.writes() == ["POST /apps", "POST /apps/demo/targets", "PUT /apps/demo/slots/chat"]
    assert watch.get("/healthz").text == "ok\n"
    assert watch.get("/readyz").status_code == 200
    assert 'octosync_apps{state="in_sync"} 1.0' in watch.get("/metrics").text
    assert "demo" in watch.get("/").text
    assert watch.status["sentence"]
    assert await watch.stop() == 0
    assert watch.lines[-1]["event"] == "stopped"
    assert watch.stdout == ""
    lines = watch.logged("action")
    assert len(lines) == 3
    (run,) = {line["run"] for line in lines}
    history = bench.start("history", "-o", "json")
    assert await history.wait() == 0
    (recorded,) = json.loads(history.stdout)["runs"]
    assert (recorded["run"], recorded["command"], recorded["actor"]) == (run, "watch", "controller")
    assert recorded["host"] == socket.gethostname()
    assert recorded["plan_digest"].startswith("sha256:")


async def test_a_replica_that_could_not_lead_does_not_start(bench: Bench) -> None:
    """Otherwise it would be ready as a standby, and end when it takes over. The database may be unavailable meanwhile."""
    require_postgres()
    bench.declare()
    (bench.folder / "octosync.yaml").write_text("notify: [{urlEnv: OCTOSYNC_NOWHERE, events: [failed]}]\n")
    watch = bench.watch(*QUICK, OCTOSYNC_STATE="postgresql://127.0.0.1:1/octosync")
    assert await watch.wait() == 1
    assert watch.lines[-1]["reference"] == "notify-variable-unset"


async def test_posts_need_the_token(bench: Bench) -> None:
    """A POST with the token takes effect. Without the token, or with a wrong one, it does nothing.

    No response contains the token.
    """
    bench.declare()
    watch = bench.watch(*QUICK)
    await watch.wait_until_in_sync()
    assert watch.post("/suspend", token="").status_code == 401
    assert watch.post("/suspend", token="guessed").status_code == 401
    assert watch.status["suspended"] is None
    assert watch.post("/suspend", reason="a talk").json() == {"suspended": True}
    bench.declare(slots={"chat": "cloud_first"})
    await until(lambda: watch.state_of("demo") != "in_sync", watch)
    assert bench.live() == "local_first"
    assert watch.post("/resume").json() == {"suspended": False}
    await until(lambda: bench.live() == "cloud_first", watch)
    assert watch.post("/reconcile", app="unknown").status_code in {404, 409, 422}


async def test_a_token_is_stripped_of_its_trailing_newline(bench: Bench) -> None:
    """A Secret made from a file ends in a newline, which no header can carry. A token of whitespace only counts as unset.

    Without a token, POSTs return 403, and the response names the variable that enables them.
    """
    bench.declare()
    watch = bench.watch(*QUICK, OCTOSYNC_ADMIN_TOKEN="open-sesame-1234567\n")
    await watch.wait_until_started()
    assert watch.post("/suspend", token="open-sesame-1234567").status_code == 200
    assert await watch.stop() == 0
    blank = bench.watch(*QUICK, OCTOSYNC_ADMIN_TOKEN=" \n")
    await blank.wait_until_started()
    response = blank.post("/suspend", token="")
    assert response.status_code == 403
    assert "OCTOSYNC_ADMIN_TOKEN" in response.text


async def test_a_refused_start_reports_one_error(bench: Bench) -> None:
    """A port in use, an invalid state file, standard input or a bad token is reported as one clear error, before any request."""
    bench.declare()
    (bench.folder / "notes.txt").write_text("just a text file\n" * 20)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        starts = {
            "address-unavailable": (1, str(port), bench.watch("--listen", f"127.0.0.1:{port}", "--state", "other.db")),
            "journal-unusable": (1, "notes.txt", bench.watch("--state", "notes.txt")),
            "stdin-watched": (64, "-f -", bench.watch(paths=("-",))),
            "admin-token-weak": (1, "at least 16 characters", bench.watch(OCTOSYNC_ADMIN_TOKEN="x")),
            "admin-token-malformed": (1, "OCTOSYNC_ADMIN_TOKEN", bench.watch(OCTOSYNC_ADMIN_TOKEN="password\u00fc")),
            "token-file-unreadable": (1, "nowhere", bench.watch("--token-file", "nowhere", "--state", "third.db")),
        }
        for reference, (code, fragment, watch) in starts.items():
            assert await watch.wait() == code, watch.stderr
            (line,) = watch.lines
            assert line["reference"] == reference
            assert fragment in line["@message"]
            assert line["hints"]
    assert bench.proxy.exchanges == []
    assert (bench.folder / "notes.txt").read_text().startswith("just a text file")


async def test_two_controllers_do_not_share_a_state_file(bench: Bench) -> None:
    """A second controller is refused and names the process that has the file.

    apply is allowed, and a killed controller leaves no lock.
    """
    bench.declare()
    watch = bench.watch(*QUICK)
    await watch.wait_until_in_sync()
    second = bench.watch(*QUICK)
    assert await second.wait() == 1
    (line,) = second.lines
    assert line["reference"] == "state-in-use"
    assert f"process {watch.pid}" in line["@message"]
    assert any("--state" in hint for hint in line["hints"])
    applied = bench.start("apply", "-f", "apps", "--url", bench.proxy.url, "--yes")
    assert await applied.wait() == 0
    assert watch.code is None
    await watch.stop(signal.SIGKILL)
    third = bench.watch(*QUICK)
    await third.wait_until_in_sync()


async def test_errors_are_text_by_default(bench: Bench) -> None:
    """Without --log-format json, a startup error has the same form as that of any other command."""
    bench.declare()
    watch = bench.start("watch", "-f", "apps", "--url", bench.proxy.url, "--listen", "nowhere")
    assert await watch.wait() == 64
    assert watch.stderr.startswith("error: listen-malformed: ")


async def test_it_waits_for_manifests(bench: Bench) -> None:
    """Without a valid manifest it keeps running and reports what is missing. Once a valid one exists, it is applied.

    An empty token counts as unset.
    """
    watch = bench.watch(*QUICK, OCTOSYNC_ADMIN_TOKEN="")
    await watch.wait_until_started()
    await until(lambda: watch.logged("manifests_invalid"), watch)
    assert watch.status["manifests"]["valid"] is False
    assert "octosync_manifests_valid 0.0" in watch.get("/metrics").text
    assert watch.post("/suspend").status_code == 403
    bench.declare()
    await until(lambda: bench.live() == "local_first", watch)
    await until(lambda: watch.status["manifests"]["valid"], watch)


async def test_it_runs_with_python_m(bench: Bench) -> None:
    """Started with `python -m octosync`, it starts, logs its address as text, and stops with exit code 0."""
    bench.declare()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "octosync", "watch", "-f", "apps", "--url", bench.proxy.url, "--listen", "127.0.0.1:0"),
        cwd=bench.folder, env=environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        await until(lambda: bench.live() == "local_first")
        process.terminate()
        stdout, stderr = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert (process.returncode, stdout) == (0, b"")
    assert b"watching 127.0.0.1: http://127.0.0.1:" in stderr
    assert b"Traceback" not in stderr


async def test_a_damaged_state_file_is_reported_at_startup(bench: Bench) -> None:
    """It starts and reverts nothing blindly. Log, page and metric report what is lost and where the damaged file is kept."""
    bench.declare(targets=("com.demo",))
    watch = bench.watch(*QUICK)
    await watch.wait_until_in_sync()
    watch.send(signal.SIGTERM)
    await watch.wait()
    with bench.state.open("r+b") as file:
        file.write(b"\0" * 4096)
    bench.declare(targets=())
    watch = bench.watch(*QUICK)
    await watch.wait_until_in_sync()
    (line,) = watch.logged("state_damaged")
    (kept,) = bench.state.parent.glob("state.db.damaged-*Z")
    assert str(kept.name) in line["@message"]
    assert "no object counts as removed" in watch.status["alarms"]["state_damaged"]
    assert "octosync_state_damaged 1.0" in watch.get("/metrics").text
    assert "The state file was damaged" in watch.get("/").text


async def test_debug_logs_settings_and_requests(bench: Bench) -> None:
    """With -v, the log has the settings once and each request, without a secret."""
    bench.declare()
    watch = bench.watch(*QUICK, "-v")
    await watch.wait_until_in_sync()
    assert await watch.stop() == 0
    settings = [str(line["@message"]) for line in watch.logged("setting")]
    assert any(line.startswith("API key: ") for line in settings)
    requests = [str(line["@message"]) for line in watch.logged("request")]
    assert any(re.match(r"PUT /api/v1/apps/demo/slots/chat 200 \d+ ms req_\w+$", line) for line in requests)
