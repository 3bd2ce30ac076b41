"""A document from the web, such as an API's description: fetched once, and never with an API key."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

import httpx

from octosync.contract.encoding import BodyTooLarge
from octosync.errors import ErrorResponse, OctosyncError, RemoteError, Unreadable, UsageError
from octosync.octomil.connection import Connection
from octosync.octomil.failures import failed
from octosync.octomil.transport import RawAnswer, exchange, open_http

_WHAT = "the document"
_ACCEPT = "application/json, application/yaml;q=0.9, */*;q=0.5"


def is_url(text: str) -> bool:
    """Say whether a text is meant as a URL rather than as a file."""
    return text.lower().startswith(("http://", "https://"))


def source_of(url: str) -> Connection:
    """Return where a document comes from: no key, no org. Without a path, `/openapi.json` is meant.

    Raises `UsageError` for what is no URL and for one with a user or password in it, `ConfigError` as `Connection` does.
    """
    parts = _split(url)
    return Connection(
        url=parts._replace(path=parts.path.rstrip("/") or "/openapi.json", query="", fragment="").geturl()
    )


async def fetch(
    url: str, source: Connection, *, largest: int, transport: httpx.AsyncBaseTransport | None = None
) -> bytes:
    """Fetch the document that a URL names, through its source. No redirect is followed. `largest` is in bytes.

    Raises `RemoteError` for anything but the document; no error shows what follows a `?` in the URL.
    """
    query = _split(url).query
    target = httpx.URL(f"{source.url}?{query}" if query else source.url)
    async with open_http(source, transport) as http:
        lost: OctosyncError | None = None
        answer: RawAnswer | None = None
        try:
            answer = await exchange(http, http.build_request("GET", target, headers={"Accept": _ACCEPT}), source)
        except BodyTooLarge:
            lost = _too_large(source, largest)
        except Exception as problem:
            described = failed(problem, source, _WHAT)
            if described is None:
                raise
            lost = described.error
    if lost is not None or answer is None:
        raise lost or _too_large(source, largest)
    return _body(answer, source, largest)


def _body(answer: RawAnswer, source: Connection, largest: int) -> bytes:
    if answer.status == 200:
        if len(answer.body) > largest:
            raise _too_large(source, largest)
        return answer.body
    hints: tuple[str, ...] = (
        "Save it to a file, with what it needs to be read, and name that: no API key is sent to fetch a document.",
    )
    if 300 <= answer.status < 400:
        message, hints = (
            f"{source.url} redirects elsewhere",
            ("Name the URL that it leads to: no redirect is followed.",),
        )
    elif answer.status in {401, 403}:
        message = f"{source.url} wants somebody who is logged in"
    elif answer.status == 404:
        message = f"{source.url} doesn't exist"
        hints = ("FastAPI serves it at /openapi.json, unless that is switched off.",)
    else:
        message = f"{source.url} can't be had"
    response = ErrorResponse(status=answer.status)
    raise RemoteError("spec-not-fetched", f"{message} ({answer.status})", hints=hints, response=response)


def _too_large(source: Connection, largest: int) -> RemoteError:
    message = f"{source.url} has more than {largest // 2**20} MiB"
    return Unreadable("spec-too-large", message, hints=("Check that it is an OpenAPI document.",))


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        _ = parts.port  # raises for a port that is none
    except ValueError:
        raise UsageError("bad-spec-url", "the document's URL is not a URL", hints=(_EXAMPLE,)) from None
    if "@" in parts.netloc:
        message = f"the document's URL for {parts.hostname} carries a user name or password"
        raise UsageError("credentials-in-url", message, hints=("Fetch it yourself, and name the file.",))
    return parts


_EXAMPLE = "For example https://api.octomil.com/openapi.json, or the name of a file."
