"""Responses, translated into values or errors: the error shapes, the kinds of 404, and responses that are not Octomil's.

An error names what was rejected, the status, the control plane's code and request id, and what to do. Quoted parts of a
response are redacted by the `Redactor`. JSON is accepted only if it can be compared, shown and written again.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import urljoin, urlsplit

from octosync.contract import Access, ErrorCode, Operation
from octosync.errors import (
    AwaitingApproval,
    Conflict,
    CredentialRefused,
    ErrorResponse,
    ExitCode,
    Forbidden,
    Missing,
    Rejected,
    RemoteError,
    Unavailable,
    Unreadable,
)
from octosync.model import JsonValue, Redactor
from octosync.octomil.failures import UNREGISTERED_ROUTE, ErrorBody, FailedAttempt, parse_error_body
from octosync.octomil.retry import RetryPolicy, retry_after
from octosync.octomil.transport import API_PATH, Connection, RawResponse

# Manifests have at most 32 levels; recursion over a value has to stay far below Python's limit.
MAX_DEPTH = 100

_SURROGATE = re.compile(rb"(?i)\\ud[89a-f][0-9a-f]{2}")


def parse(body: bytes) -> JsonValue:
    """Parse a response body.

    Raises `ValueError` for anything that JSON can't represent or octosync can't process: NaN, numbers beyond a float, half a
    surrogate pair, and more than `MAX_DEPTH` levels.
    """
    try:
        value: JsonValue = _DECODER.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if _SURROGATE.search(body):
        json.dumps(value, ensure_ascii=False).encode()
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:  # fewer can't nest deeper
        _check_depth(value)
    return value


def parse_or_none(body: bytes) -> JsonValue:
    """Parse the body of an error response; return None if it is not JSON."""
    try:
        return parse(body)
    except ValueError:
        return None


def is_cut(body: bytes, problem: ValueError) -> bool:
    """Return whether a body that `parse` rejected is truncated JSON."""
    if not isinstance(problem, json.JSONDecodeError) or body.lstrip()[:1] not in b"{[":
        return False
    return problem.msg.startswith("Unterminated string") or problem.pos >= len(problem.doc.rstrip())


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    if math.isinf(number := float(text)):
        raise ValueError("a number is too large")
    return number


_DECODER = json.JSONDecoder(
    parse_constant=_no_constant, parse_float=_finite
)  # `json.loads` would make one for each body


def _check_depth(value: JsonValue) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for item in level for inner in _inside(item) if isinstance(inner, dict | list)]
        if not level:
            return
    raise ValueError("it is nested too deep")


def _inside(value: JsonValue) -> Iterable[JsonValue]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
    return ()


_PERMANENT_5XX = frozenset({501, 505})  # not implemented, HTTP version: a retry gets the same response
# The statuses of a complete response. Any other status below 400 means a partial response, or none.
_COMPLETE = frozenset({200, 201, 202, 203, 204, 205})
_REDIRECTS = frozenset({300, 301, 302, 303, 307, 308})
_PENDING = frozenset({"approval_required", "awaiting_approval", "pending_approval"})


@dataclass(frozen=True, slots=True)
class Translator:
    """Translates the responses to one operation's request."""

    connection: Connection
    operation: Operation
    redactor: Redactor = field(default_factory=Redactor)

    def request_id(self, response: RawResponse) -> str | None:
        """Return the response's `X-Request-Id`, safe to print, or the one in its error body."""
        given = response.headers.get("x-request-id")
        if not given and response.status >= 400:
            fault = parse_error_body(parse_or_none(response.body))
            given = fault.request_id if fault else None
        return self.redactor.text(given, 100) or None if given else None

    def read(self, response: RawResponse) -> JsonValue | FailedAttempt:
        """Return the body of a success (None if it is empty), or the failure that the response means."""
        if 400 <= response.status < 600:
            return self._refusal(response)
        if response.status in _REDIRECTS:
            return FailedAttempt(self._redirect(response))
        if response.status not in _COMPLETE:
            return FailedAttempt(self._odd_status(response))
        if not response.body.strip():
            return None
        try:
            body = parse(response.body)
        except ValueError as problem:
            return FailedAttempt(self._not_json(response, problem))
        if response.status == 202 and self.operation.access is Access.WRITE and (waits := _pending_in(body)):
            return FailedAttempt(self._awaiting_approval(response, waits))
        return body

    def _refusal(self, response: RawResponse) -> FailedAttempt:
        status = response.status
        body = parse_or_none(response.body)
        found = parse_error_body(body)
        fault = found or ErrorBody()
        is_unregistered = status == 404 and body == UNREGISTERED_ROUTE
        after = _wait_of(response) if status in {408, 429} or status >= 500 or is_unregistered else None
        if status == 429:
            return FailedAttempt(self._throttled(response, fault, after), RetryPolicy.ALWAYS, after, pauses_all=True)
        if status >= 500:
            retry = RetryPolicy.NEVER if status in _PERMANENT_5XX else RetryPolicy.READS
            return FailedAttempt(self._unavailable(response, fault), retry, after)
        if is_unregistered:
            return FailedAttempt(self._unknown_route(response), RetryPolicy.ALWAYS, after)
        if status == 408:
            return FailedAttempt(self._unavailable(response, fault), RetryPolicy.READS, after)
        if status in {403, 409} and fault.code in _PENDING:
            return FailedAttempt(self._awaiting_approval(response, fault))
        if status == 404 and found is None:
            return FailedAttempt(self._foreign(response))
        by_status: dict[int, Callable[[RawResponse, ErrorBody], RemoteError]] = {
            401: self._credential_refused,
            402: self._plan_limit,
            403: self._forbidden,
            404: self._missing,
            409: self._conflict,
        }
        return FailedAttempt(by_status.get(status, self._rejected)(response, fault))

    # One method per error, in the order of the statuses.

    def _redirect(self, response: RawResponse) -> RemoteError:
        try:
            target = urlsplit(urljoin(f"{self.connection.url}/", response.headers.get("location", "")))
            host, where = target.hostname or "", f"{target.scheme}://{target.hostname or ''}"
        except ValueError:
            host, where = "", "an invalid URL"
        elsewhere = host not in {"", self.connection.host}
        hint = (
            f"The API key is sent to {self.connection.host} only, so redirects are not followed. Is there a login page or proxy?"
            if elsewhere
            else "If the control plane has moved there, change the URL."
        )
        return self._error(
            Unreadable,
            "redirected",
            f"the control plane redirects to {self.redactor.text(where)}",
            response,
            hints=(hint,),
            sent=True,
        )

    def _odd_status(self, response: RawResponse) -> RemoteError:
        what = "the response is incomplete" if response.status == 206 else "unexpected status"
        hint = f"Check that {self.connection.url} is the control plane's API; a proxy may be in between."
        return self._error(Unreadable, "unreadable-answer", what, response, hints=(hint,), sent=True)

    def _credential_refused(self, response: RawResponse, fault: ErrorBody) -> RemoteError:
        hints = (
            f"Create a key with scope {self._scope} in the Octomil dashboard, or choose another context with --context.",
            *self._foreign_hint(response),
        )
        if self.connection.token is None:
            message = "the control plane requires an API key, and none is set"
            hints = (
                "Set OCTOMIL_API_KEY, or pass a file that contains it with --token-file.",
                *self._foreign_hint(response),
            )
        else:
            message = "the control plane rejected the API key"
            hints = (self._key, *hints)
        return self._error(CredentialRefused, "credential-refused", message, response, fault, hints=hints, name=False)

    def _plan_limit(self, response: RawResponse, fault: ErrorBody) -> RemoteError:
        hint = "The org's Octomil plan doesn't include this. Remove what isn't needed, or change the plan."
        message = "the org's plan limit is exceeded"
        return self._error(Rejected, "plan-limit-exceeded", message, response, fault, hints=(hint,))

    def _forbidden(self, response: RawResponse, fault: ErrorBody) -> RemoteError:
        org = self.connection.org
        if fault.code == ErrorCode.INSUFFICIENT_SCOPE:
            reference, message = "insufficient-scope", f"the API key lacks the scope {self._scope}"
            hints: tuple[str, ...] = (self._key, f"Create a key with scope {self._scope} in the Octomil dashboard.")
        elif fault.code == ErrorCode.MISSING_ORG_CONTEXT:
            reference, message = "missing-org-context", "the API key does not identify an org"
            hints = ("Set the org with --org or OCTOMIL_ORG_ID.",)
            if org is not None:
                message = f"the API key may not act in the org {org}"
                hints = (self._key, "Check the org's id, or use a key of that org.")
        else:
            reference, message = "forbidden", "the control plane forbids the request"
            hint = "Use a key with this permission, or have the org grant it. Octomil's support may ask for the request id."
            hints = (self._key, *(self._foreign_hint(response) or (hint,)))
        return self._error(Forbidden, reference, message, response, fault, hints=hints)

    def _missing(self, response: RawResponse, fault: ErrorBody) -> RemoteError:
        known = fault.code in {code.value for code in ErrorCode}
        reference = fault.code.replace("_", "-") if known and fault.code else "missing"
        return self._error(Missing, reference, "not found on the control plane", response, fault)

    def _unknown_route(self, response: RawResponse) -> RemoteError:
        operation = self.operation
        where = urlsplit(self.connection.url)
        base = f"{where.scheme}://{where.netloc}"
        hints = (
            f"octosync sends {operation.method} {operation.path}, relative to {self.connection.url}.",
            *(
                [f"If {where.path} is wrong, {base} is enough: the API is at {API_PATH}."]
                if where.path != API_PATH
                else ()
            ),
            f"If Octomil serves it elsewhere, set api.operations.{operation.id}: {{method, path}} in octosync.yaml.",
        )
        message = "the control plane has no such route"
        # Not "try again later", although a cold start may return it briefly: that is what the retries are for.
        error = self._error(Unavailable, "unknown-route", message, response)
        return error.with_hints(*hints, exit_code=ExitCode.ERROR)

    def _foreign(self, response: RawResponse) -> RemoteError:
        message = "the 404 does not come from the control plane, so it doesn't mean that the object is absent"
        hints = self._foreign_hint(response) or (f"Check that {self.connection.url} is the control plane's API.",)
        return self._error(Unreadable, "foreign-answer", message, response, hints=hints)

    def _conflict(self, response: RawResponse, fault: ErrorBody) -> RemoteError:
        return self._error(Conflict, "conflict", "the control plane reports a conflict", response, fault)

    def _rejected(self, response: RawResponse, fault: ErrorBody) -> RemoteError:
        return self._error(
            Rejected,
            "rejected",
            "the control plane rejects the request",
            response,
            fault,
            hints=self._foreign_hint(response),
        )

    def _awaiting_approval(self, response: RawResponse, fault: ErrorBody) -> RemoteError:
        hints = ("Approve it in the Octomil dashboard, then apply again.",)
        message = "the org requires a person's approval first"
        return self._error(AwaitingApproval, "awaiting-approval", message, response, fault, hints=hints)

    def _throttled(self, response: RawResponse, fault: ErrorBody, after: float | None) -> RemoteError:
        asks = f"; it asks to wait {after:g} s" if after is not None else ""
        hints = ("Another client uses the same key, or the key's limit is lower: lower --rate, or try again later.",)
        return self._error(
            Unavailable, "throttled", f"the control plane throttles this key{asks}", response, fault, hints=hints
        )

    def _unavailable(self, response: RawResponse, fault: ErrorBody) -> RemoteError:
        return self._error(
            Unavailable,
            "unavailable",
            "the control plane failed",
            response,
            fault,
            hints=("Try again later.", *self._foreign_hint(response)),
            sent=True,
        )

    def _not_json(self, response: RawResponse, problem: ValueError) -> RemoteError:
        hint = f"Check that {self.connection.url} is the control plane's API."
        if _is_html(response):
            reference, message = "html-answer", "the control plane returned an HTML page"
            hint = f"A proxy or a login page may be in between. {hint}"
        elif is_cut(response.body, problem):
            reference, message, hint = (
                "truncated-answer",
                "the response is truncated",
                "Try again; a proxy may limit the size.",
            )
        else:
            reference, message = "unreadable-answer", "the response is not JSON"
        return self._error(Unreadable, reference, message, response, hints=(hint,), sent=True)

    def wrong_shape(self, problem: str, request_id: str | None) -> RemoteError:
        """Return the error of a success with a field that octosync can't use."""
        tail = f"{self.operation.id}, request {request_id}" if request_id else self.operation.id
        return Unreadable(
            "unreadable-answer",
            f"unexpected response: {self.redactor.text(problem)} ({tail})",
            hints=("Octomil's API may have changed: check for a newer version of octosync.",),
            operation=self.operation.id,
            response=ErrorResponse(request_id=request_id),
            sent=self.operation.access is Access.WRITE,
        )

    @property
    def _scope(self) -> str:
        if self.operation.access is Access.WRITE:
            return "apps:write"
        # Which scope a read by POST needs is not known.
        return "apps:read" if self.operation.method == "GET" else "apps:read or apps:write"

    @property
    def _key(self) -> str:
        token = self.connection.token
        if token is None:
            return "no API key was sent: set OCTOMIL_API_KEY, or pass a file that contains one with --token-file"
        ending = f", ends in {token.ending()}" if token.ending() else ""
        return f"key from {self.connection.token_source or 'the configuration'}{ending}"

    def _foreign_hint(self, response: RawResponse) -> tuple[str, ...]:
        return (
            ("The response is an HTML page: it may come from a proxy, not from Octomil.",) if _is_html(response) else ()
        )

    def _error(
        self,
        kind: type[RemoteError],
        reference: str,
        message: str,
        response: RawResponse,
        fault: ErrorBody | None = None,
        *,
        hints: tuple[str, ...] = (),
        sent: bool = False,
        name: bool = True,
    ) -> RemoteError:
        """Compose `message: the response's own message; field: reason (status code, operation, request id)`."""
        fault = fault or ErrorBody()
        show = self.redactor.text
        request_id = self.request_id(response)
        fields = [show(f"{path}: {why}".strip(": ")) for path, why in fault.fields[:5]]
        # The message may already contain a field's.
        quoted = "; ".join(
            filter(None, [show(fault.message), *(text for text in fields if text not in show(fault.message))])
        )
        tail = (
            f"{response.status} {show(fault.code, 60)}" if fault.code else str(response.status),
            self.operation.id if name else "",
            f"request {request_id}" if request_id else "",
        )
        return kind(
            reference,
            f"{message}{': ' + quoted if quoted and name else ''} ({', '.join(filter(None, tail))})",
            hints=hints,
            operation=self.operation.id,
            response=ErrorResponse(
                status=response.status,
                code=fault.code and show(fault.code, 60),
                request_id=request_id,
                details=self.redactor.value(fault.details),
                retry_after=_wait_of(response) if response.status == 429 else None,
            ),
            sent=sent,
        )


def _wait_of(response: RawResponse) -> float | None:
    return retry_after(response.headers.get("retry-after"), response.headers.get("date"))


def _pending_in(body: JsonValue) -> ErrorBody | None:
    """Return the body of a 202 that awaits a person's approval, None for a success."""
    if not isinstance(body, dict):
        return None
    fault = parse_error_body(body) or ErrorBody()
    return fault if fault.code in _PENDING or body.get("status") in _PENDING else None


def _is_html(response: RawResponse) -> bool:
    return "html" in response.headers.get("content-type", "").lower() or response.body.lstrip()[:1] == b"<"
