"""Endpoints: receivers with their secrets from the environment, and one attempt to deliver a notification."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import httpx

from octosync import __version__
from octosync.errors import ConfigError
from octosync.manifest import is_receiver_url
from octosync.model import NotifyEvent, Receiver, Secret
from octosync.octomil import check_proxy, is_loopback, load_certificate_authorities, proxy_from_environment, retry_after

_LONGEST_RETRY_AFTER: Final = 300.0  # seconds
_TRANSIENT: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A receiver and its events. `url` is never shown; `name` is its scheme, host and port. `proxy` is a URL."""

    url: Secret
    name: str
    events: frozenset[NotifyEvent]
    secret: Secret | None = None
    proxy: Secret | None = None


def endpoints(
    receivers: Sequence[Receiver], environment: Mapping[str, str], *, insecure: bool = False
) -> tuple[Endpoint, ...]:
    """Return the endpoints of receivers. Raises `ConfigError` for a variable that isn't set, and for an invalid URL.

    Plain http to another machine is rejected unless `insecure`. A URL in octosync.yaml that names this machine or its network
    link is always rejected: a commit must not make the controller send to local services. `HTTPS_PROXY`, `HTTP_PROXY` and
    `NO_PROXY` apply.
    """
    return tuple(_endpoint(receiver, environment, insecure=insecure) for receiver in receivers)


def _endpoint(receiver: Receiver, environment: Mapping[str, str], *, insecure: bool) -> Endpoint:
    origin = receiver.origin
    where = f"notify ({origin.file}:{origin.line})" if origin is not None else "notify"
    url = receiver.url or Secret(_variable(receiver.url_env or "", environment, where, "its URL").strip())
    name = _named(url, where)
    parts = urlsplit(url.reveal())
    if receiver.url is not None and _is_nearby(parts.hostname or ""):
        raise ConfigError(
            "receiver-refused",
            f"{where}: {name} is on this machine or its network link, which octosync.yaml may not name",
            hints=("Put the URL into a variable whose name begins with OCTOSYNC_, and name the variable with urlEnv.",),
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname or "") and not insecure:
        raise ConfigError(
            "insecure-url",
            f"{where}: notifications to {name} would be sent unencrypted",
            hints=("Use https://, or pass --insecure if the network between is trusted.",),
        )
    secret = None
    if receiver.secret_env is not None:
        secret = Secret(_variable(receiver.secret_env, environment, where, "the secret that it signs with"))
    return Endpoint(
        url=url, name=name, events=frozenset(receiver.events), secret=secret, proxy=_proxy(url, environment)
    )


def _is_nearby(host: str) -> bool:
    """Return whether a host is this machine, or an address that only its network link knows."""
    host = host.rstrip(".")
    if is_loopback(host):
        return True
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        try:
            address = ip_address(socket.inet_aton(host))  # what resolvers take for an address: 127.1, 2130706433
        except (OSError, ValueError):
            return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_link_local or address.is_unspecified


def _variable(name: str, environment: Mapping[str, str], where: str, what: str) -> str:
    value = environment.get(name, "")
    if not value.strip():
        raise ConfigError(
            "notify-variable-unset",
            f"{where} takes {what} from {name}, which is not set",
            hints=(f"Set {name}, or take the receiver out of octosync.yaml.",),
        )
    return value


def _named(url: Secret, where: str) -> str:
    """Return scheme, host and port of a URL; the rest may be a credential."""
    if not is_receiver_url(url.reveal()):
        raise ConfigError(
            "bad-url",
            f"{where}: the URL is not an http:// or https:// URL of a receiver",  # and isn't shown: most of it may be right
            hints=("It has no user, password, blanks or fragment, for example https://hooks.example.com/octosync",),
        )
    parts = urlsplit(url.reveal())
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _proxy(url: Secret, environment: Mapping[str, str]) -> Secret | None:
    found = proxy_from_environment(url.reveal(), environment)
    if found is None:
        return None
    check_proxy(found)
    return Secret(found)


class DeliveryResult(Enum):
    """The result of an attempt."""

    DELIVERED = "delivered"
    AGAIN = "again"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Attempt:
    """The result of one attempt: `why` it failed, and `after` how many seconds the receiver wants the next one."""

    verdict: DeliveryResult
    why: str = ""
    after: float = 0.0


class ReceiverClient:
    """The connection to one endpoint, independent of the control plane's.

    Raises `ConfigError` if the certificate authorities can't be loaded.
    """

    def __init__(self, endpoint: Endpoint, *, timeout: float) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        secure = endpoint.url.reveal().startswith("https://")
        self._http = httpx.AsyncClient(
            headers={"Content-Type": "application/json", "User-Agent": f"octosync/{__version__}"},
            verify=load_certificate_authorities() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            proxy=None if endpoint.proxy is None else endpoint.proxy.reveal(),
            follow_redirects=False,  # a signed body is not sent to another place
            trust_env=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            timeout=timeout,
            # Notices are rare: the receiver would have closed a kept connection before the next one.
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Attempt:
        """Send once. Only the status of the response is used; its body isn't read."""
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._http.stream("POST", self._endpoint.url.reveal(), content=body, headers=headers) as response,
            ):
                return _judged(response)
        except (TimeoutError, httpx.TimeoutException):
            return Attempt(DeliveryResult.AGAIN, f"no response within {self._timeout:g} s")
        except (httpx.HTTPError, OSError) as error:  # its text may contain the URL
            return Attempt(DeliveryResult.AGAIN, f"no connection ({type(error).__name__})")

    async def aclose(self) -> None:
        """Close it."""
        await self._http.aclose()


def _judged(response: httpx.Response) -> Attempt:
    status = response.status_code
    if response.is_success:
        return Attempt(DeliveryResult.DELIVERED)
    if status in _TRANSIENT or status >= 500:
        asked = retry_after(response.headers.get("Retry-After"), response.headers.get("Date")) or 0.0
        return Attempt(DeliveryResult.AGAIN, f"it returned {status}", min(asked, _LONGEST_RETRY_AFTER))
    if 300 <= status < 400:
        return Attempt(DeliveryResult.REFUSED, f"it returned {status}, and redirects are not followed")
    return Attempt(DeliveryResult.REFUSED, f"it returned {status}")
