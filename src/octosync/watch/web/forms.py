"""The endpoints with forms: sign-in, sign-out, and the actions of a person who has signed in.

A form is accepted only from a page of this server, with the token of its session. The operations are those of the POST endpoints,
so they check the same parameters and raise the same errors. After an action, the browser is redirected to the page that the
person came from, with the id of the form: the page shows its result, and the form has no effect if it is sent again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Final
from urllib.parse import parse_qsl, urlencode

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from octosync.errors import OctosyncError, UsageError
from octosync.watch.approvals import origin_of
from octosync.watch.controller_api import ControllerApi
from octosync.watch.web.actions import action_view, result_words
from octosync.watch.web.pages import PageRequest, form_page
from octosync.watch.web.post_endpoints import (
    Post,
    TokenAuthenticator,
    checked_parameters,
    foreign_page,
    log_action,
    posts_off,
)
from octosync.watch.web.responses import FORM_TYPE, refusal, refusal_of, status_of
from octosync.watch.web.sessions import (
    ActionNotice,
    Session,
    Sessions,
    address_of,
    forget_cookie,
    is_own_page,
    person_name,
)

_LONGEST_FORM: Final = 16 * 1024  # bytes
_MOST_FIELDS: Final = 50
_ID: Final = re.compile(r"[\w-]{1,64}", re.ASCII)
# The pages that a form may return to. Nothing else, so that no link to this server leads to another one.
_LOCAL: Final = re.compile(r"/(?:apps(?:/[^/?#\\]+)?|actions/[a-z]+)?(?:\?[^#\\]*)?")
_LONGEST_PATH: Final = 2_000
_OF_FORM: Final = frozenset({"csrf", "back", "form"})  # fields that are no parameters of an action

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """The endpoints with forms."""

    control: ControllerApi
    authenticator: TokenAuthenticator
    sessions: Sessions

    async def sign_in(self, request: Request) -> Response:
        """Return the sign-in page, or sign in with its form."""
        if not self.authenticator.is_enabled:
            return posts_off(request)
        if request.method != "POST":
            return self._sign_in_page(request, local_path(request.query_params.get("next", "/")))
        form = await _read_form(request)
        if isinstance(form, Response):
            return form
        name, path = person_name(form.get("name", "")), local_path(form.get("next", "/"))
        wait = self.authenticator.check(request, form.get("token", ""), self.sessions.browser_of(request))
        if wait is not None:
            error = "This is not the admin token." if not wait else f"Too many wrong tokens: try again in {wait} s."
            headers = {"Retry-After": str(wait)} if wait else {}
            return self._sign_in_page(request, path, name, error, 429 if wait else 401, headers)
        response = _redirect(path)
        session = self.sessions.start(request, response, name=name)
        if (log := self.authenticator.log) is not None:
            log.info("signed_in", message=f"a person signed in from {session.address}", **session.log_fields)
        return response

    async def sign_out(self, request: Request) -> Response:
        """End the session."""
        form = await _read_form(request)
        if isinstance(form, Response):
            return form
        session = self.sessions.find(request)
        if session is not None and not session.has_sent(form.get("csrf", "")):
            return _wrong_form(request)
        response = _redirect("/")
        forget_cookie(request, response)
        if session is not None:
            self.sessions.end(request)
            if (log := self.authenticator.log) is not None:
                log.info("signed_out", message=f"a person signed out from {address_of(request)}", **session.log_fields)
        return response

    def action(self, post: Post) -> Endpoint:
        """Return the endpoint of an action: GET returns its page, POST does it."""

        async def endpoint(request: Request) -> Response:
            if not self.authenticator.is_enabled:
                return posts_off(request)
            if request.method == "POST":
                return await self._act(request, post)
            given = dict(request.query_params)
            session = self.sessions.find(request)
            if session is None:
                return _to_sign_in(post, given)
            return await self._action_page(request, post, session, given)

        return endpoint

    async def _act(self, request: Request, post: Post) -> Response:
        form = await _read_form(request)
        if isinstance(form, Response):
            return form
        session = self.sessions.find(request)
        if session is None:
            return _to_sign_in(post, form)
        if not session.has_sent(form.get("csrf", "")):
            log_action(self.authenticator.log, request, post, {}, outcome="form-outdated", viewer=session.viewer)
            return _wrong_form(request)
        self.sessions.use(session)
        id_ = form.get("form", "")
        id_ = id_ if _ID.fullmatch(id_) else token_urlsafe(9)
        if id_ not in session.notices:
            given: Mapping[str, str] = {}
            try:
                # A field that was left empty was not given.
                fields = [(name, value) for name, value in form.items() if name not in _OF_FORM and value.strip()]
                given = checked_parameters(post, fields)
                result = post.act(self.control, given)
            except OctosyncError as error:
                log_action(self.authenticator.log, request, post, given, outcome=error.reference, viewer=session.viewer)
                return await self._action_page(request, post, session, form, error)
            log_action(self.authenticator.log, request, post, given, outcome="done", viewer=session.viewer)
            words = result_words(post.path, given, result)
            session.record_notice(id_, ActionNotice(words, self.control.health().now))
        back = local_path(form.get("back", "/"))
        return _redirect(f"{back}{'&' if '?' in back else '?'}done={id_}")

    async def _action_page(
        self,
        request: Request,
        post: Post,
        session: Session,
        given: Mapping[str, str],
        error: OctosyncError | None = None,
    ) -> Response:
        status = self.control.status()
        try:
            # In a thread: an approval can list thousands of actions.
            view = await asyncio.to_thread(action_view, post.path, status, given)
        except OctosyncError as unknown:
            return refusal_of(request, unknown)
        page = await asyncio.to_thread(
            form_page,
            status,
            self._asked(request, session, local_path(given.get("back", "/"))),
            "action.html",
            view.heading,
            view=view,
            path=f"/actions{post.path}",
            form=token_urlsafe(9),
            given=given,
            error=error,
        )
        return HTMLResponse(
            page.html, 200 if error is None and view.submit else 409 if error is None else status_of(error)
        )

    def _sign_in_page(
        self,
        request: Request,
        path: str,
        name: str = "",
        error: str = "",
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        asked = self._asked(request, self.sessions.find(request), "/")
        page = form_page(
            self.control.health(), asked, "sign-in.html", "Sign in", next_path=path, name=name, error=error
        )
        return HTMLResponse(page.html, status, headers=headers)

    def _asked(self, request: Request, session: Session | None, back: str) -> PageRequest:
        origin = origin_of(request.url.scheme, request.headers.get("host", ""))
        viewer = None if session is None else session.viewer
        return PageRequest(origin=origin, refresh_seconds=0, viewer=viewer, back=back)


def local_path(text: str) -> str:
    """Return the path and query of a page of this server; of the status page for anything else."""
    is_local = len(text) <= _LONGEST_PATH and text.isascii() and text.isprintable() and _LOCAL.fullmatch(text)
    return text if is_local else "/"


async def _read_form(request: Request) -> dict[str, str] | Response:
    """Return the fields of a form, or the refusal of anything else. The body is read only if the form is of an own page."""
    if not is_own_page(request):
        return foreign_page(request)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LONGEST_FORM:
                break
        return _fields(request.headers.get("content-type", ""), bytes(body))
    except UsageError as error:
        return refusal_of(request, error)
    except ClientDisconnect:
        return Response(status_code=400)


def _fields(content_type: str, body: bytes) -> dict[str, str]:
    """Return the fields of a form. Raises `UsageError` if it is none, is too large, or has a field twice."""
    if content_type.partition(";")[0].strip().lower() != FORM_TYPE:
        raise UsageError("parameters-wrong", f"expected a form ({FORM_TYPE})")
    if len(body) > _LONGEST_FORM:
        raise UsageError("parameters-wrong", f"the form is larger than {_LONGEST_FORM:,} bytes")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise UsageError("parameters-wrong", "the form can't be read") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise UsageError("parameters-wrong", "the form has a field twice")
    return fields


def _to_sign_in(post: Post, given: Mapping[str, str]) -> Response:
    """Lead to the sign-in page, and from there to the page of the action, without its result."""
    kept = [(name, given[name]) for name in (*post.needs, *post.may_have, "back") if name in given]
    path = f"/actions{post.path}{f'?{urlencode(kept)}' if kept else ''}"
    return _redirect(f"/sign-in?{urlencode({'next': local_path(path)})}")


def _redirect(path: str) -> Response:
    return RedirectResponse(path, 303)


def _wrong_form(request: Request) -> Response:
    return refusal(
        request,
        403,
        "form-outdated",
        "this form is not of your current session; nothing is done",
        hints=("Open the page again, and repeat the action.",),
    )
