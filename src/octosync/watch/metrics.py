"""Metrics for Prometheus, in a registry of each controller: counters, and gauges that are read at each scrape.

The collectors and the reference page are made from the table of metrics, and alert rules and dashboards may use no other name.
No label contains the name of an app: a thousand apps would make a thousand series. The status page and the log name the app.
"""

from __future__ import annotations

import platform
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from octosync.contract import OPERATIONS
from octosync.model import Kind, Status
from octosync.octomil import UNREADABLE_CODES
from octosync.plan import GUARDS, Refusal, Verb
from octosync.watch.status import AppState, CircuitReason, ControllerStatus, DriftStatus, ReplicaRole

OTHER: Final = "other"
ERROR: Final = "error"
UNREADABLE: Final = "unreadable"
CODES: Final = frozenset(map(str, range(100, 600)))
PRIORITIES: Final = ("changed", "resync")
STATE_KINDS: Final = ("file", "database")


class ReconcileOutcome(Enum):
    """The outcome of a reconcile: the most severe, if several apply.

    `FAILED` a read or write failed and is retried · `REFUSED` the control plane rejects an action, which waits for a change ·
    `BLOCKED` a guard blocks an action · `LEFT` something planned is left for now: held, contested, frozen,
    suspended, or not this mode's · `APPLIED` all that was planned is written · `IN_SYNC` there was nothing to do.
    """

    FAILED = "failed"
    REFUSED = "refused"
    BLOCKED = "blocked"
    LEFT = "left"
    APPLIED = "applied"
    IN_SYNC = "in_sync"


class MetricType(Enum):
    """The type of a metric, as Prometheus names it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A label and all of its values; `words` describe them if the list is long."""

    name: str
    values: tuple[str, ...]
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric, by the name that queries use, with its unit in it; counters end in `_total`.

    `help` is the help text of the scrape, `means` explains more. `buckets` are a histogram's upper bounds, rising, in
    seconds. `always`: every series is there from the start, at 0; else each begins with what it counts. `of_leader`: a standby
    doesn't have it, so that a sum over the replicas is the leader's value. On what to alert is in the rules of deploy/.
    """

    name: str
    type: MetricType
    help: str
    labels: tuple[Label, ...] = ()
    means: str = ""
    buckets: tuple[float, ...] = ()
    always: bool = True
    of_leader: bool = False

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels' names, in order."""
        return tuple(label.name for label in self.labels)

    @property
    def series(self) -> tuple[str, ...]:
        """The names by which a query reads it: a histogram has three."""
        if self.type is MetricType.HISTOGRAM:
            return tuple(f"{self.name}_{suffix}" for suffix in ("bucket", "sum", "count"))
        return (self.name,)


def _label(name: str, values: type[Enum]) -> Label:
    return Label(name=name, values=tuple(str(value.value) for value in values))


_TYPE: Final = _label("type", Kind)
_GUARD: Final = Label(name="guard", values=tuple(GUARDS))
_OPERATION: Final = Label(
    name="operation",
    values=(*OPERATIONS, OTHER),
    words=f"an ID of the [table of operations](operations.md), or `{OTHER}`",
)
_CODE: Final = Label(
    name="code",
    values=(*sorted(CODES), ERROR, UNREADABLE),
    words=f"the HTTP status; `{ERROR}` if there was no response, `{UNREADABLE}` for a successful response of another server: "
    "HTML, no JSON, a redirect",
)
# From an app that is read in one request to one that waits for the rate limit more than once.
_TURN_SECONDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_REQUEST_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# A commit starts within 1 s; a resync of 1,000 apps at 100 requests per minute takes half an hour.
_WAIT_SECONDS: Final = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0)


def _table(*metrics: Metric) -> Mapping[str, Metric]:
    return MappingProxyType({metric.name: metric for metric in metrics})


METRICS: Final = _table(
    Metric(
        name="octosync_reconcile_total",
        type=MetricType.COUNTER,
        help="Reconciles, by result.",
        labels=(_label("result", ReconcileOutcome),),
        means="A reconcile is one pass over one app, or over the apps of a move: read, plan, check guards, write. `failed` "
        "is retried automatically; `refused` (by the control plane) and `blocked` (by a guard) wait for a change; `left` means "
        "that planned changes are not written now: held, contested, frozen, suspended, or not written in this mode.",
    ),
    Metric(
        name="octosync_reconcile_duration_seconds",
        type=MetricType.HISTOGRAM,
        help="The duration of reconciles, from the first read to the last write.",
        means="It includes waiting for the rate limit.",
        buckets=_TURN_SECONDS,
    ),
    Metric(
        name="octosync_actions_total",
        type=MetricType.COUNTER,
        help="Actions, by verb, object type and outcome.",
        labels=(_label("action", Verb), _TYPE, _label("result", Status)),
        means="No other metric counts writes. `octosync history` lists their objects.",
        always=False,
    ),
    Metric(
        name="octosync_drift_objects",
        type=MetricType.GAUGE,
        help="Objects that were changed on the control plane and not reverted yet.",
        labels=(_TYPE,),
        means="Held and contested objects are included. The status page shows the author and the end of the hold.",
        of_leader=True,
    ),
    Metric(
        name="octosync_apps",
        type=MetricType.GAUGE,
        help="Apps, by state; each is counted once, in its most severe state.",
        labels=(_label("state", AppState),),
        means="There is always a series for each state. Their sum is the number of apps.",
        of_leader=True,
    ),
    Metric(
        name="octosync_circuit_open",
        type=MetricType.GAUGE,
        help="1 for the reason for which the circuit breaker is open and only probes are sent; 0 for all others.",
        labels=(_label("reason", CircuitReason),),
        means="`outage`: no response, or 5xx. `unreadable`: another server responds. `throttled`: 429. `credential` and "
        "`wrong_org`: the key. `state_locked`: another process locks the state file. `state_unavailable`: the database with the "
        "state can't be reached, or is read-only, full, too slow or of another version.",
    ),
    Metric(
        name="octosync_feed_followed",
        type=MetricType.GAUGE,
        help="1 while the activity feed is followed, 0 while only resyncs find changes.",
        of_leader=True,
    ),
    Metric(
        name="octosync_api_requests_total",
        type=MetricType.COUNTER,
        help="Requests to the control plane, by operation and HTTP status.",
        labels=(_OPERATION, _CODE),
        means="Each attempt counts. The requests for the activity feed are `activity.list`.",
        always=False,
    ),
    Metric(
        name="octosync_api_request_duration_seconds",
        type=MetricType.HISTOGRAM,
        help="The duration of requests, from sending to the last byte of the response.",
        means="It excludes waiting for the rate limit.",
        buckets=_REQUEST_SECONDS,
    ),
    Metric(
        name="octosync_api_throttled_seconds_total",
        type=MetricType.COUNTER,
        help="Seconds for which the control plane has throttled requests (429).",
        means="It stays at 0 if no other client uses the budget of the key.",
        of_leader=True,
    ),
    Metric(
        name="octosync_api_budget_remaining",
        type=MetricType.GAUGE,
        help="Requests that the rate limit allows at once; also 0 if there is no limit.",
        means="10% are reserved for writes, and resyncs may use only 60%, so it stays above 0 while reads wait.",
        of_leader=True,
    ),
    Metric(
        name="octosync_api_budget_limit",
        type=MetricType.GAUGE,
        help="Requests that the rate limit allows per minute (`rate.requestsPerMinute`); 0 if there is no limit.",
        of_leader=True,
    ),
    Metric(
        name="octosync_queue_depth",
        type=MetricType.GAUGE,
        help="Queued apps, by priority.",
        labels=(Label(name="priority", values=PRIORITIES),),
        means="`changed` is a commit, drift or a POST request, and has priority; `resync` is a resync.",
        of_leader=True,
    ),
    Metric(
        name="octosync_queue_wait_seconds",
        type=MetricType.HISTOGRAM,
        help="The time that apps wait in the queue.",
        means="Both priorities. The backoff after a failure doesn't count.",
        buckets=_WAIT_SECONDS,
    ),
    Metric(
        name="octosync_last_success_timestamp_seconds",
        type=MetricType.GAUGE,
        help="The Unix time of the last successful reconcile; 0 before the first.",
        of_leader=True,
    ),
    Metric(
        name="octosync_last_full_read_timestamp_seconds",
        type=MetricType.GAUGE,
        help="The Unix time at which the last resync ended; 0 before the first.",
        of_leader=True,
    ),
    Metric(
        name="octosync_full_read_due_timestamp_seconds",
        type=MetricType.GAUGE,
        help="The Unix time by which the next resync should have ended.",
        means="One hour plus twice the duration of a resync, after the last one or the start. That duration depends on "
        "`--resync`, the number of apps and the rate limit.",
        of_leader=True,
    ),
    Metric(
        name="octosync_manifests_changed_timestamp_seconds",
        type=MetricType.GAUGE,
        help="The Unix time at which the manifests in use, or their commit, last changed; 0 before the first load.",
        means="If the commit is older than the newest in Git, git-sync has not fetched it: see git-sync's own metrics.",
    ),
    Metric(
        name="octosync_suspended",
        type=MetricType.GAUGE,
        help="1 while everything is suspended (`POST /suspend`) and nothing is written.",
        of_leader=True,
    ),
    Metric(
        name="octosync_key_usable",
        type=MetricType.GAUGE,
        help="0 if the key file was read again and contains no valid key; the previous key stays in use.",
    ),
    Metric(
        name="octosync_state_damaged",
        type=MetricType.GAUGE,
        help="1 if the state file was damaged at the start and renamed, until the next start.",
    ),
    Metric(
        name="octosync_manifests_valid",
        type=MetricType.GAUGE,
        help="1 if the manifests are valid, 0 while the last valid ones stay in use.",
    ),
    Metric(
        name="octosync_held",
        type=MetricType.GAUGE,
        help="Objects whose drift is held.",
        means="By `drift.hold` or `POST /hold`. Contested objects are not included.",
        of_leader=True,
    ),
    Metric(
        name="octosync_contested",
        type=MetricType.GAUGE,
        help="Objects that were reverted three times in 24 hours and changed again each time.",
        of_leader=True,
    ),
    Metric(
        name="octosync_uncovered",
        type=MetricType.GAUGE,
        help="Enabled capabilities whose deployments don't reach all devices of their app.",
        means="As `apps.health` returned it in the last resync; a rollout in progress doesn't count.",
        of_leader=True,
    ),
    Metric(
        name="octosync_blocked",
        type=MetricType.GAUGE,
        help="Apps with blocked changes, by guard.",
        labels=(_GUARD,),
        means="There is always a series for each guard. An app that two guards block counts for both.",
        of_leader=True,
    ),
    Metric(
        name="octosync_leader",
        type=MetricType.GAUGE,
        help="1 while this process leads, 0 while it is a standby.",
        means="Of the replicas that share a database, at most one leads. A process with a state file always does.",
    ),
    Metric(
        name="octosync_leader_changes_total",
        type=MetricType.COUNTER,
        help="How often this process has become the leader.",
        means="It stays at 0 with a state file.",
    ),
    Metric(
        name="octosync_state_usable",
        type=MetricType.GAUGE,
        help="1 if this process can use its state, 0 if the file is locked or the database unavailable.",
        labels=(Label(name="kind", values=STATE_KINDS),),
        means="A process has a series for one kind: `file`, or `database` if replicas share it.",
    ),
    Metric(
        name="octosync_build_info",
        type=MetricType.GAUGE,
        help="Always 1; the labels are the versions of octosync and Python.",
        labels=(
            Label(name="version", values=(), words="octosync's version"),
            Label(name="python", values=(), words="Python's version"),
        ),
    ),
)


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
        self._terms = self._counter("octosync_leader_changes_total")
        self._scrape: _AtScrape | None = None
        for result in ReconcileOutcome:
            self._turns.labels(result.value)

    def report(self, status: Callable[[], ControllerStatus]) -> None:
        """Read the status of a controller, and of this process, at each scrape. A later call replaces the controller."""
        if self._scrape is not None:
            self._scrape.status = status
            return
        self._scrape = _AtScrape(status)
        self._registry.register(self._scrape)
        ProcessCollector(registry=self._registry)

    def count_term(self) -> None:
        """Count that this process has become the leader."""
        self._terms.inc()

    def count_reconcile(self, result: ReconcileOutcome, seconds: float) -> None:
        """Count a reconcile that has ended."""
        self._turns.labels(result.value).inc()
        self._turn_seconds.observe(seconds)

    def count_action(self, action: Verb, type_: Kind, result: Status) -> None:
        """Count an action that has an outcome."""
        self._actions.labels(action.value, type_.value, result.value).inc()

    def count_request(self, operation: str, code: str, seconds: float) -> None:
        """Count an attempt at a request: `code` is the HTTP status, or the reference of the error."""
        operation = operation if operation in OPERATIONS else OTHER
        if code not in CODES:
            code = UNREADABLE if code in UNREADABLE_CODES else ERROR
        self._requests.labels(operation, code).inc()
        self._request_seconds.observe(seconds)

    def observe_wait(self, seconds: float) -> None:
        """Record how long an app waited for its reconcile."""
        self._wait_seconds.observe(seconds)

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format; `CONTENT_TYPE` is its media type."""
        return generate_latest(_WithoutCreated(self._registry))

    def _counter(self, name: str) -> Counter:
        metric = METRICS[name]
        return Counter(name, metric.help, metric.label_names, registry=self._registry)

    def _histogram(self, name: str) -> Histogram:
        metric = METRICS[name]
        return Histogram(name, metric.help, metric.label_names, buckets=metric.buckets, registry=self._registry)


class _AtScrape(Collector):
    """The metrics of the current status, made anew at each scrape, so that none of them can be stale."""

    def __init__(self, status: Callable[[], ControllerStatus]) -> None:
        self.status = status

    def collect(self) -> Iterator[Family]:
        """Yield a family for each, all from one status."""
        now = self.status()
        is_standby = now.replica.role is ReplicaRole.STANDBY
        yield from (family for family in _families(now) if not (is_standby and _is_of_leader(family)))


def _families(now: ControllerStatus) -> Iterator[Family]:
    """Yield all families of a status."""
    drift = [item for app in now.apps.values() for item in app.drift]
    states = Tally(app.state for app in now.apps.values())
    kinds = Tally(item.address.kind for item in drift)
    guards = Tally(guard for app in now.apps.values() for guard in {_guard_name(refusal) for refusal in app.blocked})
    yield _gauge("octosync_drift_objects", {(kind.value,): kinds[kind] for kind in Kind})
    yield _gauge("octosync_apps", {(state.value,): states[state] for state in AppState})
    yield _gauge("octosync_circuit_open", {(reason.value,): now.circuit_open is reason for reason in CircuitReason})
    yield _gauge("octosync_feed_followed", {(): not now.feed_off})
    yield _throttled(now.budget.throttled_seconds)
    yield _gauge("octosync_api_budget_remaining", {(): now.budget.remaining})
    yield _gauge("octosync_api_budget_limit", {(): now.budget.limit})
    yield _gauge("octosync_queue_depth", {(priority,): now.queue.get(priority, 0) for priority in PRIORITIES})
    yield _gauge("octosync_last_success_timestamp_seconds", {(): _unix(now.last_success)})
    yield _gauge("octosync_last_full_read_timestamp_seconds", {(): _unix(now.full_read_at)})
    yield _gauge("octosync_full_read_due_timestamp_seconds", {(): _unix(now.full_read_due)})
    yield _gauge("octosync_manifests_changed_timestamp_seconds", {(): _unix(now.changed_at)})
    yield _gauge("octosync_suspended", {(): now.suspended is not None})
    yield _gauge("octosync_key_usable", {(): not now.key_unusable})
    yield _gauge("octosync_state_damaged", {(): bool(now.state_damaged)})
    yield _gauge("octosync_manifests_valid", {(): int(now.valid)})
    yield _gauge("octosync_held", {(): sum(map(_is_held, drift))})
    yield _gauge("octosync_contested", {(): sum(item.contested for item in drift)})
    yield _gauge("octosync_uncovered", {(): sum(len(app.uncovered) for app in now.apps.values())})
    yield _gauge("octosync_blocked", {(guard,): guards[guard] for guard in GUARDS})
    # While its lease has expired, another replica may lead.
    leads = now.replica.role is not ReplicaRole.STANDBY and not now.replica.problem
    yield _gauge("octosync_leader", {(): leads})
    yield _gauge(
        "octosync_state_usable",
        {(_state_kind(now),): not (now.replica.problem or now.state_unavailable or now.state_locked)},
    )
    yield _gauge("octosync_build_info", {(now.version, platform.python_version()): 1})


def _state_kind(status: ControllerStatus) -> str:
    file, database = STATE_KINDS
    return file if status.replica.role is ReplicaRole.ALONE else database


def _is_of_leader(family: Family) -> bool:
    """Return whether only a leader has a metric; the library leaves out the end of a counter's name."""
    return METRICS[f"{family.name}_total" if family.type == "counter" else family.name].of_leader


def _guard_name(refusal: Refusal) -> str:
    """Return the guard; all policies are one, since their number has no limit."""
    return refusal.guard.partition(":")[0]


class _WithoutCreated(Collector):
    """A registry without the `…_created` series, of which the library makes one for each series of a counter."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Family]:
        """Yield the registry's families, without these."""
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if sample.name != f"{family.name}_created"]
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
