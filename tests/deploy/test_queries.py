"""Alert rules and the dashboard: they query exported metrics, and say what to do."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
import yaml
from deploy.queries import DASHBOARDS, RULES, alert_queries, dashboard_queries, problems
from deploy.runbooks import PAGE, anchors, runbooks

from octosync.watch.metrics import METRICS

DASHBOARD = DASHBOARDS / "octosync.json"
PANELS: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["spec"]["groups"] for rule in group["rules"]
]


@pytest.mark.parametrize("alert", alert_queries())
def test_an_alert_asks_for_what_there_is(alert: str) -> None:
    """The expression of a rule is PromQL with metrics and labels that octosync exports."""
    assert list(problems(alert_queries()[alert])) == []


def test_the_dashboard_asks_for_what_there_is() -> None:
    """Panels and variables of the dashboard query metrics and labels that octosync exports."""
    assert [problem for query in dashboard_queries(DASHBOARD) for problem in problems(query)] == []


def test_the_dashboard_shows_every_metric() -> None:
    """Every metric that octosync exports is in the dashboard."""
    queried = set(re.findall(r"octosync_\w+", " ".join(dashboard_queries(DASHBOARD))))
    assert {re.sub(r"_bucket$", "", name) for name in queried} == set(METRICS)


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("rate(octosync_bloked[5m])", "no metric octosync_bloked"),
        ("up == 0", "no metric up"),
        ('{job="octosync"}', "no metric without a name"),
        ('octosync_blocked{gaurd="deletes"}', "octosync_blocked has no label gaurd"),
        ('octosync_blocked{guard="delete"}', "guard of octosync_blocked is never delete"),
        ('octosync_api_requests_total{code=~"5..|eror"}', "code of octosync_api_requests_total is never eror"),
        ("sum by (app) (octosync_apps)", "no metric in it has the label app"),
        ("octosync_queue_wait_seconds", "no metric octosync_queue_wait_seconds"),
        ("sum(octosync_apps", "unclosed left parenthesis"),
    ],
)
def test_a_wrong_query_is_found(query: str, complaint: str) -> None:
    """A missing metric or label, a histogram without its suffix and invalid PromQL are each one problem."""
    (problem,) = problems(query)
    assert complaint in problem


@pytest.mark.parametrize(
    "query",
    [
        "histogram_quantile(0.9, sum by (le) (rate(octosync_queue_wait_seconds_bucket[$__rate_interval])))",
        'sum by (namespace, guard) (octosync_blocked{guard!="deletes", pod=~".*"})',
    ],
)
def test_a_right_query_is_let_through(query: str) -> None:
    """Histograms by their series, Grafana's intervals, and the labels of the target are known."""
    assert list(problems(query)) == []


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_and_where_to_look(alert: dict[str, Any]) -> None:
    """A rule waits before it fires, has one of three severities, a summary, a description, and a link to what to do."""
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    assert re.fullmatch(r"\d+[mh]", alert["for"])
    assert {"summary", "description", "runbook_url"} == set(alert["annotations"])
    assert re.fullmatch(rf"{re.escape(PAGE)}#[a-z-]+", runbooks()[alert["alert"]])


def test_anchors_are_those_of_forges() -> None:
    """Anchors have lower case, hyphens for spaces, and no punctuation."""
    assert anchors("# One\n\ntext\n\n## The key's refused: 401, 403\n") == {"one", "the-keys-refused-401-403"}


def test_panels_have_their_own_place_and_data_source() -> None:
    """No two panels overlap or share an id, each has a description, and each queries the selected Prometheus."""
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for first, second in itertools.combinations([panel["gridPos"] for panel in PANELS], 2):
        apart_across = first["x"] + first["w"] <= second["x"] or second["x"] + second["w"] <= first["x"]
        assert apart_across or first["y"] + first["h"] <= second["y"] or second["y"] + second["h"] <= first["y"]
    for panel in PANELS:
        if panel["type"] != "row":
            assert panel["description"]
            assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
