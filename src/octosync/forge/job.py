"""The environment of a GitHub Actions job: the repository and its API, the token, and the pull request."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from octosync.errors import ConfigError
from octosync.model import JsonObject, Secret

PUBLIC_API: Final = "https://api.github.com"
_NAME: Final = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class GitHubRepository:
    """A repository, `name` as `owner/name`, at the forge whose REST API is `api`, with the `token` for it.

    Raises `ConfigError` for an invalid URL or name, and if the token would be sent over a network unencrypted.
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

    Raises `ConfigError` if there is no token or no repository.
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
    """Return scheme and host of a URL that may be an API's, None for any other text."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for an invalid port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or parts.query:
        return None
    return parts.scheme, parts.hostname


_REF: Final = re.compile(r"refs/pull/(\d{1,9})/(?:merge|head)")


@dataclass(frozen=True, slots=True)
class JobEvent:
    """The pull request's number and the revision of its head, None if the event doesn't contain it."""

    pull: int | None = None
    head: str | None = None


def read_job_event(path: Path | None, ref: str) -> JobEvent:
    """Read `GITHUB_EVENT_PATH` and `GITHUB_REF`. Raises `ConfigError` for an event that can't be read."""
    pull = _pull_request(path) if path is not None else {}
    found = _REF.fullmatch(ref)
    number, head = pull.get("number"), pull.get("head")
    sha = head.get("sha") if isinstance(head, Mapping) else None
    return JobEvent(
        number if isinstance(number, int) else int(found[1]) if found else None,
        sha if isinstance(sha, str) and sha else None,
    )


def _pull_request(path: Path) -> JsonObject:
    try:
        event = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        why = (error.strerror or "").lower() if isinstance(error, OSError) else "it is not JSON"
        raise ConfigError(
            "event-unreadable",
            f"the event of this job can't be read from {path}: {why}",
            hints=("GITHUB_EVENT_PATH must name it. Or set the pull request with --pull N.",),
        ) from None
    pull = event.get("pull_request") if isinstance(event, Mapping) else None
    return pull if isinstance(pull, Mapping) else {}
