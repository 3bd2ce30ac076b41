"""The one sticky comment of a pull request: made once, kept up to date, and never anybody else's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from octosync.errors import Missing, Rejected, Unavailable
from octosync.forge.github import GitHub, unreadable
from octosync.forge.marked import (
    LARGEST_BODY,
    Marked,
    composed,
    marked_outdated,
    own,
    shortened,
    text_in,
    url_in,
)

_TURNS: Final = 3
_SHORTEST: Final = 2_000


class Did(Enum):
    """What became of a comment or an issue."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    CLOSED = "closed"
    ABSENT = "absent"  # there is nothing to mark as outdated, or to close
    NEWER = "newer"  # it is about a newer revision than what was to be written, and stays


@dataclass(frozen=True, slots=True)
class Posted:
    """What was done, where it is seen, and whether the text had to be shortened."""

    did: Did
    url: str = ""
    shortened: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """A comment as it is to be: on which pull request, under which marker, and about which revision of it.

    `author` None means whoever the token belongs to. With `follows` the pull request's own head counts: what is about
    another revision is marked as outdated, and doesn't replace what is about the head.
    """

    pull: int
    marker: str
    text: str
    head: str | None = None
    author: str | None = None
    follows: bool = True


def post(github: GitHub, comment: Comment) -> Posted:
    """Make the comment, or bring it up to date; where it is so already, nothing is sent.

    A text that is too long is shortened. A POST whose answer was lost is looked up before it is sent again. Raises
    `RemoteError`: `Forbidden` and `Rejected` where the forge takes no comment of this token or text.
    """
    try:
        return _posted(github, comment)
    except Rejected as refused:
        if refused.status != 422:
            raise
    shorter = replace(comment, text=shortened(comment.text, _SHORTEST))
    return replace(_posted(github, shorter), shortened=True)


def outdate(github: GitHub, comment: Comment) -> Posted:
    """Mark the comment as outdated if it is about another revision than the head. Raises `RemoteError`."""
    head = _head_of(github, comment.pull)
    found = _find(github, comment)
    if found is None:
        return Posted(Did.ABSENT)
    if found.head == head:
        return Posted(Did.UNCHANGED, found.url)
    return _update(github, found, marked_outdated(found.body))


def merged_as(github: GitHub, revision: str) -> int | None:
    """Return the number of the pull request whose merge made a revision, None where it was pushed without one."""
    merged = [
        pull
        for pull in github.pages(f"commits/{revision}/pulls")
        if text_in(pull, "merged_at") and isinstance(pull.get("number"), int)
    ]
    exact = [pull for pull in merged if text_in(pull, "merge_commit_sha") == revision]
    number = next((pull["number"] for pull in (*exact, *merged)), None)
    return number if isinstance(number, int) else None


def _posted(github: GitHub, comment: Comment) -> Posted:
    lost: Unavailable | None = None
    for _ in range(_TURNS):
        try:
            return _turn(github, comment)
        except Unavailable as problem:
            if not (problem.sent and problem.operation.startswith("POST")):
                raise
            lost = problem  # a turn begins by looking, so what was carried out is found
    assert lost is not None  # noqa: S101 — each turn returned or was lost
    raise lost


def _turn(github: GitHub, comment: Comment) -> Posted:
    head = _head_of(github, comment.pull) if comment.follows and comment.head is not None else comment.head
    found = _find(github, comment)
    is_outdated = comment.head != head
    if is_outdated and found is not None and found.head == head:
        return Posted(Did.NEWER, found.url)
    body, is_short = _body(comment, outdated=is_outdated)
    if found is not None:
        try:
            return replace(_update(github, found, body), shortened=is_short)
        except Missing:  # somebody deleted it meanwhile
            found = None
    made = github.write("POST", f"issues/{comment.pull}/comments", {"body": body})
    return Posted(Did.CREATED, url_in(made), is_short)


def _body(comment: Comment, *, outdated: bool) -> tuple[str, bool]:
    body = composed(comment.marker, comment.text, head=comment.head, outdated=outdated)
    beyond = len(body) - LARGEST_BODY
    if beyond <= 0:
        return body, False
    text = shortened(comment.text, len(comment.text) - beyond)
    return composed(comment.marker, text, head=comment.head, outdated=outdated), True


def _find(github: GitHub, comment: Comment) -> Marked | None:
    return own(github, github.pages(f"issues/{comment.pull}/comments"), comment.marker, comment.author)


def _update(github: GitHub, found: Marked, body: str) -> Posted:
    if body.rstrip() == found.body.rstrip():
        return Posted(Did.UNCHANGED, found.url)
    github.write("PATCH", f"issues/comments/{found.key}", {"body": body})
    return Posted(Did.UPDATED, found.url)


def _head_of(github: GitHub, pull: int) -> str:
    head = github.read(f"pulls/{pull}").get("head")
    sha = text_in(head, "sha") if isinstance(head, Mapping) else ""
    if not sha:
        raise unreadable(f"pulls/{pull}", "the pull request has no head")
    return sha
