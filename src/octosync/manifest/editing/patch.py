"""A patch: what an edit changes in a file, as `git apply` and `patch` read it."""

from __future__ import annotations

from difflib import unified_diff

from octosync.errors import OctosyncError
from octosync.manifest.findings import Findings
from octosync.manifest.yaml.loader import parse
from octosync.model import Sensitivity

_NO_LINE_BREAK = "\\ No newline at end of file\n"


def patch_of(name: str, before: bytes, after: bytes, *, sensitivity: Sensitivity) -> str:
    """Return the patch of a file, with as much of its lines around as there is, up to three.

    Raises `OctosyncError` where it would show a sensitive value: a line of the edit has one, or one right beside.
    """
    hidden = _hidden_lines(before, sensitivity) | _hidden_lines(after, sensitivity)
    old, new = _lines(before), _lines(after)
    for context in (3, 2, 1):
        lines = list(unified_diff(old, new, f"a/{name}", f"b/{name}", n=context))
        if not any(line[1:].removesuffix(_NO_LINE_BREAK) in hidden for line in lines[2:]):
            return "".join(lines)
    raise OctosyncError(
        "sensitive-patch",
        f"a patch of {name} would show a sensitive value that stands beside what changes",
        hints=("Without --patch the file is edited, and nothing of it shown.",),
    )


def _lines(data: bytes) -> list[str]:
    """Return the lines of a file; one without a line break says so, as patches do."""
    lines = [f"{line}\n" for line in data.decode().split("\n")]
    *ended, last = lines
    return ended if last == "\n" else [*ended, last + _NO_LINE_BREAK]


def _hidden_lines(data: bytes, sensitivity: Sensitivity) -> set[str]:
    """Return the lines on which something sensitive stands."""
    source, _ = parse("", data, sensitivity, Findings())
    numbered = enumerate(data.decode().split("\n"), 1)
    return {line + "\n" for number, line in numbered if source.hides_on(number)}
