"""Bodies of comments and issues that are octosync's own: known by a hidden first line, and by who wrote them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from octosync.errors import Forbidden, Missing
from octosync.forge.github import GitHub, unreadable
from octosync.model import JsonObject, show

# GitHub's own bound of a comment or issue, in characters (public).
LARGEST_BODY: Final = 65_536
# Who writes with the token of a job: it may not ask who it is (403).
JOBS_AUTHOR: Final = "github-actions[bot]"
_SHORT: Final = 7
_LONGEST_URL: Final = 1_000
_OUTDATED: Final = "> [!WARNING]\n> Outdated: the pull request has moved on since this was written."
_TOO_LONG: Final = "The rest is too long for a comment: it is in the job's summary."
_HEAD: Final = re.compile(r"<!-- octosync-head:([0-9a-f]{7,64}) -->")
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")


@dataclass(frozen=True, slots=True)
class Marked:
    """A body that was written before: `key` names it in paths of the API, `body` has line breaks as we write them."""

    key: int
    body: str
    url: str
    title: str = ""

    @property
    def head(self) -> str | None:
        """The revision that it is about, None where it names none."""
        lines = self.body.split("\n", 2)
        found = _HEAD.fullmatch(lines[1].strip()) if len(lines) > 1 else None
        return found[1] if found else None


def mark(marker: str) -> str:
    """Return the hidden first line for a marker, which may be any text."""
    return f"<!-- octosync:{quote(marker, safe='')} -->"


def composed(marker: str, text: str, *, head: str | None, outdated: bool = False) -> str:
    """Put together a body: hidden lines, the text, and below it the revision that it is about."""
    hidden = mark(marker) if head is None else f"{mark(marker)}\n<!-- octosync-head:{head} -->"
    parts = (
        *((_OUTDATED,) if outdated else ()),
        text.strip("\n"),
        *((f"<sub>For revision <code>{head[:_SHORT]}</code>.</sub>",) if head is not None else ()),
    )
    return hidden + "\n" + "\n\n".join(parts)


def marked_outdated(body: str) -> str:
    """Put the warning into a body that stands there, as `composed` does; one that has it stays as it is."""
    lines = body.split("\n")
    hidden = 2 if len(lines) > 1 and _HEAD.fullmatch(lines[1].strip()) else 1
    rest = "\n".join(lines[hidden:])
    return body if rest.startswith(_OUTDATED) else "\n".join((*lines[:hidden], f"{_OUTDATED}\n\n{rest}"))


def shortened(text: str, most: int) -> str:
    """Keep whole blocks of a Markdown text while they fit into so many characters, and say that there is more.

    A block ends at an empty line outside fences and folded sections, so that neither is cut. The first is kept always,
    clipped where it alone is too long.
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


def own(
    github: GitHub, items: Iterable[JsonObject], marker: str, author: str | None, *, key: str = "id"
) -> Marked | None:
    """Return the first of comments or issues that has the marker and was written by the author, None where there is none.

    `author` None means whoever the token belongs to; the forge is asked for that only where something has the marker.
    `key` is the field that names an item in paths. Raises `RemoteError`.
    """
    first = mark(marker)
    for item in items:
        body = text_in(item, "body").replace("\r\n", "\n")
        if body.split("\n", 1)[0].strip() != first:
            continue
        author = author or whoever(github)
        if _author(item).casefold() == author.casefold():
            return _marked(item, body, key)
    return None


def whoever(github: GitHub) -> str:
    """Return the login that the token belongs to; a token of an app, as a job's is, may not ask: then it is the job's."""
    try:
        return text_in(github.read("/user"), "login") or JOBS_AUTHOR
    except (Forbidden, Missing):
        return JOBS_AUTHOR


def _marked(item: JsonObject, body: str, key: str) -> Marked:
    number = item.get(key)
    if not isinstance(number, int):
        raise unreadable("a list of comments or issues", f"an entry has no {key}")
    return Marked(number, body, url_in(item), text_in(item, "title"))


def _author(item: JsonObject) -> str:
    user = item.get("user")
    return text_in(user, "login") if isinstance(user, Mapping) else ""


def url_in(item: JsonObject) -> str:
    """Return where a person finds a comment or issue, as one line that is safe to print, "" where the item doesn't say."""
    return show(text_in(item, "html_url"), _LONGEST_URL)


def text_in(item: JsonObject, name: str) -> str:
    """Return a field that is a text, "" for anything else."""
    value = item.get(name)
    return value if isinstance(value, str) else ""
