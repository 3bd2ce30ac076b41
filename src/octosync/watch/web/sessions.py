"""Sessions of people who have signed in on the page with the admin token, and the checks that a form has to pass.

A session is known by a random cookie and is kept in memory only: a restart ends it, and the cookie contains nothing about the
token. Opening pages does not prolong a session, because an open page reloads itself; only actions do.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from secrets import token_urlsafe
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from octosync.model import truncated
from octosync.watch.approvals import HOST

IDLE_SECONDS: Final = 30 * 60.0  # without an action
LIFETIME_SECONDS: Final = 8 * 3600.0
_MOST_SESSIONS: Final = 50
_MOST_NOTICES: Final = 50
_LONGEST_NAME: Final = 60  # characters
_COOKIE: Final = "octosync_session"


@dataclass(frozen=True, slots=True)
class Viewer:
    """The person for whom a page is rendered: the token that the forms contain, and the name given at sign-in."""

    csrf: str
    name: str


@dataclass(frozen=True, slots=True)
class ActionNotice:
    """The result of an action, in a sentence. It has a time, because an open page shows it until the person leaves the page."""

    words: str
    at: datetime


@dataclass(slots=True, kw_only=True)
class Session:
    """A session. `viewer` is its person, `notices` are the results of its latest forms, by the id of the form.

    A form that is sent twice has one result: the second time, nothing is done.
    """

    viewer: Viewer
    address: str
    started: float
    used: float
    notices: dict[str, ActionNotice] = field(default_factory=dict)

    @property
    def log_fields(self) -> Mapping[str, str | None]:
        """The fields of a log event about the session. Nothing proves the name."""
        return {"address": self.address, "claimed_name": self.viewer.name or None}

    def has_sent(self, csrf: str) -> bool:
        """Return whether a form with this token is one of this session. Takes the same time for every wrong token."""
        return hmac.compare_digest(csrf.encode(), self.viewer.csrf.encode())

    def record_notice(self, form: str, notice: ActionNotice) -> None:
        """Record the result of a form."""
        self.notices[form] = notice
        while len(self.notices) > _MOST_NOTICES:
            del self.notices[next(iter(self.notices))]


class Sessions:
    """The sessions of this process, by the hash of their cookie. The one that was used first makes room for others."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: dict[bytes, Session] = {}

    def start(self, request: Request, response: Response, *, name: str) -> Session:
        """Start a session and set its cookie. A session that the request already has ends: its cookie is never used again."""
        self.end(request)
        now = self._clock()
        session = Session(viewer=Viewer(token_urlsafe(32), name), address=address_of(request), started=now, used=now)
        cookie = token_urlsafe(32)
        self._sessions[_hash(cookie)] = session
        while len(self._sessions) > _MOST_SESSIONS:
            del self._sessions[min(self._sessions, key=lambda key: self._sessions[key].used)]
        response.set_cookie(
            _cookie_name(request), cookie, path="/", secure=has_tls(request), httponly=True, samesite="strict"
        )
        return session

    def find(self, request: Request) -> Session | None:
        """Return the session of a request; None if it has none, or one that has expired."""
        session, now = self._sessions.get(_key(request)), self._clock()
        if session is None or now - session.used >= IDLE_SECONDS or now - session.started >= LIFETIME_SECONDS:
            return None
        return session

    def browser_of(self, request: Request) -> str:
        """Return the name of a browser with a session that has not been ended, also if it has expired; "" for others."""
        key = _key(request)
        return key.hex() if key in self._sessions else ""

    def use(self, session: Session) -> None:
        """Prolong a session."""
        session.used = self._clock()

    def end(self, request: Request) -> None:
        """End the session of a request, if it has one."""
        self._sessions.pop(_key(request), None)


def forget_cookie(request: Request, response: Response) -> None:
    """Make the browser delete the cookie of a session."""
    response.delete_cookie(_cookie_name(request), path="/", secure=has_tls(request), httponly=True, samesite="strict")


def is_own_page(request: Request) -> bool:
    """Return whether a page of this server sent a request, as the browser reports it. No page can change these headers."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    scheme, _, host = request.headers.get("origin", "").partition("://")
    return scheme in {"http", "https"} and host.lower() == request.headers.get("host", "").lower()


def is_foreign_page(request: Request) -> bool:
    """Return whether a page of another server sent a request."""
    return ("sec-fetch-site" in request.headers or "origin" in request.headers) and not is_own_page(request)


def has_tls(request: Request) -> bool:
    """Return whether the browser uses TLS: this server doesn't, a proxy in front of it may, and the browser names the scheme."""
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")


def address_of(request: Request) -> str:
    """Return the address that a request came from."""
    return request.client.host if request.client is not None else "unknown"


def person_name(text: str) -> str:
    """Return a typed name on one line, without invisible characters, and truncated if it is too long."""
    return truncated("".join(filter(str.isprintable, " ".join(text.split()))), _LONGEST_NAME)


def _cookie_name(request: Request) -> str:
    """Return the name of the cookie. Browsers share cookies between the ports of a host, so it contains the port."""
    named = HOST.fullmatch(request.headers.get("host", ""))
    port = named[2] if named is not None else None
    return f"{_COOKIE}_{port[1:]}" if port else _COOKIE


def _key(request: Request) -> bytes:
    return _hash(request.cookies.get(_cookie_name(request), ""))


def _hash(cookie: str) -> bytes:
    return sha256(cookie.encode()).digest()
