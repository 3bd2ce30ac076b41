"""Markdown text: what comes from manifests and the control plane as data, which no renderer acts on.

Two ways to write it, and there is no third. Between a report's own words every sign with a meaning is an entity; in a
fence, where entities are not read, `<` becomes `‹`, and the fence is longer than any that stands in it. In both, what a
forge would turn into a mention or a reference is broken up by a space without width; between words links are, too. In
fences they stay: nobody links them there, and commands are to be copied.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from octosync.report.text import visible

_BREAK: Final = "\u200b"
# Within @name, #1 and GH-1, which forges find in any text; `chat@production` and `a#b` are none.
_REFERENCES: Final = re.compile(r"(?<=(?<!\w)@)(?=\w)|(?<=#)(?=\d)|(?<=\bGH)(?=-\d)", re.IGNORECASE)
# Within name@host, https:// and www.
_LINKS: Final = re.compile(r"(?<=\w@)(?=\w)|(?<=:)(?=//)|(?<=\bwww)(?=\.)", re.IGNORECASE)
# What Markdown, HTML, tables, mathematics or a forge's short references begin or end with.
_SIGNS: Final = re.compile(r"""[&<>"'`*_\[\]\\|~!$^{}]|\u200b""")
_NAMED: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
_TICKS: Final = re.compile("`+")


def escaped(text: str) -> str:
    """Write a text between a report's own words, also within HTML and in a table."""
    broken = _LINKS.sub(_BREAK, _REFERENCES.sub(_BREAK, visible(text)))
    # In hexadecimal: `&#35;1` would itself have a reference in it.
    return _SIGNS.sub(lambda sign: _NAMED.get(sign[0]) or f"&#x{ord(sign[0]):x};", broken)


def code(text: str) -> str:
    """Write a name or a value."""
    return f"<code>{escaped(text)}</code>"


def fence(language: str, lines: Iterable[str]) -> str:
    """Write lines of a text report, which are visible already, as they are."""
    body = [_REFERENCES.sub(_BREAK, line.rstrip().replace("<", "‹")) for line in lines]
    longest = max((len(run) for line in body for run in _TICKS.findall(line)), default=0)
    marks = "`" * max(3, longest + 1)
    return "\n".join((f"{marks}{language}", *body, marks))


def folded(summary: str, *blocks: str, is_open: bool = False) -> str:
    """Fold blocks away under a summary, which is HTML."""
    start = "<details open>" if is_open else "<details>"
    return "\n\n".join((f"{start}<summary>{summary}</summary>", *blocks, "</details>"))


def alert(kind: str, *lines: str) -> str:
    """Write lines as a forge's alert: `CAUTION`, `WARNING` or `NOTE`; where there are none, it is a quotation."""
    return "\n".join((f"> [!{kind}]", *(f"> {line}".rstrip() for line in lines)))
