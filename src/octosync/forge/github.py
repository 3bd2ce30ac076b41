"""GitHub's REST API for one repository: what is sent, sent again, waited for and read page by page.

What GitHub's refusals mean: an error each, and for what passes by itself the seconds to wait.

Public: 403 or 429 is a rate limit where `Retry-After` is there, `x-ratelimit-remaining` is 0 (until `x-ratelimit-reset`, in
seconds of Unix time), or the message says so (then a minute at least); any other 403 is a permission that the token lacks.

Which repository, on which forge, as whom: what a GitHub job finds in its environment.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import httpx
import stamina

from octosync import __version__
from octosync.contract.encoding import ACCEPT_ENCODING, BodyDecoder, BodyError, BodyTooLarge, EncodingRefused
from octosync.errors import (
    ConfigError,
    CredentialRefused,
    ErrorResponse,
    Forbidden,
    Missing,
    Rejected,
    RemoteError,
    Unavailable,
    Unreadable,
)
from octosync.model import Backoff, Concealer, JsonObject, JsonValue, Secret

# Above this, a job had better end and say so.
LONGEST_WAIT: Final = 120.0
_UNSAID_WAIT: Final = 60.0
_LONGEST_MESSAGE: Final = 300
_LONGEST_ID: Final = 100


def rate_limit_wait(answer: httpx.Response) -> float | None:
    """Return for how many seconds a rate limit wants to be left alone, None for an answer that is no rate limit."""
    if answer.status_code not in {403, 429}:
        return None
    asked = answer.headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdigit():
        return float(asked[:9])
    if answer.headers.get("x-ratelimit-remaining", "").strip() == "0":
        return _until(answer.headers.get("x-ratelimit-reset", ""), answer.headers.get("date", ""))
    if answer.status_code == 429 or "rate limit" in error_message(answer).lower():
        return _UNSAID_WAIT
    return None


def _until(reset: str, date: str) -> float:
    """Return the seconds from the answer's own `Date` to a reset: a clock of ours that is off does no harm."""
    try:
        now = parsedate_to_datetime(date).timestamp()
    except (ValueError, IndexError, TypeError, OverflowError):
        return _UNSAID_WAIT
    text = reset.strip()
    return max(0.0, float(text[:15]) - now) if text.isascii() and text.isdigit() else _UNSAID_WAIT


def error_message(answer: httpx.Response) -> str:
    """Return what GitHub says beside a status, "" where it says nothing that can be read."""
    try:
        body = json.loads(answer.content)
    except (ValueError, RecursionError):
        return ""
    said = body.get("message") if isinstance(body, Mapping) else None
    errors = body.get("errors") if isinstance(body, Mapping) else None
    details = [one.get("message") for one in errors if isinstance(one, Mapping)] if isinstance(errors, list) else []
    parts = [one for one in (said, *details) if isinstance(one, str)]
    return ": ".join(parts)


def error_from_response(answer: httpx.Response, what: str, concealer: Concealer) -> RemoteError:
    """Read an answer that is no success into the error that it means; `what` says what was asked for."""
    status, said = answer.status_code, concealer.text(error_message(answer), _LONGEST_MESSAGE)
    request_id = concealer.text(answer.headers.get("x-github-request-id", ""), _LONGEST_ID) or None
    kind, reference, message, hints = _meaning(answer, what)
    shown = f"{message} ({status} {said})" if said else f"{message} ({status})"
    return kind(
        reference,
        shown,
        hints=hints,
        operation=what,
        response=ErrorResponse(status=status, request_id=request_id),
        sent=status >= 500,
    )


def _meaning(answer: httpx.Response, what: str) -> tuple[type[RemoteError], str, str, tuple[str, ...]]:
    status = answer.status_code
    wait = rate_limit_wait(answer)
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


PUBLIC_API: Final = "https://api.github.com"
_NAME: Final = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class GitHubRepository:
    """A repository, `name` as `owner/name`, at the forge whose REST API is `api`, reached with `token`.

    Raises `ConfigError` for what is no such thing, and for a token that would cross a network unencrypted.
    """

    api: str
    name: str
    token: Secret

    def __post_init__(self) -> None:
        object.__setattr__(self, "api", self.api.strip().rstrip("/"))
        parts = _split(self.api)
        if parts is None:
            raise ConfigError(
                "bad-forge-url",
                "GITHUB_API_URL is not the URL of an API",
                hints=(f"For example {PUBLIC_API}; for GitHub Enterprise Server: https://HOST/api/v3.",),
            )
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                "bad-repository",
                f"{self.name!r} is not the name of a repository",
                hints=("GITHUB_REPOSITORY is OWNER/NAME. GitHub Actions sets it.",),
            )
        if parts[0] == "http" and not self.is_loopback:
            raise ConfigError(
                "insecure-forge-url",
                f"the token would be sent to {self.api} unencrypted",
                hints=("GITHUB_API_URL must begin with https://.",),
            )

    @property
    def host(self) -> str:
        """The forge's host, lower case, without the port."""
        return urlsplit(self.api).hostname or ""

    @property
    def is_loopback(self) -> bool:
        """Whether requests never leave this machine."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False


def repository_from_environment(environment: Mapping[str, str]) -> GitHubRepository:
    """Return the repository that `GITHUB_API_URL`, `GITHUB_REPOSITORY` and `GITHUB_TOKEN` name.

    Raises `ConfigError` where there is no token or no repository.
    """
    token, name = environment.get("GITHUB_TOKEN", "").strip(), environment.get("GITHUB_REPOSITORY", "").strip()
    if not name:
        raise ConfigError(
            "no-repository", "GITHUB_REPOSITORY is not set", hints=("It is OWNER/NAME. GitHub Actions sets it.",)
        )
    if not token:
        raise ConfigError(
            "no-forge-token",
            f"no token for {name}",
            hints=("In a GitHub Actions job, add to the step: `env: {GITHUB_TOKEN: ${{ github.token }}}`.",),
        )
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise ConfigError(
            "bad-forge-token",
            "GITHUB_TOKEN is not a token: it contains characters that no token has",
            hints=("Set it again.",),
        )
    return GitHubRepository(environment.get("GITHUB_API_URL") or PUBLIC_API, name, Secret(token))


def _split(url: str) -> tuple[str, str] | None:
    """Return scheme and host of a URL that can be one of an API, None for another."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for a port that is none
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or parts.query:
        return None
    return parts.scheme, parts.hostname


PAGE: Final = 100  # the largest one, public
_ATTEMPTS: Final = 5
_BACKOFF: Final = 0.5  # seconds, doubled with each attempt
_LONGEST_BACKOFF: Final = 10.0
_TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
_LARGEST_ANSWER: Final = 32 * 1024 * 1024  # bytes, decoded
_API_VERSION: Final = "2022-11-28"
_OF_THE_ENCODING: Final = frozenset({"content-encoding", "content-length", "transfer-encoding"})
# A POST makes another of what it made before: it is not sent again once it may have arrived.
_AGAIN: Final = frozenset({"GET", "PATCH"})

# stamina logs each retry as a warning. Octosync shows waits its own way; whoever configures logging still gets them.
logging.getLogger("stamina").addHandler(logging.NullHandler())


class _TryAgain(Exception):
    """An attempt failed in a way that another may not: `error` is what to raise when there is none, `delay` in seconds."""

    def __init__(self, error: RemoteError, delay: float) -> None:
        super().__init__(error.reference)
        self.error = error
        self.delay = delay


class GitHub:
    """The API of one repository, a context manager; paths are below `/repos/OWNER/NAME`, those that begin with `/` below the API.

    `on_wait` is told of waits of a second and more that the forge asked for. A request is tried up to five times; before the
    nth retry it waits up to `backoff` × 2ⁿ⁻¹ seconds, or as long as the forge asks, up to two minutes. What it returns and
    raises never holds the token.
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
        self._concealer = Concealer([repository.token])
        self._retrying = stamina.RetryingCaller(attempts=attempts, timeout=None).on(_delay)
        self._http = httpx.Client(
            headers={
                "Accept": "application/vnd.github+json",
                "Accept-Encoding": ACCEPT_ENCODING,
                "Authorization": f"Bearer {repository.token.reveal()}",
                "User-Agent": f"octosync/{__version__}",
                "X-GitHub-Api-Version": _API_VERSION,
            },
            timeout=_TIMEOUT,
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
        answer = self._call("GET", self._url(path))
        return _object(self._parsed(answer, path), path)

    def pages(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[JsonObject]:
        """Yield the objects of a list, page after page as far as they are asked for. Raises `RemoteError`."""
        url = httpx.URL(self._url(path), params={**(query or {}), "per_page": str(PAGE)})
        seen = set()
        while url not in seen:
            seen.add(url)
            answer = self._call("GET", str(url))
            items = self._parsed(answer, path)
            if not isinstance(items, list):
                raise unreadable_response(path, "it is not a list")
            yield from (_object(item, path) for item in items)
            following = answer.links.get("next", {}).get("url")
            if following is None:
                return
            url = self._own(_joined(url, following, path), path)
        raise unreadable_response(path, "its pages form a loop")

    def write(self, method: str, path: str, body: JsonObject) -> JsonObject:
        """Write one object, and return it as it is now.

        Raises `RemoteError`; `sent` of it says whether a POST may have been carried out all the same.
        """
        answer = self._call(method, self._url(path), body)
        return _object(self._parsed(answer, path), path)

    def _url(self, path: str) -> str:
        return f"{self.repository.api}{path}" if path.startswith("/") else self._below(path)

    def _below(self, path: str) -> str:
        return f"{self.repository.api}/repos/{self.repository.name}/{path}"

    def _own(self, url: httpx.URL, path: str) -> httpx.URL:
        """Refuse to carry the token to another host than the forge's."""
        api = httpx.URL(self.repository.api)
        if (url.scheme, url.host, url.port) != (api.scheme, api.host, api.port):
            raise unreadable_response(path, "its next page is on another host")
        return url

    def _call(self, method: str, url: str, body: JsonObject | None = None) -> httpx.Response:
        turn = iter(range(1, 1_000))
        lost: RemoteError | None = None
        try:
            answered = self._retrying(lambda: self._attempt(method, url, body, next(turn)))
        except _TryAgain as spent:
            lost, answered = spent.error, None
        if answered is None:  # outside the handler: the request, with its token, is no context of the error
            raise lost or AssertionError
        return answered

    def _attempt(self, method: str, url: str, body: JsonObject | None, attempt: int) -> httpx.Response:
        what = self._concealer.text(f"{method} {httpx.URL(url).path}")
        error, delay, again = None, self._backoff.draw(attempt), method in _AGAIN
        try:
            answer = self._exchange(method, url, body)
        except (httpx.HTTPError, BodyError) as problem:
            error = _lost(problem, what, self.repository.host)
            answer = None
        if answer is not None:
            if answer.is_success:
                return answer
            error = error_from_response(answer, what, self._concealer)
            delay = _wanted(answer, delay)
            again = again or rate_limit_wait(answer) is not None
        assert error is not None  # noqa: S101 — there was no answer, or it was no success
        if not error.retryable or not (again or not error.sent) or delay > LONGEST_WAIT:
            raise error
        if self._on_wait is not None and delay >= 1.0:
            self._on_wait(delay)
        raise _TryAgain(error, delay)

    def _exchange(self, method: str, url: str, body: JsonObject | None) -> httpx.Response:
        """Send one request once, and return the response with its whole body, decoded."""
        with self._http.stream(method, url, json=body) as response:
            content = _body(response)
        headers = [(name, value) for name, value in response.headers.multi_items() if name not in _OF_THE_ENCODING]
        return httpx.Response(response.status_code, headers=headers, content=content, request=response.request)

    def _parsed(self, answer: httpx.Response, path: str) -> JsonValue:
        try:
            value: JsonValue = json.loads(answer.content)
        except (ValueError, RecursionError):
            raise unreadable_response(path, "it is not JSON") from None
        return self._concealer.masked(value)


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
        return b""  # the status alone says what was refused


def _joined(url: httpx.URL, following: str, path: str) -> httpx.URL:
    try:
        return url.join(following)
    except httpx.InvalidURL:
        raise unreadable_response(path, "its next page is not a URL") from None


def _wanted(answer: httpx.Response, backoff: float) -> float:
    """Return for how long to wait before the next attempt: as asked for, else as it comes."""
    wait = rate_limit_wait(answer)
    if wait is not None:
        return wait
    asked = answer.headers.get("retry-after", "")
    return float(asked[:9]) if asked.isascii() and asked.isdigit() else backoff


def _delay(problem: Exception) -> float | bool:
    """Tell stamina whether to try again, and after how many seconds."""
    return problem.delay if isinstance(problem, _TryAgain) else False


def _lost(problem: httpx.HTTPError | BodyError, what: str, host: str) -> RemoteError:
    """Say what became of a request without an answer; only one whose connection was never there was certainly not sent."""
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
    """Return the error of an answer that is not what GitHub answers."""
    hints = ("Check that GITHUB_API_URL is the API's URL, not the website's.",)
    return Unreadable(
        "forge-unreadable", f"the forge's response can't be read: {why} ({path})", hints=hints, operation=path
    )
