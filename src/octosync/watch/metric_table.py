"""The table of metrics: what each counts, its labels and all their values.

The collectors and the reference page are made from it, and alert rules and dashboards may use no other name. No label takes
an app's name: a thousand apps would make a thousand series of each; which app it is stands on the status page and in the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from octosync.contract import OPERATIONS
from octosync.model import Kind, Status
from octosync.plan import GUARDS, Verb
from octosync.watch.standing import AppState, CircuitReason

OTHER: Final = "other"
ERROR: Final = "error"
UNREADABLE: Final = "unreadable"
CODES: Final = frozenset(map(str, range(100, 600)))
PRIORITIES: Final = ("changed", "resync")


class ReconcileOutcome(Enum):
    """What came of a turn, the gravest first where several hold.

    `FAILED` something can't be read or written, tried again by itself · `REFUSED` the control plane refuses something, which
    waits for a change · `BLOCKED` a guard refuses something · `LEFT` something planned is left for now: held, contested, frozen,
    suspended, or not this mode's · `APPLIED` all that was planned is written · `IN_SYNC` there was nothing to do.
    """

    FAILED = "failed"
    REFUSED = "refused"
    BLOCKED = "blocked"
    LEFT = "left"
    APPLIED = "applied"
    IN_SYNC = "in_sync"


class MetricType(Enum):
    """What Prometheus calls a metric's type."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A label and every value that it can have; `words` say it shorter than a list would."""

    name: str
    values: tuple[str, ...]
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric, by the name that queries use, with its unit in it; counters end in `_total`.

    `help` is the line that stands beside the numbers, `means` says more. `buckets` are a histogram's upper bounds, rising, in
    seconds. `always`: every series is there from the start, at 0; else each begins with what it counts. On what to alert is
    in the rules of deploy/.
    """

    name: str
    type: MetricType
    help: str
    labels: tuple[Label, ...] = ()
    means: str = ""
    buckets: tuple[float, ...] = ()
    always: bool = True

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels' names, in order."""
        return tuple(one.name for one in self.labels)

    @property
    def series(self) -> tuple[str, ...]:
        """The names by which a query reads it: a histogram has three."""
        if self.type is MetricType.HISTOGRAM:
            return tuple(f"{self.name}_{suffix}" for suffix in ("bucket", "sum", "count"))
        return (self.name,)


def _label(name: str, values: type[Enum]) -> Label:
    return Label(name=name, values=tuple(str(one.value) for one in values))


_TYPE: Final = _label("type", Kind)
_GUARD: Final = Label(name="guard", values=tuple(GUARDS))
_OPERATION: Final = Label(
    name="operation",
    values=(*OPERATIONS, OTHER),
    words=f"an id of the [table of operations](operations.md), `{OTHER}` for none of them",
)
_CODE: Final = Label(
    name="code",
    values=(*sorted(CODES), ERROR, UNREADABLE),
    words=f"the HTTP status; `{ERROR}` if no response came, `{UNREADABLE}` for a success that isn't the control plane's: "
    "HTML, no JSON, a redirect",
)
# From an app that is read in one request to one that waits for a minute's budget more than once.
_TURN_SECONDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_REQUEST_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# A commit starts within 1 s; a full re-read of 1,000 apps at 100 requests a minute takes half an hour.
_WAIT_SECONDS: Final = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0)


def _table(*metrics: Metric) -> Mapping[str, Metric]:
    return MappingProxyType({one.name: one for one in metrics})


METRICS: Final = _table(
    Metric(
        name="octosync_reconcile_total",
        type=MetricType.COUNTER,
        help="Turns, by what came of them.",
        labels=(_label("result", ReconcileOutcome),),
        means="A turn is one app, or apps that a move ties together: read, planned, judged and written. `failed` is tried again "
        "by itself; `refused` (by the control plane) and `blocked` (by a guard) wait for a change; `left` is what is planned and "
        "not for now: held, contested, frozen, suspended, or not written in this mode.",
    ),
    Metric(
        name="octosync_reconcile_duration_seconds",
        type=MetricType.HISTOGRAM,
        help="How long turns take, from the first read to the last write.",
        means="Waiting for the request budget is part of it.",
        buckets=_TURN_SECONDS,
    ),
    Metric(
        name="octosync_actions_total",
        type=MetricType.COUNTER,
        help="Actions, by what they do, to what, and what became of them.",
        labels=(_label("action", Verb), _TYPE, _label("result", Status)),
        means="The only trace of writes in the metrics; which objects they were tells `octosync history`.",
        always=False,
    ),
    Metric(
        name="octosync_drift_objects",
        type=MetricType.GAUGE,
        help="Objects that somebody changed on the control plane, and that are not changed back yet.",
        labels=(_TYPE,),
        means="Held and contested objects included. Who did it and until when it stays is on the status page.",
    ),
    Metric(
        name="octosync_apps",
        type=MetricType.GAUGE,
        help="Apps, by how they stand; each is counted once, in its gravest state.",
        labels=(_label("state", AppState),),
        means="All states are always there. Their sum is the number of apps that are followed.",
    ),
    Metric(
        name="octosync_circuit_open",
        type=MetricType.GAUGE,
        help="1 for the reason for which no request but a probe is sent now; 0 for all others.",
        labels=(_label("reason", CircuitReason),),
        means="`outage`: no response, or 5xx. `unreadable`: something else answers. `throttled`: 429. `credential` and "
        "`wrong_org`: the key. `state_locked`: another process locks the state file.",
    ),
    Metric(
        name="octosync_feed_followed",
        type=MetricType.GAUGE,
        help="1 while the activity feed is followed, 0 while only full reads find changes.",
    ),
    Metric(
        name="octosync_api_requests_total",
        type=MetricType.COUNTER,
        help="Requests to the control plane, by operation and HTTP status.",
        labels=(_OPERATION, _CODE),
        means="Each attempt counts. The activity feed's tick is `activity.list`.",
        always=False,
    ),
    Metric(
        name="octosync_api_request_duration_seconds",
        type=MetricType.HISTOGRAM,
        help="How long answers take, from sending to the last byte.",
        means="Without the waiting for the request budget before it.",
        buckets=_REQUEST_SECONDS,
    ),
    Metric(
        name="octosync_api_throttled_seconds_total",
        type=MetricType.COUNTER,
        help="Seconds for which the control plane said to wait (429).",
        means="It stays at 0 where nobody else uses the key's budget.",
    ),
    Metric(
        name="octosync_api_budget_remaining",
        type=MetricType.GAUGE,
        help="Requests that may be sent at once now, within the rate limit; 0 as well where there is no limit.",
        means="A tenth is kept for writes and 40 % from full re-reads: so it stays above 0 while reads wait for their places.",
    ),
    Metric(
        name="octosync_api_budget_limit",
        type=MetricType.GAUGE,
        help="Requests that may be sent in a minute (`rate.requestsPerMinute`); 0 where there is no limit.",
    ),
    Metric(
        name="octosync_queue_depth",
        type=MetricType.GAUGE,
        help="Apps that wait for their turn, by priority.",
        labels=(Label(name="priority", values=PRIORITIES),),
        means="`changed` is a commit, drift or a request by hand, and goes first; `resync` is the full re-read.",
    ),
    Metric(
        name="octosync_queue_wait_seconds",
        type=MetricType.HISTOGRAM,
        help="How long apps wait for their turn.",
        means="Both priorities. A back-off after a failure is not waiting.",
        buckets=_WAIT_SECONDS,
    ),
    Metric(
        name="octosync_last_success_timestamp_seconds",
        type=MetricType.GAUGE,
        help="When a turn last ended well, as Unix time; 0 before the first.",
    ),
    Metric(
        name="octosync_last_full_read_timestamp_seconds",
        type=MetricType.GAUGE,
        help="When the last full read of all apps ended, as Unix time; 0 before the first.",
    ),
    Metric(
        name="octosync_full_read_due_timestamp_seconds",
        type=MetricType.GAUGE,
        help="The time by which the next full read should have ended, as Unix time.",
        means="One hour plus twice the time of a full read, after the last one or the start. That time depends on `--resync`, "
        "the number of apps and the rate limit.",
    ),
    Metric(
        name="octosync_manifests_changed_timestamp_seconds",
        type=MetricType.GAUGE,
        help="When the manifests in force last changed, or their commit, as Unix time; 0 before the first load.",
        means="If the commit is older than the newest in Git, git-sync has not fetched it: see git-sync's own metrics.",
    ),
    Metric(
        name="octosync_suspended",
        type=MetricType.GAUGE,
        help="1 while everything is suspended (`POST /suspend`), so that nothing is written.",
    ),
    Metric(
        name="octosync_key_usable",
        type=MetricType.GAUGE,
        help="0 if the API key's file was read again and holds no usable key; the key before it stays in force.",
    ),
    Metric(
        name="octosync_state_damaged",
        type=MetricType.GAUGE,
        help="1 if the state file was damaged at the start and set aside, until the next start.",
    ),
    Metric(
        name="octosync_manifests_valid",
        type=MetricType.GAUGE,
        help="1 where the manifests could be loaded, 0 where the last good ones are in force.",
    ),
    Metric(
        name="octosync_held",
        type=MetricType.GAUGE,
        help="Objects whose drift is left alone until its time.",
        means="By `drift.hold`, or by a person with `POST /hold`. Contested objects are not among them.",
    ),
    Metric(
        name="octosync_contested",
        type=MetricType.GAUGE,
        help="Objects that were healed three times in 24 hours and changed back each time.",
    ),
    Metric(
        name="octosync_uncovered",
        type=MetricType.GAUGE,
        help="Enabled capabilities whose deployments don't reach all devices of their app.",
        means="As `apps.health` returned it in the last full read; a capability that is still being rolled out isn't counted.",
    ),
    Metric(
        name="octosync_blocked",
        type=MetricType.GAUGE,
        help="Apps in which a guard refuses something now, by guard.",
        labels=(_GUARD,),
        means="All guards are always there. An app that two guards keep from something counts for both.",
    ),
    Metric(
        name="octosync_build_info",
        type=MetricType.GAUGE,
        help="Always 1; its labels say which octosync runs, on which Python.",
        labels=(
            Label(name="version", values=(), words="octosync's version"),
            Label(name="python", values=(), words="Python's version"),
        ),
    ),
)
