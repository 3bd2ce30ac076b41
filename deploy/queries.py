"""Checks that alert rules and the dashboard query existing metrics by existing labels."""

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

# The labels that Prometheus adds to the metrics of a pod.
_OF_THE_TARGET: Final = frozenset({"namespace", "pod", "job", "instance", "container"})

_NAME: Final = re.compile(r"\boctosync_\w+")
_VARIABLE: Final = re.compile(r"\$__(rate_interval|interval|range)\b")
_LABEL_VALUES: Final = re.compile(r"label_values\((?P<selector>.+),\s*(?P<label>\w+)\)")


def exported() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """Return every series, including git-sync's: by name its labels, by label its possible values, () for any."""
    series: dict[str, Mapping[str, tuple[str, ...]]] = {}
    for metric in METRICS.values():
        labels = {label.name: label.values for label in metric.labels} | dict.fromkeys(_OF_THE_TARGET, ())
        for name in metric.series:
            series[name] = labels | ({"le": ()} if name.endswith("_bucket") else {})
    series["git_sync_count_total"] = {"status": ("success", "error", "noop"), **dict.fromkeys(_OF_THE_TARGET, ())}
    return series


def problems(query: str) -> Iterator[str]:
    """Yield the unknown metrics and labels of a PromQL expression, or its syntax error."""
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
                unknown.extend(f"{query}: {problem}" for problem in _unmatched(name, series[name], matcher))
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            asked.update(node.modifier.labels)

    promql_parser.walk(expression, visit)
    yield from unknown
    if not unknown:
        yield from (f"{query}: no metric in it has the label {label}" for label in sorted(asked - given))


def _unmatched(name: str, labels: Mapping[str, tuple[str, ...]], matcher: promql_parser.Matcher) -> Iterator[str]:
    """Yield the label of a matcher that its metric lacks, or the values that the label never has."""
    if matcher.name not in labels:
        yield f"{name} has no label {matcher.name}"
    elif values := labels[matcher.name]:
        regex = matcher.op in (promql_parser.MatchOp.Re, promql_parser.MatchOp.NotRe)
        for alternative in matcher.value.split("|") if regex else (matcher.value,):
            pattern = alternative if regex else re.escape(alternative)
            if not any(re.fullmatch(pattern, value) for value in values):
                yield f"{matcher.name} of {name} is never {alternative}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert rule: its expression on one line, the time for which it must hold (such as `15m`), and its runbook."""

    name: str
    query: str
    for_: str
    severity: str
    runbook_url: str

    @property
    def metrics(self) -> frozenset[str]:
        """The names of the metrics in its expression."""
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
    return {alert.name: alert.query for alert in alerts(path)}


def dashboard_queries(path: Path) -> Iterator[str]:
    """Yield each expression of a dashboard: its panels' and its variables'."""
    yield from _expressions(json.loads(path.read_text(encoding="utf-8")))


def _expressions(value: Any) -> Iterator[str]:  # noqa: ANN401 — JSON
    if isinstance(value, list):
        for item in value:
            yield from _expressions(item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key in ("expr", "definition") and isinstance(item, str):
                yield from _queried(item)
            else:
                yield from _expressions(item)


def _queried(text: str) -> Iterator[str]:
    values = _LABEL_VALUES.fullmatch(text)
    yield text if values is None else f"count by ({values['label']}) ({values['selector']})"
