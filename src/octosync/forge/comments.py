"""The sticky comment of a pull request: created once, then updated.

octosync identifies its own comments and issues by a hidden first line and by their author; it never edits any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final
from urllib.parse import quote

from octosync.errors import Forbidden, Missing, Rejected, Unavailable
from octosync.forge.github import GitHub, unreadable_response
from octosync.model import JsonObject, safe_text

# GitHub's limit for a comment or issue, in characters (public).
MAX_BODY_LENGTH: Final = 65_536
# The author of posts with a job's token, which may not read its own user (403).
JOBS_AUTHOR: Final = "github-actions[bot]"
_SHORT: Final = 7
_LONGEST_URL: Final = 1_000
_OUTDATED: Final = "> [!WARNING]\n> Outdated: the pull request has moved on since this was written."
_TOO_LONG: Final = "The rest is too long for a comment: it is in the job's summary."
_HEAD: Final = re.compile(r"<!-- octosync-head:([0-9a-f]{7,64}) -->")
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")


@dataclass(frozen=True, slots=True)
class ExistingPost:
    """A comment or issue that octosync posted: `key` identifies it in API paths, `body` has Unix line breaks."""

    key: int
    body: str
    url: str
    title: str = ""

    @property
    def head(self) -> str | None:
        """The revision that the text describes, None if it names none."""
        lines = self.body.split("\n", 2)
        found = _HEAD.fullmatch(lines[1].strip()) if len(lines) > 1 else None
        return found[1] if found else None


def marker_line(marker: str) -> str:
    """Return the hidden first line for a marker, which may be any text."""
    return f"<!-- octosync:{quote(marker, safe='')} -->"


def compose_body(marker: str, text: str, *, head: str | None, outdated: bool = False) -> str:
    """Return a body: hidden lines, the text, and below it the revision that the text describes."""
    hidden = marker_line(marker) if head is None else f"{marker_line(marker)}\n<!-- octosync-head:{head} -->"
    parts = (
        *((_OUTDATED,) if outdated else ()),
        text.strip("\n"),
        *((f"<sub>For revision <code>{head[:_SHORT]}</code>.</sub>",) if head is not None else ()),
    )
    return hidden + "\n" + "\n\n".join(parts)


def with_outdated_warning(body: str) -> str:
    """Return a body with the warning that `compose_body` writes; a body that has it is returned as it is."""
    lines = body.split("\n")
    hidden = 2 if len(lines) > 1 and _HEAD.fullmatch(lines[1].strip()) else 1
    rest = "\n".join(lines[hidden:])
    return body if rest.startswith(_OUTDATED) else "\n".join((*lines[:hidden], f"{_OUTDATED}\n\n{rest}"))


def shorten(text: str, most: int) -> str:
    """Return the first blocks of a Markdown text that fit into `most` characters, and a note that the rest is missing.

    A block ends at an empty line outside fences and folded sections, so that neither is cut. The first block is always kept,
    clipped if it alone is too long.
    """
    kept: list[str] = []
    room = most - len(_TOO_LONG)
    for block in _blocks(text):
        room -= len(block) + 2
        if room < 0:
            break
        kept.append(block)
    return "\n\n".join((*(kept or [text.strip("\n").split("\n", 1)[0][:500]]), _TOO_LONG))


def _blocks(text: str) -> Iterable[str]:
    block: list[str] = []
    fence, depth = "", 0
    for line in text.strip("\n").split("\n"):
        opening = _FENCE.match(line)
        if fence:
            fence = "" if line.strip() == fence else fence
        elif opening:
            fence = opening[1]
        else:
            depth += line.count("<details") - line.count("</details>")
        if line.strip() or fence or depth > 0:
            block.append(line)
        elif block:
            yield "\n".join(block)
            block = []
    if block:
        yield "\n".join(block)


def find_own_post(
    github: GitHub, items: Iterable[JsonObject], marker: str, author: str | None, *, key: str = "id"
) -> ExistingPost | None:
    """Return the first comment or issue that has the marker and was written by the author, None if there is none.

    `author` None means the owner of the token, who is looked up only if an item has the marker. `key` is the field that
    identifies an item in API paths. Raises `RemoteError`.
    """
    first = marker_line(marker)
    for item in items:
        body = text_field(item, "body").replace("\r\n", "\n")
        if body.split("\n", 1)[0].strip() != first:
            continue
        author = author or token_login(github)
        if _author(item).casefold() == author.casefold():
            return _existing_post(item, body, key)
    return None


def token_login(github: GitHub) -> str:
    """Return the login of the token's owner; the token of an app, such as a job's, may not read it: then the job's login."""
    try:
        return text_field(github.read("/user"), "login") or JOBS_AUTHOR
    except (Forbidden, Missing):
        return JOBS_AUTHOR


def _existing_post(item: JsonObject, body: str, key: str) -> ExistingPost:
    number = item.get(key)
    if not isinstance(number, int):
        raise unreadable_response("a list of comments or issues", f"an entry has no {key}")
    return ExistingPost(number, body, url_of(item), text_field(item, "title"))


def _author(item: JsonObject) -> str:
    user = item.get("user")
    return text_field(user, "login") if isinstance(user, Mapping) else ""


def url_of(item: JsonObject) -> str:
    """Return the web address of a comment or issue, as one line that is safe to print, "" if the item has none."""
    return safe_text(text_field(item, "html_url"), _LONGEST_URL)


def text_field(item: JsonObject, name: str) -> str:
    """Return a field that is text, "" for anything else."""
    value = item.get(name)
    return value if isinstance(value, str) else ""


_ATTEMPTS: Final = 3
_SHORT_LENGTH: Final = 2_000


class PostStatus(Enum):
    """The result of posting, closing or marking a comment or an issue."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    CLOSED = "closed"
    ABSENT = "absent"  # there is no comment to mark as outdated, or no issue to close
    NEWER = "newer"  # it describes a newer revision than the new text, and is kept


@dataclass(frozen=True, slots=True)
class PostResult:
    """What was done, the web address, and whether the text had to be shortened."""

    status: PostStatus
    url: str = ""
    shortened: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """A comment to post: the pull request, the marker, the text, and the revision that it describes.

    `author` None means the owner of the token. With `follows`, the text is compared with the pull request's head: a text about
    another revision is marked as outdated, and doesn't replace a text about the head.
    """

    pull: int
    marker: str
    text: str
    head: str | None = None
    author: str | None = None
    follows: bool = True


def post_comment(github: GitHub, comment: Comment) -> PostResult:
    """Create or update the comment; an unchanged one is not sent again.

    A text that is too long is shortened. If the response to a POST is lost, the comment is looked up before a retry. Raises
    `RemoteError`: `Forbidden` and `Rejected` if the forge doesn't accept a comment with this token or text.
    """
    try:
        return _post_with_retries(github, comment)
    except Rejected as refused:
        if refused.status != 422:
            raise
    shorter = replace(comment, text=shorten(comment.text, _SHORT_LENGTH))
    return replace(_post_with_retries(github, shorter), shortened=True)


def mark_outdated(github: GitHub, comment: Comment) -> PostResult:
    """Mark the comment as outdated if it describes another revision than the head. Raises `RemoteError`."""
    head = _head_of(github, comment.pull)
    found = _find(github, comment)
    if found is None:
        return PostResult(PostStatus.ABSENT)
    if found.head == head:
        return PostResult(PostStatus.UNCHANGED, found.url)
    return _update(github, found, with_outdated_warning(found.body))


def find_merged_pull_request(github: GitHub, revision: str) -> int | None:
    """Return the number of the pull request whose merge created a revision, None if it was pushed without one."""
    merged = [
        pull
        for pull in github.pages(f"commits/{revision}/pulls")
        if text_field(pull, "merged_at") and isinstance(pull.get("number"), int)
    ]
    exact = [pull for pull in merged if text_field(pull, "merge_commit_sha") == revision]
    number = next((pull["number"] for pull in (*exact, *merged)), None)
    return number if isinstance(number, int) else None


def _post_with_retries(github: GitHub, comment: Comment) -> PostResult:
    lost: Unavailable | None = None
    for _ in range(_ATTEMPTS):
        try:
            return _attempt(github, comment)
        except Unavailable as problem:
            if not (problem.sent and problem.operation.startswith("POST")):
                raise
            lost = problem  # the next attempt reads first, and finds the comment if it was created
    assert lost is not None  # noqa: S101 — each attempt returned or was lost
    raise lost


def _attempt(github: GitHub, comment: Comment) -> PostResult:
    head = _head_of(github, comment.pull) if comment.follows and comment.head is not None else comment.head
    found = _find(github, comment)
    is_outdated = comment.head != head
    if is_outdated and found is not None and found.head == head:
        return PostResult(PostStatus.NEWER, found.url)
    body, is_short = _body(comment, outdated=is_outdated)
    if found is not None:
        try:
            return replace(_update(github, found, body), shortened=is_short)
        except Missing:  # it was deleted meanwhile
            found = None
    made = github.write("POST", f"issues/{comment.pull}/comments", {"body": body})
    return PostResult(PostStatus.CREATED, url_of(made), is_short)


def _body(comment: Comment, *, outdated: bool) -> tuple[str, bool]:
    body = compose_body(comment.marker, comment.text, head=comment.head, outdated=outdated)
    beyond = len(body) - MAX_BODY_LENGTH
    if beyond <= 0:
        return body, False
    text = shorten(comment.text, len(comment.text) - beyond)
    return compose_body(comment.marker, text, head=comment.head, outdated=outdated), True


def _find(github: GitHub, comment: Comment) -> ExistingPost | None:
    return find_own_post(github, github.pages(f"issues/{comment.pull}/comments"), comment.marker, comment.author)


def _update(github: GitHub, found: ExistingPost, body: str) -> PostResult:
    if body.rstrip() == found.body.rstrip():
        return PostResult(PostStatus.UNCHANGED, found.url)
    github.write("PATCH", f"issues/comments/{found.key}", {"body": body})
    return PostResult(PostStatus.UPDATED, found.url)


def _head_of(github: GitHub, pull: int) -> str:
    head = github.read(f"pulls/{pull}").get("head")
    sha = text_field(head, "sha") if isinstance(head, Mapping) else ""
    if not sha:
        raise unreadable_response(f"pulls/{pull}", "the pull request has no head")
    return sha
