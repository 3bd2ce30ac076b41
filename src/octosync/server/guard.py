"""Requests that web pages of other sites make a browser send are refused, before anything is looked at.

Without tokens the server trusts whoever reaches it, and any page in a browser on this machine reaches it. A page's request
names the page as its `Origin`, or says `Sec-Fetch-Site: cross-site`; one that has its own name resolve to this machine (DNS
rebinding) has that name as its `Host`. Clients that are no browsers send neither `Origin` nor `Sec-Fetch-Site`.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from octosync.server.errors import ApiError

_EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104  recognised, not bound


class Guard:
    """Knows by which names the server is addressed: this machine's own, and `hosts`.

    Where `hosts` has an address that stands for all of them, any IP address is one: only a name can be rebound.
    """

    def __init__(self, hosts: Iterable[str]) -> None:
        self._hosts = frozenset(host.strip("[]").rstrip(".").lower() for host in hosts)
        self._any_address = not _EVERY_ADDRESS.isdisjoint(self._hosts)

    def check(self, headers: Headers) -> None:
        """Raise 421 for a request that names another host, 403 for one that comes from another site."""
        host = headers.get("host")
        if host is not None and not self._is_host(_name_in(f"//{host}")):
            raise ApiError(421, "host_unknown", "The request names a host that this server is not known by")
        origin = headers.get("origin")
        foreign = not self._is_site(_name_in(origin)) if origin is not None else _is_cross_site(headers)
        if foreign:
            raise ApiError(403, "cross_site_request", "The request comes from a web page of another site")

    def _is_host(self, name: str) -> bool:
        return self._is_site(name) or (self._any_address and _is_address(name))

    def _is_site(self, name: str) -> bool:
        return name in self._hosts or is_loopback(name) or name.endswith(".localhost")


def is_loopback(name: str) -> bool:
    """Return whether a host is this machine, and can't be another's."""
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_cross_site(headers: Headers) -> bool:
    return headers.get("sec-fetch-site") in {"cross-site", "same-site"}


def _name_in(url: str) -> str:
    """Return the host of a URL as names are compared, "" for what has none."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for a port that is none
        return "" if "@" in parts.netloc else (parts.hostname or "").rstrip(".")
    except ValueError:
        return ""
