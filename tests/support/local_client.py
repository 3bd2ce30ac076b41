"""An HTTP client of local servers that takes half of the CPU time of `httpx.Client`: tests send many thousands of requests."""

from __future__ import annotations

import http.client
import json as json_format
import re
import select
import ssl
from types import TracebackType
from typing import Any, Final

import httpx

_PLAIN_PATH: Final = re.compile(r"/[\w:@=&?~-][\w/.:@=&?~-]*", re.ASCII)
_NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # unused; httpx would create another for each client
_FAILURES: Final[tuple[tuple[type[Exception], type[httpx.TransportError]], ...]] = (
    (TimeoutError, httpx.ReadTimeout),
    (ConnectionRefusedError, httpx.ConnectError),
    (http.client.HTTPException, httpx.RemoteProtocolError),
    (OSError, httpx.ReadError),
)


class LocalClient(httpx.Client):
    """Sends ordinary requests by `http.client`, without cookies, redirects and authentication; others as httpx does."""

    def __init__(self, base_url: str, *, headers: dict[str, str] | None = None, timeout: float) -> None:
        super().__init__(base_url=base_url, headers=headers, verify=_NO_TLS, trust_env=False, timeout=timeout)
        self._seconds = timeout
        self._idle: list[http.client.HTTPConnection] = []

    def request(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Response:
        """Send a request and read the response."""
        options = {name: value for name, value in options.items() if value is not None and not _is_default(value)}
        body, json, parameters = (options.get(name) for name in ("content", "json", "params"))
        plain = isinstance(url, str) and _PLAIN_PATH.fullmatch(url) and "/." not in url and self.base_url.host
        if (
            not plain
            or options.keys() - {"content", "json", "params", "headers"}
            or not isinstance(body, bytes | str | None)
        ):
            return super().request(method, url, **options)
        headers = {**self.headers, "accept-encoding": "identity"}
        if "json" in options:
            body = json_format.dumps(json, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            headers["content-type"] = "application/json"
        for name, value in options.get("headers", {}).items():
            headers[name.lower()] = value
        path = self.base_url.raw_path.decode().rstrip("/") + str(url)
        if parameters:
            path += f"?{httpx.QueryParams(parameters)}"
        return self._send(method, path, body.encode() if isinstance(body, str) else body, headers)

    def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> httpx.Response:
        connection = self._connection()
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            kind = next(kind for cause, kind in _FAILURES if isinstance(error, cause))
            raise kind(str(error)) from error
        self._idle.append(connection)
        sent = httpx.Request(method, self.base_url if answer.status < 400 else self.base_url.join(path))
        return httpx.Response(answer.status, headers=answer.getheaders(), content=content, request=sent)

    def _connection(self) -> http.client.HTTPConnection:
        while self._idle:
            connection = self._idle.pop()
            # A response that closes the connection leaves no socket; data before a request means that the server closed it.
            if connection.sock is not None and not select.select([connection.sock], [], [], 0)[0]:
                return connection
            connection.close()
        return http.client.HTTPConnection(self.base_url.host, self.base_url.port, timeout=self._seconds)

    def close(self) -> None:
        """Close all connections."""
        super().close()
        while self._idle:
            self._idle.pop().close()

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close all connections."""
        super().__exit__(exc_type, exc_value, traceback)
        self.close()


def _is_default(value: object) -> bool:
    return value is httpx.USE_CLIENT_DEFAULT
