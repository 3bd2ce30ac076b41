"""Loading manifests: strictly compared with PyYAML alone, and validating them again after a change."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from benchmarks.fleet import manifest, write_manifests
from benchmarks.measure import Figure, Result, Scale
from benchmarks.timing import OCTOSYNC, compare, measure_child, run, seconds

_APPS: Final = 2000
_ROUNDS: Final = 3


def measure_load(scale: Scale) -> Result:
    """Compare loading with all checks and positions with PyYAML's fastest loader on the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        manifests = write_manifests(Path(folder) / "apps", scale.apps(_APPS))
        found = compare(
            lambda: measure_child("in_memory.load_strictly", manifests),
            lambda: measure_child("in_memory.load_bare", manifests),
            scale.rounds(_ROUNDS),
        )
    name = f"CPU of loading {scale.apps(_APPS):,} apps with checks and positions ÷ bare CSafeLoader"
    return Result([Figure(name=name, value=found.cpu, must=1.0, aim=0.7, details=found.cpu_seconds)])


def measure_reload(scale: Scale) -> Result:
    """Compare `octosync validate` of many apps, after one of their files changed, with the first one.

    Each is a new process; the second doesn't parse the files that the first found valid. The time of `validate` with one app is
    subtracted from both: it is the start.

    The lowest of several rounds counts, because the difference of two times is sensitive to disturbances.
    """
    times: dict[str, list[float]] = {"start": [], "first": [], "second": []}
    apps = scale.apps(_APPS)
    with tempfile.TemporaryDirectory() as folder:
        one = write_manifests(Path(folder) / "one", 1)
        for n in range(scale.rounds(_ROUNDS)):
            manifests = write_manifests(Path(folder) / "apps", apps)
            cache = {"XDG_CACHE_HOME": str(Path(folder) / f"cache-{n}")}

            def validate(path: Path, variables: dict[str, str] = cache) -> float:
                return run([*OCTOSYNC, "validate", "-f", str(path)], variables=variables).cpu

            times["start"].append(validate(one))
            times["first"].append(validate(manifests))
            changed = max(manifests.iterdir())
            changed.write_text(changed.read_text(encoding="utf-8") + "---\n" + manifest(apps), encoding="utf-8")
            times["second"].append(validate(manifests))
    start, first, second = map(min, times.values())
    return Result(
        [
            Figure(
                name=f"CPU of a second validate of {apps:,} apps in a new process, one file changed ÷ the first",
                value=(second - start) / (first - start),
                must=0.3,
                aim=0.15,
                details=f"{seconds(second - start)} against {seconds(first - start)}",
            )
        ]
    )
