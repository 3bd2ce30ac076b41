"""The POST endpoints, for people with the admin token. Parameters are in the query; there is no body.

The token is accepted in the `Authorization` header only. Browsers never add this header automatically, and a script of another
site may not set it, so no page can make a browser send one of these requests. The forms of the page have endpoints of their own,
with the same operations.
"""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from octosync.errors import ConfigError, OctosyncError, UsageError
from octosync.manifest import parse_duration
from octosync.model import JsonObject, Secret
from octosync.plan import GUARDS, guard_of
from octosync.report.text import listed
from octosync.watch.approvals import TOKEN_VARIABLE
from octosync.watch.controller_api import ControllerApi
from octosync.watch.log import Log
from octosync.watch.web.document import hold_part
from octosync.watch.web.responses import json_response, refusal, refusal_of
from octosync.watch.web.sessions import Viewer, address_of, is_foreign_page

_LONGEST_REASON: Final = 500  # characters
_SCHEME: Final = "bearer"


@dataclass(frozen=True, slots=True)
class Post:
    """A POST endpoint: its required and optional parameters, and its operation.

    The values of the `repeatable` parameter are joined by commas. `advice` explains where to find the parameters.
    """

    path: str
    needs: tuple[str, ...]
    may_have: tuple[str, ...]
    act: Callable[[ControllerApi, Mapping[str, str]], JsonObject]
    repeatable: str = ""
    advice: str = ""

    @property
    def example(self) -> str:
        """An example of the request."""
        given = "&".join(f"{name}={_EXAMPLES[name]}" for name in (*self.needs, *self.may_have))
        return f"POST {self.path}{f'?{given}' if given else ''}"


def _reconcile(control: ControllerApi, given: Mapping[str, str]) -> JsonObject:
    return {"queued": control.reconcile(given.get("app"))}


def _suspend(control: ControllerApi, given: Mapping[str, str]) -> JsonObject:
    control.suspend(given.get("reason", ""))
    return {"suspended": True}


def _resume(control: ControllerApi, given: Mapping[str, str]) -> JsonObject:
    del given
    control.resume()
    return {"suspended": False}


def _hold(control: ControllerApi, given: Mapping[str, str]) -> JsonObject:
    return {"hold": hold_part(control.hold(given["app"], _duration(given["for"]), given["reason"])).as_json()}


def _release(control: ControllerApi, given: Mapping[str, str]) -> JsonObject:
    control.release(given["app"])
    return {"released": given["app"]}


def _approve(control: ControllerApi, given: Mapping[str, str]) -> JsonObject:
    guard, apps = given["guard"], tuple(given["app"].split(",")) if "app" in given else ()
    if guard_of(guard) is None:
        hint = f"The guards are {listed(tuple(GUARDS), at_most=len(GUARDS))}."
        raise UsageError("parameters-wrong", f"guard: unknown guard {guard!r}", hints=(hint,))
    return {"approved": control.approve(guard, given["seen"], apps)}


POSTS: Final = (
    Post("/reconcile", (), ("app",), _reconcile),
    Post("/suspend", (), ("reason",), _suspend),
    Post("/resume", (), (), _resume),
    Post("/hold", ("app", "for", "reason"), (), _hold),
    Post("/release", ("app",), (), _release),
    Post(
        "/approve",
        ("guard", "seen"),
        ("app",),
        _approve,
        repeatable="app",
        advice="The status page and /api/status show the complete command for what is blocked now, including `seen`: "
        "it approves exactly what you have reviewed.",
    ),
)
_EXAMPLES: Final = {"app": "SLUG", "for": "4h", "reason": "WHY", "guard": "deletes", "seen": "DIGEST"}


_SHORTEST_TOKEN: Final = 16  # characters, of which
_FEWEST_DIFFERENT: Final = 6
_MOST_FAILURES: Final = 10  # of one address, within
_FORGIVEN_AFTER: Final = 60.0  # seconds
_MOST_ADDRESSES: Final = 1_000


def admin_token(text: str | None) -> Secret | None:
    """Return the token from its variable, without surrounding blanks: a file that it was made from ends in a newline.

    None disables the POSTs. Raises `ConfigError` for a token that a header can't contain, and for one that can be guessed.
    """
    token = (text or "").strip()
    if not (token.isascii() and token.isprintable()):
        raise ConfigError(
            "admin-token-malformed",
            f"{TOKEN_VARIABLE} contains characters that an Authorization header can't contain",
            hints=("Use letters and digits, for example from `openssl rand -hex 32`.",),
        )
    if token and (len(token) < _SHORTEST_TOKEN or len(set(token)) < _FEWEST_DIFFERENT):
        raise ConfigError(
            "admin-token-weak",
            f"{TOKEN_VARIABLE} is too weak: it needs at least {_SHORTEST_TOKEN} characters, {_FEWEST_DIFFERENT} of them "
            "different",
            hints=("Generate one: `openssl rand -hex 32`.",),
        )
    return Secret(token) if token else None


class TokenAuthenticator:
    """Checks the admin token. It logs failed attempts, and rejects an address with too many of them for a time."""

    def __init__(
        self, token: Secret | None, log: Log | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._token = token
        self.log = log
        self._clock = clock
        self._failures: dict[str, tuple[int, float]] = {}  # by address or browser: how many, since when

    @property
    def is_enabled(self) -> bool:
        """Whether there is a token."""
        return bool(self._token)

    def refused(self, request: Request) -> Response | None:
        """Return the refusal of a POST, None if it has the token."""
        if not self._token:
            return posts_off(request)
        if is_foreign_page(request) and "authorization" not in request.headers:
            # Not an attempt: otherwise any web page could block the address of a person who opens it.
            return foreign_page(request)
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        wait = self.check(request, given if scheme.lower() == _SCHEME else "")
        if wait is None:
            return None
        return too_many(request, wait) if wait else _unauthorized(request)

    def check(self, request: Request, given: str, browser: str = "") -> int | None:
        """Return None if a token is right, 0 if it is wrong, and how many seconds to wait after too many wrong ones.

        While an address waits, the right token is rejected, too: a response to it would let an attacker continue to guess.
        A `browser` that has signed in before is counted by itself, so that others at the same address, for example behind the
        same proxy, can't keep its person out.
        """
        address, now = address_of(request), self._clock()
        caller = browser or address
        failures, since = self._failures.pop(caller, (0, now))
        left = since + _FORGIVEN_AFTER - now
        if left <= 0:
            failures, since = 0, now
        if failures >= _MOST_FAILURES:
            self._failures[caller] = (failures, since)
            return math.ceil(left)
        if self._token and hmac.compare_digest(given.strip().encode(), self._token.reveal().encode()):
            return None
        self._failures[caller] = (failures + 1, since)
        while len(self._failures) > _MOST_ADDRESSES:
            del self._failures[next(iter(self._failures))]
        if self.log is not None:
            self.log.warning(
                "admin_token_refused",
                message=f"a POST from {address} was refused: its admin token is missing or wrong",
                path=request.url.path,
                address=address,
                failures=failures + 1,
            )
        return 0


def respond_to_post(
    request: Request, post: Post, control: ControllerApi, authenticator: TokenAuthenticator
) -> Response:
    """Call the operation of a POST, or return the error; nothing is done in part."""
    refused = authenticator.refused(request)
    if refused is not None:
        return refused
    given: Mapping[str, str] = {}
    try:
        given = _parameters(request, post)
        response = json_response(post.act(control, given))
    except OctosyncError as error:
        log_action(authenticator.log, request, post, given, outcome=error.reference)
        return refusal_of(request, error)
    log_action(authenticator.log, request, post, given, outcome="done")
    return response


def log_action(
    log: Log | None,
    request: Request,
    post: Post,
    given: Mapping[str, str],
    *,
    outcome: str,
    viewer: Viewer | None = None,
) -> None:
    """Log what a person did: on the page (`viewer`), with a name that nothing proves, or with the token itself."""
    if log is None:
        return
    address, where = address_of(request), "with the token" if viewer is None else "on the page"
    what = " ".join(filter(None, (post.path[1:], given.get("guard"), given.get("app"))))
    log.info(
        "admin_action",
        message=f"{what} by a person {where} from {address}: {outcome}",
        action=post.path[1:],
        **given,
        outcome=outcome,
        address=address,
        claimed_name=(viewer.name or None) if viewer is not None else None,
    )


def posts_off(request: Request) -> Response:
    """Refuse because the controller has no admin token."""
    return refusal(
        request,
        403,
        "posts-disabled",
        f"{request.url.path} is off: this controller has no admin token",
        hints=(
            f"Start octosync watch with {TOKEN_VARIABLE} set, and send it as `Authorization: Bearer ${TOKEN_VARIABLE}`.",
        ),
    )


def foreign_page(request: Request) -> Response:
    """Refuse what a page of another server sent."""
    return refusal(
        request,
        403,
        "foreign-page",
        "a page of another server sent this request",
        hints=(
            "Open the status page at its own address, and use its buttons.",
            "A reverse proxy in front of it must pass on the headers Host and Origin.",
        ),
    )


def too_many(request: Request, seconds: int) -> Response:
    """Refuse because of too many attempts."""
    return refusal(
        request,
        429,
        "too-many-attempts",
        f"too many attempts from this address had no admin token, or a wrong one: try again in {seconds} s",
        hints=("The log lists their addresses.",),
        headers={"Retry-After": str(seconds)},
    )


def _unauthorized(request: Request) -> Response:
    return refusal(
        request,
        401,
        "admin-token-refused",
        "the admin token is missing or wrong",
        hints=(f"Send `Authorization: Bearer ${TOKEN_VARIABLE}` with the token that octosync watch was started with.",),
        headers={"WWW-Authenticate": 'Bearer realm="octosync watch"'},
    )


def _parameters(request: Request, post: Post) -> Mapping[str, str]:
    """Return the parameters of the query. Raises `UsageError` for wrong ones, and for a body."""
    if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
        raise _wrong(post, "parameters go into the query, but the request has a body")
    return checked_parameters(post, request.query_params.multi_items())


def checked_parameters(post: Post, items: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Return parameters by name. Raises `UsageError` for a parameter that is unknown, missing or invalid."""
    given: dict[str, str] = {}
    for name, value in items:
        if name not in {*post.needs, *post.may_have}:
            raise _wrong(post, f"{name!r} is not a parameter of {post.path}")
        if name in given and name != post.repeatable:
            raise _wrong(post, f"{name} is given twice")
        if not value.strip():
            raise _wrong(post, f"{name} is empty")
        if len(value) > _LONGEST_REASON:
            raise _wrong(post, f"{name} has {len(value):,} characters; at most {_LONGEST_REASON} are allowed")
        if "\0" in value:  # PostgreSQL can't store it
            raise _wrong(post, f"{name} has a NUL character")
        given[name] = f"{given[name]},{value}" if name in given else value
    missing = [name for name in post.needs if name not in given]
    if missing:
        raise _wrong(post, f"{post.path} needs {listed(missing, at_most=len(missing))}")
    return given


def _wrong(post: Post, message: str) -> UsageError:
    return UsageError("parameters-wrong", message, hints=(f"Expected: {post.example}", *filter(None, (post.advice,))))


def _duration(text: str) -> timedelta:
    try:
        duration = parse_duration(text)
    except ValueError as error:
        raise UsageError("parameters-wrong", f"for: {error}", hints=("Such as for=30m, for=4h or for=2d.",)) from None
    if not duration:
        raise UsageError("parameters-wrong", "for: the duration of a hold must not be zero", hints=("Such as for=4h.",))
    return duration
