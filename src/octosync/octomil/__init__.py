"""The remote: an async client for a control plane, and what is read through it.

What may not live here: manifests, decisions (`plan`), the order of writes and what to do about a lost one (`apply`),
anything that prints. Foreign exceptions end here: whatever httpx, aiohttp or pydantic raise becomes a `RemoteError`.
"""

from octosync.octomil.activity import EventsPage, app_events, org_events
from octosync.octomil.client import Answer, Octomil, Withheld
from octosync.octomil.deployments import (
    DecisionsPage,
    check_optimization,
    deployment_in,
    deployments_reading,
    first_request,
    health,
    org_deployments_if_fewer,
    org_deployments_reading,
    preview,
    routing_decisions,
    routing_stats,
)
from octosync.octomil.enrich import inquire
from octosync.octomil.observe import MOST_READ_BY_SLUG, observe
from octosync.octomil.pagination import Reading
from octosync.octomil.probe import PROBED_BY_GET, fetch, is_url, probe, source_of
from octosync.octomil.rate_limit import (
    PERCENT_FOR_WRITES,
    UNREADABLE_ANSWERS,
    Budget,
    OnRequest,
    Pace,
    Pacer,
    Priority,
    Request,
    Reservation,
    Waiting,
    WaitReason,
)
from octosync.octomil.resources import (
    app_reading,
    apps_reading,
    inference_config_reading,
    read_slot,
    slots_reading,
    targets_reading,
)
from octosync.octomil.retry import retry_after
from octosync.octomil.status import FoundApps, find_apps, is_glob, read_presence, read_statuses
from octosync.octomil.transport import (
    API_PATH,
    REQUESTS_PER_MINUTE,
    Connection,
    authorities,
    check_proxy,
    is_loopback,
    normalise_url,
    proxy_of,
)

__all__ = [
    "API_PATH",
    "MOST_READ_BY_SLUG",
    "PERCENT_FOR_WRITES",
    "PROBED_BY_GET",
    "REQUESTS_PER_MINUTE",
    "UNREADABLE_ANSWERS",
    "Answer",
    "Budget",
    "Connection",
    "DecisionsPage",
    "EventsPage",
    "FoundApps",
    "Octomil",
    "OnRequest",
    "Pace",
    "Pacer",
    "Priority",
    "Reading",
    "Request",
    "Reservation",
    "WaitReason",
    "Waiting",
    "Withheld",
    "app_events",
    "app_reading",
    "apps_reading",
    "authorities",
    "check_optimization",
    "check_proxy",
    "deployment_in",
    "deployments_reading",
    "fetch",
    "find_apps",
    "first_request",
    "health",
    "inference_config_reading",
    "inquire",
    "is_glob",
    "is_loopback",
    "is_url",
    "normalise_url",
    "observe",
    "org_deployments_if_fewer",
    "org_deployments_reading",
    "org_events",
    "preview",
    "probe",
    "proxy_of",
    "read_presence",
    "read_slot",
    "read_statuses",
    "retry_after",
    "routing_decisions",
    "routing_stats",
    "slots_reading",
    "source_of",
    "targets_reading",
]
