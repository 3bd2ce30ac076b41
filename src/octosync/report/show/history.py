"""The runs of the journal as text and as JSON: the newest ones, or one with its actions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from octosync.model import ELLIPSIS, UNKNOWN, JournalledAction, JournalledRun, JsonObject, RunAudit, Status, counted
from octosync.plan import FORMAT_VERSION, ControlPlane, Override
from octosync.report.errors import override_words
from octosync.report.outcomes import STATUS_WORDS, status_counts, status_symbol
from octosync.report.text import (
    Style,
    cells,
    cut,
    org_words,
    padded,
    seconds_words,
    text_of,
    time_words,
    visible,
)

_TITLES = ("RUN", "ACTOR", "HOST", "WHERE", "COMMIT", "EXIT", "OUTCOMES")
_OPTIONAL = ("HOST", "WHERE")  # not shown in the usual cases: one machine, one control plane
# The columns of an actor, a host or a place, by what is shown beside the actor: a usual row has at most 80.
_WIDEST = {(): 12, ("WHERE",): 12, ("HOST",): 11, _OPTIONAL: 7}
_COMMIT = 7  # characters of a commit's id
_NOT_KNOWN = "-"

Recorded = tuple[JournalledRun, Sequence[JournalledAction]]


def render_history(recorded: Sequence[Recorded], *, total: int, colour: bool) -> str:
    """Render runs, one row each; `total` is the number of all runs in the journal that match."""
    style = Style(colour)
    wide = [_row(run, actions, style) for run, actions in recorded]
    shown = tuple(name for name in _OPTIONAL if len({row[_TITLES.index(name)] for row in wide} - {_NOT_KNOWN}) > 1)
    titles = tuple(name for name in _TITLES if name in shown or name not in _OPTIONAL)
    rows = [titles, *(_cut_row(row, titles, _WIDEST[shown]) for row in wide)]
    # Only the last column has colour, so that the widths of the others are correct.
    widths = [max(cells(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = ["  ".join((*map(padded, row[:-1], widths), row[-1])) for row in rows]
    if total > len(recorded):
        lines.append(f"The newest {len(recorded):,} of {counted(total, 'run')}: --limit N shows more.")
    return text_of((style.bold(lines[0]), *lines[1:]))


def _cut_row(row: Sequence[str], titles: Sequence[str], widest: int) -> tuple[str, ...]:
    """Return the columns with these titles. Of a long host, the end is kept: it distinguishes replicas and runners."""
    cells_of = dict(zip(_TITLES, row, strict=True))
    host = cells_of["HOST"]
    cells_of["HOST"] = host if cells(host) <= widest else f"{ELLIPSIS}{host[1 - widest :]}"
    cells_of |= {name: cut(cells_of[name], widest) for name in ("ACTOR", "WHERE")}
    return tuple(cells_of[name] for name in titles)


def _row(run: JournalledRun, actions: Sequence[JournalledAction], style: Style) -> tuple[str, ...]:
    audit = run.audit
    return (
        visible(run.id),
        _NOT_KNOWN if audit is None else visible(audit.actor),
        _NOT_KNOWN if audit is None else visible(audit.host),
        visible(audit.context) if audit is not None and audit.context is not None else _host(run),
        _commit(audit),
        _NOT_KNOWN if run.exit_code is None else str(run.exit_code),
        _outcomes(run, actions, style, between=" "),
    )


def _commit(audit: RunAudit | None) -> str:
    """Return the start of the commit's ID, with an asterisk if there were other changes."""
    if audit is None or audit.revision is None:
        return _NOT_KNOWN
    return visible(audit.revision[:_COMMIT]) + ("*" if audit.dirty else "")


def _host(run: JournalledRun) -> str:
    return visible(ControlPlane(url=run.control_plane).host)


def _outcomes(run: JournalledRun, actions: Sequence[JournalledAction], style: Style, *, between: str = "   ") -> str:
    counts = status_counts([action.status for action in actions if action.status is not None], style)
    parts = counts.split("   ")
    unknown = sum(action.status is None for action in actions)
    if unknown:
        parts.append(f"{style.yellow('…')} {unknown:,} {UNKNOWN}")
    if run.ended_at is None:
        parts.append(style.yellow("not ended"))
    return between.join(parts)


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
        *(_audit_lines(run.audit) if run.audit is not None else ()),
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


def _audit_lines(audit: RunAudit) -> Iterator[str]:
    place = f", context {visible(audit.context)}" if audit.context is not None else ""
    yield f"By {visible(audit.actor)} on {visible(audit.host)}, octosync {visible(audit.command)}{place}"
    if audit.revision is not None:
        dirty = " with uncommitted changes" if audit.dirty else ""
        base = f", base {visible(audit.base)}" if audit.base is not None else ""
        yield f"Commit {visible(audit.revision)}{dirty}{base}"
    overrides = (Override(guard=found.guard, value=found.value, source=found.source) for found in audit.overrides)
    if allowed := (*map(override_words, overrides), *map(visible, audit.flags)):
        yield f"Allowed {', '.join(allowed)}"
    if audit.policies:
        yield f"Policies {', '.join(visible(f'{found.policy} ({found.outcome})') for found in audit.policies)}"
    if audit.plan_digest is not None:
        yield f"Plan {visible(audit.plan_digest)}"


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
        **_audit(run.audit),
        "summary": {status: statuses[status] for status in (*(status.value for status in Status), UNKNOWN)},
    }


def _audit(audit: RunAudit | None) -> JsonObject:
    """Return the audit of a run: null and empty lists if an earlier version has recorded it."""
    if audit is None:
        single = dict.fromkeys(("command", "actor", "host", "context", "git", "plan_digest"))
        return {**single, "overrides": [], "flags": [], "policies": []}
    git = {"revision": audit.revision, "dirty": audit.dirty, "base": audit.base}
    return {
        "command": audit.command,
        "actor": audit.actor,
        "host": audit.host,
        "context": audit.context,
        "git": None if audit.revision is None else git,
        "plan_digest": audit.plan_digest,
        "overrides": [asdict(override) for override in audit.overrides],
        "flags": list(audit.flags),
        "policies": [asdict(policy) for policy in audit.policies],
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
