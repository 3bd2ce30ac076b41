"""The client of a control plane, and everything that is read through it.

Manifests, decisions (`plan`), the order of writes and the handling of a lost one (`apply`), and printing don't belong here.
Exceptions of httpx, aiohttp and pydantic are translated into `RemoteError` and don't leave this package.
"""

from typing import TYPE_CHECKING

from octosync.exports import lazy_exports

if TYPE_CHECKING:
    from octosync.octomil.activity import EventsPage, read_app_events, read_org_events
    from octosync.octomil.client import ApiResponse, Octomil, RequestNotPermitted, TracedRequest
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
    from octosync.octomil.examination import Examination, examine
    from octosync.octomil.follow_up_reads import enrich
    from octosync.octomil.live_state import MAX_APPS_READ_BY_SLUG, observe
    from octosync.octomil.pagination import ReadResult
    from octosync.octomil.probe import document_source, fetch_document, is_url, probe_reads
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
else:
    __all__, __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "activity": "EventsPage read_app_events read_org_events",
            "client": "ApiResponse Octomil RequestNotPermitted TracedRequest",
            "deployments": "DecisionsPage check_optimization parse_deployment_response preview_enable read_deployments "
            "read_first_request read_health read_org_deployments read_org_deployments_if_cheaper "
            "read_routing_decisions read_routing_stats",
            "examination": "Examination examine",
            "follow_up_reads": "enrich",
            "live_state": "MAX_APPS_READ_BY_SLUG observe",
            "pagination": "ReadResult",
            "probe": "document_source fetch_document is_url probe_reads",
            "rate_limit": "PERCENT_FOR_WRITES UNREADABLE_CODES Budget OnRequest RateLimiter RateOptions RequestPriority "
            "Reservation SentRequest WaitNotice WaitReason",
            "resources": "read_app read_apps read_inference_config read_slot read_slots read_targets",
            "retry": "retry_after",
            "status": "FoundApps find_apps is_glob read_overviews read_presence read_statuses",
            "transport": "API_PATH REQUESTS_PER_MINUTE Connection check_proxy is_loopback load_certificate_authorities "
            "normalise_url proxy_from_environment",
        },
    )
