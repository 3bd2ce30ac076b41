"""Real processes: `octosync watch` and `octosync server`, forked from a process that has imported all of octosync."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx

PATIENCE = 90.0  # seconds until a wait fails; enough for a busy machine
_ZYGOTE = Path(__file__).with_name("zygote.py")


class Parent(Protocol):
    """The process that starts others."""

    def start(self, argv: tuple[str, ...], cwd: Path, env: Mapping[str, str], out: Path, err: Path) -> int:
        """Start `octosync` and return its pid."""

    def code_of(self, pid: int) -> int | None:
        """Return its exit code, or minus the number of the signal that ended it; None while it runs."""


class Zygote:
    """A process that has imported all of octosync and forks others."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def start(self, argv: tuple[str, ...], cwd: Path, env: Mapping[str, str], out: Path, err: Path) -> int:
        """Fork an `octosync` and return its pid."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        request = {"argv": argv, "cwd": str(cwd), "env": {**kept, **env}, "out": str(out), "err": str(err)}
        return int(self._ask(request)["pid"])

    def code_of(self, pid: int) -> int | None:
        """Return the exit code of a forked process; None while it runs."""
        code: int | None = self._ask({"pid": pid})["code"]
        return code

    def _ask(self, request: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def zygote() -> Iterator[Zygote]:
    """Run a zygote; all processes that it forked end with it."""
    with subprocess.Popen([sys.executable, _ZYGOTE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield Zygote(process)
        assert process.stdin is not None
        process.stdin.close()


@dataclass
class Process:
    """A process whose output is read from the files of its streams."""

    parent: Parent
    pid: int
    out: Path
    err: Path

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self.parent.code_of(self.pid)

    @property
    def stderr(self) -> str:
        """The standard error so far."""
        return self.err.read_text() if self.err.exists() else ""

    @property
    def stdout(self) -> str:
        """The standard output so far."""
        return self.out.read_text() if self.out.exists() else ""

    def send(self, number: signal.Signals) -> None:
        """Send a signal if the process still runs."""
        if self.code is None:
            os.kill(self.pid, number)

    async def wait(self) -> int:
        """Wait for the end, and return the exit code."""
        await until(lambda: self.code is not None, self)
        code = self.code
        assert code is not None
        return code

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        self.send(number)
        return await self.wait()


@dataclass
class WatchProcess(Process):
    """A controller, started with `--log-format json --listen 127.0.0.1:0`."""

    http: httpx.Client = field(default_factory=lambda: httpx.Client(trust_env=False, timeout=PATIENCE, verify=False))  # noqa: S501  loopback
    admin_token: str = ""

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Every complete line of the log; each must be a JSON object."""
        whole, _, _ = self.stderr.rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of an event."""
        return [line for line in self.lines if line["event"] == event]

    @property
    def url(self) -> str:
        """The URL of its HTTP side."""
        url: str = self.logged("started")[0]["url"]
        return url

    def get(self, path: str) -> httpx.Response:
        """Request a page."""
        return self.http.get(f"{self.url}{path}")

    def post(self, path: str, token: str | None = None, **parameters: str) -> httpx.Response:
        """Send a POST with the admin token or another one."""
        given = self.admin_token if token is None else token
        return self.http.post(
            f"{self.url}{path}", params=parameters, headers={"Authorization": f"Bearer {given}"} if given else {}
        )

    @property
    def status(self) -> Any:
        """The current status."""
        return self.get("/api/status").json()

    def state_of(self, slug: str) -> str | None:
        """Return the state of an app."""
        return next((str(app["state"]) for app in self.status["apps"] if app["slug"] == slug), None)

    async def wait_until_started(self) -> None:
        """Wait until its HTTP side is up."""
        await until(lambda: self.logged("started"), self)

    async def wait_until_in_sync(self) -> None:
        """Wait until everything was read and every app is in sync."""
        await self.wait_until_started()
        await until(self._is_in_sync, self)

    def _is_in_sync(self) -> bool:
        status = self.status
        return bool(status["ready"]) and all(app["state"] == "in_sync" for app in status["apps"])


async def until(condition: Callable[[], Any], process: Process | None = None) -> None:
    """Wait until a condition holds; fail if it does not hold in time, with the standard error of the process."""
    try:
        async with asyncio.timeout(PATIENCE):
            pause = 0.01
            while not condition():
                if process is not None and process.code is not None and not condition():
                    raise AssertionError(f"the process has ended with {process.code}: {process.stderr[-3000:]}")
                await asyncio.sleep(pause)
                pause = min(1.1 * pause, 0.05)  # many conditions send requests
    except TimeoutError:
        output = "" if process is None else process.stderr[-3000:]
        raise AssertionError(f"the condition never held: {output}") from None
