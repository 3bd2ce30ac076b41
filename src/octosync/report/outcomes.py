"""The outcomes of an apply and of the rollouts that it waited for, as text, and the exit codes derived from them.

The text has the counts, then only the outcomes that need attention. A rollout has one line with a progress bar.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from octosync.errors import ExitCode
from octosync.model import Address, Canary, JsonObject, Origin, Outcome, RolloutResult, RolloutStatus, Status
from octosync.plan import Plan
from octosync.report.errors import with_requests
from octosync.report.plan_report import ApplyReport
from octosync.report.text import Style, cells, padded, text_of, visible

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
AGAIN: Final = "plans again; applied changes are not sent twice"
_ALIKE: Final = 10  # at most this many outcomes with the same message are listed


def render_outcomes(report: ApplyReport, *, colour: bool, closes: bool = True) -> str:
    """Render the outcomes of an apply; "" if there was nothing to write.

    The report of an interrupted run lists the completed actions. Without `closes`, the last lines are left to
    `render_rollouts`.
    """
    if report.run_id is None:
        return ""
    style, code = Style(colour), report.write_code
    lines = [
        status_counts([outcome.status for outcome in report.outcomes], style),
        *done_lines(report.outcomes, code, style),
        *(line for notable in attention(report.plan, report.outcomes, style) for line in notable),
    ]
    if closes:
        resume = report.resume_command if code is not ExitCode.DONE else None
        lines += closing_lines(report.run_id, command=resume, history=report.history, exit_code=code)
    return text_of(lines)


def closing_lines(run_id: str, *, command: str | None, history: str | None, exit_code: ExitCode) -> Iterator[str]:
    """Yield the last lines of a report: the command that continues the run, if any, its ID and its exit code."""
    if command is not None:
        yield f"To continue: {visible(command)} ({AGAIN})"
    yield run_line(run_id, history=history, exit_code=exit_code)


def run_line(run_id: str, *, history: str | None, exit_code: ExitCode) -> str:
    """Return the ID of a run, the command that shows its requests, and its exit code unless it is 0."""
    code = f", exit {int(exit_code)}" if exit_code is not ExitCode.DONE else ""
    return f"{run_words(run_id, history)}{code}"


def run_words(run_id: str, history: str | None) -> str:
    """Return the ID of a run, and the command that shows it: `Run 20260301T140200Z-4e1d2c (octosync history last)`."""
    return f"Run {visible(run_id)}{f' ({visible(history)})' if history else ''}"


def status_counts(statuses: Sequence[Status], style: Style) -> str:
    """Return the counts of outcomes: `✓ 3 applied   ✗ 1 failed`. Applied ones are always counted, others if there are any."""
    return "   ".join(
        f"{status_symbol(status, style)} {statuses.count(status):,} {words}"
        for status, words in STATUS_WORDS.items()
        if status in statuses or status is Status.DONE
    )


def done_lines(outcomes: Sequence[Outcome], exit_code: ExitCode, style: Style) -> Iterator[str]:
    """Yield the completed actions of an interrupted run; nothing for other runs."""
    if exit_code not in INTERRUPTED:
        return
    yield "Stopped: requests in flight were finished, nothing else was sent. Done:"
    done = [outcome for outcome in outcomes if outcome.status is Status.DONE]
    yield from (f"{status_symbol(outcome.status, style)} {_named(outcome)}" for outcome in done)
    if not done:
        yield "  nothing"


def attention(plan: Plan, outcomes: Sequence[Outcome], style: Style) -> Iterator[tuple[str, ...]]:
    """Yield the lines about each outcome that needs attention, or each group of identical ones, in the order of the plan."""
    origins = {(key.address, key.verb.value): action.origin for key, action in plan.by_key().items()}
    notable = [outcome for outcome in outcomes if outcome.status is not Status.DONE or outcome.message]
    for alike in groups_of_outcomes(notable):
        yield tuple(_group_lines(alike, origins, style))


def groups_of_outcomes(outcomes: Iterable[Outcome]) -> Iterator[tuple[Outcome, ...]]:
    """Yield groups of outcomes that differ only in their object and their request IDs, in the order of their first ones."""
    groups: dict[tuple[object, ...], list[Outcome]] = {}
    for outcome in outcomes:
        alike = (outcome.status, outcome.reference, shared_message(outcome), outcome.hints)
        groups.setdefault(alike, []).append(outcome)
    yield from map(tuple, groups.values())


def shared_message(outcome: Outcome) -> str:
    """Return the message of an outcome without its request IDs."""
    message = outcome.message
    for id_ in outcome.request_ids:
        for words in (f" (request {id_})", f", request {id_}", id_):
            message = message.replace(words, "")
    return message


def _group_lines(
    alike: tuple[Outcome, ...], origins: Mapping[tuple[Address, str], Origin | None], style: Style
) -> Iterator[str]:
    first, *more = alike
    symbol = status_symbol(first.status, style)
    if more:
        message = visible(shared_message(first))
        text = f"{visible(first.reference)}: {message}" if first.reference else message or STATUS_WORDS[first.status]
        yield f"{symbol} {text}:"
        yield from (f"    {_named_with_place(outcome, origins)}" for outcome in alike[:_ALIKE])
        if len(alike) > _ALIKE:
            yield f"    and {len(alike) - _ALIKE:,} more"
    else:
        yield f"{symbol} {_named(first)}: {_message(first) or STATUS_WORDS[first.status]}"
        yield from _where(origins.get((first.address, first.verb)))
    yield from (f"    {visible(hint)}" for hint in first.hints)


def _named_with_place(outcome: Outcome, origins: Mapping[tuple[Address, str], Origin | None]) -> str:
    """Return an action of a group, with its position and its request IDs if it is not done."""
    if outcome.status is Status.DONE or not outcome.request_ids:
        return _named(outcome)
    origin = origins.get((outcome.address, outcome.verb))
    place = [] if origin is None else [f"declared at {visible(str(origin))}"]
    ids = ", ".join(map(visible, outcome.request_ids))
    return f"{_named(outcome)} ({', '.join((*place, f'request {ids}'))})"


def _message(outcome: Outcome) -> str:
    message = with_requests(outcome.message, outcome.request_ids)
    return f"{visible(outcome.reference)}: {message}" if outcome.reference else message


def _where(origin: Origin | None) -> Iterator[str]:
    if origin is not None:
        yield f"    declared at {visible(str(origin))}"


def _named(outcome: Outcome) -> str:
    return f"{outcome.verb} {visible(str(outcome.address))}"


def status_symbol(status: Status, style: Style) -> str:
    """Return the symbol of an outcome, in its colour."""
    paint = {Status.DONE: style.green, Status.FAILED: style.red, Status.NOT_KEPT: style.red}.get(status, style.yellow)
    return paint(_SYMBOLS[status])


_ROLLOUT_SYMBOLS: Final = {
    RolloutResult.COVERED: "✓",
    RolloutResult.NO_DEVICES: "·",
    RolloutResult.AWAITING_APPROVAL: "?",
    None: "·",
}
_BAR: Final = 10  # columns
PENDING: Final = "pending"  # in documents, if a signal ended the wait


def render_rollouts(report: ApplyReport, *, colour: bool, closes: bool = True) -> str:
    """Render the rollouts that a run waited for; "" if it did not wait. `closes` adds the last lines of the report."""
    if report.waited is None:
        return ""
    rollouts, run_id = report.waited, report.run_id if closes else None
    is_partial = report.write_code is not ExitCode.DONE
    style = Style(colour)
    width = max((cells(rollout_name(rollout)) for rollout in rollouts), default=0)
    lines = [_line(rollout, report.timeout, width, style) for rollout in rollouts]
    if not rollouts:
        lines.append("Nothing to wait for: no deployment was changed, and none is in progress.")
    lines += _what_to_do(rollouts, report.status_command)
    if report.exit_code in INTERRUPTED and run_id is not None:
        lines.append("Stopped waiting. All writes had finished before.")
    if not is_partial and any(map(_can_be_followed, rollouts)):
        lines.append(f"To wait again: {visible(report.resume_command)} ({AGAIN})")
    if run_id is not None:
        resume = report.resume_command if is_partial else None
        lines += closing_lines(run_id, command=resume, history=report.history, exit_code=report.exit_code)
    return text_of(lines)


def rollout_rows(rollouts: Sequence[RolloutStatus]) -> list[JsonObject]:
    """Return the rollouts as JSON."""
    return [
        {
            "address": str(rollout.address),
            "result": rollout.result.value if rollout.result is not None else PENDING,
            "deployment": rollout.deployment,
            "status": rollout.status,
            "variant": rollout.variant,
            "canary": _canary_row(rollout.canary or rollout.ended),
            "coverage": rollout.coverage,
            "covered": rollout.covered,
            "devices": rollout.devices,
            "error": {"reference": rollout.error.reference, "message": rollout.error.message}
            if rollout.error
            else None,
        }
        for rollout in rollouts
    ]


def rollout_name(rollout: RolloutStatus) -> str:
    """Return the short name of a rollout: `search/chat@production`."""
    return f"{visible(rollout.address.app)}/{visible(rollout.address.name)}"


def rollout_words(rollout: RolloutStatus) -> str:
    """Return the progress of a rollout: `canary to chat-next at 30%, active`."""
    progress = _progress(rollout) if rollout.canary is None else (_canary_words(rollout.canary),)
    status = (visible(rollout.status),) if rollout.status is not None else ()
    return ", ".join((*progress, *status))


def rollout_share(rollout: RolloutStatus) -> tuple[float, float] | None:
    """Return the completed part and the whole: percent of a canary, else devices; None if neither is known."""
    canary = rollout.canary or rollout.ended
    if canary is not None:
        return None if canary.percentage is None else (min(100.0, max(0.0, canary.percentage)), 100.0)
    if rollout.covered is None or not rollout.devices:
        return None
    return float(min(rollout.covered, rollout.devices)), float(rollout.devices)


def _progress(rollout: RolloutStatus) -> Iterator[str]:
    if rollout.deployment is None and rollout.coverage is None and rollout.canary is None:
        yield "not read yet"
        return
    if rollout.canary is not None:
        yield _canary_words(rollout.canary)
    if rollout.covered is not None and rollout.devices is not None:
        yield f"{rollout.covered:,} of {rollout.devices:,} devices covered"
    elif rollout.coverage is not None:
        yield visible(rollout.coverage)
    if rollout.deployment is None:
        yield "no deployment is listed"


def _line(rollout: RolloutStatus, timeout: str, width: int, style: Style) -> str:
    paint = (
        style.red
        if rollout.result and rollout.result.is_failure
        else style.green
        if rollout.result is RolloutResult.COVERED
        else style.yellow
    )
    symbol = paint(_ROLLOUT_SYMBOLS.get(rollout.result, "✗"))
    return f"{symbol} {padded(rollout_name(rollout), width)}  {_bar(rollout)}{_result_words(rollout, timeout)}"


def _bar(rollout: RolloutStatus) -> str:
    share = rollout_share(rollout)
    if share is None:
        return ""
    full = int(share[0] / share[1] * _BAR)
    return f"{'█' * full}{'░' * (_BAR - full)}  "


def _result_words(rollout: RolloutStatus, timeout: str) -> str:
    state = ", ".join((*_progress(rollout), *_deployment_words(rollout)))
    match rollout.result:
        case RolloutResult.COVERED:
            return ", ".join(_progress(rollout))
        case RolloutResult.NO_DEVICES:
            return "no devices; not waited for"
        case RolloutResult.AWAITING_APPROVAL:
            return "awaits approval in Octomil; not waited for"
        case RolloutResult.FAILED:
            return f"failed: {state}"
        case RolloutResult.ROLLED_BACK:
            return f"rolled back: {_rollback_words(rollout) if rollout.ended is not None else state}"
        case RolloutResult.UNREADABLE:
            why = (
                f"{visible(rollout.error.reference)}: {visible(rollout.error.message)}"
                if rollout.error is not None
                else state
            )
            return f"could not be read: {why}"
        case RolloutResult.TIMED_OUT:
            wanted = "completed" if rollout.canary is not None else "covered"
            return f"not {wanted}{' within ' if timeout else ''}{timeout}: {state}"
        case None:
            return f"no longer waited for: {state}"


def _canary_words(canary: Canary) -> str:
    candidate = f" to {visible(canary.candidate)}" if canary.candidate is not None else ""
    at = f" at {canary.percentage:g}%" if canary.percentage is not None else ""
    return f"canary{candidate}{at}"


def _deployment_words(rollout: RolloutStatus) -> Iterator[str]:
    if rollout.deployment is not None and rollout.status is not None:
        yield f"deployment {visible(rollout.deployment)} is {visible(rollout.status)}"


def _rollback_words(rollout: RolloutStatus) -> str:
    return f"{_canary_words(rollout.ended or Canary())} ended, {visible(rollout.variant or 'the previous variant')} is deployed"


def _what_to_do(rollouts: Sequence[RolloutStatus], status_command: str) -> Iterator[str]:
    unsettled = [rollout for rollout in rollouts if rollout.result is None or rollout.result.is_failure]
    if not unsettled:
        return
    yield from dict.fromkeys(
        visible(hint) for rollout in unsettled if rollout.error is not None for hint in rollout.error.hints
    )
    if any(rollout.result is RolloutResult.ROLLED_BACK and rollout.ended is None for rollout in unsettled):
        yield "A rolled-back variant is enabled again only with --retry-rolled-back."
    slugs = dict.fromkeys(visible(rollout.address.app) for rollout in unsettled)
    yield f"To show the status: {visible(status_command)} {' '.join(slugs)}"


def _can_be_followed(rollout: RolloutStatus) -> bool:
    """Return whether another apply can wait for the rollout without writing anything."""
    unsettled = rollout.result in {None, RolloutResult.TIMED_OUT, RolloutResult.UNREADABLE}
    return unsettled and (rollout.canary is not None or rollout.starting or rollout.deployment is None)


def _canary_row(canary: Canary | None) -> JsonObject | None:
    return None if canary is None else {"candidate": canary.candidate, "percentage": canary.percentage}


def exit_code_of_outcomes(outcomes: Iterable[Outcome]) -> ExitCode:
    """Return the exit code of an apply that was not interrupted: done, or applied in part."""
    return ExitCode.DONE if all(outcome.status is Status.DONE for outcome in outcomes) else ExitCode.PARTIAL


def exit_code_of_rollouts(rollouts: Iterable[RolloutStatus]) -> ExitCode:
    """Return the exit code of a wait: done, or not covered."""
    failed = any(rollout.result is not None and rollout.result.is_failure for rollout in rollouts)
    return ExitCode.UNCOVERED if failed else ExitCode.DONE
