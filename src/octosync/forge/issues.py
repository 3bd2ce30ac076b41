"""The tracking issue of a lasting problem such as drift, and the revision that was last applied in full.

That revision is the one of the newest deployment of an environment that reached `success`. Public: a job with an
`environment` creates a deployment of its revision, whose statuses follow the job; a later success turns an earlier one
`inactive`, but its earlier statuses remain. Lists have the newest first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from octosync.forge.comments import (
    MAX_BODY_LENGTH,
    ExistingPost,
    PostResult,
    PostStatus,
    compose_body,
    find_own_post,
    shorten,
    text_field,
    url_of,
)
from octosync.forge.github import GitHub, unreadable_response
from octosync.model import JsonObject

_OPEN: Final = {"state": "open", "sort": "created", "direction": "asc"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """An issue to post; `head` is the revision that it describes. `author` None means the owner of the token."""

    marker: str
    title: str
    text: str
    head: str | None = None
    author: str | None = None


def keep_issue_open(github: GitHub, issue: Issue) -> PostResult:
    """Open the issue or update the open one; an unchanged one is not sent again.

    An issue that a person closed stays closed, and another is opened. Raises `RemoteError`.
    """
    found = _find(github, issue.marker, issue.author)
    body = compose_body(issue.marker, issue.text, head=issue.head)
    beyond = len(body) - MAX_BODY_LENGTH
    if beyond > 0:
        body = compose_body(issue.marker, shorten(issue.text, len(issue.text) - beyond), head=issue.head)
    wanted: JsonObject = {"title": issue.title, "body": body}
    if found is None:
        made = github.write("POST", "issues", wanted)
        return PostResult(PostStatus.CREATED, url_of(made), beyond > 0)
    if (found.title, found.body.rstrip()) == (issue.title, body.rstrip()):
        return PostResult(PostStatus.UNCHANGED, found.url, beyond > 0)
    github.write("PATCH", f"issues/{found.key}", wanted)
    return PostResult(PostStatus.UPDATED, found.url, beyond > 0)


def close_issue(github: GitHub, marker: str, author: str | None) -> PostResult:
    """Close the open issue, if there is one. Raises `RemoteError`."""
    found = _find(github, marker, author)
    if found is None:
        return PostResult(PostStatus.ABSENT)
    github.write("PATCH", f"issues/{found.key}", {"state": "closed", "state_reason": "completed"})
    return PostResult(PostStatus.CLOSED, found.url)


def _find(github: GitHub, marker: str, author: str | None) -> ExistingPost | None:
    return find_own_post(github, _issues(github), marker, author, key="number")


def _issues(github: GitHub) -> Iterator[JsonObject]:
    """Yield open issues without the pull requests, which GitHub lists among them."""
    return (item for item in github.pages("issues", _OPEN) if "pull_request" not in item)


# How many deployments are searched for a success; without one, a full plan is needed.
MAX_DEPLOYMENTS: Final = 100
_REVISION: Final = re.compile(r"[0-9A-Za-z]{1,64}")
_NOT_BEGUN: Final = frozenset({"waiting", "queued", "pending"})


@dataclass(frozen=True, slots=True)
class AppliedRevision:
    """The last revision that was applied in full (`base`, None if there is none), and those `attempted` after it, newest first.

    Revisions that the clone lacks are separate: `gone`, newest first, were attempted, and `gone_base` is the last one applied.
    """

    base: str | None
    attempted: tuple[str, ...]
    gone: tuple[str, ...] = ()
    gone_base: str | None = None


def find_applied_revision(
    github: GitHub, environment: str, *, current: str | None = None, exists: Callable[[str], bool] = lambda _: True
) -> AppliedRevision:
    """Find the last revision that was applied in full to an environment, and those that were tried after it.

    `current` is the revision of this run, whose own deployment is under way and no attempt before it. `exists` returns whether
    the clone has a revision; after a force push an older success can be the base. Without a success among the newest
    `MAX_DEPLOYMENTS` deployments there is none. Raises `RemoteError`.
    """
    attempted: dict[str, None] = {}
    gone: dict[str, None] = {}
    gone_base: str | None = None
    query = {"environment": environment}
    for _, deployment in zip(range(MAX_DEPLOYMENTS), github.pages("deployments", query), strict=False):
        revision = _revision(deployment)
        states = _states(github, deployment)
        if not states - _NOT_BEGUN or ("success" not in states and revision == current):
            continue
        if not exists(revision):
            gone[revision] = None
            gone_base = gone_base or (revision if "success" in states else None)
        elif "success" in states:
            later = tuple(attempt for attempt in attempted if attempt != revision)
            return AppliedRevision(revision, later, tuple(gone), gone_base)
        else:
            attempted[revision] = None
    return AppliedRevision(None, tuple(attempted), tuple(gone), gone_base)


def _states(github: GitHub, deployment: JsonObject) -> set[str]:
    number = deployment.get("id")
    if not isinstance(number, int):
        raise unreadable_response("deployments", "a deployment has no id")
    return {text_field(status, "state") for status in github.pages(f"deployments/{number}/statuses")}


def _revision(deployment: JsonObject) -> str:
    revision = text_field(deployment, "sha")
    if not _REVISION.fullmatch(revision):
        raise unreadable_response("deployments", "a deployment has no revision")
    return revision
