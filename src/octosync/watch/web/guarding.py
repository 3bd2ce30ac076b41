"""What every answer carries, and what is asked of every request before anything looks at it.

The headers let a page load nothing but this server's own style, script and icons, run nothing inline, be framed by nobody
and be kept by no cache. Where only this machine is listened to, a request must also name this machine as its host: else a
page anywhere could have its own name resolve to 127.0.0.1 and read what stands here (DNS rebinding). Where the network is
listened to, names are the network's, and any is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from octosync.watch.web.answers import refusal
from octosync.watch.web.commands import HOST
from octosync.watch.web.serving import is_loopback

_DIRECTIVES: Final = (
    "default-src 'none'",
    "style-src 'self'",
    "script-src 'self'",
    "connect-src 'self'",
    "img-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    # No text becomes markup or script in a page: it has no need to, and now it can't.
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "; ".join(_DIRECTIVES),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guarding:
    """Puts the headers on every answer, and refuses hosts that are not this machine's where only that is listened to."""

    def __init__(self, app: ASGIApp, *, local_only: bool) -> None:
        self._app = app
        self._local_only = local_only

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
        if self._local_only and not is_local(Headers(scope=scope).get("host", "")):
            answer = refusal(
                Request(scope),
                421,
                "host-unknown",
                "this controller listens on this machine only, and the request names another host",
                hints=("Ask for it as http://127.0.0.1 or http://localhost; a proxy has to send such a Host.",),
            )
            await answer(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)


def is_local(host: str) -> bool:
    """Say whether a Host header names this machine, with or without a port, and nothing else."""
    named = HOST.fullmatch(host)
    return named is not None and is_loopback(named["name"].strip("[]").rstrip(".").lower())
