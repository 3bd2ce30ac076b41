"""Rendered Markdown: the tags and the text of the HTML."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

from markdown_it import MarkdownIt

_EMPTY = {"br", "hr", "img", "input"}
# Text outside of code that forges turn into a mention, a reference or a link.
REFERENCE = re.compile(r"(?<!\w)@[A-Za-z0-9]|#\d|\bGH-\d", re.IGNORECASE)
LINK = re.compile(r"\w@\w|https?://|\bwww\.", re.IGNORECASE)


@dataclass
class RenderedMarkdown(HTMLParser):
    """`tags` are all opening tags with their attributes, `text` is all text, `unbalanced` are the tags that do not close.

    `prose` is the text outside of fences.
    """

    tags: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    text: str = ""
    prose: str = ""
    unbalanced: list[str] = field(default_factory=list)
    _open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record an opening tag."""
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        if tag not in _EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Record a closing tag."""
        if not self._open or self._open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        """Record text."""
        self.text += data
        if "pre" not in self._open:
            self.prose += data

    @property
    def names(self) -> set[str]:
        """The names of all tags."""
        return {name for name, _ in self.tags}


def render_markdown(markdown: str) -> RenderedMarkdown:
    """Render Markdown as a forge does, with HTML and tables."""
    page = RenderedMarkdown()
    page.feed(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown))
    page.close()
    page.unbalanced += page._open  # noqa: SLF001 — this module's own class
    return page
