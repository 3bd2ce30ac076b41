"""The time of the tests."""

from __future__ import annotations

import os

from benchmarks.measure import Figure, Result, Scale, Unit
from benchmarks.timing import ROOT, run, seconds


def measure_suite(scale: Scale) -> Result:
    """Measure `make test`, or one short file of it if the run is smaller than the full size."""
    arguments = [] if scale.is_full else ["ARGS=tests/test_imports.py"]
    usage = run(["make", "--no-print-directory", "test", *arguments], cwd=ROOT)
    return Result(
        [
            Figure(
                name="wall time of make test",
                value=usage.wall,
                unit=Unit.SECONDS,
                must=180,
                aim=120,
                details=f"{seconds(usage.cpu)} of CPU on {os.cpu_count()} processors",
            )
        ]
    )
