"""The other processes of a soak, each asked in lines of JSON; and what a process says of its own size."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

_PATIENCE = 60.0  # seconds of real time for an answer, and for an end


class Child:
    """A process that answers each line on its standard input with one on its standard output."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self._name = name
        self._process = process
        self._one_at_a_time = asyncio.Lock()

    async def ask(self, do: str, **more: Any) -> Any:
        """Ask for something, and return the answer."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        async with self._one_at_a_time, asyncio.timeout(_PATIENCE):
            stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
            await stdin.drain()
            return await self.heard()

    async def heard(self) -> Any:
        """Return the next line that it says. Raises `RuntimeError` where it has ended."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} ended with {await self._process.wait()}")
        return json.loads(line)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end, and return its exit code."""
        return await asyncio.wait_for(self._process.wait(), _PATIENCE)


@asynccontextmanager
async def child(module: str, folder: Path) -> AsyncIterator[Child]:
    """Run `python -m tests.soak.MODULE` in a folder until the block ends; it is ready, and begins when it is asked to."""
    root = Path(__file__).parents[2]
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("OCTOSYNC_", "OCTOMIL_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.soak.{module}"),
        cwd=folder,
        env={**ours, "PYTHONPATH": os.pathsep.join((str(root), str(root / "src")))},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    try:
        started = Child(module, process)
        await started.heard()
        yield started
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def say(answer: Any) -> None:
    """Say a line to whoever started this process."""
    print(json.dumps(answer), flush=True)


def resident_megabytes() -> float:
    """How much memory this process has in use: what the kernel gave it, and not what Python thinks it needs."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_descriptors() -> int:
    """How many file descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))
