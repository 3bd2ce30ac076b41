"""Fault injection, for testing clients: faults of networks, proxies, and newer or broken control planes.

`PUT /_local/faults` replaces the rules, `GET` returns them with how often each has `acted`, `DELETE` removes them:

    {"rules": [{"operation": "apps.put_slot", "action": "drop_field", "field": "bindings", "times": 1}]}

Only the first rule that matches a request acts on it. A rule matches by `operation` (an operation id, or `"*"`) and, if it
is set, by `slug`. It ignores the first `skip` matches (default 0) and acts on the next `times` (default 1; null: all).
`when` is `"before"` (the request is not executed) or `"after"` (it is executed, then its response is lost or replaced); only
the actions marked * allow both. The actions, with their default `when`:

    delay              before  wait `seconds` (default 1), then serve the request normally
    status*            before  return `status` (default 503), with `code`, `message`, `details`, in the `shape` nested
                               {"error": {…}} (default), flat {code, message}, legacy {error, message, status_code},
                               detail {"detail": message} or text; `retry_after`: seconds, as a number or, with
                               `retry_after_date: true`, as an HTTP date
    cut*               before  close the connection without a response (`cut_before` and `cut_after` include the `when`)
    answer*            before  `status` (default 200) with the JSON `value`, null by default
    html*              before  a proxy's HTML page, `status` (default 502)
    not_found*         before  the bare 404 {"detail": "Not Found"} of an unknown route
    redirect*          before  `status` (default 307) to `location`
    empty*             after   no body, `status` (default 200)
    garbage*           after   `status` (default 200), a JSON Content-Type with a body that is not JSON
    truncated          after   the real response with half of its body, then the connection is closed
    bare_list          after   the list of a page without its envelope
    drop_field         before  execute the request without `field`: accepted, but not persisted
    drop_answer_field  after   remove `field` from the response
    set_answer_field   after   set `field` of the response to `value`

`field` is a dotted path (`serving_policy.fallback`); in a list it applies to every item (`slots.bindings`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from math import ceil
from typing import Literal

from pydantic import Field, field_validator
from pydantic import JsonValue as AnyJson
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from octosync.contract import OPERATIONS
from octosync.model import JsonObject, JsonValue
from octosync.server.store import Store, from_json, to_json
from octosync.server.validation import MAX_BODY_BYTES, Body

# The default `when` of the actions that allow both.
_WHEN = {
    "status": "before", "cut": "before", "html": "before", "not_found": "before", "redirect": "before", "answer": "before",
    "empty": "after", "garbage": "after",
}  # fmt: skip
_READ_AT_MOST = 8 * MAX_BODY_BYTES


class FaultRule(Body):
    """A fault rule; the module's docstring describes the fields."""

    operation: str
    action: Literal[
        "delay", "status", "cut", "cut_before", "cut_after", "html", "not_found", "redirect", "empty", "garbage",
        "truncated", "bare_list", "answer", "drop_field", "drop_answer_field", "set_answer_field",
    ]  # fmt: skip
    slug: str | None = None
    times: int | None = Field(default=1, ge=1)
    skip: int = Field(default=0, ge=0)
    when: Literal["before", "after"] | None = None
    status: int | None = Field(default=None, ge=200, le=599)
    code: str = "injected_fault"
    message: str = "Injected fault"
    details: AnyJson = None
    shape: Literal["nested", "flat", "legacy", "detail", "text"] = "nested"
    retry_after: float | None = Field(default=None, ge=0, le=1e6)
    retry_after_date: bool = False
    field: str = ""
    value: AnyJson = None
    seconds: float = Field(default=1.0, ge=0, le=60)
    location: str = ""

    @field_validator("operation")
    @classmethod
    def _known(cls, value: str) -> str:
        if value != "*" and value not in OPERATIONS:
            raise ValueError(f"must be * or one of {', '.join(OPERATIONS)}")
        return value

    @property
    def is_before(self) -> bool:
        """Whether the fault acts instead of executing the request."""
        return self.action == "cut_before" or (
            (self.when or _WHEN.get(self.action)) == "before" and self.action in _WHEN
        )


class ConnectionCut(Exception):
    """A cut of a request without a connection: raised to a client that calls the application in process."""


@dataclass(slots=True)
class _RuleState:
    rule: FaultRule
    passed: int = 0
    acted: int = 0


@dataclass(slots=True)
class Faults:
    """The active fault rules, in order, and the open connections by their peer's address, for cutting them."""

    connections: dict[tuple[str, int], asyncio.Transport] = field(default_factory=dict)
    _states: list[_RuleState] = field(default_factory=list)

    async def cut(self, scope: Scope, receive: Receive) -> bool:
        """Close the connection of a request without a response. Return whether it has a connection."""
        connection = self.connections.get(tuple(scope.get("client") or ("", 0)))
        if connection is None:
            return False
        connection.abort()
        await _until_closed(receive)
        return True

    def replace(self, rules: list[FaultRule]) -> None:
        """Replace all rules; the counters start at 0."""
        self._states = [_RuleState(rule) for rule in rules]

    def to_json(self) -> list[JsonValue]:
        """Return the rules as they were set, with how often each has `acted`."""
        return [{**state.rule.model_dump(exclude_unset=True), "acted": state.acted} for state in self._states]

    def take(self, operation: str, slug: str | None) -> FaultRule | None:
        """Return the rule that acts on this request, and count the use; None if there is none."""
        for state in self._states:
            rule = state.rule
            if rule.operation not in {"*", operation} or (rule.slug is not None and rule.slug != slug):
                continue
            if rule.times is not None and state.acted >= rule.times:
                continue
            if state.passed < rule.skip:
                state.passed += 1
                continue
            state.acted += 1
            return rule
        return None


@dataclass(slots=True)
class _CapturedResponse:
    """The application's response, held back so that a fault can change it."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    async def capture(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self.body += message.get("body", b"")

    def with_body(self, value: JsonValue) -> Response:
        return Response(to_json(value).encode(), self.status, media_type="application/json")


@dataclass(frozen=True, slots=True)
class Injection:
    """A rule that acts on a request, as an ASGI application that wraps the real one."""

    rule: FaultRule
    faults: Faults
    store: Store
    request_id: str

    async def __call__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request with the rule's fault. Raises `ConnectionCut` for a cut without a connection."""
        rule = self.rule
        if rule.action == "delay":
            await asyncio.sleep(rule.seconds)
            await app(scope, receive, send)
        elif rule.action == "drop_field":
            await app(scope, await _without(rule.field, receive), send)
        elif rule.is_before:
            await self._respond_instead(None, scope, receive, send)
        else:
            response = _CapturedResponse()
            await app(scope, receive, response.capture)
            await self._respond_instead(response, scope, receive, send)

    async def _respond_instead(
        self, true: _CapturedResponse | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        match self.rule.action:
            case "cut" | "cut_before" | "cut_after":
                await self._cut(scope, receive)
            case "truncated" if true is not None:
                await self._truncate(true, scope, receive, send)
            case "bare_list" | "drop_answer_field" | "set_answer_field" if true is not None:
                await _sendable(self._edited(true))(scope, receive, send)
            case _:
                await _sendable(self._replacement())(scope, receive, send)

    async def _cut(self, scope: Scope, receive: Receive) -> None:
        if not await self.faults.cut(scope, receive):
            raise ConnectionCut("the response was cut by a fault rule")

    async def _truncate(self, true: _CapturedResponse, scope: Scope, receive: Receive, send: Send) -> None:
        connection = self.faults.connections.get(tuple(scope.get("client") or ("", 0)))
        await send({"type": "http.response.start", "status": true.status, "headers": true.headers})
        half = true.body[: len(true.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": connection is not None})
        if connection is not None:
            connection.close()  # after sending what was written
            await _until_closed(receive)

    def _edited(self, true: _CapturedResponse) -> Response:
        body = from_json(true.body.decode() or "null")
        match self.rule.action:
            case "bare_list" if isinstance(body, dict):
                return true.with_body(next((item for item in body.values() if isinstance(item, list)), body))
            case "set_answer_field":
                _edit(body, self.rule.field.split("."), lambda holder, key: holder.__setitem__(key, self.rule.value))
            case _:
                _edit(body, self.rule.field.split("."), _drop)
        return true.with_body(body)

    def _replacement(self) -> Response:
        rule = self.rule
        match rule.action:
            case "html":
                page = "<!doctype html><html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>"
                return Response(page, rule.status or 502, media_type="text/html")
            case "not_found":
                return Response('{"detail":"Not Found"}', 404, media_type="application/json")
            case "redirect":
                return Response(status_code=rule.status or 307, headers={"Location": rule.location})
            case "answer":
                return Response(to_json(rule.value).encode(), rule.status or 200, media_type="application/json")
            case "empty":
                return Response(status_code=rule.status or 200)
            case "garbage":
                return Response('{"id": <not json', rule.status or 200, media_type="application/json")
            case _:
                return self._status()

    def _status(self) -> Response:
        rule, status, headers = self.rule, self.rule.status or 503, dict[str, str]()
        if rule.retry_after is not None:
            until = self.store.now() + timedelta(seconds=rule.retry_after)
            seconds = str(ceil(rule.retry_after))
            headers["Retry-After"] = format_datetime(until, usegmt=True) if rule.retry_after_date else seconds
        if rule.shape == "text":
            return Response(rule.message, status, headers, media_type="text/plain")
        return Response(to_json(self._error(status)).encode(), status, headers, media_type="application/json")

    def _error(self, status: int) -> JsonValue:
        rule = self.rule
        details: dict[str, JsonValue] = {} if rule.details is None else {"details": rule.details}
        match rule.shape:
            case "flat":
                return {"code": rule.code, "message": rule.message, **details}
            case "legacy":
                return {"error": rule.code, "message": rule.message, "status_code": status, **details}
            case "detail":
                return {"detail": rule.message if rule.details is None else rule.details}
            case _:
                error: JsonObject = {"code": rule.code, "message": rule.message, **details}
                return {"error": {**error, "request_id": self.request_id}}


def _sendable(response: Response) -> Response:
    """Return the response, without a body if its status allows none."""
    return Response(status_code=response.status_code) if response.status_code in {204, 205, 304} else response


async def _until_closed(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _without(path: str, receive: Receive) -> Receive:
    """Return a `receive` whose body lacks the field; a body that is not JSON is unchanged."""
    body = b""
    while len(body) <= _READ_AT_MOST:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    try:
        value = from_json(body.decode())
        _edit(value, path.split("."), _drop)
        body = to_json(value).encode()
    except (ValueError, RecursionError):
        pass
    messages = iter(({"type": "http.request", "body": body, "more_body": False},))

    async def replay() -> Message:
        return next(messages, None) or await receive()

    return replay


def _drop(holder: dict[str, JsonValue], key: str) -> None:
    holder.pop(key, None)


def _edit(value: JsonValue, path: list[str], change: Callable[[dict[str, JsonValue], str], None]) -> None:
    """Apply a change at the path, in every item of the lists on it; nothing changes if the path doesn't exist."""
    if isinstance(value, list):
        for item in value:
            _edit(item, path, change)
    elif isinstance(value, dict):
        first, *rest = path
        if not rest:
            change(value, first)
        elif first in value:
            _edit(value[first], rest, change)
