"""The other processes of a soak, which answer lines of JSON; and the size of a process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

_PATIENCE = 60.0  # seconds of real time for an answer and for an exit


class Child:
    """A process that answers each line on its standard input with one on its standard output."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self._name = name
        self._process = process
        self._lock = asyncio.Lock()

    async def ask(self, do: str, **more: Any) -> Any:
        """Send a request, and return the answer."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        async with self._lock, asyncio.timeout(_PATIENCE):
            stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
            await stdin.drain()
            return await self.read_line()

    async def read_line(self) -> Any:
        """Return the next line of its output. Raise `RuntimeError` if it has ended."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} ended with {await self._process.wait()}")
        return json.loads(line)

    def signal(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    async def wait(self) -> int:
        """Wait for the end, and return the exit code."""
        return await asyncio.wait_for(self._process.wait(), _PATIENCE)


@asynccontextmanager
async def child(module: str, folder: Path) -> AsyncIterator[Child]:
    """Run `python -m tests.soak.MODULE` in a folder until the block ends; it waits for its first request."""
    root = Path(__file__).parents[2]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OCTOSYNC_", "OCTOMIL_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.soak.{module}"),
        cwd=folder,
        env={**environment, "PYTHONPATH": os.pathsep.join((str(root), str(root / "src")))},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    try:
        started = Child(module, process)
        await started.read_line()
        yield started
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def write_line(answer: Any) -> None:
    """Write a line of JSON to the parent process."""
    print(json.dumps(answer), flush=True)


def resident_megabytes() -> float:
    """Return the resident memory of this process in MiB, by the kernel and not by Python."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_descriptors() -> int:
    """Return the number of open file descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))
