"""The table of formats: what `-o` prints and `--write` writes, each made from the one value of a run that is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from octosync.manifest import RULES
from octosync.report import (
    MAX_BYTES,
    Ended,
    Places,
    RuleHelp,
    ended_document,
    ended_markdown,
    ended_text,
    json_text,
    render_annotations,
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

    render: Callable[[Ended, Frame], str]
    tells_failures: bool = False
    streams: bool = False


def _sarif(ended: Ended, frame: Frame) -> str:
    rules = {rule.id: RuleHelp(rule.severity, rule.meaning) for rule in RULES.values()}
    return json_text(sarif_document(ended, frame.places, rules))


FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {
        "text": Format(lambda ended, _: ended_text(ended), streams=True),
        "markdown": Format(lambda ended, frame: ended_markdown(ended, max_bytes=frame.max_bytes)),
        "json": Format(lambda ended, frame: json_text(ended_document(ended, full=frame.full))),
        "jsonl": Format(lambda _, frame: "".join(frame.lines), streams=True),
        "github": Format(lambda ended, frame: render_annotations(ended, frame.places), tells_failures=True),
        "sarif": Format(_sarif, tells_failures=True),
    }
)
