"""The API key of a controller: rejected, and rotated as a Secret is while the controller runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.file_watch import ConfigMapMount
from tests.support.processes import Zygote, until
from tests.support.watch_bench import QUICK, Bench, watch_bench

OLD, NEW = "old-key-s3cret-1", "new-key-s3cret-2"


@pytest.fixture
async def bench(tmp_path: Path, processes: Zygote) -> AsyncIterator[Bench]:
    async with watch_bench(tmp_path, processes, f"robot:{OLD}", f"ana:{NEW}") as bench_in_use:
        yield bench_in_use


async def test_it_waits_for_a_valid_key(bench: Bench) -> None:
    """With a wrong key it runs, is not ready, reports why and sends only probes. With the right key it continues at once."""
    bench.declare()
    secret = ConfigMapMount(bench.folder / "secret")
    secret.update({"key": "wrong-key"})
    watch = bench.watch(*QUICK, "--token-file", "secret/key")
    await watch.wait_until_started()
    await until(lambda: watch.logged("everything_waits"), watch)
    assert watch.logged("everything_waits")[0]["why"] == "credential"
    assert watch.status["alarms"]["credential"]
    assert watch.get("/readyz").status_code == 503
    assert watch.get("/healthz").status_code == 200
    secret.update({"key": OLD})
    await watch.wait_until_in_sync()
    assert watch.get("/readyz").status_code == 200
    assert bench.live() == "local_first"
    assert watch.status["alarms"]["credential"] is None


async def test_a_key_is_rotated(bench: Bench) -> None:
    """After the old key is revoked, everything waits, that is reported, and no app is blamed.

    The new file is read, and it continues.
    """
    bench.declare(targets=("com.demo",))
    secret = ConfigMapMount(bench.folder / "secret")
    secret.update({"key": OLD})
    watch = bench.watch(*QUICK, "--token-file", "secret/key")
    await watch.wait_until_in_sync()
    bench.restart_server(f"robot:{NEW}")
    bench.declare(targets=("com.demo",), slots={"chat": "cloud_first"})
    # While the server restarts, everything may wait for it: an outage, which leaves watch ready.
    await until(lambda: watch.status["alarms"]["credential"], watch)
    assert not watch.status["ready"]
    written = bench.proxy.writes()
    secret.update({"key": NEW})
    bench.act_as(NEW)
    await until(lambda: bench.live() == "cloud_first", watch)
    await watch.wait_until_in_sync()
    assert bench.proxy.writes() == [*written, "PUT /apps/demo/slots/chat"]
    assert watch.logged("token_read")
    for path in ("/", "/apps/demo", "/metrics", "/api/status"):
        assert "s3cret" not in watch.get(path).text, path
    assert "s3cret" not in watch.stderr


async def test_an_unusable_key_file_keeps_the_old_key(bench: Bench) -> None:
    """A missing file and a malformed key are logged, without the key itself. The key that works stays in use."""
    bench.declare()
    (bench.folder / "key").write_text(OLD)
    watch = bench.watch(*QUICK, "--token-file", "key")
    await watch.wait_until_in_sync()
    (bench.folder / "key").unlink()
    await until(lambda: watch.logged("token_unusable"), watch)
    (bench.folder / "key").write_text(f"{NEW} with a space\nand a line")
    await until(lambda: len(watch.logged("token_unusable")) > 1, watch)
    bench.declare(slots={"chat": "cloud_first"})
    await until(lambda: bench.live() == "cloud_first", watch)
    assert watch.status["ready"]


async def test_a_changed_state_key_removes_nothing(bench: Bench) -> None:
    """The change is logged, and what left the manifests meanwhile stays live, because no object counts as removed."""
    first, second = "0123456789abcdef" * 2, "fedcba9876543210" * 2
    (bench.folder / "key").write_text(OLD)
    bench.declare(inferenceConfig={"api_key": "hunter2", "model": "m"})
    watch = bench.watch(*QUICK, "--token-file", "key", OCTOSYNC_STATE_KEY=first)
    await watch.wait_until_in_sync()
    await watch.stop()
    bench.declare()
    (bench.folder / "state-key").write_text(second)
    restarted = bench.watch(*QUICK, "--token-file", "key", "--state-key-file", "state-key")
    await restarted.wait_until_in_sync()
    assert not watch.logged("state_key_changed")
    assert "no object counts as removed" in restarted.logged("state_key_changed")[0]["@message"]
    assert not [line for line in bench.proxy.writes() if line.startswith("DELETE")]
    await restarted.stop()
    arguments = ("watch", "-f", "apps", "--url", bench.proxy.url, "--listen", "127.0.0.1:0")
    weak = bench.start(*arguments, OCTOSYNC_STATE_KEY="short-state-key")
    assert await weak.wait() == 1
    assert "OCTOSYNC_STATE_KEY is too weak" in weak.stderr
    assert "short-state-key" not in weak.stderr
