"""Alert rules and the dashboard ask for metrics that octosync has, by labels that these metrics have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import promql_parser
import yaml
from deploy.kustomizations import KUBERNETES

from octosync.watch.metrics import METRICS

RULES: Final = KUBERNETES / "components" / "monitoring" / "prometheusrule.yaml"
DASHBOARDS: Final = KUBERNETES.parent / "grafana"

# What Prometheus adds to whatever it scrapes from a pod.
_OF_THE_TARGET: Final = frozenset({"namespace", "pod", "job", "instance", "container"})

_NAME: Final = re.compile(r"\boctosync_\w+")
_VARIABLE: Final = re.compile(r"\$__(rate_interval|interval|range)\b")
_LABEL_VALUES: Final = re.compile(r"label_values\((?P<selector>.+),\s*(?P<label>\w+)\)")


def exported() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """Return every series that there is, git-sync's included: by name its labels, by label its possible values, () for any."""
    series: dict[str, Mapping[str, tuple[str, ...]]] = {}
    for metric in METRICS.values():
        labels = {one.name: one.values for one in metric.labels} | dict.fromkeys(_OF_THE_TARGET, ())
        for name in metric.series:
            series[name] = labels | ({"le": ()} if name.endswith("_bucket") else {})
    series["git_sync_count_total"] = {"status": ("success", "error", "noop"), **dict.fromkeys(_OF_THE_TARGET, ())}
    return series


def problems(query: str) -> Iterator[str]:
    """Yield what a PromQL expression asks for that isn't there; or that it is none."""
    try:
        expression = promql_parser.parse(_VARIABLE.sub("5m", query))
    except ValueError as error:
        yield f"{query}: {error}"
        return
    series = exported()
    asked: set[str] = set()
    given: set[str] = set()
    unknown: list[str] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            name = node.name or ""
            if name not in series:
                unknown.append(f"{query}: octosync has no metric {name or 'without a name'}")
                return
            given.update(series[name])
            for matcher in node.matchers.matchers:
                unknown.extend(f"{query}: {one}" for one in _unmatched(name, series[name], matcher))
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            asked.update(node.modifier.labels)

    promql_parser.walk(expression, visit)
    yield from unknown
    if not unknown:
        yield from (f"{query}: no metric in it has the label {label}" for label in sorted(asked - given))


def _unmatched(name: str, labels: Mapping[str, tuple[str, ...]], matcher: promql_parser.Matcher) -> Iterator[str]:
    """Yield what a matcher names that its metric hasn't: the label, or any value of it, each alternative for itself."""
    if matcher.name not in labels:
        yield f"{name} has no label {matcher.name}"
    elif values := labels[matcher.name]:
        regex = matcher.op in (promql_parser.MatchOp.Re, promql_parser.MatchOp.NotRe)
        for one in matcher.value.split("|") if regex else (matcher.value,):
            pattern = one if regex else re.escape(one)
            if not any(re.fullmatch(pattern, value) for value in values):
                yield f"{matcher.name} of {name} is never {one}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert rule: its expression on one line, for how long that has to hold (such as `15m`), and where its remedy stands."""

    name: str
    query: str
    for_: str
    severity: str
    runbook_url: str

    @property
    def metrics(self) -> frozenset[str]:
        """The names of the metrics that it asks for."""
        return frozenset(_NAME.findall(self.query))


def alerts(path: Path = RULES) -> tuple[Alert, ...]:
    """Return the alert rules, in their order."""
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]["groups"]
    return tuple(
        Alert(
            name=rule["alert"],
            query=" ".join(rule["expr"].split()),
            for_=rule["for"],
            severity=rule["labels"]["severity"],
            runbook_url=rule["annotations"]["runbook_url"],
        )
        for group in groups
        for rule in group["rules"]
    )


def alert_queries(path: Path = RULES) -> Mapping[str, str]:
    """Return the expression of each alert, by the alert's name."""
    return {one.name: one.query for one in alerts(path)}


def dashboard_queries(path: Path) -> Iterator[str]:
    """Yield each expression of a dashboard: its panels' and its variables'."""
    yield from _expressions(json.loads(path.read_text(encoding="utf-8")))


def _expressions(value: Any) -> Iterator[str]:  # noqa: ANN401 — JSON
    if isinstance(value, list):
        for one in value:
            yield from _expressions(one)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            if key in ("expr", "definition") and isinstance(one, str):
                yield from _queried(one)
            else:
                yield from _expressions(one)


def _queried(text: str) -> Iterator[str]:
    values = _LABEL_VALUES.fullmatch(text)
    yield text if values is None else f"count by ({values['label']}) ({values['selector']})"
