"""Plans and applies over HTTP, compared with the same requests sent by the HTTP library alone."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from benchmarks.fleet import OBJECTS, control_plane, fill, write_manifests
from benchmarks.measure import Figure, Result, Scale
from benchmarks.timing import OCTOSYNC, Comparison, Usage, compare, measure_child, run

_PLANNED: Final = 1000
_APPLIED: Final = 500
_ROUNDS: Final = 3


def measure_plan(scale: Scale) -> Result:
    """Compare a plan without changes with a bare loop of the same reads."""
    apps = max(10, scale.apps(_PLANNED))  # fewer are read one by one, without the list
    with tempfile.TemporaryDirectory() as folder:
        manifests = write_manifests(Path(folder) / "apps", apps)
        with control_plane(fill(Path(folder) / "plane.db", apps)) as url:
            found = compare(
                lambda: measure_child("over_http.plan_live", url, manifests),
                lambda: measure_child("over_http.read_bare", url, apps),
                scale.rounds(_ROUNDS),
            )
    return Result(
        _figures(f"a plan of {apps:,} apps, nothing changed ÷ a bare loop of its reads", found, (1.5, 1.25), (3, 2))
    )


def measure_apply(scale: Scale) -> Result:
    """Compare the process of a first apply with a bare loop of the same writes. Each has a new control plane."""
    apps = scale.apps(_APPLIED)
    with tempfile.TemporaryDirectory() as folder:
        manifests = write_manifests(Path(folder) / "apps", apps)

        def apply() -> Usage:
            with control_plane() as url:
                usage = run(
                    [*OCTOSYNC, "apply", "-f", str(manifests), "--url", url, "--rate", "0", "--yes"], cwd=Path(folder)
                )
            assert f"{apps * OBJECTS:,} applied" in usage.output, usage.output[-500:]
            return usage

        def write() -> Usage:
            with control_plane() as url:
                return measure_child("over_http.write_bare", url, apps)

        found = compare(apply, write, scale.rounds(_ROUNDS - 1))
    return Result(_figures(f"a first apply of {apps:,} apps ÷ a bare loop of its writes", found, (2, 1.5), (4, 2.5)))


def _figures(name: str, found: Comparison, wall: tuple[float, float], cpu: tuple[float, float]) -> list[Figure]:
    return [
        Figure(name=f"wall time of {name}", value=found.wall, must=wall[0], aim=wall[1], details=found.wall_seconds),
        Figure(name=f"CPU of {name}", value=found.cpu, must=cpu[0], aim=cpu[1], details=found.cpu_seconds),
    ]
