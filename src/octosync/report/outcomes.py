"""What became of a plan as text: the counts, then only what needs a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from octosync.errors import ExitCode
from octosync.model import Address, Origin, Outcome, Status
from octosync.plan import Plan
from octosync.report.errors import with_requests
from octosync.report.ink import Ink
from octosync.report.run_report import ApplyReport
from octosync.report.text import text_of, visible

_SYMBOLS: Final = {
    Status.DONE: "✓",
    Status.FAILED: "✗",
    Status.NOT_KEPT: "≠",
    Status.STALE: "≈",
    Status.AWAITING_APPROVAL: "?",
    Status.SKIPPED: "↷",
    Status.NOT_ATTEMPTED: "·",
}
STATUS_WORDS: Final = {
    Status.DONE: "applied",
    Status.FAILED: "failed",
    Status.NOT_KEPT: "not kept",
    Status.STALE: "stale",
    Status.AWAITING_APPROVAL: "awaiting approval",
    Status.SKIPPED: "skipped",
    Status.NOT_ATTEMPTED: "not attempted",
}
INTERRUPTED: Final = (ExitCode.INTERRUPTED, ExitCode.TERMINATED)
AGAIN: Final = "plans again: what is applied is not sent twice"
_ALIKE: Final = 10  # of outcomes that say the same, this many are named


def render_outcomes(report: ApplyReport, *, colour: bool, closes: bool = True) -> str:
    """Render what an apply wrote; "" if there was nothing to write.

    An interrupted run lists what was done. `closes` False leaves the last lines to the report of a wait.
    """
    if report.run_id is None:
        return ""
    ink, code = Ink(colour), report.write_code
    lines = [
        status_counts([outcome.status for outcome in report.outcomes], ink),
        *done_lines(report.outcomes, code, ink),
        *(line for notable in attention(report.plan, report.outcomes, ink) for line in notable),
    ]
    if closes:
        goes_on = report.go_on if code is not ExitCode.DONE else None
        lines += closing_lines(report.run_id, command=goes_on, history=report.history, exit_code=code)
    return text_of(lines)


def closing_lines(run_id: str, *, command: str | None, history: str | None, exit_code: ExitCode) -> Iterator[str]:
    """Yield the last lines of a run's report: the command to go on with, where there is one, its id, and its exit code."""
    if command is not None:
        yield f"To go on: {visible(command)} ({AGAIN})"
    yield run_line(run_id, history=history, exit_code=exit_code)


def run_line(run_id: str, *, history: str | None, exit_code: ExitCode) -> str:
    """Say which run it was, what shows every request of it, and how it ended."""
    return f"{run_words(run_id, history)}        exit {int(exit_code)}"


def run_words(run_id: str, history: str | None) -> str:
    """Name a run, and the command that shows all of it."""
    return f"Run {visible(run_id)}{f': {visible(history)}' if history else ''}"


def status_counts(statuses: Sequence[Status], ink: Ink) -> str:
    """Count outcomes: `✓ 3 applied   ✗ 1 failed`; what was applied always, the others where there are any."""
    return "   ".join(
        f"{status_symbol(status, ink)} {statuses.count(status):,} {words}"
        for status, words in STATUS_WORDS.items()
        if status in statuses or status is Status.DONE
    )


def done_lines(outcomes: Sequence[Outcome], exit_code: ExitCode, ink: Ink) -> Iterator[str]:
    """Yield what an interrupted run had done by its end; nothing for any other run."""
    if exit_code not in INTERRUPTED:
        return
    yield "Stopped: requests in flight were finished, nothing else was sent. Done:"
    done = [outcome for outcome in outcomes if outcome.status is Status.DONE]
    yield from (f"{status_symbol(outcome.status, ink)} {_named(outcome)}" for outcome in done)
    if not done:
        yield "  nothing"


def attention(plan: Plan, outcomes: Sequence[Outcome], ink: Ink) -> Iterator[tuple[str, ...]]:
    """Yield the lines about each outcome that needs attention, in the plan's order.

    What is said of several in a row is said once.
    """
    origins = {(key.address, key.verb.value): action.origin for key, action in plan.by_key().items()}
    notable = [outcome for outcome in outcomes if outcome.status is not Status.DONE or outcome.message]
    for _, alike in groupby(notable, key=_said):
        yield tuple(_told(tuple(alike), origins, ink))


def _told(alike: tuple[Outcome, ...], origins: Mapping[tuple[Address, str], Origin | None], ink: Ink) -> Iterator[str]:
    first, *others = alike
    symbol, said = status_symbol(first.status, ink), _message(first)
    if others:
        yield f"{symbol} {said or STATUS_WORDS[first.status]}:"
        yield from (f"    {_named(outcome)}" for outcome in (first, *others)[:_ALIKE])
        if len(others) >= _ALIKE:
            yield f"    and {len(others) + 1 - _ALIKE:,} more"
    else:
        yield f"{symbol} {_named(first)}: {said or STATUS_WORDS[first.status]}"
        yield from _where(origins.get((first.address, first.verb)))
    yield from (f"    {visible(hint)}" for hint in first.hints)


def _said(outcome: Outcome) -> tuple[object, ...]:
    # What is done needs no looking up, so it is told together whatever its requests were.
    ids = () if outcome.status is Status.DONE else outcome.request_ids
    return (outcome.status, outcome.reference, outcome.message, outcome.hints, ids)


def _message(outcome: Outcome) -> str:
    said = with_requests(outcome.message, outcome.request_ids)
    return f"{visible(outcome.reference)}: {said}" if outcome.reference else said


def _where(origin: Origin | None) -> Iterator[str]:
    if origin is not None:
        yield f"    declared at {visible(str(origin))}"


def _named(outcome: Outcome) -> str:
    return f"{outcome.verb} {visible(str(outcome.address))}"


def status_symbol(status: Status, ink: Ink) -> str:
    """Return the sign of an outcome, painted."""
    paint = {Status.DONE: ink.green, Status.FAILED: ink.red, Status.NOT_KEPT: ink.red}.get(status, ink.yellow)
    return paint(_SYMBOLS[status])
