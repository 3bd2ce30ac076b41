"""The POST endpoints, for people with the admin token. Parameters are in the query; there is no body.

The token is accepted in the `Authorization` header only. Browsers never add this header automatically, and a script of another
site may not set it, so no page can make a browser send one of these requests.
"""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import Callable, Mapping
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
    """Checks the token of POSTs. It logs failed attempts, and rejects an address with too many of them for a time."""

    def __init__(
        self, token: Secret | None, log: Log | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._token = token
        self._log = log
        self._clock = clock
        self._failures: dict[str, tuple[int, float]] = {}  # by address: how many, and the time of the first

    def refused(self, request: Request) -> Response | None:
        """Return the refusal of a request, None if it has the token."""
        if not self._token:
            return _posts_off(request)
        address = request.client.host if request.client is not None else "unknown"
        failures, since = self._failures.get(address, (0, self._clock()))
        left = since + _FORGIVEN_AFTER - self._clock()
        if failures and left <= 0:
            failures, since = 0, self._clock()
        if failures >= _MOST_FAILURES:  # also with the correct token: otherwise an attacker could continue to guess
            return _too_many(request, math.ceil(left))
        if _has(request, self._token):
            self._failures.pop(address, None)
            return None
        self._failures.pop(address, None)
        self._failures[address] = (failures + 1, since)
        while len(self._failures) > _MOST_ADDRESSES:
            del self._failures[next(iter(self._failures))]
        if self._log is not None:
            self._log.warning(
                "admin_token_refused",
                message=f"a POST from {address} was refused: its admin token is missing or wrong",
                path=request.url.path,
                address=address,
                failures=failures + 1,
            )
        return _unauthorized(request)


def respond_to_post(
    request: Request, post: Post, control: ControllerApi, authenticator: TokenAuthenticator
) -> Response:
    """Call the operation of a POST, or return the error; nothing is done in part."""
    refused = authenticator.refused(request)
    if refused is not None:
        return refused
    try:
        return json_response(post.act(control, _parameters(request, post)))
    except OctosyncError as error:
        return refusal_of(request, error)


def _posts_off(request: Request) -> Response:
    return refusal(
        request,
        403,
        "posts-disabled",
        f"{request.url.path} is off: this controller has no admin token",
        hints=(
            f"Start octosync watch with {TOKEN_VARIABLE} set, and send it as `Authorization: Bearer ${TOKEN_VARIABLE}`.",
        ),
    )


def _too_many(request: Request, seconds: int) -> Response:
    return refusal(
        request,
        429,
        "too-many-attempts",
        f"too many attempts from this address had no admin token, or a wrong one: try again in {seconds} s",
        hints=("The log lists their addresses.",),
        headers={"Retry-After": str(seconds)},
    )


def _has(request: Request, token: Secret) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    # Compared even if the scheme is wrong, and in constant time.
    matches = hmac.compare_digest(given.strip().encode("utf-8"), token.reveal().encode("utf-8"))
    return scheme.lower() == _SCHEME and matches


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
    """Return the parameters by name. Raises `UsageError` for a parameter that is unknown, missing or invalid, and for a body."""
    if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
        raise _wrong(post, "parameters go into the query, but the request has a body")
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in {*post.needs, *post.may_have}:
            raise _wrong(post, f"{name!r} is not a parameter of {post.path}")
        if name in given and name != post.repeatable:
            raise _wrong(post, f"{name} is given twice")
        if not value.strip():
            raise _wrong(post, f"{name} is empty")
        if len(value) > _LONGEST_REASON:
            raise _wrong(post, f"{name} has {len(value):,} characters; at most {_LONGEST_REASON} are allowed")
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
