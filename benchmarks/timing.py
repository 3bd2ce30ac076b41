"""Commands and their cost: CPU time, wall time and memory of processes, and comparisons of two of them.

CPU time is user and system time of the process and of the processes that it waited for. It depends little on other work of
the machine. Wall time does, so all comparisons are made in turn: A, B, A, B, …
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
PYTHON: Final = (sys.executable,)
OCTOSYNC: Final = (sys.executable, "-m", "octosync")

# Starts a command from a small process: Linux counts the memory of the parent at the time of the start as the child's.
_SMALL_PARENT: Final = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


class BenchmarkError(Exception):
    """A command of a benchmark failed."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The cost of a command in seconds, and what it printed."""

    cpu: float
    wall: float
    output: str = ""


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without the variables that octosync reads, and with these."""
    ignored = ("OCTOSYNC_", "OCTOMIL_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ignored)}
    return {**kept, "NO_COLOR": "1", **variables}


def run(command: Sequence[str], *, cwd: Path = ROOT, variables: Mapping[str, str] | None = None) -> Usage:
    """Run a command to its end. Raise `BenchmarkError` if it fails."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment(**(variables or {})),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = code = os.waitstatus_to_exitcode(status)
        for stream in (output, errors):
            stream.seek(0)
        if code != 0:
            raise BenchmarkError(f"{' '.join(command)} exits with {code}: {errors.read().decode()[-2000:]}")
        return Usage(usage.ru_utime + usage.ru_stime, wall, output.read().decode())


def peak_megabytes(command: Sequence[str], *, cwd: Path = ROOT) -> float:
    """Return the peak memory of a command in MB (2²⁰ bytes)."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return int(run([*PYTHON, "-I", "-S", "-c", _SMALL_PARENT, *command], cwd=cwd).output) / unit


def child_command(function: str, *arguments: object) -> tuple[str, ...]:
    """Return the command that calls a function, `MODULE.FUNCTION` of this package, in a process of its own.

    It prints the result as JSON. So no function has the memory of an earlier one, and it can measure its work without the start.
    """
    return (*PYTHON, "-m", "benchmarks.child", function, *map(str, arguments))


def call_child(function: str, *arguments: object) -> Any:  # noqa: ANN401 — JSON
    """Call a function in a process of its own, and return its result."""
    return json.loads(run(child_command(function, *arguments)).output)


def measure_child(function: str, *arguments: object) -> Usage:
    """Call a function that measures itself in a process of its own, and return what it measured, without the start."""
    return Usage(**call_child(function, *arguments))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two things that were measured in turn."""

    pairs: Sequence[tuple[Usage, Usage]]

    @property
    def cpu(self) -> float:
        """The median of the ratios of CPU time."""
        return statistics.median(measured.cpu / reference.cpu for measured, reference in self.pairs)

    @property
    def wall(self) -> float:
        """The median of the ratios of wall time."""
        return statistics.median(measured.wall / reference.wall for measured, reference in self.pairs)

    @property
    def best_cpu(self) -> float:
        """The ratio of the lowest CPU times. For processes of a few milliseconds: disturbances only add to them."""
        return min(measured.cpu for measured, _ in self.pairs) / min(reference.cpu for _, reference in self.pairs)

    @property
    def cpu_seconds(self) -> str:
        """The medians of the CPU times, for people."""
        measured, reference = (statistics.median(usage.cpu for usage in side) for side in zip(*self.pairs, strict=True))
        return f"{seconds(measured)} against {seconds(reference)}"

    @property
    def wall_seconds(self) -> str:
        """The medians of the wall times, for people."""
        measured, reference = (
            statistics.median(usage.wall for usage in side) for side in zip(*self.pairs, strict=True)
        )
        return f"{seconds(measured)} against {seconds(reference)}"


def compare(measured: Callable[[], Usage], reference: Callable[[], Usage], rounds: int) -> Comparison:
    """Measure two things in turn."""
    return Comparison([(measured(), reference()) for _ in range(rounds)])


def seconds(value: float) -> str:
    """Return a time for people: `8 ms`, `0.42 s`, `12 s`."""
    if value < 0.1:
        return f"{value * 1000:.{1 if value < 0.01 else 0}f} ms"
    return f"{value:.{2 if value < 10 else 0}f} s"


class Stopwatch:
    """CPU and wall time of this process since the start."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def read(self) -> dict[str, float]:
        """Return the times in seconds."""
        return {"cpu": time.process_time() - self._cpu, "wall": time.perf_counter() - self._wall}


def yardstick() -> float:
    """Return the seconds of CPU of a fixed piece of work in Python, the median of a few rounds."""
    rows = [
        {"name": f"app-{n:04}", "labels": {"team": f"team-{n % 7}"}, "slots": ["chat", "vision"]} for n in range(2000)
    ]
    times = []
    gc.disable()  # its cost depends on what the process has in memory
    try:
        for _ in range(5):
            began = time.process_time()
            for _ in range(4):
                copy = json.loads(json.dumps(rows, sort_keys=True))
                by_name = {row["name"]: tuple(sorted(row.items(), key=lambda item: item[0])) for row in copy}
                assert len({hash(name) for name in by_name}) == len(rows)
            times.append(time.process_time() - began)
    finally:
        gc.enable()
    return statistics.median(times)


YARDSTICK: Final = 0.02  # seconds on the machine of docs/explanation/performance.md, when it is quiet


def speed() -> float:
    """Return the speed of this machine relative to the one of `YARDSTICK`; a time × speed is a time of that machine."""
    return YARDSTICK / yardstick()
