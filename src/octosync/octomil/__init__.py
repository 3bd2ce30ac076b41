"""The client of a control plane, and everything that is read through it.

Manifests, decisions (`plan`), the order of writes and the handling of a lost one (`apply`), and printing don't belong here.
Exceptions of httpx, aiohttp and pydantic are translated into `RemoteError` and don't leave this package.
"""

from octosync.octomil.activity import EventsPage, read_app_events, read_org_events
from octosync.octomil.client import ApiResponse, Octomil, RequestNotPermitted
from octosync.octomil.deployments import (
    DecisionsPage,
    check_optimization,
    parse_deployment_response,
    preview_enable,
    read_deployments,
    read_first_request,
    read_health,
    read_org_deployments,
    read_org_deployments_if_cheaper,
    read_routing_decisions,
    read_routing_stats,
)
from octosync.octomil.enrich import enrich
from octosync.octomil.observe import MAX_APPS_READ_BY_SLUG, observe
from octosync.octomil.pagination import ReadResult
from octosync.octomil.probe import PROBED_BY_GET, document_source, fetch_document, is_url, probe
from octosync.octomil.rate_limit import (
    PERCENT_FOR_WRITES,
    UNREADABLE_CODES,
    Budget,
    OnRequest,
    RateLimiter,
    RateOptions,
    RequestPriority,
    Reservation,
    SentRequest,
    WaitNotice,
    WaitReason,
)
from octosync.octomil.resources import (
    read_app,
    read_apps,
    read_inference_config,
    read_slot,
    read_slots,
    read_targets,
)
from octosync.octomil.retry import retry_after
from octosync.octomil.status import FoundApps, find_apps, is_glob, read_overviews, read_presence, read_statuses
from octosync.octomil.transport import (
    API_PATH,
    REQUESTS_PER_MINUTE,
    Connection,
    check_proxy,
    is_loopback,
    load_certificate_authorities,
    normalise_url,
    proxy_from_environment,
)

__all__ = [
    "API_PATH",
    "MAX_APPS_READ_BY_SLUG",
    "PERCENT_FOR_WRITES",
    "PROBED_BY_GET",
    "REQUESTS_PER_MINUTE",
    "UNREADABLE_CODES",
    "ApiResponse",
    "Budget",
    "Connection",
    "DecisionsPage",
    "EventsPage",
    "FoundApps",
    "Octomil",
    "OnRequest",
    "RateLimiter",
    "RateOptions",
    "ReadResult",
    "RequestNotPermitted",
    "RequestPriority",
    "Reservation",
    "SentRequest",
    "WaitNotice",
    "WaitReason",
    "check_optimization",
    "check_proxy",
    "document_source",
    "enrich",
    "fetch_document",
    "find_apps",
    "is_glob",
    "is_loopback",
    "is_url",
    "load_certificate_authorities",
    "normalise_url",
    "observe",
    "parse_deployment_response",
    "preview_enable",
    "probe",
    "proxy_from_environment",
    "read_app",
    "read_app_events",
    "read_apps",
    "read_deployments",
    "read_first_request",
    "read_health",
    "read_inference_config",
    "read_org_deployments",
    "read_org_deployments_if_cheaper",
    "read_org_events",
    "read_overviews",
    "read_presence",
    "read_routing_decisions",
    "read_routing_stats",
    "read_slot",
    "read_slots",
    "read_statuses",
    "read_targets",
    "retry_after",
]
