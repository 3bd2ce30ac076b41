"""GitHub's REST API for one repository: what is sent, sent again, waited for and read page by page."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Final, Self

import httpx
import stamina

from octosync import __version__
from octosync.contract.encoding import ACCEPT_ENCODING, BodyDecoder, BodyError, BodyTooLarge, EncodingRefused
from octosync.errors import RemoteError, Unavailable, Unreadable
from octosync.forge.refusals import LONGEST_WAIT, refusal, wait_of
from octosync.forge.repository import Repository
from octosync.model import Backoff, Concealer, JsonObject, JsonValue

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
        repository: Repository,
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
                raise unreadable(path, "it is not a list")
            yield from (_object(item, path) for item in items)
            following = answer.links.get("next", {}).get("url")
            if following is None:
                return
            url = self._own(_joined(url, following, path), path)
        raise unreadable(path, "its pages go round in a circle")

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
            raise unreadable(path, "its next page is on another host")
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
            error = refusal(answer, what, self._concealer)
            delay = _wanted(answer, delay)
            again = again or wait_of(answer) is not None
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
            raise unreadable(path, "it is not JSON") from None
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
        raise unreadable(path, "its next page is no URL") from None


def _wanted(answer: httpx.Response, backoff: float) -> float:
    """Return for how long to wait before the next attempt: as asked for, else as it comes."""
    wait = wait_of(answer)
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
        return unreadable(what, f"it has more than {_LARGEST_ANSWER // 2**20} MiB")
    if isinstance(problem, EncodingRefused):
        return unreadable(what, "it has a Content-Encoding that octosync did not ask for")
    if isinstance(problem, BodyError | httpx.DecodingError | httpx.UnsupportedProtocol):
        return unreadable(what, "it is not proper HTTP")
    how = "gives no answer in time" if isinstance(problem, httpx.TimeoutException) else "can't be reached"
    hints = ("Check GITHUB_API_URL and the network, and try again.",)
    return Unavailable("forge-unavailable", f"{host} {how}: {what}", hints=hints, operation=what, sent=sent)


def _object(value: JsonValue, path: str) -> JsonObject:
    if not isinstance(value, Mapping):
        raise unreadable(path, "it holds something that is no object")
    return value


def unreadable(path: str, why: str) -> Unreadable:
    """Return the error of an answer that is not what GitHub answers."""
    hints = ("Check that GITHUB_API_URL is the API's URL, not the site's.",)
    return Unreadable(
        "forge-unreadable", f"the forge's answer can't be read: {why} ({path})", hints=hints, operation=path
    )
