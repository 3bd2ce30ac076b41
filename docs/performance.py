"""The tables and pictures of docs/explanation/performance.md, from the results of `make bench` in docs/performance.json."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Iterator, Mapping
from typing import Any, Final

from docs.charts import SCHEMES, Chart, duration
from docs.executing import ROOT
from tests.support.request_counts import REQUEST_COUNTS

PAGE: Final = "docs/explanation/performance.md"
_RESULTS: Final = ROOT / "docs" / "performance.json"
_CHARTS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "growth-plan": (
        "CPU time to load and plan, without requests",
        ("load", "CSafeLoader alone", "plan, nothing changed", "plan, all changed"),
    ),
    "growth-report": (
        "CPU time to report a plan that changes all apps",
        ("text report", "Markdown report", "JSON report"),
    ),
}
# The generated pictures by their path below the project's root: the chart and the color scheme.
PICTURES: Final = {f"docs/images/{chart}-{scheme}.svg": (chart, scheme) for chart in _CHARTS for scheme in SCHEMES}
_HEADERS: Final = {
    "limits": "| measure | must | aim | value | met |",
    "growth": "| step |",
    "alternatives": "| instead of octosync |",
    "requests": "| run | requests | by operation |",
}


def results() -> dict[str, Any]:
    """Return the stored results of `make bench`."""
    found: dict[str, Any] = json.loads(_RESULTS.read_text(encoding="utf-8"))
    return found


def with_results(page: str, found: Mapping[str, Any]) -> str:
    """Return the page with the tables of the results, and of the request counts that tests verify."""
    rows = {
        "limits": _limits(found),
        "growth": _growth(_curves(found)),
        "alternatives": _alternatives(found),
        "requests": _requests(),
    }
    for name, header in _HEADERS.items():
        before, _, rest = page.partition(f"\n{header}")
        _, _, after = rest.partition("\n\n")
        page = "\n".join((before, *rows[name], "", after))
    machine = found["machine"]
    load = statistics.median(measure["load_average"] for measure in found["measures"].values())
    words = (
        f"{machine['system']}, {machine['processors']} processors, Python {machine['python']}, load average {load:.0f}"
    )
    return re.sub(r"^Measured on [^.]*(\.[^.\n]+)*\.$", f"Measured on {words}.", page, count=1, flags=re.MULTILINE)


def picture(path: str) -> str:
    """Return the picture with this path."""
    chart_name, scheme = PICTURES[path]
    title, lines = _CHARTS[chart_name]
    curves = _curves(results())
    chart = Chart(
        title=title,
        description="; ".join(f"{line}: {_points(curves[line])}" for line in lines),
        lines={line: curves[line] for line in lines},
    )
    return chart.render(SCHEMES[scheme])


def _points(line: list[tuple[int, float]]) -> str:
    return ", ".join(f"{duration(seconds)} for {apps:,} apps" for apps, seconds in line)


def _curves(found: Mapping[str, Any]) -> dict[str, list[tuple[int, float]]]:
    return {name: [(n, s) for n, s in points] for name, points in found["measures"]["compare"]["curves"].items()}


def _limits(found: Mapping[str, Any]) -> Iterator[str]:
    yield from (_HEADERS["limits"], "|---|---|---|---|---|")
    for name, measure in found["measures"].items():
        for figure in measure["figures"]:
            if figure["must"] is None:
                continue
            met = {"aim": "aim", "pass": "must", "miss": "**no**"}[figure["verdict"]]
            limits = f"{_value(figure['must'], figure['unit'])} | {_value(figure['aim'], figure['unit'])}"
            yield f"| `{name}`: {figure['name']} | {limits} | {_value(figure['value'], figure['unit'])} | {met} |"


def _value(value: float, unit: str) -> str:
    number = f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
    number = number.rstrip("0").removesuffix(".") if "." in number else number
    return f"{number} {unit}" if unit in {"s", "MB"} else number


def _growth(curves: Mapping[str, list[tuple[int, float]]]) -> Iterator[str]:
    sizes = [apps for apps, _ in next(iter(curves.values()))]
    yield f"| step | {' | '.join(f'{apps:,} apps' for apps in sizes)} | growth |"
    yield "|---|" + "---|" * (len(sizes) + 1)
    for name, line in curves.items():
        (few, short), (many, long) = line[-2:]
        exponent = math.log(long / short) / math.log(many / few)
        yield f"| {name} | {' | '.join(duration(seconds) for _, seconds in line)} | n^{exponent:.2f} |"


def _alternatives(found: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{_HEADERS['alternatives']} ÷ octosync | measured |", "|---|---|---|")
    for measure in found["measures"].values():
        for figure in measure["figures"]:
            if figure["must"] is None:
                name = figure["name"].removesuffix(" ÷ octosync apply").removesuffix(" ÷ octosync")
                yield f"| {name} | {_value(figure['value'], figure['unit'])} | {figure['details']} |"


def _requests() -> Iterator[str]:
    yield from (_HEADERS["requests"], "|---|---|---|")
    for name, counts in REQUEST_COUNTS.items():
        operations = ", ".join(f"{count} × `{operation}`" for operation, count in counts.items())
        yield f"| {name} | {sum(counts.values())} | {operations} |"
