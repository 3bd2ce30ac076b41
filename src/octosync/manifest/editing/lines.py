"""Lines of a text: where they begin and end, and which comments around an entry are its own."""

from __future__ import annotations


def line_start(text: str, place: int) -> int:
    """Return where the line of a place begins."""
    return text.rfind("\n", 0, place) + 1


def line_end(text: str, place: int) -> int:
    """Return where the line of a place ends: at its line break, or at the end of the text."""
    end = text.find("\n", place)
    if end < 0:
        return len(text)
    return end - 1 if end > place and text[end - 1] == "\r" else end


def next_line(text: str, place: int) -> int:
    """Return where the line after that of a place begins; the end of the text where there is none."""
    end = text.find("\n", place)
    return len(text) if end < 0 else end + 1


def column(text: str, place: int) -> int:
    """Return in which column a place is, from 0."""
    return place - line_start(text, place)


def begins_line(text: str, place: int) -> bool:
    """Say whether nothing but spaces stands before a place on its line."""
    return not text[line_start(text, place) : place].strip()


def line_break(text: str) -> str:
    """Return the line break that a text uses."""
    return "\r\n" if "\r\n" in text else "\n"


def past_entry(text: str, end: int, indent: int) -> int:
    """Return where the line begins that comes after an entry which ends at a place and begins in a column.

    Comments right after it that are indented deeper are about what is in it, and are still its own.
    """
    past = place = next_line(text, end)
    while place < len(text):
        line = text[place : line_end(text, place)]
        content = line.lstrip(" ")
        place = next_line(text, place)
        if content.startswith("#") and len(line) - len(content) > indent:
            past = place
        elif content.strip():
            break
    return past


def with_comments_above(text: str, start: int, past: int, indent: int) -> int:
    """Return where an entry begins whose first line begins at `start`, with the comments right above it that are its own.

    They are where what follows the entry is set apart from it: by a blank line, a comment of its own, or by ending the list.
    Otherwise they may be about all of what follows.
    """
    following = text[past : line_end(text, past)]
    content = following.strip()
    ends = past >= len(text) or (content and len(following) - len(following.lstrip(" ")) < indent)
    if content and not content.startswith("#") and not ends:
        return start
    while start:
        above = line_start(text, start - 1)
        line = text[above : start - 1].rstrip("\r")
        if line.lstrip(" ").startswith("#") and len(line) - len(line.lstrip(" ")) == indent:
            start = above
        else:
            break
    return start
