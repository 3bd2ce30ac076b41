"""Which repository, on which forge, as whom: what a GitHub job finds in its environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from octosync.errors import ConfigError
from octosync.model import Secret

PUBLIC_API: Final = "https://api.github.com"
_NAME: Final = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Repository:
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
                hints=(f"For example {PUBLIC_API}; https://HOST/api/v3 of a GitHub of your own.",),
            )
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                "bad-repository",
                f"{self.name!r} is not the name of a repository",
                hints=("GITHUB_REPOSITORY is OWNER/NAME. In a job of GitHub it is set.",),
            )
        if parts[0] == "http" and not self.is_loopback:
            raise ConfigError(
                "insecure-forge-url",
                f"{self.api} would carry the token unencrypted",
                hints=("GITHUB_API_URL begins with https://.",),
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


def repository_in(environment: Mapping[str, str]) -> Repository:
    """Return the repository that `GITHUB_API_URL`, `GITHUB_REPOSITORY` and `GITHUB_TOKEN` name.

    Raises `ConfigError` where there is no token or no repository.
    """
    token, name = environment.get("GITHUB_TOKEN", "").strip(), environment.get("GITHUB_REPOSITORY", "").strip()
    if not name:
        raise ConfigError(
            "no-repository", "GITHUB_REPOSITORY is not set", hints=("It is OWNER/NAME. In a job of GitHub it is set.",)
        )
    if not token:
        raise ConfigError(
            "no-forge-token",
            f"no token for {name}",
            hints=("In a job of GitHub, give the step `env: {GITHUB_TOKEN: ${{ github.token }}}`.",),
        )
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise ConfigError(
            "bad-forge-token", "GITHUB_TOKEN is no token: it has characters that none has", hints=("Set it again.",)
        )
    return Repository(environment.get("GITHUB_API_URL") or PUBLIC_API, name, Secret(token))


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
