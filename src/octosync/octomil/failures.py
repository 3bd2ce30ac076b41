"""Failed requests: exceptions of the HTTP client and error bodies, translated into errors.

For an exception: what failed, whether the request may have been carried out, whether a retry is safe. For an error body:
the four shapes that Octomil returns (all public), parsed into one.
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import httpx

from octosync.contract.operations import BodyCorrupt, BodyError, BodyTooLarge, EncodingRefused
from octosync.errors import RemoteError, Unavailable, Unreadable
from octosync.model import JsonValue
from octosync.octomil.retry import RetryPolicy
from octosync.octomil.transport import MAX_RESPONSE_BYTES, Connection


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """A failed attempt. `after` is the `Retry-After`, in seconds; with `pauses_all` it applies to all requests."""

    error: RemoteError
    retry: RetryPolicy = RetryPolicy.NEVER
    after: float | None = None
    pauses_all: bool = False


def failure_of(problem: Exception, connection: Connection, operation: str) -> FailedAttempt | None:
    """Return the failure that an exception of `exchange` means; None if it is not a failure of the exchange.

    httpx-aiohttp raises `ConnectTimeout` also for failures after sending (a reset, a closed connection), so the underlying
    aiohttp error decides whether the request was sent: only a connect error proves that it was not.
    """
    cause = _cause_of(problem)
    if cause is None:
        return None
    described = (
        _tls_failure(cause, connection)
        or _connect_failure(problem, cause, connection)
        or _response_failure(problem, cause, connection)
    )
    return described.failed(operation)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Description:
    reference: str
    message: str
    hints: tuple[str, ...]
    retry: RetryPolicy
    kind: type[RemoteError] = Unavailable

    def failed(self, operation: str) -> FailedAttempt:
        error = self.kind(
            self.reference,
            f"{self.message} ({operation})",
            hints=self.hints,
            operation=operation,
            sent=self.reference not in _NEVER_SENT,
        )
        return FailedAttempt(error, self.retry)


TIMED_OUT = frozenset({"connect-timed-out", "answer-timed-out"})
_NEVER_SENT = frozenset({"tls-failed", "host-unknown", "connection-refused", "connect-timed-out", "connect-failed"})


def _cause_of(problem: Exception) -> Exception | None:
    cause = problem.__cause__
    if isinstance(problem, httpx.RequestError) and isinstance(cause, Exception):
        return cause
    known = (httpx.RequestError, aiohttp.ClientError, OSError, TimeoutError, BodyError)
    return problem if isinstance(problem, known) else None


def _tls_failure(cause: Exception, connection: Connection) -> _Description | None:
    if not isinstance(cause, aiohttp.ClientSSLError | ssl.SSLError):
        return None
    reason = getattr(cause, "certificate_error", None) or getattr(cause, "os_error", None) or cause
    text = getattr(reason, "verify_message", "") or getattr(reason, "reason", "") or "the handshake failed"
    hints = (
        "If its certificate is issued by a private authority, set SSL_CERT_FILE to the authority's certificate.",
        f"If it serves plain HTTP, the URL must begin with http://, not {connection.url.partition('://')[0]}://.",
    )
    return _Description(
        kind=RemoteError,
        reference="tls-failed",
        message=f"no trusted connection to {connection.url}: {str(text).replace('_', ' ').lower()}",
        hints=hints,
        retry=RetryPolicy.NEVER,
    )


def _connect_failure(problem: Exception, cause: Exception, connection: Connection) -> _Description | None:
    """Describe a failure that occurred before anything was sent."""
    if isinstance(cause, aiohttp.ClientConnectorDNSError):
        return _Description(
            reference="host-unknown",
            message=f"can't resolve the host {connection.host}",
            hints=("Check the URL, and the DNS settings of this machine.",),
            retry=RetryPolicy.ALWAYS,
        )
    if isinstance(cause, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        return _Description(
            reference="connect-failed",
            message=f"the HTTP proxy can't connect to {connection.host}",
            hints=("Check the proxy's address, and that it allows this host.",),
            retry=RetryPolicy.ALWAYS,
        )
    if isinstance(cause, aiohttp.ClientConnectorError):
        if cause.os_error.errno == errno.ECONNREFUSED:
            return _refused(connection)
        return _Description(
            reference="connect-failed",
            message=f"can't connect to {connection.url}: {(cause.os_error.strerror or 'no reason given').lower()}",
            hints=("Check the URL and the network.",),
            retry=RetryPolicy.ALWAYS,
        )
    unexplained = cause is problem and isinstance(
        problem, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout
    )
    if unexplained or isinstance(cause, aiohttp.ConnectionTimeoutError):
        return _Description(
            reference="connect-timed-out",
            message=f"no connection to {connection.url} within {connection.connect_timeout:g} s",
            hints=("Check the URL, the network, and whether a firewall drops the packets.",),
            retry=RetryPolicy.ALWAYS,
        )
    return None


def _refused(connection: Connection) -> _Description:
    hint = (
        "Is it running? `octosync server` starts the embedded control plane."
        if connection.is_loopback
        else "Check the URL's host and port."
    )
    return _Description(
        reference="connection-refused",
        message=f"nothing listens at {connection.url}: connection refused",
        hints=(hint,),
        retry=RetryPolicy.ALWAYS,
    )


def _response_failure(problem: Exception, cause: Exception, connection: Connection) -> _Description:
    """Describe a failure after sending, or at an unknown time: the request may have been carried out."""
    if isinstance(problem, BodyTooLarge):
        return _Description(
            kind=Unreadable,
            reference="answer-too-large",
            message=f"{connection.host} returned more than {MAX_RESPONSE_BYTES // 2**20} MiB",
            hints=("No Octomil response is that large: check that the URL is the control plane's.",),
            retry=RetryPolicy.NEVER,
        )
    if isinstance(problem, EncodingRefused):
        return _Description(
            kind=Unreadable,
            reference="unreadable-answer",
            message=f"{connection.host} returned a Content-Encoding that octosync did not request",
            hints=(
                "octosync accepts a single gzip encoding. If a proxy encodes responses, disable that in the proxy.",
            ),
            retry=RetryPolicy.NEVER,
        )
    if isinstance(cause, TimeoutError | httpx.TimeoutException):
        return _Description(
            reference="answer-timed-out",
            message=f"{connection.host} returned no complete response within {connection.response_timeout:g} s",
            hints=("The control plane may be overloaded: try again.",),
            retry=RetryPolicy.READS,
        )
    if isinstance(cause, aiohttp.ClientResponseError) or isinstance(problem, BodyCorrupt | httpx.DecodingError):
        return _Description(
            kind=Unreadable,
            reference="not-http",
            message=f"the response of {connection.host} is not valid HTTP",
            hints=("Check the URL, in particular its scheme (https:// or http://) and port.",),
            retry=RetryPolicy.NEVER,
        )
    return _Description(
        reference="connection-lost",
        message=f"the connection to {connection.host} was lost before the response was complete",
        hints=("Try again. If the error persists, check for a proxy or firewall that closes connections.",),
        retry=RetryPolicy.READS,
    )


# What FastAPI returns for a path without a route: during a cold start, or if octosync's path is wrong.
UNREGISTERED_ROUTE = {"detail": "Not Found"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBody:
    """A parsed error body; everything in it is optional. `fields` are (path, message) of a 422."""

    code: str | None = None
    message: str = ""
    request_id: str | None = None
    details: JsonValue = None
    fields: tuple[tuple[str, str], ...] = ()


def parse_error_body(body: JsonValue) -> ErrorBody | None:
    """Parse an error body; return None if it has none of the four shapes.

    `{"error": {code, message, details?, request_id?}}` · `{error, message, status_code}` · flat `{code, message, …}` ·
    FastAPI's `{"detail": str or list}`, whose detail may also be one of the others.
    """
    if not isinstance(body, Mapping):
        return None
    nested = body.get("error")
    if isinstance(nested, Mapping):
        return _flat(nested)
    if isinstance(nested, str):
        return _flat({"code": nested, **{key: value for key, value in body.items() if key != "error"}})
    if "detail" in body:
        return _from_detail(body["detail"])
    if isinstance(body.get("code"), str) or isinstance(body.get("message"), str):
        return _flat(body)
    return None


def _from_detail(detail: JsonValue) -> ErrorBody | None:
    if isinstance(detail, str):
        return ErrorBody(message=detail)
    if isinstance(detail, Mapping):
        return parse_error_body(detail)
    if isinstance(detail, list | tuple):
        return ErrorBody(fields=_fields(detail))
    return None


def _flat(body: Mapping[str, JsonValue]) -> ErrorBody:
    details = body.get("details")
    return ErrorBody(
        code=_text(body.get("code")) or None,
        message=_text(body.get("message")) or _text(body.get("detail")),
        request_id=_text(body.get("request_id")) or None,
        details=details,
        fields=_fields(details.get("errors") if isinstance(details, Mapping) else details),
    )


def _fields(items: JsonValue) -> tuple[tuple[str, str], ...]:
    """Return the path and message of every item; never its `input`, which is a value that was sent."""
    if not isinstance(items, list | tuple):
        return ()
    return tuple(
        (_path(item.get("loc", item.get("field", item.get("path")))), _text(item.get("msg", item.get("message"))))
        for item in items
        if isinstance(item, Mapping)
    )


def _path(location: JsonValue) -> str:
    if isinstance(location, list | tuple):
        inside = location[1:] if location and location[0] in {"body", "query", "path"} else location
        return ".".join(map(str, inside))
    return _text(location)


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""
