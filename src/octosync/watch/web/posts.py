"""POSTs: what a person with the token may tell the controller. Parameters stand in the query; there is no body.

The token comes in the `Authorization` header only. A browser adds that by itself to nothing, and another site's script may
not add it, so no page can make somebody's browser send one of these.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from octosync.errors import ConfigError, OctosyncError, UsageError
from octosync.manifest import parse_duration
from octosync.model import JsonObject, Secret
from octosync.plan.guard_table import GUARDS
from octosync.report.words import listed
from octosync.watch.control import Control
from octosync.watch.web.answers import json_answer, refusal, refusal_of
from octosync.watch.web.commands import TOKEN_VARIABLE
from octosync.watch.web.document import hold_document

_LONGEST_REASON: Final = 500  # characters
_SCHEME: Final = "bearer"


@dataclass(frozen=True, slots=True)
class Post:
    """One thing to ask for: which parameters it needs, which it may have, and what it does with them.

    The values of the `repeatable` parameter come joined by commas. `advice` is where its parameters are found.
    """

    path: str
    needs: tuple[str, ...]
    may_have: tuple[str, ...]
    act: Callable[[Control, Mapping[str, str]], JsonObject]
    repeatable: str = ""
    advice: str = ""

    @property
    def example(self) -> str:
        """How it is asked for."""
        given = "&".join(f"{name}={_EXAMPLES[name]}" for name in (*self.needs, *self.may_have))
        return f"POST {self.path}{f'?{given}' if given else ''}"


def _reconcile(control: Control, given: Mapping[str, str]) -> JsonObject:
    return {"queued": control.reconcile(given.get("app"))}


def _suspend(control: Control, given: Mapping[str, str]) -> JsonObject:
    control.suspend(given.get("reason", ""))
    return {"suspended": True}


def _resume(control: Control, given: Mapping[str, str]) -> JsonObject:
    del given
    control.resume()
    return {"suspended": False}


def _hold(control: Control, given: Mapping[str, str]) -> JsonObject:
    return {"hold": hold_document(control.hold(given["app"], _duration(given["for"]), given["reason"]))}


def _release(control: Control, given: Mapping[str, str]) -> JsonObject:
    control.release(given["app"])
    return {"released": given["app"]}


def _approve(control: Control, given: Mapping[str, str]) -> JsonObject:
    guard, apps = given["guard"], tuple(given["app"].split(",")) if "app" in given else ()
    if guard not in GUARDS:
        hint = f"The guards are {listed(tuple(GUARDS), at_most=len(GUARDS))}."
        raise UsageError("parameters-wrong", f"guard: there is no guard {guard!r}", hints=(hint,))
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
        advice="The status page and /api/status have the whole command for what is blocked now, `seen` included: "
        "it approves what you have looked at and nothing else.",
    ),
)
_EXAMPLES: Final = {"app": "SLUG", "for": "4h", "reason": "WHY", "guard": "deletes", "seen": "DIGEST"}


def admin_token(text: str | None) -> Secret | None:
    """Read the token from its variable, without what surrounds it: a file that it was made from ends in a newline.

    None where there is none, so that the POSTs are off. Raises `ConfigError` for one that no header can carry.
    """
    token = (text or "").strip()
    if not (token.isascii() and token.isprintable()):
        raise ConfigError(
            "admin-token-malformed",
            f"{TOKEN_VARIABLE} has characters that no Authorization header can carry",
            hints=("Letters and digits do, such as `openssl rand -hex 32` makes them.",),
        )
    return Secret(token) if token else None


def answer_post(request: Request, post: Post, control: Control, token: Secret | None) -> Response:
    """Do what is asked for, or say why not; nothing is done in part."""
    refused = _unauthorized(request, token)
    if refused is not None:
        return refused
    try:
        return json_answer(post.act(control, _parameters(request, post)))
    except OctosyncError as error:
        return refusal_of(request, error)


def _unauthorized(request: Request, token: Secret | None) -> Response | None:
    if not token:
        return refusal(
            request,
            403,
            "posts-off",
            f"{request.url.path} is off: this controller has no admin token",
            hints=(
                f"Start octosync watch with {TOKEN_VARIABLE} set, and send it as `Authorization: Bearer ${TOKEN_VARIABLE}`.",
            ),
        )
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    # Compared even where the scheme is wrong, and in a time that tells nothing of the token.
    matches = hmac.compare_digest(given.strip().encode("utf-8"), token.reveal().encode("utf-8"))
    if scheme.lower() == _SCHEME and matches:
        return None
    return refusal(
        request,
        401,
        "admin-token-refused",
        "the admin token is missing or wrong",
        hints=(f"Send `Authorization: Bearer ${TOKEN_VARIABLE}` with the token that octosync watch was started with.",),
        headers={"WWW-Authenticate": 'Bearer realm="octosync watch"'},
    )


def _parameters(request: Request, post: Post) -> Mapping[str, str]:
    """Return the parameters, each once. Raises `UsageError` for what is unknown, missing, empty, or in a body."""
    if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
        raise _wrong(post, "parameters stand in the query, and the request has a body")
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in {*post.needs, *post.may_have}:
            raise _wrong(post, f"{name!r} is not a parameter of {post.path}")
        if name in given and name != post.repeatable:
            raise _wrong(post, f"{name} is given twice")
        if not value.strip():
            raise _wrong(post, f"{name} is empty")
        if len(value) > _LONGEST_REASON:
            raise _wrong(post, f"{name} has {len(value):,} characters, at most {_LONGEST_REASON} are taken")
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
        raise UsageError("parameters-wrong", "for: a hold of no time holds nothing", hints=("Such as for=4h.",))
    return duration
