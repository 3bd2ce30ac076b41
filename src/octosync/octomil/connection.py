"""Which control plane, as whom, and how fast."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from urllib.parse import SplitResult, urlsplit

import httpx

from octosync.errors import ConfigError
from octosync.model import Secret

API_PATH = "/api/v1"  # public: what every client of Octomil's has below the origin
REQUESTS_PER_MINUTE = 100  # public: the limit a credential


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How to reach one control plane. Construction normalises `url` and refuses what would leak or can't work.

    `token_source` says where the key came from, for messages: `OCTOMIL_API_KEY (context production, octosync.yaml:3)`.
    `requests_per_minute` 0 means no limit; `concurrency` is how many requests are under way at once, reads and writes
    together. `connect_timeout` and `answer_timeout` are seconds: to reach the host, and from there to the whole answer.
    `read_timeout` stands in for `answer_timeout` in reads: a lost write has to be resolved, a lost read is only sent again.
    A request is tried up to `attempts` times; before the nth retry it waits up to `backoff` × 2ⁿ⁻¹ seconds.
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
    answer_timeout: float = 60.0
    read_timeout: float | None = None
    attempts: int = 5
    backoff: float = 0.5
    proxy: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", normalise_url(self.url))
        if self.token is not None:
            _check_token(self.token, self.token_source)
            if self.url.startswith("http://") and not self.is_loopback and not self.insecure:
                raise ConfigError(
                    "insecure-url",
                    f"{self.url} would carry the API key unencrypted",
                    hints=("Use https://, or pass --insecure if the network between is trusted.",),
                )
        if self.proxy is not None:
            check_proxy(self.proxy)
        if self.requests_per_minute < 0 or self.concurrency < 1 or self.attempts < 1:
            raise ConfigError(
                "bad-pace",
                "the pace makes no sense: at least 0 requests a minute, 1 at a time and 1 attempt",
                hints=("0 requests a minute means no limit.",),
            )

    @cached_property
    def for_reads(self) -> Connection:
        """The connection with the time that a read's answer may take."""
        return self if self.read_timeout is None else replace(self, answer_timeout=self.read_timeout, read_timeout=None)

    @property
    def host(self) -> str:
        """The host without the port, lower case."""
        return urlsplit(self.url).hostname or ""

    @property
    def is_loopback(self) -> bool:
        """Whether requests never leave this machine."""
        return is_loopback(self.host)


def normalise_url(url: str) -> str:
    """Return the API's base: `api.octomil.com/` → `https://api.octomil.com/api/v1`.

    A bare origin gets the API's path, a trailing slash goes, and without a scheme it is https, on loopback http.
    Raises `ConfigError` for anything that isn't such a URL, and for one with a user or password in it. It never shows them,
    nor what follows a `?` or `#`.
    """
    text = url.strip()
    if not text or any(character <= " " or character == "\x7f" for character in text):
        raise ConfigError("bad-url", "the control plane's URL is empty or has blanks in it", hints=(_EXAMPLE,))
    parts = _split(text)
    if "@" in parts.netloc:
        raise ConfigError(
            "credentials-in-url",
            f"the control plane's URL for {parts.hostname} carries a user name or password",
            hints=("Leave them out; the API key goes into OCTOMIL_API_KEY or a file for --token-file.",),
        )
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        shown = text.partition("?")[0].partition("#")[0]  # what follows is where people put tokens
        more = ", since it goes on after that" if shown != text else ""
        raise ConfigError("bad-url", f"{shown} is not the URL of a control plane{more}", hints=(_EXAMPLE,))
    path = parts.path.rstrip("/") or API_PATH
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"


_EXAMPLE = f"For example https://api.octomil.com{API_PATH}, or http://127.0.0.1:8787 for `octosync server`."


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        _ = parts.port  # raises for a port that is none
    except ValueError:
        raise ConfigError("bad-url", "the control plane's URL is not a URL", hints=(_EXAMPLE,)) from None
    if "://" not in text and is_loopback(parts.hostname or ""):
        return parts._replace(scheme="http")
    return parts


def proxy_of(url: str, environment: Mapping[str, str]) -> str | None:
    """Return the proxy that `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` mean for a URL, in either case of letters."""
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
    """Say whether what is sent to a host never leaves this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_proxy(address: str) -> None:
    """Refuse the address of a proxy that is none of an HTTP proxy. Raises `ConfigError`."""
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise ConfigError(
            "bad-proxy",
            "the proxy's address is none of an HTTP proxy",  # and isn't shown: it may hold a password
            hints=(
                "It has the form http://HOST:PORT. It comes from HTTPS_PROXY or HTTP_PROXY; NO_PROXY names exceptions.",
            ),
        )


def _check_token(token: Secret, source: str) -> None:
    value = token.reveal()
    if value and all("!" <= character <= "~" for character in value):
        return
    problem = "is empty" if not value else "has blanks, line breaks or characters that a header can't carry"
    raise ConfigError(
        "token-unusable",
        f"the API key from {source or 'the configuration'} {problem}",
        hints=("Copy the key again, alone on one line. It isn't shown here, since most of it may be right.",),
    )
