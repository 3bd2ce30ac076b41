"""Plans and reports without requests: their time, how it grows, and their memory."""

from __future__ import annotations

import math
import statistics
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from benchmarks.fleet import control_plane, fill, write_manifests
from benchmarks.measure import Figure, Result, Scale, Unit
from benchmarks.timing import OCTOSYNC, PYTHON, call_child, peak_megabytes, seconds, speed

_MOST: Final = 10_000
_CURVES: Final = {
    "load": "load",
    "bare_load": "CSafeLoader alone",
    "same": "plan, nothing changed",
    "changed": "plan, all changed",
    "text": "text report",
    "markdown": "Markdown report",
    "json": "JSON report",
}


@cache
def _steps(scale: Scale) -> dict[int, dict[str, float]]:
    """Return the seconds of CPU of each step, the median of several rounds, by number of apps."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        few = write_manifests(Path(folder) / "few", 10)
        for apps, rounds in ((_MOST // 100, 3), (_MOST // 10, 3), (_MOST, 1)):
            count = scale.apps(apps)
            manifests = write_manifests(Path(folder) / f"apps-{count}", count)
            runs = [call_child("in_memory.plan_in_memory", manifests, few) for _ in range(scale.rounds(rounds))]
            found[count] = {step: statistics.median(run[step] for run in runs) for step in runs[0]}
    return found


def measure_compare(scale: Scale) -> Result:
    """Measure the comparison of desired and live state in memory, and how it grows from 1,000 to 10,000 apps."""
    steps = _steps(scale)
    _, middle, most = steps
    figures = [
        Figure(
            name=f"CPU of a plan of {most:,} apps in memory, {name}",
            value=steps[most][step] * speed(),  # of this process: with much in memory, the yardstick is slower
            unit=Unit.SECONDS,
            must=today / 2,
            aim=today / 4,
            details=f"{seconds(steps[most][step])} on this machine",
        )
        for step, name, today in (("same", "nothing changed", 1.2), ("changed", "all changed", 10.8))
    ]
    grown = math.log(most / middle) if most > middle else 1.0
    figures += [
        Figure(
            name=f"its growth from {middle:,} to {most:,} apps, {name}",
            value=math.log(steps[most][step] / steps[middle][step]) / grown,
            unit=Unit.EXPONENT,
            must=1.08,
            aim=1.03,
        )
        for step, name in (("same", "nothing changed"), ("changed", "all changed"))
    ]
    curves = {name: [(apps, times[step]) for apps, times in steps.items()] for step, name in _CURVES.items()}
    return Result(figures, curves)


def measure_json(scale: Scale) -> Result:
    """Compare the JSON document of a plan that changes everything with `json.dumps` of the finished document."""
    most, times = [*_steps(scale).items()][-1]
    return Result(
        [
            Figure(
                name=f"CPU of the JSON document of {most:,} changed apps ÷ json.dumps of it",
                value=times["json"] / times["dumps"],
                must=4,
                aim=2,
                details=f"{seconds(times['json'])} against {seconds(times['dumps'])}",
            )
        ]
    )


def measure_memory(scale: Scale) -> Result:
    """Measure the peak memory of `octosync plan`, above that of a Python that does nothing."""
    apps = scale.apps(_MOST)
    with tempfile.TemporaryDirectory() as folder:
        manifests = write_manifests(Path(folder) / "apps", apps)
        with control_plane(fill(Path(folder) / "plane.db", apps)) as url:
            command = [*OCTOSYNC, "plan", "-f", str(manifests), "--url", url, "--rate", "0"]
            peak = peak_megabytes(command, cwd=Path(folder))
    empty = peak_megabytes([*PYTHON, "-c", "pass"])
    return Result(
        [
            Figure(
                name=f"peak memory of a plan of {apps:,} apps, nothing changed, above an empty Python",
                value=peak - empty,
                unit=Unit.MEGABYTES,
                must=250,
                aim=150,
                details=f"{peak:.0f} MB, {empty:.0f} MB of them an empty Python",
            )
        ]
    )
