from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from octosync.model import Address, Kind, Status
from octosync.plan import GUARDS, ControlPlane, Refusal, Verb
from octosync.watch.metrics import METRICS, Metrics, MetricType, ReconcileOutcome
from octosync.watch.status import (
    AppReconcileStatus,
    AppState,
    BudgetStatus,
    ControllerStatus,
    DriftStatus,
    ReplicaRole,
    ReplicaStatus,
)

NOW = datetime(2026, 3, 1, 14, 2, tzinfo=UTC)
NOTHING = ControllerStatus(
    now=NOW, started=NOW, version="1.2.3", control_plane=ControlPlane(url="http://127.0.0.1:8787/api/v1")
)
SPECIFIED = {
    "octosync_reconcile_total": ("result",),
    "octosync_reconcile_duration_seconds": (),
    "octosync_actions_total": ("action", "type", "result"),
    "octosync_drift_objects": ("type",),
    "octosync_apps": ("state",),
    "octosync_api_requests_total": ("operation", "code"),
    "octosync_api_request_duration_seconds": (),
    "octosync_api_throttled_seconds_total": (),
    "octosync_circuit_open": ("reason",),
    "octosync_feed_followed": (),
    "octosync_full_read_due_timestamp_seconds": (),
    "octosync_manifests_changed_timestamp_seconds": (),
    "octosync_suspended": (),
    "octosync_key_usable": (),
    "octosync_state_damaged": (),
    "octosync_api_budget_remaining": (),
    "octosync_api_budget_limit": (),
    "octosync_queue_depth": ("priority",),
    "octosync_queue_wait_seconds": (),
    "octosync_last_success_timestamp_seconds": (),
    "octosync_last_full_read_timestamp_seconds": (),
    "octosync_manifests_valid": (),
    "octosync_held": (),
    "octosync_contested": (),
    "octosync_uncovered": (),
    "octosync_blocked": ("guard",),
    "octosync_leader": (),
    "octosync_leader_changes_total": (),
    "octosync_state_usable": ("kind",),
    "octosync_build_info": ("version", "python"),
}


class Scraped:
    """A scrape, parsed as by Prometheus: the value of a series by its name and labels."""

    def __init__(self, metrics: Metrics) -> None:
        """Parse the served text, without the process metrics of the library."""
        families = list(text_string_to_metric_families(metrics.render().decode()))
        self.families = [family for family in families if not family.name.startswith("process_")]
        self.has_process = len(self.families) < len(families)
        self.samples = [sample for family in self.families for sample in family.samples]

    def __call__(self, name: str, **labels: str) -> float | None:
        """Return the value of a series, None if there is no such series."""
        values = [sample.value for sample in self.samples if sample.name == name and sample.labels == labels]
        assert len(values) < 2, f"{name} {labels} occurs {len(values)} times"
        return values[0] if values else None


def _always(status: ControllerStatus) -> Callable[[], ControllerStatus]:
    return lambda: status


def _metrics_of(status: Callable[[], ControllerStatus]) -> Metrics:
    """Return metrics that report a status."""
    metrics = Metrics()
    metrics.report(status)
    return metrics


def _eventful() -> Metrics:
    """Count one of each countable event."""
    metrics = _metrics_of(_always(NOTHING))
    for result in ReconcileOutcome:
        metrics.count_reconcile(result, 0.3)
    metrics.count_action(Verb.UPDATE, Kind.SLOT, Status.DONE)
    metrics.count_request("apps.get", "200", 0.02)
    metrics.observe_wait(0.2)
    return metrics


def test_the_metrics_are_the_specified_ones() -> None:
    """Names and labels are an interface for alert rules and dashboards. None is added, changed or removed unnoticed."""
    assert {name: metric.label_names for name, metric in METRICS.items()} == SPECIFIED


def test_the_served_metrics_match_the_table() -> None:
    """Each series has the name, type, help and labels of the table, and each metric of the table is served."""
    scraped = Scraped(_eventful())
    assert scraped.has_process
    names = {sample.name for sample in scraped.samples}
    assert names == {series for metric in METRICS.values() for series in metric.series}
    for family in scraped.families:
        metric = METRICS.get(family.name) or METRICS[f"{family.name}_total"]
        assert (family.type, family.documentation) == (metric.type.value, metric.help)
        for sample in family.samples:
            assert sample.labels.keys() - {"le"} == set(metric.label_names)
            for label in metric.labels:
                assert not label.values or sample.labels[label.name] in label.values


def test_no_metric_contains_a_name_of_an_app() -> None:
    """A thousand apps make no more series than none."""
    apps = {f"app-{number}": AppReconcileStatus(slug=f"app-{number}") for number in range(1000)}
    few, many = Scraped(_metrics_of(_always(NOTHING))), Scraped(_metrics_of(_always(replace(NOTHING, apps=apps))))
    assert len(many.samples) == len(few.samples)
    assert many("octosync_apps", state="unread") == 1000


def test_labels_have_a_fixed_set_of_values() -> None:
    """An unknown operation is `other`, and a response without an HTTP status is `error`."""
    metrics = _metrics_of(_always(NOTHING))
    for number in range(50):
        metrics.count_request(f"made.up.{number}", f"code {number}", 0.1)
    scraped = Scraped(metrics)
    assert scraped("octosync_api_requests_total", operation="other", code="error") == 50
    assert sum(sample.name == "octosync_api_requests_total" for sample in scraped.samples) == 1


@pytest.mark.parametrize(
    ("name", "label", "values"),
    [
        ("octosync_reconcile_total", "result", {outcome.value for outcome in ReconcileOutcome}),
        ("octosync_drift_objects", "type", {kind.value for kind in Kind}),
        ("octosync_apps", "state", {state.value for state in AppState}),
        ("octosync_queue_depth", "priority", {"changed", "resync"}),
        ("octosync_blocked", "guard", set(GUARDS)),
    ],
)
def test_a_series_without_a_count_is_0(name: str, label: str, values: set[str]) -> None:
    """A series exists before its first count, so that rates and alerts include the first one."""
    samples = [sample for sample in Scraped(_metrics_of(_always(NOTHING))).samples if sample.name == name]
    assert {sample.labels[label] for sample in samples} == values
    assert {sample.value for sample in samples} == {0.0}


def test_reconciles_actions_and_requests_are_counted() -> None:
    """Each call counts one with its labels, and the histogram gets its seconds."""
    scraped = Scraped(_eventful())
    assert scraped("octosync_reconcile_total", result="blocked") == 1
    assert scraped("octosync_reconcile_duration_seconds_count") == len(ReconcileOutcome)
    assert scraped("octosync_reconcile_duration_seconds_sum") == pytest.approx(0.3 * len(ReconcileOutcome))
    assert scraped("octosync_reconcile_duration_seconds_bucket", le="0.25") == 0
    assert scraped("octosync_reconcile_duration_seconds_bucket", le="0.5") == len(ReconcileOutcome)
    assert scraped("octosync_actions_total", action="update", type="slot", result="done") == 1
    assert scraped("octosync_api_requests_total", operation="apps.get", code="200") == 1
    assert scraped("octosync_api_request_duration_seconds_bucket", le="0.025") == 1
    assert scraped("octosync_queue_wait_seconds_count") == 1


def _drift(address: Address, until: datetime | None, *, contested: bool = False) -> DriftStatus:
    return DriftStatus(address=address, first_seen=NOW, until=until, contested=contested)


def test_gauges_show_the_status_at_the_scrape() -> None:
    """Nothing is kept between scrapes: what leaves the status leaves the metrics."""
    slot, target = Address.of_slot("a", "chat"), Address.of_target("b", "ios", "com.example")
    later = NOW + timedelta(minutes=30)
    blocked = Refusal(guard="deletes", message="too many", override=None, addresses=(target,))
    drifting = AppReconcileStatus(
        slug="a",
        state=AppState.HELD,
        drift=(_drift(slot, later), _drift(Address.of_app("a"), None), _drift(target, later, contested=True)),
    )
    status = replace(
        NOTHING,
        apps={"a": drifting, "b": AppReconcileStatus(slug="b", state=AppState.BLOCKED, blocked=(blocked, blocked))},
        budget=BudgetStatus(limit=100, used=60, remaining=40, throttled_seconds=12.5),
        queue={"changed": 2, "resync": 7},
        valid=False,
        last_success=NOW,
        full_read_at=NOW - timedelta(hours=1),
    )
    current = [status]
    metrics = _metrics_of(lambda: current[0])
    scraped = Scraped(metrics)
    assert [scraped("octosync_drift_objects", type=kind) for kind in ("app", "slot", "target", "capability")] == [
        1,
        1,
        1,
        0,
    ]
    assert (scraped("octosync_held"), scraped("octosync_contested")) == (1, 1)
    assert (scraped("octosync_apps", state="held"), scraped("octosync_apps", state="in_sync")) == (1, 0)
    # An app with two refusals of one guard counts once.
    assert scraped("octosync_blocked", guard="deletes") == 1
    assert scraped("octosync_api_budget_remaining") == 40
    assert scraped("octosync_api_budget_limit") == 100
    assert scraped("octosync_api_throttled_seconds_total") == 12.5
    assert (
        scraped("octosync_queue_depth", priority="changed"),
        scraped("octosync_queue_depth", priority="resync"),
    ) == (2, 7)
    assert scraped("octosync_manifests_valid") == 0
    assert scraped("octosync_last_success_timestamp_seconds") == NOW.timestamp()
    assert scraped("octosync_last_full_read_timestamp_seconds") == NOW.timestamp() - 3600
    assert scraped("octosync_build_info", version="1.2.3", python=platform.python_version()) == 1
    current[0] = NOTHING
    scraped = Scraped(metrics)
    assert (scraped("octosync_held"), scraped("octosync_apps", state="held")) == (0, 0)
    assert (scraped("octosync_manifests_valid"), scraped("octosync_last_success_timestamp_seconds")) == (1, 0)


def test_two_controllers_count_separately() -> None:
    """The metrics of one process share no registry."""
    first, second = _metrics_of(_always(NOTHING)), _metrics_of(_always(NOTHING))
    first.count_reconcile(ReconcileOutcome.APPLIED, 1.0)
    assert Scraped(second)("octosync_reconcile_total", result="applied") == 0


def test_every_metric_is_described() -> None:
    """Each metric has a help sentence.

    Only histograms have buckets, in ascending order, and only counters end in `_total`.
    """
    for name, metric in METRICS.items():
        assert metric.help.endswith(".")
        assert list(metric.buckets) == sorted(set(metric.buckets))
        assert bool(metric.buckets) == (metric.type is MetricType.HISTOGRAM)
        assert name.endswith("_total") == (metric.type is MetricType.COUNTER)


def test_a_standby_has_no_metrics_of_the_leader() -> None:
    """It has those about itself and its counters, so that a sum over the replicas is the value of the leader."""
    app = AppReconcileStatus(slug="demo", state=AppState.IN_SYNC)
    status = replace(NOTHING, apps={"demo": app}, replica=ReplicaStatus(role=ReplicaRole.STANDBY))
    standby = Scraped(_metrics_of(_always(status)))
    assert standby("octosync_manifests_valid") == 1
    assert standby("octosync_reconcile_total", result="applied") == 0
    served = {sample.name for sample in standby.samples}
    assert not served & {name for name, metric in METRICS.items() if metric.of_leader}
    leader = Scraped(_metrics_of(_always(replace(status, replica=ReplicaStatus(role=ReplicaRole.LEADER)))))
    assert leader("octosync_apps", state="in_sync") == 1
    assert leader("octosync_api_throttled_seconds_total") == 0
