"""`make bench`: what octosync costs, relative to what it is made of and to what one would use instead.

Each figure compares measurements of the same run, so that it means the same on any machine. The exceptions are memory, the
controller's times, and times that are multiplied by the speed of the machine. A figure that misses its limit is not an error:
wall times depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.alternatives import measure_ansible, measure_octodns, measure_shell
from benchmarks.manifests import measure_load, measure_reload
from benchmarks.measure import Figure, Measure, Result, Scale, Unit
from benchmarks.plans import measure_compare, measure_json, measure_memory
from benchmarks.requests import measure_apply, measure_plan
from benchmarks.startup import measure_start
from benchmarks.suite import measure_suite
from benchmarks.timing import BenchmarkError
from benchmarks.watch import measure_edit, measure_restart

FORMAT_VERSION: Final = 1
_QUICK: Final = Scale(0.005)

MEASURES: Final = (
    Measure(name="start", title="commands that need no request", seconds=10, run=measure_start),
    Measure(name="load", title="loading manifests", seconds=10, run=measure_load),
    Measure(name="reload", title="loading manifests again", seconds=10, run=measure_reload),
    Measure(name="plan", title="a plan over HTTP", seconds=15, run=measure_plan),
    Measure(name="compare", title="a plan in memory", seconds=30, run=measure_compare),
    Measure(name="json", title="the JSON document of a plan", seconds=1, run=measure_json),
    Measure(name="memory", title="memory of a plan", seconds=15, run=measure_memory),
    Measure(name="apply", title="a first apply over HTTP", seconds=15, run=measure_apply),
    Measure(name="restart", title="a restart of the controller", seconds=15, run=measure_restart),
    Measure(name="edit", title="an edit under the controller", seconds=30, run=measure_edit),
    Measure(name="suite", title="the tests", seconds=180, run=measure_suite, by_default=False),
    Measure(name="shell", title="instead of octosync: a shell script", seconds=12, run=measure_shell),
    Measure(name="ansible", title="instead of octosync: Ansible", seconds=15, run=measure_ansible),
    Measure(name="octodns", title="another planner: octoDNS", seconds=10, run=measure_octodns),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measures of the command line. Return 1 if a measure fails, not if a figure misses its limit."""
    options = _options(arguments)
    chosen = [measure for measure in MEASURES if measure.name in options.names]
    if not options.names:
        chosen = [measure for measure in MEASURES if measure.by_default]
    scale = _QUICK if options.quick else Scale(options.size)
    prints = options.output == "text"
    began, results, failed = time.monotonic(), {}, []
    for measure in chosen:
        about = f", about {measure.seconds} s" if scale.is_full else ""
        print(f"{measure.name}: {measure.title}{about} …", file=sys.stderr, flush=True)
        started, load = time.monotonic(), os.getloadavg()[0]
        try:
            result = measure.run(scale)
        except (BenchmarkError, AssertionError, OSError) as error:
            failed.append(measure.name)
            print(f"{measure.name} failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            continue
        results[measure.name] = {
            "title": measure.title,
            "load_average": round(load, 1),
            "seconds": round(time.monotonic() - started, 1),
            **result.as_json(judged=scale.is_full),
        }
        if prints:
            _print(measure, result, judged=scale.is_full)
    document = _document(scale, results)
    if options.json is not None:
        options.json.write_text(_text(_merged(options.json, document)), encoding="utf-8")
    if prints:
        print(f"\n{_summary(scale, document, time.monotonic() - began)}")
    else:
        print(_text(document), end="")
    return 1 if failed else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [measure.name for measure in MEASURES]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"measures: {', '.join(names)}; all but suite by default"
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="also write the results to a file, as JSON; the file keeps the results of measures that did not run",
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="the output")
    parser.add_argument(
        "--size", type=float, default=1.0, metavar="FACTOR", help="the size relative to the full size, at most 1"
    )
    parser.add_argument(
        "--quick", action="store_true", help="only check that every measure runs; the values mean nothing"
    )
    options = parser.parse_args(arguments)
    if unknown := sorted({*options.names} - {*names}):
        parser.error(f"unknown: {', '.join(unknown)}; measures are {', '.join(names)}")
    if not 0 < options.size <= 1:
        parser.error("--size is greater than 0 and at most 1")
    return options


def _document(scale: Scale, results: dict[str, Any]) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "size": scale.factor,
        "machine": {
            "processors": os.cpu_count(),
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "measures": results,
    }


def _merged(file: Path, document: dict[str, Any]) -> dict[str, Any]:
    """Return the results with those of other measures that a file has, if they have the same size and machine."""
    earlier = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if any(earlier.get(key) != document[key] for key in ("format_version", "size", "machine")):
        return document
    measures = {**earlier["measures"], **document["measures"]}
    return {
        **document,
        "measures": {measure.name: measures[measure.name] for measure in MEASURES if measure.name in measures},
    }


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _print(measure: Measure, result: Result, *, judged: bool) -> None:
    print(f"\n{measure.name} · {measure.title}")
    if result.skipped:
        print(f"  skipped: {result.skipped}")
    for figure in result.figures:
        limits = (
            "" if figure.must is None or not judged else f"must {figure.must:g}, aim {figure.aim:g}: {figure.verdict}"
        )
        print(f"  {shown(figure):>10}  {figure.name}")
        notes = "; ".join(filter(None, (limits, figure.details)))
        if notes:
            print(f"  {'':10}  {notes}")
    sys.stdout.flush()


def shown(figure: Figure) -> str:
    """Return the value of a figure for people."""
    if figure.unit is Unit.REQUESTS:
        return f"{figure.value:,.0f}"
    digits = 0 if figure.value >= 100 else 1 if figure.value >= 10 else 2
    number = f"{figure.value:,.{digits}f}"
    return f"{number} {figure.unit.value}" if figure.unit in {Unit.SECONDS, Unit.MEGABYTES} else number


def _summary(scale: Scale, document: dict[str, Any], took: float) -> str:
    figures = [
        figure for measure in document["measures"].values() for figure in measure["figures"] if figure["verdict"]
    ]
    if not scale.is_full:
        return f"{len(document['measures'])} measures ran in {took:.0f} s. At this size, the values mean nothing."
    if not figures:
        return f"It took {took:.0f} s."
    within = sum(figure["verdict"] != "miss" for figure in figures)
    return f"{within} of {len(figures)} figures are within their limit. It took {took:.0f} s."


if __name__ == "__main__":
    sys.exit(main())
