"""The FastAPI application: a route for each operation of the contract table, the local controls, and the demo's seed.

Handlers run on the event loop, one after the other: SQLite responds in microseconds, so a thread pool would cost more than
it saves (measured over loopback with one connection: 2,700 requests/s inline), and no operation sees half of another.
`--seed demo` adds devices for the shipped examples and two API keys. It creates no app: devices belong to a target by
platform and identifier, and count once the examples' targets exist.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import cache, partial
from types import MappingProxyType
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import Scope

from octosync import __version__
from octosync.contract import OPERATIONS
from octosync.errors import UsageError
from octosync.server import openapi
from octosync.server.errors import ApiError
from octosync.server.fleet import Plane, add_devices
from octosync.server.handlers import (
    apps,
    bootstrap,
    capabilities,
    deployments,
    inference_config,
    local,
    routing,
    slots,
    targets,
)
from octosync.server.handlers.deployments import advance
from octosync.server.handlers.handler import ANONYMOUS, Call, Caller, Handler, NoBody
from octosync.server.middleware import PREFIX, RequestContext, ServerMiddleware, authorise, error_response, find_key
from octosync.server.settings import ServerSettings, Token
from octosync.server.store import Store, to_json
from octosync.server.validation import parse_json, read_body, validate_body

# Not secrets: only a control plane with the demo's seed accepts them.
DEMO_TOKENS: Final = (Token("ana", "demo-key-ana"), Token("ben", "demo-key-ben"))

_FLEET: Final = (
    # platform, identifier                     flagship high  mid  low
    ("ios", "com.octomil.canary-demo",         (310, 480, 360, 90)),
    ("android", "com.octomil.canary-demo",     (120, 290, 430, 260)),
    ("browser", "https://demo.octomil.example", (35, 140, 175, 60)),
    ("ios", "com.octomil.field-notes",         (140, 260, 210, 45)),
    ("android", "com.octomil.field-notes",     (60, 180, 340, 220)),
    ("browser", "https://support.octomil.example", (20, 110, 150, 40)),
    ("macos", "com.octomil.support-desk",      (85, 130, 65, 10)),
)  # fmt: skip
_CLASSES: Final = ("flagship", "high", "mid", "low")


def seed_demo(store: Store) -> None:
    """Add the demo's devices, once per database."""
    if store.meta("seed") is not None:
        return
    for platform, identifier, counts in _FLEET:
        for device_class, count in zip(_CLASSES, counts, strict=True):
            add_devices(store, platform, identifier, device_class, count)
    store.put_meta("seed", "demo")


Endpoint = Callable[[Request], Awaitable[Response]]

_SUBJECTS = (apps, targets, slots, inference_config, capabilities, deployments, routing, bootstrap)

HANDLERS: Mapping[str, Handler[Any]] = MappingProxyType(
    {handler.operation: handler for subject in _SUBJECTS for handler in subject.HANDLERS}
)


def create_app(settings: ServerSettings) -> FastAPI:
    """Return a control plane. Raises `ConfigError` if its database can't be used, `UsageError` for an unknown seed.

    The database is closed when the application is collected, or by `app.state.plane.store.close()`.
    """
    plane = _plane(settings)
    app = FastAPI(
        title="Octomil apps API, embedded",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        routes=[*_routes()],
    )
    app.state.plane = plane
    weakref.finalize(app, plane.store.close)
    app.add_middleware(ServerMiddleware, plane=plane)
    app.add_exception_handler(405, _method_not_allowed)
    app.openapi = partial(openapi.document, app, HANDLERS.values())  # type: ignore[method-assign]  # FastAPI's documented way
    return app


async def _method_not_allowed(request: Request, _: Exception) -> Response:
    """Return a 405 that allows the methods of all routes of the path; Starlette only names those of the first route."""
    routes = (route for route in request.app.routes if isinstance(route, Route))
    methods = {
        method
        for route in routes
        if route.methods and route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods
    }
    return JSONResponse({"detail": "Method Not Allowed"}, 405, {"Allow": ", ".join(sorted(methods))})


class _OperationRoute(APIRoute):
    """The route of an operation. Routes are tried one after the other, so it first asks whether its pattern can match."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint itself: it takes the request and has no dependencies that FastAPI would have to resolve."""
        return self.endpoint

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether a request is for this operation."""
        context: RequestContext = scope["octosync"]
        return (Match.NONE, {}) if context.excludes(self.name) else super().matches(scope)


@cache  # the same for every control plane, and slow to build
def _routes() -> tuple[APIRoute, ...]:
    operations = ((operation, HANDLERS[operation.id]) for operation in OPERATIONS.values())
    return (
        *(
            _OperationRoute(
                PREFIX + handler.path,
                _operation(handler),
                methods=[handler.method],
                operation_id=operation.id,
                name=operation.id,
                summary=operation.summary,
                status_code=handler.status,
                response_model=handler.response,
                openapi_extra=openapi.openapi_extra(handler),
            )
            for operation, handler in operations
        ),
        *(
            APIRoute(handler.path, _control(handler), methods=[handler.method], include_in_schema=False)
            for handler in local.HANDLERS
        ),
    )


def _plane(settings: ServerSettings) -> Plane:
    if settings.seed not in {None, "demo"}:
        raise UsageError("unknown-seed", f"unknown seed {settings.seed!r}", hints=("Valid seeds: demo",))
    store = Store(settings)
    keys = settings.tokens
    if settings.seed == "demo":
        keys = (*keys, *DEMO_TOKENS)
        with store.transaction():
            seed_demo(store)
    return Plane(settings, store, keys)


def _operation(handler: Handler[Any]) -> Endpoint:
    """Return an operation's endpoint. It checks key, rate limit, scope, org and body, then runs the handler."""

    async def endpoint(request: Request) -> Response:
        plane: Plane = request.app.state.plane
        context: RequestContext = request.scope["octosync"]
        try:
            key = find_key(plane, request.headers.get("authorization"))
            context.logged.key = key.name if key else None
            plane.windows.admit(key.secret if key else "", plane.store.now().timestamp())
            actor = authorise(plane.settings, key, handler.operation, request.query_params)
            return await _respond(plane, handler, request, actor)
        except ApiError as error:
            return error_response(error, context.request_id)

    return endpoint


def _control(handler: Handler[Any]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            local.check_caller(request)
            return await _respond(request.app.state.plane, handler, request, ANONYMOUS)
        except ApiError as error:
            return error_response(error, request.scope["octosync"].request_id)

    return endpoint


async def _respond(plane: Plane, handler: Handler[Any], request: Request, actor: Caller) -> Response:
    body = NoBody()
    if handler.body is not NoBody:
        raw = await read_body(request)
        empty = handler.body_optional and not raw
        value = {} if empty else parse_json(raw, request.headers.get("content-type"))
        body = validate_body(handler.body, value)
    advance(plane)
    with plane.store.transaction():
        response = handler.run(Call(plane, actor, request.path_params, request.query_params), body)
    if handler.status == 204:
        return Response(status_code=204)
    return Response(to_json(response).encode(), handler.status, media_type="application/json")
