"""The application: FastAPI, with a route for each operation of the contract table and the local controls."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from octosync import __version__
from octosync.contract import OPERATIONS
from octosync.server import activity, apps, inference_config, local, slots, targets
from octosync.server.auth import authorise, key_of
from octosync.server.deployments import advance
from octosync.server.errors import ApiError
from octosync.server.exchange import Exchange, Layer, error_response
from octosync.server.handling import ANONYMOUS, Actor, Call, Handler, NoBody
from octosync.server.plane import Plane
from octosync.server.routes import PREFIX
from octosync.server.settings import Settings
from octosync.server.store import Store, to_json
from octosync.server.validation import parse_json, read_body, validated

Endpoint = Callable[[Request], Awaitable[Response]]

HANDLERS: Mapping[str, Handler[Any]] = {
    handler.operation: handler
    for room in (apps, targets, slots, inference_config, activity)
    for handler in room.HANDLERS
}


def create_app(settings: Settings) -> FastAPI:
    """Build a control plane. Raises `ConfigError` where its database can't be used.

    The database is closed when the application is collected, or by `app.state.plane.store.close()`.
    """
    store = Store(settings)
    plane = Plane(settings, store)
    app = FastAPI(
        title="Octomil apps API, embedded", version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.state.plane = plane
    weakref.finalize(app, store.close)
    for operation in OPERATIONS.values():
        if operation.id in HANDLERS:
            handler = HANDLERS[operation.id]
            app.add_api_route(
                PREFIX + handler.path,
                _operation(plane, handler),
                methods=[handler.method],
                operation_id=operation.id,
                name=operation.id,
                summary=operation.summary,
                status_code=handler.status,
                response_model=handler.answer,
            )
    for handler in local.HANDLERS:
        app.add_api_route(handler.path, _control(plane, handler), methods=[handler.method], include_in_schema=False)
    app.add_middleware(Layer, plane=plane)
    return app


def _operation(plane: Plane, handler: Handler[Any]) -> Endpoint:
    """Serve an operation: key, rate limit, scope and org first, then the body, then the transaction."""
    settings = plane.settings

    async def endpoint(request: Request) -> Response:
        exchange: Exchange = request.scope["octosync"]
        try:
            key = key_of(settings, request.headers.get("authorization"))
            exchange.received.key = key.name if key else None
            plane.windows.admit(key.name if key else "", plane.store.now().timestamp())
            actor = authorise(settings, key, handler.operation, request.query_params)
            return await _answer(plane, handler, request, actor)
        except ApiError as error:
            return error_response(error, exchange.request_id)

    return endpoint


def _control(plane: Plane, handler: Handler[Any]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            local.check_caller(request)
            return await _answer(plane, handler, request, ANONYMOUS)
        except ApiError as error:
            return error_response(error, request.scope["octosync"].request_id)

    return endpoint


async def _answer(plane: Plane, handler: Handler[Any], request: Request, actor: Actor) -> Response:
    raw = await read_body(request)
    body = NoBody()
    if handler.body is not NoBody:
        empty = handler.body_optional and not raw
        value = {} if empty else parse_json(raw, request.headers.get("content-type"))
        body = validated(handler.body, value)
    with plane.store.transaction():
        advance(plane)
        answer = handler.run(Call(plane, actor, request.path_params, request.query_params), body)
    if handler.status == 204:
        return Response(status_code=204)
    return Response(to_json(answer).encode(), handler.status, media_type="application/json")
