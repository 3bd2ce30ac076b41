"""Manifest files as they change in production: every change is applied, and nothing is removed by accident."""

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
from tests.support.file_watch import ConfigMapMount, GitSyncCheckout
from tests.support.processes import WatchProcess, until
from tests.support.watch_bench import QUICK, Bench

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
    mounted = ConfigMapMount(folder / "mounted")
    return mounted.update, "mounted"


def _synced(folder: Path) -> tuple[Put, str]:
    synced = GitSyncCheckout(folder / "synced")
    commits = iter("abcdef")
    return lambda files: synced.checkout(next(commits) * 40, files), "synced/current"


def _removals(bench: Bench) -> list[str]:
    return [line for line in bench.proxy.writes() if line.startswith("DELETE")]


async def _resync(watch: WatchProcess) -> None:
    """Reload the manifests and wait for a complete resync."""
    before = len(watch.logged("full_read"))
    watch.send(signal.SIGHUP)
    await until(lambda: len(watch.logged("full_read")) > before, watch)


@pytest.mark.parametrize("mount", [_mounted, _synced])
async def test_a_swap_is_one_commit(bench: Bench, mount: Callable[[Path], tuple[Put, str]]) -> None:
    """A swap of a ConfigMap's ..data or git-sync's worktree is applied.

    An unchanged app is left alone, and nothing is removed.
    """
    put, path = mount(bench.folder)
    demo, other = manifest(slots={"chat": "local_first"}), manifest("other", targets=("com.other",))
    put({"demo.json": demo, "other.json": other})
    watch = bench.watch(*QUICK, paths=(path,))
    await watch.wait_until_in_sync()
    sent_before = len(bench.proxy.exchanges)
    for policy in ("cloud_first", "local_only"):
        put({"demo.json": manifest(slots={"chat": policy}), "other.json": other})
        await until(lambda policy=policy: bench.live() == policy, watch)  # type: ignore[misc]
    await watch.wait_until_in_sync()
    assert bench.proxy.writes()[-2:] == ["PUT /apps/demo/slots/chat"] * 2
    assert not [line for line in bench.proxy.lines()[sent_before:] if "/apps/other" in line]
    assert _removals(bench) == []


async def test_a_removed_document(bench: Bench) -> None:
    """A slot whose document is removed is deleted after a second read.

    An app whose document is removed becomes an orphan and loses nothing.
    """
    put, path = _mounted(bench.folder)
    demo, kept = (manifest(name, slots={"chat": "local_first"}) for name in ("demo", "kept"))
    put({"demo.json": demo, "kept.json": kept, "vision.json": SLOT})
    watch = bench.watch(*QUICK, paths=(path,))
    await watch.wait_until_in_sync()
    put({"kept.json": kept, "vision.json": SLOT})
    await until(lambda: watch.state_of("demo") == "orphaned", watch)
    put({"kept.json": kept})
    await until(lambda: _removals(bench), watch)
    await _resync(watch)
    assert _removals(bench) == ["DELETE /apps/kept/slots/vision"]
    assert bench.live() == "local_first"


async def test_an_incomplete_file_is_not_applied(bench: Bench) -> None:
    """A file that does not parse changes nothing, and drift is reverted to the last valid manifests.

    The complete file is applied.
    """
    path = bench.declare(targets=("com.demo",))
    watch = bench.watch(*QUICK)
    await watch.wait_until_in_sync()
    complete = manifest(slots={"chat": "cloud_first"}, targets=("com.demo",))
    with path.open("w") as file:
        file.write(complete[: len(complete) // 2])
        file.flush()
        await until(lambda: watch.logged("manifests_invalid"), watch)
        await bench.as_teammate("PUT", "/apps/demo/slots/chat", {"serving_policy": "cloud_only", "bindings": []})
        await until(lambda: bench.live() == "cloud_only", watch)
        await until(lambda: bench.live() == "local_first", watch)
        file.write(complete[len(complete) // 2 :])
    await until(lambda: bench.live() == "cloud_first", watch)
    await watch.wait_until_in_sync()
    assert _removals(bench) == []


async def test_a_folder_that_is_missing_for_a_while(bench: Bench) -> None:
    """While the folder is missing, nothing is removed and the last valid manifests stay in use.

    Once it is back, its changes are applied.
    """
    bench.declare(targets=("com.demo",))
    bench.declare("other")
    watch = bench.watch(*QUICK)
    await watch.wait_until_in_sync()
    shutil.rmtree(bench.apps)
    await until(lambda: watch.logged("manifests_invalid"), watch)
    await _resync(watch)
    assert not watch.status["manifests"]["valid"]
    bench.declare("other")
    bench.declare(targets=("com.demo",), slots={"chat": "cloud_first"})
    await until(lambda: bench.live() == "cloud_first", watch)
    await watch.wait_until_in_sync()
    assert watch.status["manifests"]["valid"]
    assert _removals(bench) == []


async def test_sighup_starts_a_resync(bench: Bench) -> None:
    """SIGHUP finds and reverts drift that no file event and no feed event has reported."""
    bench.declare()
    watch = bench.watch("--interval", "10m", "--resync", "10m", "--drift-hold", "0")
    await watch.wait_until_in_sync()
    await bench.as_teammate("PUT", "/apps/demo/slots/chat", {"serving_policy": "cloud_only", "bindings": []})
    watch.send(signal.SIGHUP)
    await until(lambda: bench.live() == "local_first", watch)
    await watch.wait_until_in_sync()
    assert not watch.logged("token_unusable")  # no key is configured


async def test_commands_use_the_paths_of_the_repository(bench: Bench) -> None:
    """Files below git-sync's link are named as in the repository, and no command contains a path of the pod."""
    synced = GitSyncCheckout(bench.folder / "git")
    text = protected(manifest(slots={"chat": "local_first", "vision": "local_first"}))
    files = {".git": "gitdir: ../../x", "octosync.yaml": "", "apps/demo.json": text}
    synced.checkout("a" * 40, files)
    checkout, key = synced.current, bench.folder / "key"
    key.write_text("k\n")
    flags = ("--config", checkout / "octosync.yaml", "--token-file", key, *QUICK, "--drift-hold", "1h")
    watch = bench.watch(*flags, paths=(str(checkout / "apps"),))
    await watch.wait_until_in_sync()
    await bench.as_teammate("PUT", "/apps/demo/slots/chat", {"serving_policy": "cloud_only", "bindings": []})
    synced.checkout("b" * 40, {**files, "apps/demo.json": protected(manifest(slots={"chat": "local_first"}))})
    await until(lambda: watch.status["apps"][0]["blocked"] and watch.status["apps"][0]["drift"], watch)
    page = html.unescape(re.sub(r"<[^>]*>", "", watch.get("/").text))
    assert f"octosync accept app/demo/slot/chat -f apps --url {bench.proxy.url}" in page
    assert f"octosync apply -f apps --url {bench.proxy.url} --allow-protected" in page
    assert watch.status["apps"][0]["source"].startswith("apps/demo.json:")
    assert str(bench.folder) not in page


def protected(text: str) -> str:
    """Add the annotation for protection to a manifest."""
    return text.replace('"metadata": {', '"metadata": {"annotations": {"octosync.dev/protect": "true"}, ')


async def test_a_first_load_that_hangs_does_not_block_the_page(bench: Bench) -> None:
    """After the load is given up, the page and the probes respond. Manifests that can be loaded later are applied."""
    tool = bench.folder / "bin/kustomize"
    tool.parent.mkdir()
    # It exits once there is something to render.
    tool.write_text(f"#!/bin/sh\nwhile ! test -e {bench.folder}/ready; do sleep 0.1; done\ncat {bench.folder}/ready\n")
    tool.chmod(0o755)
    (bench.folder / "base").mkdir()
    (bench.folder / "base/kustomization.yaml").write_text("resources: []\n")
    path = f"{tool.parent}:{os.environ['PATH']}"
    watch = bench.watch(*QUICK, "-k", "base", "--load-timeout", "1s", paths=(), PATH=path)
    await until(lambda: watch.logged("manifests_invalid"), watch)
    assert watch.logged("invalid")[0]["reference"] == "load-timeout"
    assert watch.get("/healthz").status_code == 200
    assert watch.get("/readyz").status_code == 503
    (bench.folder / "next").write_text(manifest(slots={"chat": "local_first"}))
    (bench.folder / "next").rename(bench.folder / "ready")
    watch.send(signal.SIGHUP)
    await watch.wait_until_in_sync()
    assert bench.live() == "local_first"
