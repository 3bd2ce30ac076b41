"""Real processes: `octosync watch` and `octosync server`, forked from one that has imported everything already."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx

PATIENCE = 90.0  # seconds after which what is awaited is taken never to come, on a busy machine, too
_ZYGOTE = Path(__file__).with_name("zygote.py")


class Parent(Protocol):
    """Where processes come from."""

    def start(self, argv: tuple[str, ...], cwd: Path, env: Mapping[str, str], out: Path, err: Path) -> int:
        """Start `octosync` and return its pid."""

    def code_of(self, pid: int) -> int | None:
        """Return its exit code, minus the signal's number where one ended it; None while it runs."""


class Zygote:
    """A process with all of octosync imported, from which others are forked."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def start(self, argv: tuple[str, ...], cwd: Path, env: Mapping[str, str], out: Path, err: Path) -> int:
        """Fork."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        request = {"argv": argv, "cwd": str(cwd), "env": {**kept, **env}, "out": str(out), "err": str(err)}
        return int(self._ask(request)["pid"])

    def code_of(self, pid: int) -> int | None:
        """Ask for an exit code."""
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
    """Run one; all that it forked ends with it."""
    with subprocess.Popen([sys.executable, _ZYGOTE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield Zygote(process)
        assert process.stdin is not None
        process.stdin.close()


@dataclass
class Process:
    """One process: what it says is read from the files that its streams go to."""

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
        """What it has written to standard error."""
        return self.err.read_text() if self.err.exists() else ""

    @property
    def stdout(self) -> str:
        """What it has written to standard output."""
        return self.out.read_text() if self.out.exists() else ""

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self.code is None:
            os.kill(self.pid, number)

    async def wait(self) -> int:
        """Wait for its end, and return the exit code."""
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

    http: httpx.Client = field(default_factory=lambda: httpx.Client(trust_env=False, timeout=PATIENCE))
    admin_token: str = ""

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Every whole line of the log, each of which has to be a JSON object."""
        whole, _, _ = self.stderr.rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of an event."""
        return [line for line in self.lines if line["event"] == event]

    @property
    def url(self) -> str:
        """Where it answers."""
        url: str = self.logged("started")[0]["url"]
        return url

    def get(self, path: str) -> httpx.Response:
        """Ask for a page."""
        return self.http.get(f"{self.url}{path}")

    def post(self, path: str, token: str | None = None, **parameters: str) -> httpx.Response:
        """Tell it something, with the admin token or another one."""
        given = self.admin_token if token is None else token
        return self.http.post(
            f"{self.url}{path}", params=parameters, headers={"Authorization": f"Bearer {given}"} if given else {}
        )

    @property
    def status(self) -> Any:
        """How everything stands."""
        return self.get("/api/status").json()

    def state_of(self, slug: str) -> str | None:
        """Return the state of an app."""
        return next((str(one["state"]) for one in self.status["apps"] if one["slug"] == slug), None)

    async def wait_until_started(self) -> None:
        """Wait until it answers."""
        await until(lambda: self.logged("started"), self)

    async def wait_until_in_sync(self) -> None:
        """Wait until everything was read, and nothing is left to be done."""
        await self.wait_until_started()
        await until(self._is_in_sync, self)

    def _is_in_sync(self) -> bool:
        status = self.status
        return bool(status["ready"]) and all(one["state"] == "in_sync" for one in status["apps"])


async def until(holds: Callable[[], Any], process: Process | None = None) -> None:
    """Wait until something holds, which has to be before long; what a process says is shown where it doesn't."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not holds():
                if process is not None and process.code is not None and not holds():
                    raise AssertionError(f"the process has ended with {process.code}: {process.stderr[-3000:]}")
                await asyncio.sleep(0.01)
    except TimeoutError:
        output = "" if process is None else process.stderr[-3000:]
        raise AssertionError(f"it never came to hold: {output}") from None


def origin_in(output: str) -> str | None:
    """Return where a server says that it listens."""
    found = re.search(r"listens on (http://\S+)", output)
    return None if found is None else found[1]
