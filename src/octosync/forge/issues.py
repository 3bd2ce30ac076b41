"""One issue for what goes on until it is mended, such as drift: opened, kept up to date, closed.

Which revision was applied in full last: the newest deployment of an environment that reached `success`.

Public: a job with an `environment` makes a deployment of its revision, whose statuses follow the job; a later success turns an
earlier one `inactive`, which its statuses still tell. Lists have the newest first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from octosync.forge.comments import LARGEST_BODY, Did, Marked, Posted, composed, own, shortened, text_in, url_in
from octosync.forge.github import GitHub, unreadable
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


# So far back is looked for a success; beyond it, a full plan is what is due.
DEEPEST: Final = 100
_REVISION: Final = re.compile(r"[0-9A-Za-z]{1,64}")
_NOT_BEGUN: Final = frozenset({"waiting", "queued", "pending"})


@dataclass(frozen=True, slots=True)
class Applied:
    """`base` was applied in full last, None if nothing was; `attempted`, newest first, were begun after it and not finished.

    Neither is a revision that the clone lacks: `gone`, newest first, were begun, and `gone_base` was the last applied in full.
    """

    base: str | None
    attempted: tuple[str, ...]
    gone: tuple[str, ...] = ()
    gone_base: str | None = None


def applied(
    github: GitHub, environment: str, *, current: str | None = None, exists: Callable[[str], bool] = lambda _: True
) -> Applied:
    """Find the last revision that was applied in full to an environment, and those that were tried after it.

    `current` is the revision of this run, whose own deployment is under way and no attempt before it. `exists` returns whether
    the clone has a revision; after a force push an older success can be the base. Without a success among the newest
    `DEEPEST` deployments there is none. Raises `RemoteError`.
    """
    attempted: dict[str, None] = {}
    gone: dict[str, None] = {}
    gone_base: str | None = None
    query = {"environment": environment}
    for _, deployment in zip(range(DEEPEST), github.pages("deployments", query), strict=False):
        revision = _revision(deployment)
        states = _states(github, deployment)
        if not states - _NOT_BEGUN or ("success" not in states and revision == current):
            continue
        if not exists(revision):
            gone[revision] = None
            gone_base = gone_base or (revision if "success" in states else None)
        elif "success" in states:
            return Applied(revision, tuple(one for one in attempted if one != revision), tuple(gone), gone_base)
        else:
            attempted[revision] = None
    return Applied(None, tuple(attempted), tuple(gone), gone_base)


def _states(github: GitHub, deployment: JsonObject) -> set[str]:
    number = deployment.get("id")
    if not isinstance(number, int):
        raise unreadable("deployments", "a deployment has no id")
    return {text_in(status, "state") for status in github.pages(f"deployments/{number}/statuses")}


def _revision(deployment: JsonObject) -> str:
    revision = text_in(deployment, "sha")
    if not _REVISION.fullmatch(revision):
        raise unreadable("deployments", "a deployment has no revision")
    return revision
