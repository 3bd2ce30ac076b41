"""A client of GitHub's REST API for one repository, with retries, pagination and translated errors.

Public: 403 or 429 is a rate limit if `Retry-After` is set, `x-ratelimit-remaining` is 0 (until `x-ratelimit-reset`, in
seconds of Unix time), or the message mentions it (then at least a minute); any other 403 is a missing permission.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Final, Self

import httpx

from octosync import __version__
from octosync.contract.operations import ACCEPT_ENCODING, BodyDecoder, BodyError, BodyTooLarge, EncodingRefused
from octosync.errors import (
    CredentialRefused,
    ErrorResponse,
    Forbidden,
    Missing,
    Rejected,
    RemoteError,
    Unavailable,
    Unreadable,
)
from octosync.forge.job import GitHubRepository
from octosync.model import Backoff, JsonObject, JsonValue, Redactor

# A job doesn't wait longer than this: it ends with an error.
LONGEST_WAIT: Final = 120.0
_DEFAULT_WAIT: Final = 60.0
_LONGEST_MESSAGE: Final = 300
_LONGEST_ID: Final = 100


def rate_limit_wait(response: httpx.Response) -> float | None:
    """Return the seconds to wait for a rate limit, None for a response that is not a rate limit."""
    if response.status_code not in {403, 429}:
        return None
    asked = response.headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdigit():
        return float(asked[:9])
    if response.headers.get("x-ratelimit-remaining", "").strip() == "0":
        return _until(response.headers.get("x-ratelimit-reset", ""), response.headers.get("date", ""))
    if response.status_code == 429 or "rate limit" in error_message(response).lower():
        return _DEFAULT_WAIT
    return None


def _until(reset: str, date: str) -> float:
    """Return the seconds from the response's own `Date` to a reset, so that a wrong local clock does no harm."""
    try:
        now = parsedate_to_datetime(date).timestamp()
    except (ValueError, IndexError, TypeError, OverflowError):
        return _DEFAULT_WAIT
    text = reset.strip()
    return max(0.0, float(text[:15]) - now) if text.isascii() and text.isdigit() else _DEFAULT_WAIT


def error_message(response: httpx.Response) -> str:
    """Return the message in GitHub's error body, "" if there is none."""
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(body, Mapping):
        return ""
    errors = body.get("errors")
    details = (
        [error.get("message") for error in errors if isinstance(error, Mapping)] if isinstance(errors, list) else []
    )
    return ": ".join(part for part in (body.get("message"), *details) if isinstance(part, str))


def error_from_response(response: httpx.Response, what: str, redactor: Redactor) -> RemoteError:
    """Return the error that a response means; `what` is the request, for the message."""
    status, quoted = response.status_code, redactor.text(error_message(response), _LONGEST_MESSAGE)
    request_id = redactor.text(response.headers.get("x-github-request-id", ""), _LONGEST_ID) or None
    kind, reference, message, hints = _classify(response, what)
    shown = f"{message} ({status} {quoted})" if quoted else f"{message} ({status})"
    return kind(
        reference,
        shown,
        hints=hints,
        operation=what,
        response=ErrorResponse(status=status, request_id=request_id),
        sent=status >= 500,
    )


def _classify(response: httpx.Response, what: str) -> tuple[type[RemoteError], str, str, tuple[str, ...]]:
    status = response.status_code
    wait = rate_limit_wait(response)
    if wait is not None:
        hints = (f"Run this again after {wait:g} s.",)
        return Unavailable, "forge-throttled", f"the forge throttles: {what}", hints
    if status == 401:
        hints = ("GITHUB_TOKEN is wrong, revoked, or belongs to another forge than GITHUB_API_URL.",)
        return CredentialRefused, "forge-credential-refused", f"the forge rejected the token: {what}", hints
    if status == 403:
        hints = ("The job's `permissions` don't include this, or it runs for a fork, whose token is read-only.",)
        return Forbidden, "forge-forbidden", f"the token lacks the permission: {what}", hints
    if status in {404, 410}:
        hints = ("It doesn't exist, or the token can't access it: check the job's `permissions`.",)
        return Missing, "forge-missing", f"the forge did not find this: {what}", hints
    if 300 <= status < 400:
        hints = ("The repository may have been renamed: update GITHUB_REPOSITORY and GITHUB_API_URL.",)
        return Unreadable, "forge-moved", f"the forge redirects to another URL: {what}", hints
    if status >= 500:
        return Unavailable, "forge-unavailable", f"the forge failed: {what}", ("Try again later.",)
    return Rejected, "forge-rejected", f"the forge rejected the request: {what}", ()


PAGE: Final = 100  # the largest page, public
_ATTEMPTS: Final = 5
_BACKOFF: Final = 0.5  # seconds, doubled with each attempt
_LONGEST_BACKOFF: Final = 10.0
_TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
_LARGEST_ANSWER: Final = 32 * 1024 * 1024  # bytes, decoded
_API_VERSION: Final = "2022-11-28"
_ENCODING_HEADERS: Final = frozenset({"content-encoding", "content-length", "transfer-encoding"})
# Methods that are safe to retry. A repeated POST would create a second object, so it is not retried once it may have arrived.
_RETRIED_METHODS: Final = frozenset({"GET", "PATCH"})


@dataclass(frozen=True, slots=True)
class _RetryableFailure:
    """A failed attempt whose retry may succeed: `error` is raised if there is none, `delay` is the wait in seconds."""

    error: RemoteError
    delay: float


class GitHub:
    """The API of one repository, a context manager.

    Paths are relative to `/repos/OWNER/NAME`, or to the API if they begin with `/`. `on_wait` is called with waits of a second
    or more. A request is sent up to five times; before the nth retry it waits up to `backoff` × 2ⁿ⁻¹ seconds, or as long as
    the forge asks, up to two minutes. Results and errors never contain the token.
    """

    def __init__(
        self,
        repository: GitHubRepository,
        *,
        attempts: int = _ATTEMPTS,
        backoff: float = _BACKOFF,
        on_wait: Callable[[float], None] | None = None,
    ) -> None:
        self.repository = repository
        self._backoff = Backoff(first=backoff, longest=_LONGEST_BACKOFF)
        self._on_wait = on_wait
        self._redactor = Redactor([repository.token])
        self._attempts = attempts
        # Loading the certificate authorities takes longer than a report against loopback.
        secure = repository.api.startswith("https://")
        self._http = httpx.Client(
            verify=True if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            headers={
                "Accept": "application/vnd.github+json",
                "Accept-Encoding": ACCEPT_ENCODING,
                "Authorization": f"Bearer {repository.token.reveal()}",
                "User-Agent": f"octosync/{__version__}",
                "X-GitHub-Api-Version": _API_VERSION,
            },
            timeout=_TIMEOUT,
            # A kept connection with a second response to one request would return it as the response to the next one.
            limits=httpx.Limits(max_keepalive_connections=0),
            follow_redirects=False,
            trust_env=not repository.is_loopback,  # proxies, certificate authorities
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def read(self, path: str) -> JsonObject:
        """Read one object. Raises `RemoteError`."""
        response = self._call("GET", self._url(path))
        return _object(self._parsed(response, path), path)

    def pages(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[JsonObject]:
        """Yield the objects of a list; a page is read when its first object is needed. Raises `RemoteError`."""
        url = httpx.URL(self._url(path), params={**(query or {}), "per_page": str(PAGE)})
        seen = set()
        while url not in seen:
            seen.add(url)
            response = self._call("GET", str(url))
            items = self._parsed(response, path)
            if not isinstance(items, list):
                raise unreadable_response(path, "it is not a list")
            yield from (_object(item, path) for item in items)
            following = response.links.get("next", {}).get("url")
            if following is None:
                return
            url = self._check_host(_joined(url, following, path), path)
        raise unreadable_response(path, "its pages form a loop")

    def write(self, method: str, path: str, body: JsonObject) -> JsonObject:
        """Write one object, and return its new state.

        Raises `RemoteError`; its `sent` is True if a POST may have been carried out nevertheless.
        """
        response = self._call(method, self._url(path), body)
        return _object(self._parsed(response, path), path)

    def _url(self, path: str) -> str:
        return f"{self.repository.api}{path}" if path.startswith("/") else self._below(path)

    def _below(self, path: str) -> str:
        return f"{self.repository.api}/repos/{self.repository.name}/{path}"

    def _check_host(self, url: httpx.URL, path: str) -> httpx.URL:
        """Return the URL; raise `Unreadable` if it is on another host, which must not receive the token."""
        api = httpx.URL(self.repository.api)
        if (url.scheme, url.host, url.port) != (api.scheme, api.host, api.port):
            raise unreadable_response(path, "its next page is on another host")
        return url

    def _call(self, method: str, url: str, body: JsonObject | None = None) -> httpx.Response:
        result = self._attempt(method, url, body, 1)
        for attempt in range(2, self._attempts + 1):
            if isinstance(result, httpx.Response):
                break
            time.sleep(result.delay)
            result = self._attempt(method, url, body, attempt)
        if isinstance(result, httpx.Response):
            return result
        raise result.error

    def _attempt(
        self, method: str, url: str, body: JsonObject | None, attempt: int
    ) -> httpx.Response | _RetryableFailure:
        what = self._redactor.text(f"{method} {httpx.URL(url).path}")
        error, delay, retries = None, self._backoff.draw(attempt), method in _RETRIED_METHODS
        try:
            response = self._exchange(method, url, body)
        except (httpx.HTTPError, BodyError) as problem:
            error = _lost_response(problem, what, self.repository.host)
            response = None
        if response is not None:
            if response.is_success:
                return response
            error = error_from_response(response, what, self._redactor)
            delay = _delay_of(response, delay)
            retries = retries or rate_limit_wait(response) is not None
        assert error is not None  # noqa: S101 — there was no response, or it was an error
        if not error.retryable or not (retries or not error.sent) or delay > LONGEST_WAIT:
            raise error
        if self._on_wait is not None and delay >= 1.0:
            self._on_wait(delay)
        return _RetryableFailure(error, delay)

    def _exchange(self, method: str, url: str, body: JsonObject | None) -> httpx.Response:
        """Send one request once, and return the response with its whole body, decoded."""
        with self._http.stream(method, url, json=body) as response:
            content = _body(response)
        headers = [(name, value) for name, value in response.headers.multi_items() if name not in _ENCODING_HEADERS]
        return httpx.Response(response.status_code, headers=headers, content=content, request=response.request)

    def _parsed(self, response: httpx.Response, path: str) -> JsonValue:
        try:
            value: JsonValue = json.loads(response.content)
        except (ValueError, RecursionError):
            raise unreadable_response(path, "it is not JSON") from None
        return self._redactor.masked(value)


def _body(response: httpx.Response) -> bytes:
    try:
        decoder = BodyDecoder(response.headers.get("content-encoding"), _LARGEST_ANSWER)
        for piece in response.iter_raw():
            decoder.feed(piece)
        return decoder.finish()
    except BodyTooLarge:
        raise
    except BodyError:
        if response.is_success:
            raise
        return b""  # the status alone identifies the error


def _joined(url: httpx.URL, following: str, path: str) -> httpx.URL:
    try:
        return url.join(following)
    except httpx.InvalidURL:
        raise unreadable_response(path, "its next page is not a URL") from None


def _delay_of(response: httpx.Response, backoff: float) -> float:
    """Return the seconds before the next attempt: as long as the forge asks, otherwise the backoff."""
    wait = rate_limit_wait(response)
    if wait is not None:
        return wait
    asked = response.headers.get("retry-after", "")
    return float(asked[:9]) if asked.isascii() and asked.isdigit() else backoff


def _lost_response(problem: httpx.HTTPError | BodyError, what: str, host: str) -> RemoteError:
    """Return the error of a request without a response; it was certainly not sent only if the connection failed."""
    sent = not isinstance(problem, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    if isinstance(problem, BodyTooLarge):
        return unreadable_response(what, f"it is larger than {_LARGEST_ANSWER // 2**20} MiB")
    if isinstance(problem, EncodingRefused):
        return unreadable_response(what, "it has a Content-Encoding that octosync did not request")
    if isinstance(problem, BodyError | httpx.DecodingError | httpx.UnsupportedProtocol):
        return unreadable_response(what, "it is not valid HTTP")
    how = "did not respond in time" if isinstance(problem, httpx.TimeoutException) else "can't be reached"
    hints = ("Check GITHUB_API_URL and the network, and try again.",)
    return Unavailable("forge-unavailable", f"{host} {how}: {what}", hints=hints, operation=what, sent=sent)


def _object(value: JsonValue, path: str) -> JsonObject:
    if not isinstance(value, Mapping):
        raise unreadable_response(path, "it contains something that is not an object")
    return value


def unreadable_response(path: str, why: str) -> Unreadable:
    """Return the error of a response that is not GitHub's."""
    hints = ("Check that GITHUB_API_URL is the API's URL, not the website's.",)
    return Unreadable(
        "forge-unreadable", f"the forge's response can't be read: {why} ({path})", hints=hints, operation=path
    )
