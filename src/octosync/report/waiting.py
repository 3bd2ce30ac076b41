"""What became of what a run waited for: one line each with a bar, then what to do about what is not covered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from octosync.errors import ExitCode
from octosync.model import Canary, Fate, JsonObject, Standing
from octosync.report.ink import Ink
from octosync.report.outcomes import INTERRUPTED, closing_lines
from octosync.report.run_report import ApplyReport
from octosync.report.text import cells, padded, text_of, visible

_SYMBOLS: Final = {
    Fate.COVERED: "✓",
    Fate.NO_DEVICES: "·",
    Fate.AWAITING_APPROVAL: "?",
    None: "·",
}
_BAR: Final = 10  # columns
PENDING: Final = "pending"  # in documents: a signal ended the wait


def render_waited(report: ApplyReport, *, colour: bool, closes: bool = True) -> str:
    """Render what became of what a run waited for; "" if it did not wait. `closes`: the end of the run's report follows."""
    if report.waited is None:
        return ""
    standings, run_id = report.waited, report.run_id if closes else None
    is_partial = report.write_code is not ExitCode.DONE
    ink = Ink(colour)
    width = max((cells(standing_name(standing)) for standing in standings), default=0)
    lines = [_line(standing, report.timeout, width, ink) for standing in standings]
    if not standings:
        lines.append("Nothing to wait for: no deployment was touched, and none is under way.")
    lines += _what_to_do(standings, report.look)
    if report.exit_code in INTERRUPTED and run_id is not None:
        lines.append("Stopped waiting: the writes were done before.")
    if not is_partial and any(map(_moves, standings)):
        lines.append(f"To follow it again: {visible(report.go_on)} (plans again: what is applied is not sent twice)")
    if run_id is not None:
        goes_on = report.go_on if is_partial else None
        lines += closing_lines(run_id, command=goes_on, history=report.history, exit_code=report.exit_code)
    return text_of(lines)


def waited_rows(standings: Sequence[Standing]) -> list[JsonObject]:
    """Return what became of each as JSON."""
    return [
        {
            "address": str(one.address),
            "result": one.fate.value if one.fate is not None else PENDING,
            "deployment": one.deployment,
            "status": one.status,
            "variant": one.variant,
            "canary": _canary_row(one.canary or one.ended),
            "coverage": one.coverage,
            "covered": one.covered,
            "devices": one.devices,
            "error": {"reference": one.error.reference, "message": one.error.message} if one.error else None,
        }
        for one in standings
    ]


def standing_name(standing: Standing) -> str:
    """Name it in short: `search/chat@production`."""
    return f"{visible(standing.address.app)}/{visible(standing.address.name)}"


def standing_words(standing: Standing) -> str:
    """Say how far it is with what it waits for now: `canary to chat-next at 30 %, active`."""
    how_far = _how_far(standing) if standing.canary is None else (_canary_words(standing.canary),)
    status = (visible(standing.status),) if standing.status is not None else ()
    return ", ".join((*how_far, *status))


def standing_share(standing: Standing) -> tuple[float, float] | None:
    """Return how much is done and how much there is: percent of a canary, else devices; None where neither is known."""
    canary = standing.canary or standing.ended
    if canary is not None:
        return None if canary.percentage is None else (min(100.0, max(0.0, canary.percentage)), 100.0)
    if standing.covered is None or not standing.devices:
        return None
    return float(min(standing.covered, standing.devices)), float(standing.devices)


def _how_far(standing: Standing) -> Iterator[str]:
    if standing.deployment is None and standing.coverage is None and standing.canary is None:
        yield "nothing was read of it yet"
        return
    if standing.canary is not None:
        yield _canary_words(standing.canary)
    if standing.covered is not None and standing.devices is not None:
        yield f"{standing.covered:,} of {standing.devices:,} devices covered"
    elif standing.coverage is not None:
        yield visible(standing.coverage)
    if standing.deployment is None:
        yield "no deployment is shown"


def _line(one: Standing, timeout: str, width: int, ink: Ink) -> str:
    paint = ink.red if one.fate and one.fate.is_failure else ink.green if one.fate is Fate.COVERED else ink.yellow
    symbol = paint(_SYMBOLS.get(one.fate, "✗"))
    return f"{symbol} {padded(standing_name(one), width)}  {_bar(one)}{_ended_words(one, timeout)}"


def _bar(one: Standing) -> str:
    share = standing_share(one)
    if share is None:
        return ""
    full = int(share[0] / share[1] * _BAR)
    return f"{'█' * full}{'░' * (_BAR - full)}  "


def _ended_words(one: Standing, timeout: str) -> str:
    stands = ", ".join((*_how_far(one), *_deployment_words(one)))
    match one.fate:
        case Fate.COVERED:
            return ", ".join(_how_far(one))
        case Fate.NO_DEVICES:
            return "no devices; not waited for"
        case Fate.AWAITING_APPROVAL:
            return "awaits approval in Octomil; not waited for"
        case Fate.FAILED:
            return f"failed: {stands}"
        case Fate.ROLLED_BACK:
            return f"rolled back: {_taken_back_words(one) if one.ended is not None else stands}"
        case Fate.UNREADABLE:
            why = f"{visible(one.error.reference)}: {visible(one.error.message)}" if one.error is not None else stands
            return f"could not be read: {why}"
        case Fate.TIMED_OUT:
            wanted = "through" if one.canary is not None else "covered"
            return f"not {wanted}{' within ' if timeout else ''}{timeout}: {stands}"
        case None:
            return f"not waited for any longer: {stands}"


def _canary_words(canary: Canary) -> str:
    candidate = f" to {visible(canary.candidate)}" if canary.candidate is not None else ""
    at = f" at {canary.percentage:g} %" if canary.percentage is not None else ""
    return f"canary{candidate}{at}"


def _deployment_words(one: Standing) -> Iterator[str]:
    if one.deployment is not None and one.status is not None:
        yield f"deployment {visible(one.deployment)} is {visible(one.status)}"


def _taken_back_words(one: Standing) -> str:
    return f"{_canary_words(one.ended or Canary())} ended, {visible(one.variant or 'what was there')} is deployed"


def _what_to_do(standings: Sequence[Standing], look: str) -> Iterator[str]:
    unsettled = [one for one in standings if one.fate is None or one.fate.is_failure]
    if not unsettled:
        return
    yield from dict.fromkeys(visible(hint) for one in unsettled if one.error is not None for hint in one.error.hints)
    if any(one.fate is Fate.ROLLED_BACK and one.ended is None for one in unsettled):
        yield "What was rolled back is enabled again only with --retry-rolled-back."
    slugs = dict.fromkeys(visible(one.address.app) for one in unsettled)
    yield f"To look at it: {visible(look)} {' '.join(slugs)}"


def _moves(one: Standing) -> bool:
    """Whether another apply may wait for it, although it has nothing to write there."""
    unsettled = one.fate in {None, Fate.TIMED_OUT, Fate.UNREADABLE}
    return unsettled and (one.canary is not None or one.starting or one.deployment is None)


def _canary_row(canary: Canary | None) -> JsonObject | None:
    return None if canary is None else {"candidate": canary.candidate, "percentage": canary.percentage}
