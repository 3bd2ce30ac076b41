"""The table of formats: what `-o` prints and `--write` writes, each made from the one value of a run that is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from octosync.manifest import RULES
from octosync.report import (
    MAX_BYTES,
    Places,
    RuleHelp,
    RunReport,
    json_text,
    render_annotations,
    report_document,
    report_markdown,
    report_text,
    sarif_document,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What beside the run a format depends on.

    `places` knows where the repository is, `max_bytes` bounds Markdown, `full` makes JSON whole, `lines` are the stream's.
    """

    places: Places
    max_bytes: int = MAX_BYTES
    full: bool = False
    lines: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    `tells_failures`: on standard output, too, it says what kept a run from its plan. `streams`: there it is printed as the
    run goes, not at its end.
    """

    render: Callable[[RunReport, Frame], str]
    tells_failures: bool = False
    streams: bool = False


def _sarif(report: RunReport, frame: Frame) -> str:
    rules = {rule.id: RuleHelp(rule.severity, rule.meaning) for rule in RULES.values()}
    return json_text(sarif_document(report, frame.places, rules))


FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {
        "text": Format(lambda report, _: report_text(report), streams=True),
        "markdown": Format(lambda report, frame: report_markdown(report, max_bytes=frame.max_bytes)),
        "json": Format(lambda report, frame: json_text(report_document(report, full=frame.full))),
        "jsonl": Format(lambda _, frame: "".join(frame.lines), streams=True),
        "github": Format(lambda report, frame: render_annotations(report, frame.places), tells_failures=True),
        "sarif": Format(_sarif, tells_failures=True),
    }
)
