"""The way onto the wire: httpx over aiohttp, with everything off that would send, follow or remember by itself."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from octosync import __version__
from octosync.contract.encoding import ACCEPT_ENCODING, BodyDecoder, BodyError, BodyTooLarge
from octosync.errors import ConfigError
from octosync.octomil.connection import Connection

LARGEST_ANSWER = 32 * 1024 * 1024  # bytes, decompressed
# Below the 5 s after which uvicorn, and the minute after which load balancers, drop an idle connection: a request
# that is written to a connection in that very moment is lost, and a lost write has to be resolved.
_IDLE_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An answer as it came: nothing parsed, nothing judged. `body` is decoded, and empty where a refusal's can't be."""

    status: int
    headers: httpx.Headers
    body: bytes


def open_http(connection: Connection, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """Make the HTTP client for a control plane, without its key; a running event loop is needed. Close it with `aclose`.

    Raises `ConfigError` where the certificate authorities can't be loaded.
    """
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": ACCEPT_ENCODING,
        "User-Agent": f"octosync/{__version__}",
    }
    return httpx.AsyncClient(
        transport=transport or _aiohttp_transport(connection),
        headers=headers,
        follow_redirects=False,
        trust_env=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
    )


def _aiohttp_transport(connection: Connection) -> AiohttpTransport:
    """Give aiohttp's session to httpx, rather than let it make one that sends twice what is lost once."""
    secure = connection.url.startswith("https://")
    # Loading the certificate authorities takes longer than a whole plan against loopback.
    tls = authorities() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    session = aiohttp.ClientSession(
        # The pacer bounds what is under way, so nothing ever waits in the pool.
        connector=aiohttp.TCPConnector(limit=0, ssl=tls, keepalive_timeout=_IDLE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    # aiohttp re-sends GET, PUT and DELETE by itself when a connection drops, unpaced, uncounted and unjournaled. It has no
    # public switch for it; a test counts the requests at the socket.
    session._retry_connection = False  # noqa: SLF001 — see above
    return AiohttpTransport(verify=tls, client=session, proxy=_proxy(connection.proxy) if connection.proxy else None)


def authorities() -> ssl.SSLContext:
    """Load the certificate authorities. Raises `ConfigError` where they can't be."""
    try:
        return httpx.create_ssl_context()
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror if not isinstance(error, ssl.SSLError) else "it holds no certificate"
        raise ConfigError(
            "certificates-unreadable",
            f"the certificate authorities can't be loaded: {(reason or str(error)).lower()}",
            hints=("SSL_CERT_FILE names a PEM file, SSL_CERT_DIR a folder of them: correct it, or unset it.",),
        ) from None


def _proxy(address: str) -> httpx.Proxy:
    """Move the proxy's user and password, if any, from its URL into the header that carries them.

    aiohttp makes `Proxy-Authorization` of it, for the tunnel or for the request, whichever the proxy sees.
    """
    url = httpx.URL(address)
    if not url.userinfo:
        return httpx.Proxy(url)
    basic = b64encode(f"{url.username}:{url.password}".encode()).decode()
    return httpx.Proxy(url.copy_with(userinfo=b""), headers={"Authorization": f"Basic {basic}"})


async def exchange(http: httpx.AsyncClient, request: httpx.Request, connection: Connection) -> RawAnswer:
    """Send one request once and read the whole answer, within the connection's times.

    Raises `BodyError`, `TimeoutError`, and whatever httpx and aiohttp raise; `failures.failed` reads all of them.
    """
    connect, answer = connection.connect_timeout, connection.answer_timeout
    request.extensions["timeout"] = httpx.Timeout(answer, connect=connect, pool=connect).as_dict()
    async with asyncio.timeout(connect + answer):
        response = await http.send(request, stream=True)
        try:
            body = await _body(response)
        finally:
            await response.aclose()
    return RawAnswer(response.status_code, response.headers, body)


async def _body(response: httpx.Response) -> bytes:
    if response.is_stream_consumed:
        return response.content  # of a transport that answers from memory
    try:
        decoder = BodyDecoder(response.headers.get("content-encoding"), LARGEST_ANSWER)
        async for piece in response.aiter_raw():
            decoder.feed(piece)
        return decoder.finish()
    except BodyTooLarge:
        raise
    except BodyError:
        if response.is_success:
            raise
        return b""  # the status alone says what was refused
