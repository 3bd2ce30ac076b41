"""Metrics for Prometheus, each controller's in a registry of its own: counters that are told, gauges read at the scrape."""

from __future__ import annotations

import platform
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from octosync.contract import OPERATIONS
from octosync.model import Kind, Status
from octosync.octomil import UNREADABLE_ANSWERS
from octosync.plan import GUARDS, Verb
from octosync.watch.metric_table import (
    CODES,
    ERROR,
    METRICS,
    OTHER,
    PRIORITIES,
    UNREADABLE,
    Metric,
    MetricType,
    ReconcileOutcome,
)
from octosync.watch.status import AppState, CircuitReason, ControllerStatus, DriftStatus

__all__ = ["CONTENT_TYPE", "METRICS", "Metric", "MetricType", "Metrics", "ReconcileOutcome"]

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4


class Metrics:
    """The metrics of one controller: counters, and, after `report`, what is read from its status at each scrape."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._turns = self._counter("octosync_reconcile_total")
        self._turn_seconds = self._histogram("octosync_reconcile_duration_seconds")
        self._actions = self._counter("octosync_actions_total")
        self._requests = self._counter("octosync_api_requests_total")
        self._request_seconds = self._histogram("octosync_api_request_duration_seconds")
        self._wait_seconds = self._histogram("octosync_queue_wait_seconds")
        for result in ReconcileOutcome:
            self._turns.labels(result.value)

    def report(self, status: Callable[[], ControllerStatus]) -> None:
        """Read the status of a controller, and of this process, at each scrape."""
        self._registry.register(_AtScrape(status))
        ProcessCollector(registry=self._registry)

    def count_reconcile(self, result: ReconcileOutcome, seconds: float) -> None:
        """Count a turn that has ended."""
        self._turns.labels(result.value).inc()
        self._turn_seconds.observe(seconds)

    def count_action(self, action: Verb, type_: Kind, result: Status) -> None:
        """Count an action that has an outcome."""
        self._actions.labels(action.value, type_.value, result.value).inc()

    def count_request(self, operation: str, code: str, seconds: float) -> None:
        """Count an attempt at a request: `code` is the HTTP status, or the reference of the error."""
        operation = operation if operation in OPERATIONS else OTHER
        if code not in CODES:
            code = UNREADABLE if code in UNREADABLE_ANSWERS else ERROR
        self._requests.labels(operation, code).inc()
        self._request_seconds.observe(seconds)

    def observe_wait(self, seconds: float) -> None:
        """Note how long an app waited for its turn."""
        self._wait_seconds.observe(seconds)

    def render(self) -> bytes:
        """Write all of it in Prometheus' text format; `CONTENT_TYPE` is its media type."""
        return generate_latest(_WithoutCreated(self._registry))

    def _counter(self, name: str) -> Counter:
        metric = METRICS[name]
        return Counter(name, metric.help, metric.label_names, registry=self._registry)

    def _histogram(self, name: str) -> Histogram:
        metric = METRICS[name]
        return Histogram(name, metric.help, metric.label_names, buckets=metric.buckets, registry=self._registry)


class _AtScrape(Collector):
    """The metrics that say how everything stands now, made anew at each scrape, so that none of them can be stale."""

    def __init__(self, standing: Callable[[], ControllerStatus]) -> None:
        self._standing = standing

    def collect(self) -> Iterator[Family]:
        """Yield a family for each, all from one standing."""
        now = self._standing()
        drift = [one for app in now.apps.values() for one in app.drift]
        states = Tally(app.state for app in now.apps.values())
        kinds = Tally(one.address.kind for one in drift)
        guards = Tally(guard for app in now.apps.values() for guard in {one.guard for one in app.blocked})
        yield _gauge("octosync_drift_objects", {(kind.value,): kinds[kind] for kind in Kind})
        yield _gauge("octosync_apps", {(state.value,): states[state] for state in AppState})
        yield _gauge("octosync_circuit_open", {(reason.value,): now.closed is reason for reason in CircuitReason})
        yield _gauge("octosync_feed_followed", {(): not now.feed_off})
        yield _throttled(now.budget.throttled_seconds)
        yield _gauge("octosync_api_budget_remaining", {(): now.budget.remaining})
        yield _gauge("octosync_api_budget_limit", {(): now.budget.limit})
        yield _gauge("octosync_queue_depth", {(one,): now.queue.get(one, 0) for one in PRIORITIES})
        yield _gauge("octosync_last_success_timestamp_seconds", {(): _unix(now.last_success)})
        yield _gauge("octosync_last_full_read_timestamp_seconds", {(): _unix(now.full_read_at)})
        yield _gauge("octosync_full_read_due_timestamp_seconds", {(): _unix(now.full_read_due)})
        yield _gauge("octosync_manifests_changed_timestamp_seconds", {(): _unix(now.changed_at)})
        yield _gauge("octosync_suspended", {(): now.suspended is not None})
        yield _gauge("octosync_key_usable", {(): not now.key_unusable})
        yield _gauge("octosync_state_damaged", {(): bool(now.state_damaged)})
        yield _gauge("octosync_manifests_valid", {(): int(now.valid)})
        yield _gauge("octosync_held", {(): sum(map(_is_held, drift))})
        yield _gauge("octosync_contested", {(): sum(one.contested for one in drift)})
        yield _gauge("octosync_uncovered", {(): sum(len(app.uncovered) for app in now.apps.values())})
        yield _gauge("octosync_blocked", {(guard,): guards[guard] for guard in GUARDS})
        yield _gauge("octosync_build_info", {(now.version, platform.python_version()): 1})


class _WithoutCreated(Collector):
    """A registry without the `…_created` series, of which the library makes one for each series of a counter."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Family]:
        """Yield the registry's families, without these."""
        for family in self._registry.collect():
            family.samples = [one for one in family.samples if one.name != f"{family.name}_created"]
            yield family


def _is_held(drift: DriftStatus) -> bool:
    return drift.until is not None and not drift.contested


def _unix(at: datetime | None) -> float:
    return 0.0 if at is None else at.timestamp()


def _gauge(name: str, samples: dict[tuple[str, ...], float]) -> GaugeMetricFamily:
    metric = METRICS[name]
    family = GaugeMetricFamily(name, metric.help, labels=metric.label_names)
    for labels, value in samples.items():
        family.add_metric(labels, value)
    return family


def _throttled(seconds: float) -> CounterMetricFamily:
    metric = METRICS["octosync_api_throttled_seconds_total"]
    return CounterMetricFamily(metric.name, metric.help, value=seconds)
