"""What GitHub Actions reads: annotations as workflow commands, and a step's outputs.

Commands and their escapes are GitHub's, public: `::error file=…,line=…::message`, in which `%`, carriage returns and line
breaks are written as `%25`, `%0D` and `%0A`, in properties also `:` and `,`. A line that begins with a command is read as
nothing else, so that no text in it can give one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from octosync.model import Origin, Severity, clipped, counted
from octosync.report.annotations import Remark, remarks_of
from octosync.report.run_report import RunReport
from octosync.report.text import visible

Places = Callable[[Origin], str | None]
"""Returns a place's file as it is called from the repository's root, with `/`; None where it is not in there."""

AT_MOST: Final = 10  # GitHub shows so many of a kind and step
_LONGEST: Final = 2_000  # characters of a message
_LINES: Final = 12


def render_annotations(report: RunReport, places: Places) -> str:
    """Render all that a run says as annotations, gravest first: at most ten of a kind, and how many were left out."""
    remarks = remarks_of(report)
    kinds = [[one for one in remarks if one.severity is severity] for severity in Severity]
    if any(len(kind) > AT_MOST for kind in kinds):
        # What is left out is said by a notice, which is one of the ten.
        kinds = [
            kind[: AT_MOST - (severity is Severity.NOTICE)] for severity, kind in zip(Severity, kinds, strict=True)
        ]
    shown = [one for kind in kinds for one in kind]
    lines = [_command(one, places) for one in shown]
    if left := left_out_words(remarks, shown):
        lines.append(f"::notice title=octosync {_property(report.command)}::{_data(left)}")
    return "".join(f"{line}\n" for line in lines)


def render_notice(text: str) -> str:
    """Render a notice of no place, which the page of a run shows."""
    return f"::notice title=octosync::{_data(visible(text))}\n"


def left_out_words(remarks: Sequence[Remark], shown: Sequence[Remark]) -> str:
    """Say how many of each kind are not shown; "" where all are."""
    every, mine = (Counter(one.severity for one in some) for some in (remarks, shown))
    left = [counted(every[one] - mine[one], f"more {one.value}") for one in Severity if every[one] > mine[one]]
    return f"Left out here: {', '.join(left)}." if left else ""


def _command(remark: Remark, places: Places) -> str:
    file = None if remark.origin is None else places(remark.origin)
    properties = {"title": f"octosync: {visible(remark.title)}"}
    lines = list(remark.lines)
    if file is not None and remark.origin is not None:
        at = {"file": visible(file), "line": str(remark.origin.line or 1), "col": str(remark.origin.column)}
        properties = {**at, **properties}
    elif remark.origin is not None:
        lines.append(f"declared at {visible(str(remark.origin))}")
    told = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{remark.severity.value} {told}::{_data(_message(lines))}"


def _message(lines: Sequence[str]) -> str:
    more = [f"and {counted(len(lines) - _LINES, 'more line')}"] if len(lines) > _LINES else []
    return clipped("\n".join((*lines[:_LINES], *more)), _LONGEST)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def output_lines(values: Mapping[str, str]) -> str:
    """Write a step's outputs: `name=value`, and what has a line break between delimiters that do not occur in it."""
    return "".join(line for name, value in values.items() for line in _output(name, value))


def _output(name: str, value: str) -> Iterator[str]:
    if not {"\n", "\r"} & {*value}:
        yield f"{name}={value}\n"
        return
    number = 0
    while (delimiter := f"octosync_{number}") in value:
        number += 1
    yield f"{name}<<{delimiter}\n{value}\n{delimiter}\n"
