"""The findings of `octosync doctor` as text and as JSON: one line per finding, with advice below it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from octosync import __version__
from octosync.model import JsonObject, clipped, counted
from octosync.plan import FORMAT_VERSION
from octosync.report.text import Style, text_of, visible


class FindingStatus(Enum):
    """How serious a finding is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class DoctorFinding:
    """What a check has found: one sentence, and lines of advice if something has to be done."""

    check: str
    status: FindingStatus
    message: str
    advice: tuple[str, ...] = ()


_LONGEST: Final = 500  # characters of a line; responses and files may contain anything


def render_findings(
    findings: Sequence[DoctorFinding], *, requests: int, colour: bool, only_problems: bool = False
) -> str:
    """Render findings and their counts; `requests` is the number of requests that were sent.

    With `only_problems`, findings that are ok are only counted.
    """
    style = Style(colour)
    shown = [finding for finding in findings if finding.status is not FindingStatus.OK or not only_problems]
    lines = [line for finding in shown for line in _lines(finding, style)]
    return text_of((*lines, *([""] if lines else []), f"{_counts(findings)}. {counted(requests, 'request')} sent."))


def _lines(finding: DoctorFinding, style: Style) -> Iterator[str]:
    paint = {FindingStatus.OK: style.green, FindingStatus.WARNING: style.yellow, FindingStatus.ERROR: style.red}
    status = finding.status.value
    yield f"{paint[finding.status](status)}{' ' * (8 - len(status))} {finding.check}: {_shown(finding.message)}"
    for advice in finding.advice:
        yield f"           {_shown(advice)}"


def _counts(findings: Iterable[DoctorFinding]) -> str:
    statuses = [finding.status for finding in findings]
    errors, warnings = statuses.count(FindingStatus.ERROR), statuses.count(FindingStatus.WARNING)
    problems = [counted(errors, "error")] * bool(errors) + [counted(warnings, "warning")] * bool(warnings)
    return f"{counted(len(statuses), 'finding')}: {', '.join(problems) or 'no problems'}"


def findings_document(findings: Sequence[DoctorFinding], *, requests: int) -> JsonObject:
    """Return findings as JSON."""
    return {
        "format_version": FORMAT_VERSION,
        "octosync_version": __version__,
        "findings": [
            {
                "check": finding.check,
                "status": finding.status.value,
                "message": _shown(finding.message),
                "advice": [_shown(advice) for advice in finding.advice],
            }
            for finding in findings
        ],
        "requests": requests,
        "summary": {status.value: sum(finding.status is status for finding in findings) for status in FindingStatus},
    }


def _shown(text: str) -> str:
    return clipped(visible(text), _LONGEST)
