"""The runs of the journal as text and as JSON: the newest ones, or one with its actions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from octosync.model import JournalledAction, JournalledRun, JsonObject, Status, counted
from octosync.plan import FORMAT_VERSION, ControlPlane
from octosync.report.outcomes import STATUS_WORDS, status_counts, status_symbol
from octosync.report.text import Style, cells, org_words, padded, seconds_words, text_of, time_words, visible

UNKNOWN = "unknown"
_TITLES = ("RUN", "STARTED", "TOOK", "EXIT", "CONTROL PLANE", "CHANGES", "OUTCOMES")

Recorded = tuple[JournalledRun, Sequence[JournalledAction]]


def render_history(recorded: Sequence[Recorded], *, total: int, colour: bool) -> str:
    """Render runs, one row each; `total` is the number of all runs in the journal."""
    style = Style(colour)
    rows = [_TITLES, *(_row(run, actions, style) for run, actions in recorded)]
    # Only the last column has colour, so that the widths of the others are correct.
    widths = [max(cells(row[column]) for row in rows) for column in range(len(_TITLES) - 1)]
    lines = ["  ".join((*map(padded, row[:-1], widths), row[-1])) for row in rows]
    if total > len(recorded):
        lines.append(f"The newest {len(recorded):,} of {counted(total, 'run')}: --limit N shows more.")
    return text_of((style.bold(lines[0]), *lines[1:]))


def _row(run: JournalledRun, actions: Sequence[JournalledAction], style: Style) -> tuple[str, ...]:
    return (
        visible(run.id),
        time_words(run.started_at),
        seconds_words(run.seconds),
        "-" if run.exit_code is None else str(run.exit_code),
        _host(run),
        _changes(actions),
        _outcomes(run, actions, style),
    )


def _host(run: JournalledRun) -> str:
    return visible(ControlPlane(url=run.control_plane).host)


def _changes(actions: Sequence[JournalledAction]) -> str:
    verbs = Counter(action.verb for action in actions)
    return ", ".join(f"{count:,} {visible(verb)}" for verb, count in verbs.items()) or "none"


def _outcomes(run: JournalledRun, actions: Sequence[JournalledAction], style: Style) -> str:
    parts = [status_counts([action.status for action in actions if action.status is not None], style)]
    unknown = sum(action.status is None for action in actions)
    if unknown:
        parts.append(f"{style.yellow('…')} {unknown:,} {UNKNOWN}")
    if run.ended_at is None:
        parts.append(style.yellow("not ended"))
    return "   ".join(parts)


def render_run(run: JournalledRun, actions: Sequence[JournalledAction], *, colour: bool) -> str:
    """Render one run: its data, its actions in the order of their start, and the counts of outcomes."""
    style = Style(colour)
    org = f", org {org_words(run.org_id)}" if run.org_id is not None else ""
    if run.ended_at is None:
        end = style.yellow("not ended: still running, interrupted or killed")
    else:
        end = f"took {seconds_words(run.seconds)}, exit {run.exit_code}"
    lines = [
        f"{style.bold(f'Run {visible(run.id)}')} · {_host(run)}{org}",
        f"Started {time_words(run.started_at)}, {end}",
        f"Manifests {visible(run.digest)}",
        *(["", *_action_lines(actions, style)] if actions else []),
        "",
        _outcomes(run, actions, style),
    ]
    if any(action.status is None for action in actions):
        lines.append(
            "An unknown action was started, but its result is not recorded. The next plan reads whether it took effect."
        )
    return text_of(lines)


def _action_lines(actions: Sequence[JournalledAction], style: Style) -> Iterator[str]:
    named = [visible(f"{action.verb} {action.address}") for action in actions]
    width = max(map(cells, named))
    for action, name in zip(actions, named, strict=True):
        symbol = style.yellow("…") if action.status is None else status_symbol(action.status, style)
        facts = [f"{seconds_words(action.seconds):>6}", *map(visible, action.request_ids)]
        if action.status is not Status.DONE:
            facts.append(UNKNOWN if action.status is None else STATUS_WORDS[action.status])
        if action.reference:
            facts.append(visible(action.reference))
        yield f"{symbol} {padded(name, width)}  {'  '.join(facts)}"


def history_document(recorded: Sequence[Recorded], *, journal: str) -> JsonObject:
    """Return runs as JSON, newest first; `journal` is the file that contains them."""
    return {
        "format_version": FORMAT_VERSION,
        "journal": journal,
        "runs": [_run(run, actions) for run, actions in recorded],
    }


def run_document(run: JournalledRun, actions: Sequence[JournalledAction], *, journal: str) -> JsonObject:
    """Return one run as JSON, with its actions in the order of their start."""
    return {
        "format_version": FORMAT_VERSION,
        "journal": journal,
        **_run(run, actions),
        "actions": [_action(action) for action in actions],
    }


def _run(run: JournalledRun, actions: Sequence[JournalledAction]) -> JsonObject:
    statuses = Counter(_status(action) for action in actions)
    return {
        "run": run.id,
        "started_at": _time(run.started_at),
        "ended_at": _time(run.ended_at),
        "seconds": run.seconds,
        "control_plane": ControlPlane(url=run.control_plane).public_url,
        "org_id": run.org_id,
        "manifests_digest": run.digest,
        "exit_code": run.exit_code,
        "summary": {status: statuses[status] for status in (*(status.value for status in Status), UNKNOWN)},
    }


def _action(action: JournalledAction) -> JsonObject:
    return {
        "number": action.number,
        "address": action.address,
        "action": action.verb,
        "operation": action.operation,
        "status": _status(action),
        "reference": action.reference,
        "begun_at": _time(action.begun_at),
        "ended_at": _time(action.ended_at),
        "seconds": action.seconds,
        "request_ids": list(action.request_ids),
    }


def _status(action: JournalledAction) -> str:
    return UNKNOWN if action.status is None else action.status.value


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
