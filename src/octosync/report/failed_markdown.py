"""A run that came to no plan as Markdown: why, for a comment or a job's summary."""

from __future__ import annotations

from typing import Final

from octosync.model import Severity
from octosync.report.diagnostics import diagnostic_lines, severities
from octosync.report.errors import error_lines
from octosync.report.ink import Ink
from octosync.report.markdown_text import alert, escaped, fence
from octosync.report.run_report import RunReport
from octosync.report.size_limit import Part, fitted

_PLAIN: Final = Ink(colour=False)
_RANK: Final = {severity: rank for rank, severity in enumerate(Severity)}

# What gives way last to what gives way first; the gravest of what was found comes before the rest of it.
_TITLE, _WHY, _FOUND = range(3)


def render_failure_markdown(report: RunReport, *, verdict: str, max_bytes: int) -> str:
    """Render what ended a run, or what was found in the manifests alone, in at most so many bytes of UTF-8.

    `verdict` is a sentence: what that means.
    """
    diagnostics, error = report.all_diagnostics(), report.error
    total = " · ".join(
        (f"**{verdict}**", *([severities(diagnostics)] if diagnostics else []), f"exit {int(report.exit_code)}")
    )
    parts = [Part(_TITLE, (f"### octosync {report.command}\n\n{total}", total))]
    if error is not None:
        headline = alert("CAUTION", escaped(error.reference))
        parts.append(Part(_WHY, (fence("text", error_lines(error, _PLAIN)), headline, "")))
    found = sorted(diagnostics, key=lambda one: (_RANK[one.severity], one.sort_key))
    parts += [Part(_FOUND + _RANK[one.severity], (fence("text", diagnostic_lines(one, _PLAIN)), "")) for one in found]
    return fitted(parts, max_bytes, lambda _: alert("NOTE", f"Here: shortened to {max_bytes:,} bytes."))
