"""One issue for what goes on until it is mended, such as drift: opened, kept up to date, closed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from octosync.forge.comments import Did, Posted
from octosync.forge.github import GitHub
from octosync.forge.marked import LARGEST_BODY, Marked, composed, own, shortened, url_in
from octosync.model import JsonObject

_OPEN: Final = {"state": "open", "sort": "created", "direction": "asc"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """An issue as it is to be; `head` is the revision that it is about. `author` None: whoever the token belongs to."""

    marker: str
    title: str
    text: str
    head: str | None = None
    author: str | None = None


def keep_open(github: GitHub, issue: Issue) -> Posted:
    """Open the issue, or bring the open one up to date; where it is so already, nothing is sent.

    One that a person closed stays so, and another is opened. Raises `RemoteError`.
    """
    found = _find(github, issue.marker, issue.author)
    body = composed(issue.marker, issue.text, head=issue.head)
    beyond = len(body) - LARGEST_BODY
    if beyond > 0:
        body = composed(issue.marker, shortened(issue.text, len(issue.text) - beyond), head=issue.head)
    wanted: JsonObject = {"title": issue.title, "body": body}
    if found is None:
        made = github.write("POST", "issues", wanted)
        return Posted(Did.CREATED, url_in(made), beyond > 0)
    if (found.title, found.body.rstrip()) == (issue.title, body.rstrip()):
        return Posted(Did.UNCHANGED, found.url, beyond > 0)
    github.write("PATCH", f"issues/{found.key}", wanted)
    return Posted(Did.UPDATED, found.url, beyond > 0)


def close(github: GitHub, marker: str, author: str | None) -> Posted:
    """Close the open issue, if there is one. Raises `RemoteError`."""
    found = _find(github, marker, author)
    if found is None:
        return Posted(Did.ABSENT)
    github.write("PATCH", f"issues/{found.key}", {"state": "closed", "state_reason": "completed"})
    return Posted(Did.CLOSED, found.url)


def _find(github: GitHub, marker: str, author: str | None) -> Marked | None:
    return own(github, _issues(github), marker, author, key="number")


def _issues(github: GitHub) -> Iterator[JsonObject]:
    """Yield open issues without the pull requests, which GitHub lists among them."""
    return (item for item in github.pages("issues", _OPEN) if "pull_request" not in item)
