"""Alert rules and the dashboard ask for metrics that octosync has, by labels that these metrics have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import promql_parser
import yaml
from deploy.kustomizations import KUBERNETES

RULES: Final = KUBERNETES / "components" / "monitoring" / "prometheusrule.yaml"
DASHBOARDS: Final = KUBERNETES.parent / "grafana"

_NO_LABELS: Final = frozenset[str]()
# What `octosync watch` exports, with each metric's own labels.
METRICS: Final[Mapping[str, frozenset[str]]] = {
    "octosync_actions_total": frozenset({"action", "type", "result"}),
    "octosync_api_budget_remaining": _NO_LABELS,
    "octosync_api_request_duration_seconds": _NO_LABELS,
    "octosync_api_requests_total": frozenset({"operation", "code"}),
    "octosync_api_throttled_seconds_total": _NO_LABELS,
    "octosync_apps": frozenset({"state"}),
    "octosync_blocked": frozenset({"guard"}),
    "octosync_build_info": frozenset({"version"}),
    "octosync_contested": _NO_LABELS,
    "octosync_drift_objects": frozenset({"type"}),
    "octosync_held": _NO_LABELS,
    "octosync_last_full_read_timestamp_seconds": _NO_LABELS,
    "octosync_last_success_timestamp_seconds": _NO_LABELS,
    "octosync_manifests_valid": _NO_LABELS,
    "octosync_queue_depth": frozenset({"priority"}),
    "octosync_queue_wait_seconds": _NO_LABELS,
    "octosync_reconcile_duration_seconds": _NO_LABELS,
    "octosync_reconcile_total": frozenset({"result"}),
}
HISTOGRAMS: Final = frozenset(
    {
        "octosync_api_request_duration_seconds",
        "octosync_queue_wait_seconds",
        "octosync_reconcile_duration_seconds",
    }
)
# What Prometheus adds to whatever it scrapes from a pod.
_OF_THE_TARGET: Final = frozenset({"namespace", "pod", "job", "instance", "container"})

_VARIABLE: Final = re.compile(r"\$__(rate_interval|interval|range)\b")
_LABEL_VALUES: Final = re.compile(r"label_values\((?P<selector>.+),\s*(?P<label>\w+)\)")


def exported() -> Mapping[str, frozenset[str]]:
    """Return every series that there is, by name, with the labels that it has."""
    series: dict[str, frozenset[str]] = {}
    for name, labels in METRICS.items():
        everywhere = labels | _OF_THE_TARGET
        if name in HISTOGRAMS:
            series |= {f"{name}_bucket": everywhere | {"le"}, f"{name}_count": everywhere, f"{name}_sum": everywhere}
        else:
            series[name] = everywhere
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
            labels = {matcher.name for matcher in node.matchers.matchers}
            unknown.extend(f"{query}: {name} has no label {one}" for one in sorted(labels - series[name]))
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            asked.update(node.modifier.labels)

    promql_parser.walk(expression, visit)
    yield from unknown
    if not unknown:
        yield from (f"{query}: no metric in it has the label {label}" for label in sorted(asked - given))


def alert_queries(path: Path = RULES) -> Mapping[str, str]:
    """Return the expression of each alert, by the alert's name."""
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


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
