"""The connection to a control plane (URL, key, timeouts), and the HTTP transport that sends one request.

The transport is httpx over aiohttp, without automatic retries, redirects or cookies.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, cast
from urllib.parse import SplitResult, urlsplit

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from octosync import __version__
from octosync.contract.operations import ACCEPT_ENCODING, BodyDecoder, BodyError, BodyTooLarge
from octosync.errors import ConfigError
from octosync.model import Secret

API_PATH = "/api/v1"  # public: used by every client of Octomil
REQUESTS_PER_MINUTE = 100  # public: the limit per credential


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How to reach a control plane. Construction normalises `url` and rejects settings that would leak the key or can't work.

    `token_source` is where the key came from, for messages: `OCTOMIL_API_KEY (context production, octosync.yaml:3)`.
    `requests_per_minute` 0 means no limit; `concurrency` is how many requests are in flight at once, reads and writes
    together. `connect_timeout` and `response_timeout` are seconds: to connect, and from then to the complete response.
    `read_timeout` replaces `response_timeout` for reads: a lost write has to be resolved, a lost read is only sent again.
    A request is sent up to `attempts` times; before the nth retry it waits up to `backoff` × 2ⁿ⁻¹ seconds.
    `proxy` is the URL of an HTTP proxy, `http://[USER:PASSWORD@]HOST:PORT`. Raises `ConfigError`.
    """

    url: str
    org: str | None = None
    token: Secret | None = None
    token_source: str = ""
    insecure: bool = False
    requests_per_minute: int = REQUESTS_PER_MINUTE
    concurrency: int = 16
    connect_timeout: float = 10.0
    response_timeout: float = 60.0
    read_timeout: float | None = None
    attempts: int = 5
    backoff: float = 0.5
    proxy: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", normalise_url(self.url))
        if self.token is not None:
            _check_token(self.token, self.token_source)
            if self.url.startswith("http://") and not self.insecure and not is_loopback(self.host):
                raise ConfigError(
                    "insecure-url",
                    f"the API key would be sent to {self.url} unencrypted",
                    hints=("Use https://, or pass --insecure if the network is trusted.",),
                )
        if self.proxy is not None:
            check_proxy(self.proxy)
        if self.requests_per_minute < 0 or self.concurrency < 1 or self.attempts < 1:
            raise ConfigError(
                "invalid-rate",
                "invalid rate: at least 0 requests per minute, 1 request at a time and 1 attempt",
                hints=("0 requests per minute means no limit.",),
            )

    @cached_property
    def for_reads(self) -> Connection:
        """The connection with the response timeout of reads."""
        return (
            self if self.read_timeout is None else replace(self, response_timeout=self.read_timeout, read_timeout=None)
        )

    @property
    def host(self) -> str:
        """The host without the port, lower case."""
        return urlsplit(self.url).hostname or ""

    @property
    def is_loopback(self) -> bool:
        """Whether requests never leave this machine."""
        return is_loopback(self.host)


def normalise_url(url: str) -> str:
    """Return the base URL of the API: `api.octomil.com/` → `https://api.octomil.com/api/v1`.

    A bare origin gets the API's path, a trailing slash is removed, and the default scheme is https, on loopback http.
    Raises `ConfigError` for anything else, and for a URL with a user or password. The error never shows these, nor what
    follows a `?` or `#`.
    """
    text = url.strip()
    if not text or any(character <= " " or character == "\x7f" for character in text):
        raise ConfigError("bad-url", "the control plane's URL is empty or contains blanks", hints=(_EXAMPLE,))
    parts = _split(text)
    if "@" in parts.netloc:
        raise ConfigError(
            "credentials-in-url",
            f"the control plane's URL for {parts.hostname} contains a user name or password",
            hints=("Remove them; set the API key with OCTOMIL_API_KEY or --token-file.",),
        )
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        shown = text.partition("?")[0].partition("#")[0]  # the rest may hold a token
        more = ", because of what follows it" if shown != text else ""
        raise ConfigError("bad-url", f"{shown} is not the URL of a control plane{more}", hints=(_EXAMPLE,))
    if "://" not in text and text == parts.hostname and "." not in text and not is_loopback(text):
        raise ConfigError(
            "bad-url",
            f"{text} is not the URL of a control plane",
            hints=(
                _EXAMPLE,
                f"For a host with this name: https://{text}. For a context of octosync.yaml: --context {text}",
            ),
        )
    path = parts.path.rstrip("/") or API_PATH
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"


_EXAMPLE = f"For example https://api.octomil.com{API_PATH}, or http://127.0.0.1:8787 for `octosync server`."


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        _ = parts.port  # raises for an invalid port
    except ValueError:
        raise ConfigError("bad-url", "the control plane's URL is invalid", hints=(_EXAMPLE,)) from None
    if "://" not in text and is_loopback(parts.hostname or ""):
        return parts._replace(scheme="http")
    return parts


def proxy_from_environment(url: str, environment: Mapping[str, str]) -> str | None:
    """Return the proxy for a URL according to `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, in upper or lower case."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxy, spared = (
        environment.get(name) or environment.get(name.upper()) or "" for name in (f"{parts.scheme}_proxy", "no_proxy")
    )
    domains = [domain.strip().lstrip(".").lower() for domain in spared.split(",") if domain.strip()]
    if any(domain == "*" or f".{host}".endswith(f".{domain}") for domain in domains):
        return None
    if not proxy or is_loopback(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def is_loopback(host: str) -> bool:
    """Return whether requests to a host never leave this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_proxy(address: str) -> None:
    """Raise `ConfigError` if the address is not the URL of an HTTP proxy."""
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise ConfigError(
            "bad-proxy",
            "the proxy's address is not the URL of an HTTP proxy",  # and isn't shown: it may hold a password
            hints=(
                "It has the form http://HOST:PORT. It comes from HTTPS_PROXY or HTTP_PROXY; NO_PROXY names exceptions.",
            ),
        )


def _check_token(token: Secret, source: str) -> None:
    value = token.reveal()
    if value and all("!" <= character <= "~" for character in value):
        return
    problem = "is empty" if not value else "contains blanks, line breaks or characters that a header can't carry"
    raise ConfigError(
        "token-unusable",
        f"the API key from {source or 'the configuration'} {problem}",
        hints=("Copy the key again, alone on one line. It isn't shown here because most of it may be correct.",),
    )


MAX_RESPONSE_BYTES = 32 * 1024 * 1024  # bytes, decompressed
# Shorter than the idle timeouts of uvicorn (5 s) and load balancers (1 min): a request that is written to a connection
# while the server closes it is lost, and a lost write has to be resolved.
_IDLE_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class RawResponse:
    """A response as it was received, not parsed. `body` is decoded, and empty if that of an error can't be decoded."""

    status: int
    headers: httpx.Headers
    body: bytes


_HEADERS: Final = {
    "Connection": "keep-alive",
    "Accept": "application/json",
    "Accept-Encoding": ACCEPT_ENCODING,
    "User-Agent": f"octosync/{__version__}",
}


def request_of(
    method: str,
    url: str | httpx.URL,
    headers: Mapping[str, str] = MappingProxyType({}),
    *,
    query: Mapping[str, str | int] = MappingProxyType({}),
    body: bytes | None = None,
) -> httpx.Request:
    """Return a request, without a key. Raises `httpx.InvalidURL`."""
    return httpx.Request(method, url, params=query or None, headers={**_HEADERS, **headers}, content=body)


@dataclass(slots=True)
class _Check:
    """The check of one request, with the error that it has raised: aiohttp raises another one in its place."""

    check: Callable[[], None]
    error: Exception | None = None

    def __call__(self) -> None:
        try:
            self.check()
        except Exception as error:
            self.error = error
            raise


_CHECK: Final[ContextVar[_Check | None]] = ContextVar("_CHECK", default=None)


class _CheckedTransport:
    """The transport of a connection, which calls the check of the current request immediately before it sends anything.

    aiohttp sends a request some iterations of the event loop after it has a connection. A process that is suspended in between
    must not send it when it continues.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.check: _Check | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 — everything else is that of the transport
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send data."""
        if self.check is not None:
            self.check()
        self._transport.write(data)

    def writelines(self, data: Iterable[bytes]) -> None:
        """Send several pieces of data."""
        if self.check is not None:
            self.check()
        self._transport.writelines(data)


class _Connector(aiohttp.TCPConnector):
    """Calls the check of a request when its connection is open, since connecting may take long, and when it is sent."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 — its interface
    ) -> aiohttp.connector.Connection:
        connection = await super().connect(req, traces, timeout)
        check, protocol = _CHECK.get(), connection.protocol
        if check is not None:
            try:
                check()
            except BaseException:
                connection.release()
                raise
        if protocol is not None and protocol.transport is not None:
            transport: Any = protocol.transport
            if check is not None and not isinstance(transport, _CheckedTransport):
                protocol.transport = transport = cast("asyncio.Transport", _CheckedTransport(transport))
            if isinstance(transport, _CheckedTransport):
                transport.check = check  # that of an earlier request on the same connection is over
        return connection


def open_transport(connection: Connection) -> AiohttpTransport:
    """Create the transport to a control plane. It needs a running event loop, and `aclose` at the end.

    Its aiohttp session doesn't retry: a session of its own would resend lost requests. Raises `ConfigError` if the certificate
    authorities can't be loaded.
    """
    secure = connection.url.startswith("https://")
    # Loading the certificate authorities takes longer than a whole plan against loopback.
    tls = load_certificate_authorities() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    session = aiohttp.ClientSession(
        # The rate limiter bounds the requests in flight, so no request ever waits in the pool.
        connector=_Connector(limit=0, ssl=tls, keepalive_timeout=_IDLE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    # aiohttp resends GET, PUT and DELETE when a connection drops: not rate-limited, not counted and not journaled. It has no
    # public setting for this; a test counts the requests at the socket.
    session._retry_connection = False  # noqa: SLF001 — see above
    return AiohttpTransport(verify=tls, client=session, proxy=_proxy(connection.proxy) if connection.proxy else None)


def load_certificate_authorities() -> ssl.SSLContext:
    """Load the certificate authorities. Raises `ConfigError` on failure."""
    try:
        return httpx.create_ssl_context()
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror if not isinstance(error, ssl.SSLError) else "it contains no certificate"
        raise ConfigError(
            "certificates-unreadable",
            f"the certificate authorities can't be loaded: {(reason or str(error)).lower()}",
            hints=("SSL_CERT_FILE must name a PEM file, SSL_CERT_DIR a folder of PEM files. Correct or unset it.",),
        ) from None


def _proxy(address: str) -> httpx.Proxy:
    """Return the proxy with its user and password, if any, moved from the URL into a header.

    aiohttp sends it as `Proxy-Authorization`, with the tunnel or with the request, whichever the proxy receives.
    """
    url = httpx.URL(address)
    if not url.userinfo:
        return httpx.Proxy(url)
    basic = b64encode(f"{url.username}:{url.password}".encode()).decode()
    return httpx.Proxy(url.copy_with(userinfo=b""), headers={"Authorization": f"Basic {basic}"})


async def exchange(
    http: httpx.AsyncBaseTransport,
    request: httpx.Request,
    connection: Connection,
    check: Callable[[], None] | None = None,
) -> RawResponse:
    """Send one request once and read the complete response, within the connection's timeouts.

    `check` is called when the connection is open, and immediately before the request is sent; if it raises, nothing is sent, and
    that is raised.

    No `httpx.AsyncClient` is used: it would only add cookies, redirects and logins, which octosync doesn't want.
    Raises `BodyError`, `TimeoutError`, and the exceptions of httpx and aiohttp; `failures.failure_of` translates them.
    """
    connect = connection.connect_timeout
    checked = None if check is None else _Check(check)
    _CHECK.set(checked)  # in the context of this task, which sends one request at a time
    request.extensions["timeout"] = httpx.Timeout(connection.response_timeout, connect=connect, pool=connect).as_dict()
    async with asyncio.timeout(connect + connection.response_timeout):
        try:
            response = await http.handle_async_request(request)
        except Exception:
            if checked is not None and checked.error is not None:
                raise checked.error from None
            raise
        response.request = request
        try:
            body = await _body(response)
        finally:
            await response.aclose()
    return RawResponse(response.status_code, response.headers, body)


async def _body(response: httpx.Response) -> bytes:
    if response.is_stream_consumed:
        return response.content  # of an in-memory transport
    try:
        decoder = BodyDecoder(response.headers.get("content-encoding"), MAX_RESPONSE_BYTES)
        async for piece in response.aiter_raw():
            decoder.feed(piece)
        return decoder.finish()
    except BodyTooLarge:
        raise
    except BodyError:
        if response.is_success:
            raise
        return b""  # the status alone identifies the error
