"""The web application: its routes and endpoints."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Hashable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Final, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from octosync.errors import UsageError
from octosync.model import Secret
from octosync.report import json_text
from octosync.watch.approvals import origin_of
from octosync.watch.controller_api import ControllerApi
from octosync.watch.log import Log
from octosync.watch.status import ControllerStatus
from octosync.watch.web.app_list import AppFilter
from octosync.watch.web.document import watch_document
from octosync.watch.web.forms import Forms
from octosync.watch.web.forward import Forwarding, ForwardLimits, LeaderConnection, status_with_leader
from octosync.watch.web.pages import CACHED, Page, PageRequest, app_page, app_url, apps_page, asset_at, status_page
from octosync.watch.web.post_endpoints import POSTS, Post, TokenAuthenticator, respond_to_post
from octosync.watch.web.responses import PageGuard, TaggedText, page_response, refusal, text_response
from octosync.watch.web.sessions import Sessions
from octosync.watch.web.summary import stuck_words, unready_words, waiting_words

T = TypeVar("T")

_KEPT: Final = 16  # the status page and the list by state, and the pages of a few apps
# Fields that differ at each moment. Pages show times of the current day without a date.
_MOMENTARY: Final = frozenset({"now", "turned_at"})
_COMPARED: Final = tuple(known.name for known in fields(ControllerStatus) if known.name not in _MOMENTARY)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebOptions:
    """What is served.

    `metrics` renders the metrics, `metrics_type` is their content type. `admin_token` None disables the POSTs. `hosts` are
    accepted host names besides this machine's own and its address. `refresh_seconds` is the refresh interval of an open page.
    `log` gets failed attempts at the admin token, and the actions of people. `clock` is for their sessions. `refresh` reads the
    shared state again before a standby shows it. `forward` are the limits of the requests that a standby forwards.
    """

    control: ControllerApi
    metrics: Callable[[], bytes]
    metrics_type: str
    admin_token: Secret | None = None
    hosts: Collection[str] = ()
    log: Log | None = None
    refresh_seconds: float = 5
    clock: Callable[[], float] = time.monotonic
    refresh: Callable[[], Awaitable[None]] | None = None
    forward: ForwardLimits = field(default_factory=ForwardLimits)


def create_app(source: WebOptions) -> ASGIApp:
    """Return the application. GET requests change nothing; only rendered pages are kept between requests."""
    authenticator = TokenAuthenticator(source.admin_token, source.log, source.clock)
    sessions = Sessions(source.clock)
    leader = LeaderConnection(source.forward, source.log)
    snapshots = Snapshots(lambda: status_with_leader(source.control.status(), leader.unreachable))
    pages = _Pages(source, snapshots, authenticator, sessions)
    forms = Forms(control=source.control, authenticator=authenticator, sessions=sessions)
    app = Starlette(
        routes=[
            Route("/", pages.status),
            Route("/apps", pages.apps),
            Route("/apps/{slug:path}", pages.app),
            Route("/api/status", pages.document),
            Route("/healthz", pages.health),
            Route("/readyz", pages.readiness),
            Route("/metrics", pages.metrics),
            Route("/static/{path}", pages.asset),
            *(Route(post.path, pages.post(post), methods=["POST"]) for post in POSTS),
            *(Route(f"/actions{post.path}", forms.action(post), methods=["GET", "POST"]) for post in POSTS),
            Route("/sign-in", forms.sign_in, methods=["GET", "POST"]),
            Route("/sign-out", forms.sign_out, methods=["POST"]),
        ],
        exception_handlers={HTTPException: _refused, Exception: _failed},
    )
    app.router.redirect_slashes = False
    forwarding = Forwarding(app, leader, replica=lambda: source.control.health().replica, refresh=source.refresh)
    # Outermost, so that error responses have the headers, too.
    return PageGuard(forwarding, hosts=source.hosts, is_proven=forwarding.is_proven)


class Snapshots:
    """Renderings of the status, kept until it changes, and made in a thread, one at a time.

    Rendering a thousand apps takes longer than a probe waits: however many requests arrive, the loop only compares two statuses.
    `status` is called at each request, in the loop; its result is immutable.
    """

    def __init__(self, status: Callable[[], ControllerStatus]) -> None:
        self._status = status
        self._kept: dict[Hashable, tuple[ControllerStatus, Any]] = {}  # the most recently used is last
        self._one_at_a_time = asyncio.Lock()

    async def rendered(self, key: Hashable, render: Callable[[ControllerStatus], T]) -> tuple[T, datetime]:
        """Return the current status as `render` renders it, and the time. The same status is rendered once per key."""
        async with self._one_at_a_time:
            status = self._status()
            kept = self._kept.pop(key, None)
            if kept is None or not is_same(kept[0], status):
                kept = (status, await asyncio.to_thread(render, status))
            self._kept[key] = kept
            if len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
            return kept[1], status.now


def is_same(before: ControllerStatus, after: ControllerStatus) -> bool:
    """Return whether two statuses are rendered alike. Parts that did not change are the same objects, so this is quick."""
    same_day = before.now.date() == after.now.date()
    return same_day and all(getattr(before, name) == getattr(after, name) for name in _COMPARED)


class _Pages:
    """The endpoints. All of them are coroutines: they run in the loop that the status belongs to."""

    def __init__(
        self, source: WebOptions, snapshots: Snapshots, authenticator: TokenAuthenticator, sessions: Sessions
    ) -> None:
        self._source = source
        self._snapshots = snapshots
        self._authenticator = authenticator
        self._sessions = sessions

    async def status(self, request: Request) -> Response:
        """Return the status page."""
        return await self._filtered(request, "/", status_page)

    async def apps(self, request: Request) -> Response:
        """Return the list of the apps that match the filter."""
        return await self._filtered(request, "/apps", apps_page)

    async def app(self, request: Request) -> Response:
        """Return the page of an app."""
        slug = request.path_params["slug"]
        return await self._filtered(
            request,
            app_url(slug),
            lambda status, asked, wanted: app_page(status, asked, slug, wanted) if slug in status.apps else None,
        )

    async def _filtered(
        self, request: Request, path: str, render: Callable[[ControllerStatus, PageRequest, AppFilter], Page | None]
    ) -> Response:
        try:
            wanted = AppFilter.from_query(request.query_params)
        except UsageError as error:
            return refusal(request, 400, error.reference, error.message, hints=error.hints)
        asked = self._asked(request, f"{path}{wanted.query(page=wanted.page)}")
        page, now = await self._snapshots.rendered((path, asked, wanted), lambda status: render(status, asked, wanted))
        if page is None:
            hint = "It may not be declared any more; /apps lists the declared apps."
            message = f"unknown app {request.path_params['slug']!r}"
            return refusal(request, 404, "app-not-declared", message, hints=(hint,))
        return page_response(request, page, now)

    async def document(self, request: Request) -> Response:
        """Return the status as JSON."""
        return text_response(request, *await self._snapshots.rendered("/api/status", _status_text))

    async def health(self, request: Request) -> Response:
        """Return whether the loop is healthy."""
        del request
        status = self._source.control.health()
        return _probe("" if status.healthy else stuck_words(status))

    async def readiness(self, request: Request) -> Response:
        """Return whether a first resync is done and the API key works."""
        del request
        status = self._source.control.health()
        return _probe("" if status.ready else unready_words(status), but=waiting_words(status))

    async def metrics(self, request: Request) -> Response:
        """Return the metrics."""
        del request
        return Response(self._source.metrics(), headers={"Content-Type": self._source.metrics_type})

    async def asset(self, request: Request) -> Response:
        """Serve a file, cached without limit: other content has another URL."""
        found = asset_at(request.path_params["path"])
        if found is None:
            return _not_found(request)
        return Response(found.body, headers={"Content-Type": found.content_type, "Cache-Control": CACHED})

    def _asked(self, request: Request, back: str) -> PageRequest:
        """Return what is asked for; of the query only what a session knows, because each kind of page is rendered once."""
        session = self._sessions.find(request)
        return PageRequest(
            origin=origin_of(request.url.scheme, request.headers.get("host", "")),
            refresh_seconds=self._source.refresh_seconds,
            viewer=None if session is None else session.viewer,
            back=back,
            notice=None if session is None else session.notices.get(request.query_params.get("done", "")),
        )

    def post(self, post: Post) -> Callable[[Request], Awaitable[Response]]:
        """Return the endpoint of one POST."""

        async def endpoint(request: Request) -> Response:
            return respond_to_post(request, post, self._source.control, self._authenticator)

        return endpoint


def _status_text(status: ControllerStatus) -> TaggedText:
    return TaggedText.from_text(json_text(watch_document(status)))


def _probe(why_not: str, but: str = "") -> Response:
    """Respond to a probe; `but` is a problem that doesn't make the probe fail."""
    return PlainTextResponse(f"{why_not or (f'ok, but {but}' if but else 'ok')}\n", 503 if why_not else 200)


def _not_found(request: Request) -> Response:
    return refusal(
        request, 404, "not-found", f"nothing is served at {request.url.path}", hints=("The status page is at /.",)
    )


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 405:
        headers = dict(getattr(error, "headers", None) or {})
        methods = headers.get("Allow", "")
        message = f"{request.url.path} does not support {request.method}"
        return refusal(request, 405, "method-not-allowed", message, hints=(f"Supported: {methods}.",), headers=headers)
    return _not_found(request)


async def _failed(request: Request, error: Exception) -> Response:
    del error  # the server logs it
    message = "this page could not be rendered"
    return refusal(request, 500, "internal-error", message, hints=("This is a bug in octosync; see its log.",))
