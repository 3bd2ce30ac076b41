"""What wraps every request: its id, its line in the requests log, injected faults, and the last resort against a crash."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from octosync.server.errors import ApiError
from octosync.server.faults import ConnectionCut, Injection
from octosync.server.guard import Guard
from octosync.server.plane import Plane
from octosync.server.requests_log import Received
from octosync.server.routes import PREFIX, operation_at
from octosync.server.store import to_json

_logger = logging.getLogger("octosync.server")


@dataclass(slots=True)
class Exchange:
    """One request and its line in the log; found in the scope under `octosync`."""

    request_id: str
    received: Received


def error_response(error: ApiError, request_id: str) -> Response:
    """Render an error answer."""
    return Response(
        to_json(error.body(request_id)).encode(), error.status, error.headers, media_type="application/json"
    )


class Layer:
    """ASGI middleware around everything."""

    def __init__(self, app: ASGIApp, plane: Plane) -> None:
        self._app = app
        self._plane = plane
        self._guard = Guard(plane.settings.hosts)
        self._count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; nothing but HTTP is touched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = scope["octosync"] = self._begin(scope)

        async def tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.received.status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", exchange.request_id.encode())]
            await send(message)

        try:
            self._guard.check(Headers(scope=scope))
            injection = self._injection(scope, exchange)
            if injection is None:
                await self._app(scope, receive, tagged)
            else:
                await injection(self._app, scope, receive, tagged)
        except ApiError as refused:
            await error_response(refused, exchange.request_id)(scope, receive, tagged)
        except ConnectionCut:
            raise
        except ClientDisconnect:
            return  # in the midst of its body: nothing was carried out, and nobody waits for an answer
        except Exception:
            _logger.exception("%s: %s %s failed", exchange.request_id, scope["method"], scope["path"])
            if exchange.received.status is not None:
                raise
            crash = ApiError(500, "internal_error", "The control plane failed; its log has the reason")
            await error_response(crash, exchange.request_id)(scope, receive, tagged)

    def _begin(self, scope: Scope) -> Exchange:
        plane = self._plane
        self._count += 1
        request_id = f"req_{plane.store.boot:04x}{self._count:08x}"
        path = _path(scope)
        query = scope["query_string"].decode("latin-1")
        operation, _ = operation_at(scope["method"], path)
        received = Received(scope["method"], f"{path}?{query}" if query else path, request_id, operation)
        if path.startswith(f"{PREFIX}/"):
            plane.log.add(received)
        return Exchange(request_id, received)

    def _injection(self, scope: Scope, exchange: Exchange) -> Injection | None:
        plane = self._plane
        operation, parameters = operation_at(scope["method"], _path(scope))
        rule = None if operation is None else plane.faults.take(operation, parameters.get("slug"))
        return None if rule is None else Injection(rule, plane.faults, plane.store, exchange.request_id)


def _path(scope: Scope) -> str:
    """Return the path as it was sent, still percent-encoded."""
    path: bytes = scope.get("raw_path", scope["path"].encode())
    return path.decode("latin-1")
