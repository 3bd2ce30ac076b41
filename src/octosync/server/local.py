"""The local controls below `/_local`: what only a test or a person on this machine may do. No key; loopback only."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from pydantic import Field
from starlette.requests import Request

from octosync.model import JsonValue
from octosync.server.deployments import advance
from octosync.server.errors import ApiError
from octosync.server.faults import FaultRule
from octosync.server.handling import Call, Handler, NoBody, control
from octosync.server.validation import Body


class Tick(Body):
    """The body of `POST /_local/tick`."""

    seconds: float = Field(default=60.0, ge=0, le=1e9)


def check_caller(request: Request) -> None:
    """Refuse callers from other machines, and web pages of other sites. Raises 403."""
    client = request.scope.get("client")
    if client is None or not ip_address(client[0]).is_loopback:
        raise ApiError(403, "loopback_only", "The local controls answer callers on this machine only")


@control("GET", "/requests-log", NoBody)
def requests_log(call: Call, _: NoBody) -> JsonValue:
    """Return what was received, oldest first; `?clear=true` empties the log afterwards."""
    entries = call.plane.log.to_json()
    if call.flag("clear"):
        call.plane.log.clear()
    return {"requests": entries}


@control("DELETE", "/requests-log", NoBody, status=204)
def clear_requests_log(call: Call, _: NoBody) -> JsonValue:
    """Empty the log."""
    call.plane.log.clear()
    return None


@control("POST", "/tick", Tick, body_optional=True)
def tick(call: Call, body: Tick) -> JsonValue:
    """Add to server time; deployments and canaries move on accordingly."""
    call.store.tick(body.seconds)
    advance(call.plane)
    return {"now": call.store.stamp()}


class Faults(Body):
    """The body of `PUT /_local/faults`."""

    rules: list[FaultRule]


@control("PUT", "/faults", Faults)
def put_faults(call: Call, body: Faults) -> JsonValue:
    """Replace the injected faults; the format is in `octosync.server.faults`."""
    call.plane.faults.replace(body.rules)
    return {"rules": call.plane.faults.to_json()}


@control("GET", "/faults", NoBody)
def get_faults(call: Call, _: NoBody) -> JsonValue:
    """Show the rules, each with how often it `acted`."""
    return {"rules": call.plane.faults.to_json()}


@control("DELETE", "/faults", NoBody, status=204)
def delete_faults(call: Call, _: NoBody) -> JsonValue:
    """Remove all rules."""
    call.plane.faults.replace([])
    return None


HANDLERS: tuple[Handler[Any], ...] = (requests_log, clear_requests_log, tick, put_faults, get_faults, delete_faults)
