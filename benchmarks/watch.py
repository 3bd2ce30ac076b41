"""The controller: how long a restart takes, and how long an edit of a manifest waits for its first write."""

from __future__ import annotations

import re
import select
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from benchmarks.fleet import fill, manifest, write_manifests
from benchmarks.measure import Figure, Result, Scale, Unit
from benchmarks.timing import OCTOSYNC, BenchmarkError, call_child, child_command, environment, seconds

_RESTARTED: Final = 1000
_EDITED: Final = 5000
_EDITS: Final = 7
_PAUSE: Final = 1.0  # seconds between edits, so that no edit waits for the end of the one before
_PATIENCE: Final = 300.0


def measure_restart(scale: Scale) -> Result:
    """Measure time and requests from a restart to ready, at a rate limit of 100 per minute, on a simulated clock."""
    apps = scale.apps(_RESTARTED)
    with tempfile.TemporaryDirectory() as folder:
        found = call_child("restart.restart_watch", folder, apps)
    what = f"from a restart of watch to ready, {apps:,} apps at 100 requests per minute"
    return Result(
        [
            Figure(name=f"time {what}", value=found["seconds"], unit=Unit.SECONDS, must=60, aim=10),
            Figure(name=f"requests {what}", value=found["requests"], unit=Unit.REQUESTS, must=20, aim=5),
        ]
    )


def measure_edit(scale: Scale) -> Result:
    """Measure the time from an edit of one file to the first write that it causes."""
    apps = scale.apps(_EDITED)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        manifests = write_manifests(folder / "apps", apps, per_file=1)
        fill(folder / "plane.db", apps)
        with _plane(folder / "plane.db") as (url, writes), _controller(folder, url):
            times = [_edit(manifests, n, writes) for n in range(scale.rounds(_EDITS))]
    return Result(
        [
            Figure(
                name=f"watch, {apps:,} apps: from an edit of a file to its first write",
                value=statistics.median(times),
                unit=Unit.SECONDS,
                must=0.6,
                aim=0.3,
                details=f"at best {seconds(min(times))}; it includes fixed delays, so it is not scaled",
            )
        ]
    )


def _edit(manifests: Path, n: int, writes: IO[bytes]) -> float:
    """Replace the file of an app, as editors do, and return the seconds until the first write."""
    time.sleep(_PAUSE)
    temporary = manifests / ".edited.tmp"
    temporary.write_text(manifest(n, policy="cloud_first"), encoding="utf-8")
    edited_at = time.monotonic()
    temporary.rename(manifests / f"apps-{n:05}.yaml")
    return float(_line_of(writes)) - edited_at


def _line_of(stream: IO[bytes]) -> str:
    """Return the next line of an unbuffered stream."""
    if not select.select([stream], [], [], _PATIENCE)[0]:
        raise BenchmarkError(f"nothing happened within {_PATIENCE:.0f} s")
    return stream.readline().decode().strip()


@contextmanager
def _plane(database: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Run a control plane that prints the time of each write. Yield its URL and these lines."""
    with subprocess.Popen(
        child_command("over_http.serve", database),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        lines = process.stdout
        try:
            yield _line_of(lines), lines
        finally:
            process.stdin.close()
            process.wait()


@contextmanager
def _controller(folder: Path, url: str) -> Iterator[None]:
    """Run `octosync watch` until the block ends. The block begins when it is ready."""
    command = [*OCTOSYNC, "watch", "-f", "apps", "--url", url, "--rate", "0", "--listen", "127.0.0.1:0"]
    with (
        (folder / "log").open("w+", encoding="utf-8") as log,
        subprocess.Popen(command, cwd=folder, env=environment(), stderr=log, stdout=subprocess.DEVNULL) as process,
    ):
        try:
            _wait_until_ready(process, folder / "log")
            yield
        finally:
            process.terminate()


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for the first resync. A probe costs CPU time, so they are a second apart."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(1)
        page = re.search(r"\bhttp://127\.0\.0\.1:\d+(?=\s+url=)", log.read_text(encoding="utf-8"))
        if page is None:
            continue
        with suppress(OSError), urllib.request.urlopen(f"{page[0]}/readyz", timeout=60) as response:  # noqa: S310 — loopback
            if response.status == 200:
                return
    raise BenchmarkError(f"the controller is not ready: {log.read_text(encoding='utf-8')[-2000:]}")
