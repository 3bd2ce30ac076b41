"""The middleware around every request: request id, requests log, host check, injected faults, crash handling, API keys.

Without configured tokens every caller has all rights, so `serve` only listens on loopback then. But any web page in a browser
on this machine can reach loopback, so requests of other sites are rejected before anything else: they have an `Origin` of
another site or `Sec-Fetch-Site: cross-site`; with DNS rebinding, a page's own name is the `Host`. Clients other than browsers
send neither `Origin` nor `Sec-Fetch-Site`. The demo's keys are accepted without configured tokens too, so that the activity
feed has names. Previews and checks are reads: the scope `apps:read` is enough.
"""

from __future__ import annotations

import hmac
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from octosync.contract import OPERATIONS, Access, ErrorCode
from octosync.server.errors import ApiError
from octosync.server.faults import ConnectionCut, Injection
from octosync.server.fleet import Plane
from octosync.server.handlers.handler import ANONYMOUS, Caller
from octosync.server.rate_limit import LoggedRequest
from octosync.server.settings import READ_SCOPE, WRITE_SCOPE, ServerSettings, Token
from octosync.server.store import to_json

PREFIX = "/api/v1"


def _by_shape() -> Mapping[tuple[str, int], list[tuple[str, list[str]]]]:
    table: defaultdict[tuple[str, int], list[tuple[str, list[str]]]] = defaultdict(list)
    # Paths with fewer parameters first, so that "bootstrap" in /apps/bootstrap is not taken for a slug.
    for operation in sorted(OPERATIONS.values(), key=lambda operation: operation.path.count("{")):
        segments = operation.path.split("/")
        table[operation.method, len(segments)].append((operation.id, segments))
    return dict(table)


_TABLE = _by_shape()


def find_operation(method: str, path: str) -> tuple[str | None, Mapping[str, str]]:
    """Return the operation id and path parameters of a request, by the contract table; (None, {}) if there is no operation."""
    if not path.startswith(f"{PREFIX}/"):
        return None, {}
    segments = path.removeprefix(PREFIX).split("/")
    for id_, template in _TABLE.get((method, len(segments)), ()):
        parameters: dict[str, str] = {}
        for expected, segment in zip(template, segments, strict=True):
            if expected.startswith("{") and segment:
                parameters[expected[1:-1]] = unquote(segment)
            elif expected != segment:
                break
        else:
            return id_, parameters
    return None, {}


_EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104  recognised, not bound


class HostGuard:
    """Rejects requests for another host or from another site. The server's names are this machine's own, and `hosts`.

    If `hosts` has a wildcard address (0.0.0.0 or ::), any IP address is accepted: only a name can be rebound.
    """

    def __init__(self, hosts: Iterable[str]) -> None:
        self._hosts = frozenset(host.strip("[]").rstrip(".").lower() for host in hosts)
        self._any_address = not _EVERY_ADDRESS.isdisjoint(self._hosts)

    def check(self, headers: Headers) -> None:
        """Raise 421 for a request to another host, 403 for a request from another site."""
        host = headers.get("host")
        if host is not None and not self._is_host(_name_in(f"//{host}")):
            raise ApiError(421, "host_unknown", "The request's Host is not a name of this server")
        origin = headers.get("origin")
        foreign = not self._is_site(_name_in(origin)) if origin is not None else _is_cross_site(headers)
        if foreign:
            raise ApiError(403, "cross_site_request", "The request comes from a web page of another site")

    def _is_host(self, name: str) -> bool:
        return self._is_site(name) or (self._any_address and _is_address(name))

    def _is_site(self, name: str) -> bool:
        return name in self._hosts or is_loopback(name) or name.endswith(".localhost")


def is_loopback(name: str) -> bool:
    """Return whether a host is always this machine."""
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_cross_site(headers: Headers) -> bool:
    return headers.get("sec-fetch-site") in {"cross-site", "same-site"}


def _name_in(url: str) -> str:
    """Return the host of a URL in lower case, "" if it has none."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for an invalid port
        return "" if "@" in parts.netloc else (parts.hostname or "").rstrip(".")
    except ValueError:
        return ""


_logger = logging.getLogger("octosync.server")


@dataclass(slots=True)
class RequestContext:
    """The id of a request, its entry in the log, and its path parameters; in the ASGI scope under `octosync`."""

    request_id: str
    logged: LoggedRequest
    parameters: Mapping[str, str]

    def excludes(self, operation: str) -> bool:
        """Return whether the request is certainly not for this operation: its path is another one's, and has no escapes."""
        found = self.logged.operation
        return found is not None and found != operation and "%" not in self.logged.path


def error_response(error: ApiError, request_id: str) -> Response:
    """Return the HTTP response of an error."""
    return Response(
        to_json(error.body(request_id)).encode(), error.status, error.headers, media_type="application/json"
    )


class ServerMiddleware:
    """ASGI middleware around everything."""

    def __init__(self, app: ASGIApp, plane: Plane) -> None:
        self._app = app
        self._plane = plane
        self._guard = HostGuard(plane.settings.hosts)
        self._count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; protocols other than HTTP pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = scope["octosync"] = self._begin(scope)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                context.logged.status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", context.request_id.encode())]
            await send(message)

        try:
            self._guard.check(Headers(scope=scope))
            injection = self._injection(context)
            if injection is None:
                await self._app(scope, receive, send_with_id)
            else:
                await injection(self._app, scope, receive, send_with_id)
        except ApiError as error:
            await error_response(error, context.request_id)(scope, receive, send_with_id)
        except ConnectionCut:
            raise
        except ClientDisconnect:
            return  # while sending its body: nothing was executed
        except Exception:
            _logger.exception("%s: %s %s failed", context.request_id, scope["method"], scope["path"])
            if context.logged.status is not None:
                raise
            crash = ApiError(500, "internal_error", "Internal error: see the log of the control plane")
            await error_response(crash, context.request_id)(scope, receive, send_with_id)

    def _begin(self, scope: Scope) -> RequestContext:
        plane = self._plane
        self._count += 1
        request_id = f"req_{plane.store.boot:04x}{self._count:08x}"
        path = _raw_path(scope)
        query = scope["query_string"].decode("latin-1")
        operation, parameters = find_operation(scope["method"], path)
        logged = LoggedRequest(scope["method"], f"{path}?{query}" if query else path, request_id, operation)
        if path.startswith(f"{PREFIX}/"):
            plane.log.add(logged)
        return RequestContext(request_id, logged, parameters)

    def _injection(self, context: RequestContext) -> Injection | None:
        plane, operation = self._plane, context.logged.operation
        rule = None if operation is None else plane.faults.take(operation, context.parameters.get("slug"))
        return None if rule is None else Injection(rule, plane.faults, plane.store, context.request_id)


def _raw_path(scope: Scope) -> str:
    """Return the path as it was sent, percent-encoded."""
    path: bytes = scope.get("raw_path", scope["path"].encode())
    return path.decode("latin-1")


def find_key(plane: Plane, authorization: str | None) -> Token | None:
    """Return the caller's key, None if it is unknown and the server has no tokens. Raises 401 if the server has tokens."""
    scheme, _, secret = (authorization or "").partition(" ")
    offered = secret.strip().encode("utf-8", "surrogateescape")
    found: Token | None = None
    for token in plane.keys:  # always all of them: the time taken must not depend on the key
        if hmac.compare_digest(token.secret.encode(), offered):
            found = token
    if scheme.lower() == "bearer" and found is not None:
        return found
    if plane.settings.tokens:
        message = (
            "The API key is invalid or revoked" if offered else "An API key is required: Authorization: Bearer <key>"
        )
        raise ApiError(401, ErrorCode.INVALID_API_KEY, message, headers={"WWW-Authenticate": "Bearer"})
    return None


def authorise(settings: ServerSettings, key: Token | None, operation: str, query: Mapping[str, str]) -> Caller:
    """Check the key's scopes and the org, and return the caller. Raises 403 `insufficient_scope`, `missing_org_context`."""
    if key is not None:
        needed = READ_SCOPE if OPERATIONS[operation].access is Access.READ else WRITE_SCOPE
        if needed not in key.scopes:
            raise ApiError(
                403,
                ErrorCode.INSUFFICIENT_SCOPE,
                f"The key lacks the scope {needed}",
                details={"required_scope": needed, "scopes": sorted(key.scopes)},
            )
    if query.get("org_id", settings.org_id) != settings.org_id:
        raise ApiError(403, ErrorCode.MISSING_ORG_CONTEXT, "The API key does not belong to the org of org_id")
    return ANONYMOUS if key is None else Caller("api_key", key.name, key.name)
