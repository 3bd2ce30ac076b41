"""Responses: JSON, pages with ETags, and errors as HTML or JSON; the headers of all responses, and the check of the host.

The headers let a page load only this server's own style, script and icons, and send forms to this server only. Inline scripts,
framing and caches are not allowed.
A request must name a host that this controller serves: otherwise any web page could make its own name resolve to this
controller's address, also through `kubectl port-forward` to 127.0.0.1, and read the status (DNS rebinding). These hosts are
this machine's own names, the address of the connection, which probes and Prometheus use, and the names from the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import sha256
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from octosync.errors import LeaseLost, OctosyncError, StateUnavailable, UsageError
from octosync.model import JsonObject
from octosync.report import json_text
from octosync.watch.approvals import HOST
from octosync.watch.web.pages import Page, error_page
from octosync.watch.web.server import is_loopback

FORM_TYPE: Final = "application/x-www-form-urlencoded"
_NOT_FOUND = frozenset({"app-not-declared"})
_PASSING = frozenset({"not-leading"})


def json_response(document: JsonObject, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON document."""
    return Response(json_text(document), status, media_type="application/json", headers=headers)


@dataclass(frozen=True, slots=True)
class TaggedText:
    """A JSON text and its ETag."""

    text: bytes
    etag: str

    @classmethod
    def from_text(cls, text: str) -> TaggedText:
        """Return a text with its ETag."""
        encoded = text.encode()
        return cls(encoded, f'"{sha256(encoded).hexdigest()[:32]}"')


def text_response(request: Request, text: TaggedText, now: datetime) -> Response:
    """Return a JSON response, or 304 if the client has the same one."""
    if known := _known(request, text.etag, now, "application/json"):
        return known
    return Response(text.text, media_type="application/json", headers=_validators(text.etag, now))


def page_response(request: Request, page: Page, now: datetime) -> Response:
    """Return a page, or 304 if the browser shows the same one."""
    if known := _known(request, page.etag, now, "text/html"):
        return known
    return HTMLResponse(page.html, headers=_validators(page.etag, now))


def _validators(etag: str, at: datetime) -> dict[str, str]:
    return {"ETag": etag, "Date": format_datetime(at.astimezone(UTC), usegmt=True)}


def _known(request: Request, etag: str, at: datetime, media_type: str) -> Response | None:
    tags = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if etag not in tags:
        return None
    # With its type: a browser takes a response without one for XML, and reports an empty document.
    return Response(status_code=304, headers=_validators(etag, at), media_type=media_type)


def refusal(
    request: Request,
    status: int,
    reference: str,
    message: str,
    *,
    hints: tuple[str, ...] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """Refuse: a page for a browser that reads or sends a form, JSON for everything else."""
    is_browsing = request.method in {"GET", "HEAD"} or FORM_TYPE in request.headers.get("content-type", "")
    if is_browsing and "text/html" in request.headers.get("accept", ""):
        words = f"{message[:1].upper()}{message[1:]}."
        return HTMLResponse(error_page(f"{status} {HTTPStatus(status).phrase}", words, hints), status, headers=headers)
    error: JsonObject = {"reference": reference, "message": message, "hints": list(hints)}
    return json_response({"error": error}, status, headers)


def refusal_of(request: Request, error: OctosyncError) -> Response:
    """Refuse what the controller can't do."""
    return refusal(request, status_of(error), error.reference, error.message, hints=error.hints)


def status_of(error: OctosyncError) -> int:
    """Return the HTTP status for an error of the controller."""
    if isinstance(error, StateUnavailable | LeaseLost) or error.reference in _PASSING:
        return 503
    return 404 if error.reference in _NOT_FOUND else 400 if isinstance(error, UsageError) else 409


_DIRECTIVES: Final = (
    "default-src 'none'",
    "style-src 'self'",
    "script-src 'self'",
    "connect-src 'self'",
    "img-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    # No text becomes markup or script in a page: it has no need to, and now it can't.
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "; ".join(_DIRECTIVES),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers would also hide the origin of this server's own forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class PageGuard:
    """Adds the headers to every response, and rejects hosts that are neither this machine's nor among `hosts`.

    `is_proven` returns whether another replica has forwarded a request. That replica has checked the host.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], is_proven: Callable[[Scope], bool]) -> None:
        self._app = app
        self._is_proven = is_proven
        self._hosts = frozenset(map(bare_host, hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        if scope["type"] != "http":
            return
        if not self._is_own(Headers(scope=scope).get("host", ""), scope) and not self._is_proven(scope):
            response = refusal(
                Request(scope),
                421,
                "host-unknown",
                "the request names a host that this controller doesn't serve",
                hints=(
                    "Use http://localhost or the controller's IP address, or start octosync watch with --allowed-host NAME.",
                    "The host of --external-url is allowed, too.",
                ),
            )
            await response(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)

    def _is_own(self, header: str, scope: Scope) -> bool:
        """Return whether a Host header names this controller, with or without a port, and nothing else."""
        named = HOST.fullmatch(header)
        if named is None:
            return False
        host = bare_host(named["name"])
        server = scope.get("server")
        return is_loopback(host) or host in self._hosts or (server is not None and host == bare_host(server[0]))


def bare_host(name: str) -> str:
    """Return a host in its normal form: lower case, an address without brackets, an IPv4 address as such."""
    host = name.strip("[]").rstrip(".").lower()
    with suppress(ValueError):
        address = ip_address(host)
        return str(getattr(address, "ipv4_mapped", None) or address)
    return host
