"""Manifests as they change in the world: under a running controller each change ends live, and nothing goes by accident."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.controllers import manifest
from tests.support.processes import Watch, until
from tests.support.watch_bench import QUICK, Bench
from tests.support.watching import Mounted, Synced

Put = Callable[[dict[str, str]], None]
SLOT = json.dumps(
    {
        "apiVersion": "octosync.dev/v1",
        "kind": "CapabilitySlot",
        "metadata": {"name": "kept-vision"},
        "spec": {"app": "kept", "capability": "vision", "servingPolicy": "local_first"},
    }
)


def _mounted(folder: Path) -> tuple[Put, str]:
    mounted = Mounted(folder / "mounted")
    return mounted.update, "mounted"


def _synced(folder: Path) -> tuple[Put, str]:
    synced = Synced(folder / "synced")
    commits = iter("abcdef")
    return lambda files: synced.checkout(next(commits) * 40, files), "synced/current"


def _removals(bench: Bench) -> list[str]:
    return [line for line in bench.proxy.writes() if line.startswith("DELETE")]


async def _read_again(watch: Watch) -> None:
    """Have everything loaded and read again, and wait until that is done."""
    before = len(watch.logged("full_read"))
    watch.send(signal.SIGHUP)
    await until(lambda: len(watch.logged("full_read")) > before, watch)


@pytest.mark.parametrize("placed", [_mounted, _synced])
async def test_a_swap_is_one_commit(bench: Bench, placed: Callable[[Path], tuple[Put, str]]) -> None:
    """A ConfigMap's ..data and git-sync's worktree: each swap ends live, an unchanged app is left alone, nothing is removed."""
    put, path = placed(bench.folder)
    demo, other = manifest(slots={"chat": "local_first"}), manifest("other", targets=("com.other",))
    put({"demo.json": demo, "other.json": other})
    watch = bench.watch(*QUICK, paths=(path,))
    await watch.in_sync()
    begun = len(bench.proxy.exchanges)
    for policy in ("cloud_first", "local_only"):
        put({"demo.json": manifest(slots={"chat": policy}), "other.json": other})
        await until(lambda policy=policy: bench.live() == policy, watch)  # type: ignore[misc]
    await watch.in_sync()
    assert bench.proxy.writes()[-2:] == ["PUT /apps/demo/slots/chat"] * 2
    assert not [one for one in bench.proxy.lines()[begun:] if "/apps/other" in one]
    assert _removals(bench) == []


async def test_what_is_gone_with_its_document(bench: Bench) -> None:
    """A slot's document that is gone is removed after a second look; of an app that is gone nothing is, it is an orphan."""
    put, path = _mounted(bench.folder)
    demo, kept = (manifest(name, slots={"chat": "local_first"}) for name in ("demo", "kept"))
    put({"demo.json": demo, "kept.json": kept, "vision.json": SLOT})
    watch = bench.watch(*QUICK, paths=(path,))
    await watch.in_sync()
    put({"kept.json": kept, "vision.json": SLOT})
    await until(lambda: watch.state_of("demo") == "orphaned", watch)
    put({"kept.json": kept})
    await until(lambda: _removals(bench), watch)
    await _read_again(watch)
    assert _removals(bench) == ["DELETE /apps/kept/slots/vision"]
    assert bench.live() == "local_first"


async def test_half_a_file_is_no_commit(bench: Bench) -> None:
    """What doesn't parse changes nothing, and drift is healed by what was declared before; the whole file is then applied."""
    path = bench.declare(targets=("com.demo",))
    watch = bench.watch(*QUICK)
    await watch.in_sync()
    whole = manifest(slots={"chat": "cloud_first"}, targets=("com.demo",))
    with path.open("w") as file:
        file.write(whole[: len(whole) // 2])
        file.flush()
        await until(lambda: watch.logged("manifests_invalid"), watch)
        await bench.by_hand("PUT", "/apps/demo/slots/chat", {"serving_policy": "cloud_only", "bindings": []})
        await until(lambda: bench.live() == "cloud_only", watch)
        await until(lambda: bench.live() == "local_first", watch)
        file.write(whole[len(whole) // 2 :])
    await until(lambda: bench.live() == "cloud_first", watch)
    await watch.in_sync()
    assert _removals(bench) == []


async def test_a_folder_that_is_gone_for_a_while(bench: Bench) -> None:
    """Without the folder nothing is removed, the last good manifests stay in force; once it is back, what changed is live."""
    bench.declare(targets=("com.demo",))
    bench.declare("other")
    watch = bench.watch(*QUICK)
    await watch.in_sync()
    shutil.rmtree(bench.apps)
    await until(lambda: watch.logged("manifests_invalid"), watch)
    await _read_again(watch)
    assert not watch.status["manifests"]["valid"]
    bench.declare("other")
    bench.declare(targets=("com.demo",), slots={"chat": "cloud_first"})
    await until(lambda: bench.live() == "cloud_first", watch)
    await watch.in_sync()
    assert watch.status["manifests"]["valid"]
    assert _removals(bench) == []


async def test_sighup_reads_everything_again(bench: Bench) -> None:
    """What neither a file event nor the feed tells of is found and mended on SIGHUP."""
    bench.declare()
    watch = bench.watch("--interval", "10m", "--resync", "10m", "--drift-hold", "0")
    await watch.in_sync()
    await bench.by_hand("PUT", "/apps/demo/slots/chat", {"serving_policy": "cloud_only", "bindings": []})
    watch.send(signal.SIGHUP)
    await until(lambda: bench.live() == "local_first", watch)
    await watch.in_sync()
    assert not watch.logged("token_unusable")  # there is no key, and none is needed


async def test_ways_out_are_those_of_a_readers_clone(bench: Bench) -> None:
    """What is read below git-sync's link is called as in the repository, and no command names a path or file of the pod."""
    synced = Synced(bench.folder / "git")
    text = protected(manifest(slots={"chat": "local_first", "vision": "local_first"}))
    files = {".git": "gitdir: ../../x", "octosync.yaml": "", "apps/demo.json": text}
    synced.checkout("a" * 40, files)
    mount, key = synced.current, bench.folder / "key"
    key.write_text("k\n")
    flags = ("--config", mount / "octosync.yaml", "--token-file", key, *QUICK, "--drift-hold", "1h")
    watch = bench.watch(*flags, paths=(str(mount / "apps"),))
    await watch.in_sync()
    await bench.by_hand("PUT", "/apps/demo/slots/chat", {"serving_policy": "cloud_only", "bindings": []})
    synced.checkout("b" * 40, {**files, "apps/demo.json": protected(manifest(slots={"chat": "local_first"}))})
    await until(lambda: watch.status["apps"][0]["blocked"] and watch.status["apps"][0]["drift"], watch)
    page = html.unescape(re.sub(r"<[^>]*>", "", watch.get("/").text))
    assert f"octosync accept app/demo/slot/chat -f apps --url {bench.proxy.url}" in page
    assert f"octosync apply -f apps --url {bench.proxy.url} --allow-protected" in page
    assert watch.status["apps"][0]["source"].startswith("apps/demo.json:")
    assert str(bench.folder) not in page


def protected(text: str) -> str:
    """Protect what a manifest declares."""
    return text.replace('"metadata": {', '"metadata": {"annotations": {"octosync.dev/protect": "true"}, ')


async def test_a_first_load_that_does_not_end_keeps_no_page_away(bench: Bench) -> None:
    """Given up at the start, it leaves the page and the probes there, and what can be loaded afterwards is applied."""
    tool = bench.folder / "bin/kustomize"
    tool.parent.mkdir()
    # It ends once there is something to render.
    tool.write_text(f"#!/bin/sh\nwhile ! test -e {bench.folder}/ready; do sleep 0.1; done\ncat {bench.folder}/ready\n")
    tool.chmod(0o755)
    (bench.folder / "base").mkdir()
    (bench.folder / "base/kustomization.yaml").write_text("resources: []\n")
    path = f"{tool.parent}:{os.environ['PATH']}"
    watch = bench.watch(*QUICK, "-k", "base", "--load-timeout", "1s", paths=(), PATH=path)
    await until(lambda: watch.logged("manifests_invalid"), watch)
    assert watch.logged("invalid")[0]["reference"] == "load-given-up"
    assert watch.get("/healthz").status_code == 200
    assert watch.get("/readyz").status_code == 503
    (bench.folder / "next").write_text(manifest(slots={"chat": "local_first"}))
    (bench.folder / "next").rename(bench.folder / "ready")
    watch.send(signal.SIGHUP)
    await watch.in_sync()
    assert bench.live() == "local_first"
