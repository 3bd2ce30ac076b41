"""`octosync state`: show, check, back up, copy and prune the state; and the findings about it for `octosync doctor`."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from octosync.cli import signals
from octosync.cli.console import ask, can_prompt, err, note, out_json, out_text, wants_colour
from octosync.cli.file_writer import why_untrusted
from octosync.cli.progress import ProgressBar
from octosync.cli.run_options import RemoteFlags, StateFlag
from octosync.cli.state_location import check_trusted, find_state
from octosync.errors import ExitCode, OctosyncError, UsageError
from octosync.manifest import parse_duration
from octosync.model import JsonObject, counted
from octosync.plan import FORMAT_VERSION, ControlPlane
from octosync.report import visible
from octosync.report.show.doctor import DoctorFinding, FindingStatus, findings_document, render_findings
from octosync.report.text import Style, plane_words, seconds_words, text_of, time_words
from octosync.state import (
    DatabaseFacts,
    Journal,
    JournalReader,
    PlaneFacts,
    StateFacts,
    StateLocation,
    StateUrl,
    WatchState,
    back_up,
    check_state,
    copy_state,
    examine_database,
    examine_state,
    lock_holder,
    old_rows,
    parse_location,
)

_SLOW: Final = 0.05  # seconds of a statement
_LEAST_AGE: Final = timedelta(days=1)
# What a table has, in documents. Other tables are not for people.
_CONTENTS: Final = {
    "run": "runs",
    "action": "actions",
    "plane": "control_planes",
    "base": "apps",
    "drift": "drift",
    "heal": "reverts",
    "contested": "contested",
    "approval": "approvals",
    "refusal": "blocked",
    "told": "notifications",
    "hold": "holds",
    "suspension": "suspensions",
}
# What is deleted by `prune`, by the name of the table.
_OLD: Final = {
    "run": "run",
    "action": "action",
    "heal": "revert",
    "approval": "unused approval",
    "hold": "ended hold",
}


def show(*, journal: StateFlag, config: Path | None, context: str | None, output: str, colour: str) -> None:
    """Run `octosync state show`."""
    location = find_state(journal, RemoteFlags(context=context), config).location
    with closing(JournalReader(location)) as reader:
        facts = examine_state(reader)
        database = examine_database(reader) if isinstance(location, StateUrl) else None
    if output == "json":
        out_json(_state_document(location, facts, database))
    elif facts.schema:
        out_text(_render_state(location, facts, database, colour=wants_colour(sys.stdout, colour)))
    else:
        err(f"There is no state at {visible(_place(location))} yet: apply and watch create it.\n")


def check(*, journal: StateFlag, config: Path | None, context: str | None, output: str, colour: str) -> ExitCode:
    """Run `octosync state check`."""
    location = find_state(journal, RemoteFlags(context=context), config).location
    findings = list(_all_findings(location))
    if output == "json":
        out_json(findings_document(findings, requests=0))
    else:
        out_text(render_findings(findings, requests=0, colour=wants_colour(sys.stdout, colour)))
    failed = any(finding.status is FindingStatus.ERROR for finding in findings)
    return ExitCode.ERROR if failed else ExitCode.DONE


def backup(
    *, file: str, force: bool, journal: StateFlag, config: Path | None, context: str | None, output: str
) -> None:
    """Run `octosync state backup`."""
    path = parse_location(file)
    if isinstance(path, StateUrl):
        raise UsageError(
            "usage",
            "a backup is a file, not a database",
            hints=("Name a file. To copy to a database: octosync state copy FROM TO",),
        )
    source = find_state(journal, RemoteFlags(context=context), config).location
    check_trusted(path)
    with ProgressBar("backing up", 0) as bar:
        rows = back_up(source, path, bar.advance, replaces=force)
    _report_copy(source, path, rows, output, words="Backed up", next_step="")


def copy(*, source: StateLocation, target: StateLocation, output: str) -> None:
    """Run `octosync state copy`."""
    for location in (source, target):
        if isinstance(location, Path):
            check_trusted(location)
    with ProgressBar("copying", 0) as bar:
        rows = copy_state(source, target, bar.advance)
    next_step = (
        f"Use it with --state, OCTOSYNC_STATE or stateUrl. {visible(str(source))} is unchanged, and no longer needed."
    )
    _report_copy(source, target, rows, output, words="Copied", next_step=next_step)


def prune(
    *, older_than: str, yes: bool, journal: StateFlag, config: Path | None, context: str | None, output: str
) -> ExitCode | None:
    """Run `octosync state prune`."""
    age = parse_duration(older_than)
    if age < _LEAST_AGE:
        raise UsageError(
            "too-short",
            f"--older-than {older_than} is shorter than a day",
            hints=("Guards count what was removed lately, so newer runs are kept. For example 90d.",),
        )
    location = find_state(journal, RemoteFlags(context=context), config).location
    before = datetime.now(UTC) - age
    with closing(JournalReader(location)) as reader:
        old = old_rows(reader, before)
    words = ", ".join(counted(old[name], word) for name, word in _OLD.items() if old.get(name))
    since = f"older than {time_words(before)} in {visible(str(location))}"
    if not words:
        err(f"There is nothing {since}.\n")
    elif not yes:
        err(f"{words} {since}\n")
        if not can_prompt():
            raise UsageError(
                "confirmation-required",
                "prune needs confirmation, but there is no terminal (or CI is set)",
                hints=("Use --yes to delete them.",),
            )
        if not _confirmed():
            err("Nothing was deleted.\n")
            return ExitCode.ERROR
    if words:
        with closing(Journal(location)) as open_journal:
            WatchState(open_journal).prune(before, runs=sys.maxsize)
    if output == "json":
        deleted = _contents(old)
        out_json(
            {"format_version": FORMAT_VERSION, "state": str(location), "before": _time(before), "deleted": deleted}
        )
    elif words:
        out_text(f"Deleted {words}, {since}.\n")
    return None


def _confirmed() -> bool:
    async def main(_: signals.StopSignal) -> bool:
        return await ask("Delete them? Type 'yes' to confirm: ") == "yes"

    return signals.run(main)


def state_findings(location: StateLocation, environment: Mapping[str, str]) -> Iterator[DoctorFinding]:
    """Yield the findings about a state from a few reads. Raises `OctosyncError` for one that can't be read."""
    if isinstance(location, StateUrl):
        yield from _database_findings(location, environment)
    else:
        yield from _file_findings(location)


def _all_findings(location: StateLocation) -> Iterator[DoctorFinding]:
    """Yield the findings of a full check."""
    try:
        found = list(state_findings(location, os.environ))
        yield from found
        if any(finding.status is FindingStatus.ERROR for finding in found):
            return
        with closing(JournalReader(location)) as reader:
            facts = examine_state(reader)
            if not facts.schema:
                return
            yield _finding(FindingStatus.OK, "contents", f"{check_state(reader)}: all of it can be read")
    except OctosyncError as error:
        yield _finding(FindingStatus.ERROR, "contents", error.message, *error.hints)
        return
    if not facts.is_current:
        command = "octosync state backup FILE" if isinstance(location, Path) else "pg_dump --schema=octosync"
        yield _finding(
            FindingStatus.WARNING,
            "schema",
            f"the schema {facts.schema} is that of an earlier version",
            f"The next apply or watch migrates it. Back it up before, to go back: {command}",
        )
    for lease in facts.leases:
        if lease.is_held:
            words = f"{lease.user}, for {plane_words(lease.plane)}, since {time_words(lease.since)}"
            yield _finding(FindingStatus.OK, "in use", words)


def _finding(status: FindingStatus, check: str, message: str, *advice: str) -> DoctorFinding:
    return DoctorFinding(check, status, message, advice)


def _database_findings(url: StateUrl, environment: Mapping[str, str]) -> Iterator[DoctorFinding]:
    with closing(JournalReader(url)) as journal:
        state = examine_state(journal)
        facts = examine_database(journal)
    words = list(_server_words(facts))
    has = "no state yet: apply and watch create it"
    if state.schema:
        has, words = counted(state.runs, "run"), [*words, f"schema {state.schema}"]
    yield _finding(FindingStatus.OK, "state", f"{url} has {has} ({', '.join(words)})")
    if facts.problem:
        yield _finding(FindingStatus.ERROR, "state", f"{url} can't be written: {facts.problem}", facts.advice)
    if facts.seconds > _SLOW:
        yield _finding(
            FindingStatus.WARNING,
            "state",
            "the database is slow",
            "Each write waits for it: run octosync in the same network.",
        )
    if not url.is_local and not url.verifies_server(environment):
        yield _finding(
            FindingStatus.WARNING,
            "state",
            "the certificate of the server is not verified" if facts.encryption else "the connection is not encrypted",
            "Add sslmode=verify-full to the URL, and sslrootcert=FILE for your own certificate authority.",
        )


def _server_words(facts: DatabaseFacts) -> Iterator[str]:
    yield facts.server
    yield facts.encryption or "not encrypted"
    yield f"{'under 1 ms' if facts.seconds < 0.001 else seconds_words(facts.seconds)} per statement"


def _file_findings(file: Path) -> Iterator[DoctorFinding]:
    another = "Name another: --state FILE"
    if (why := why_untrusted(file)) is not None:
        yield _finding(FindingStatus.ERROR, "state", f"{file}: {why}", another)
        return
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        yield _finding(FindingStatus.OK, "state", f"there is no {file} yet: apply and watch create it")
        return
    except OSError as error:
        yield _finding(FindingStatus.ERROR, "state", f"{file} can't be read: {error.strerror}", another)
        return
    if not stat.S_ISREG(mode):
        yield _finding(FindingStatus.ERROR, "state", f"{file} is not a file", another)
        return
    with closing(JournalReader(file)) as journal:
        runs = journal.runs()
    holder = lock_holder(file)
    used = f", in use by octosync watch (process {holder})" if holder is not None else ""
    yield _finding(FindingStatus.OK, "state", f"{file} has {counted(len(runs), 'run')}{used}")
    if runs and runs[0].ended_at is None and holder is None:
        history = shlex.join(("octosync", "history", "last", *StateFlag(file).arguments))
        advice = f"If none is running: {history} shows what it did. Run it again."
        yield _finding(FindingStatus.WARNING, "state", "the last run has not ended", advice)


def _place(location: StateLocation) -> str:
    return str(location.absolute() if isinstance(location, Path) else location)


def _render_state(location: StateLocation, facts: StateFacts, database: DatabaseFacts | None, *, colour: bool) -> str:
    style = Style(colour)
    about = [
        f"Schema {facts.schema}",
        _size_words(facts.size),
        *(_server_words(database) if database is not None else ()),
    ]
    first, last = facts.runs_from, facts.runs_to
    runs = counted(facts.runs, "run")
    if first is not None and last is not None:
        runs += f" from {time_words(first)} to {time_words(last)}"
    if facts.open_runs:
        runs += f", {facts.open_runs:,} not ended"
    lines = [style.bold(visible(_place(location))), ", ".join(about), runs]
    for plane in facts.planes:
        lines += ["", *_plane_lines(plane, style)]
    lines += ["", *_user_lines(facts)]
    if not facts.is_current:
        lines.append("The schema is that of an earlier version: the next apply or watch migrates it.")
    return text_of(lines)


def _plane_lines(facts: PlaneFacts, style: Style) -> Iterator[str]:
    numbers = (
        (facts.drift, "drifted object"),
        (facts.holds, "hold"),
        (facts.approvals, "unused approval"),
        (facts.refusals, "blocked change"),
    )
    others = "".join(f", {counted(number, word)}" for number, word in numbers if number)
    yield plane_words(facts.plane)
    yield f"  {counted(facts.apps, 'app')}{others}"
    if facts.resynced_at is not None:
        yield f"  last resync {time_words(facts.resynced_at)}"
    if facts.suspended_at is not None:
        yield f"  {style.yellow(f'suspended since {time_words(facts.suspended_at)}')}"


def _user_lines(facts: StateFacts) -> Iterator[str]:
    if facts.process is not None:
        yield f"In use by octosync watch (process {facts.process})"
    held = [lease for lease in facts.leases if lease.is_held]
    for lease in held:
        yield f"In use by {visible(lease.user)} since {time_words(lease.since)}"
        yield f"  {plane_words(lease.plane)}{_holder_words(lease.holder.actor, lease.holder.commit)}"
    if facts.process is None and not held:
        yield "No octosync watch uses it."


def _holder_words(actor: str, commit: str) -> str:
    return "".join((f", {visible(actor)}" if actor else "", f", commit {visible(commit[:12])}" if commit else ""))


def _size_words(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB" if size >= 2**20 else f"{size / 2**10:,.0f} KiB"


def _state_document(location: StateLocation, facts: StateFacts, database: DatabaseFacts | None) -> JsonObject:
    return {
        "format_version": FORMAT_VERSION,
        "state": str(location),
        "exists": bool(facts.schema),
        "schema": facts.schema,
        "bytes": facts.size,
        "server": None if database is None else database.server,
        "encryption": (database.encryption or None) if database is not None else None,
        "runs": {
            "total": facts.runs,
            "not_ended": facts.open_runs,
            "first": _time(facts.runs_from),
            "last": _time(facts.runs_to),
        },
        "control_planes": [
            {
                **_plane_document(plane.plane),
                "apps": plane.apps,
                "drift": plane.drift,
                "holds": plane.holds,
                "approvals": plane.approvals,
                "blocked": plane.refusals,
                "suspended_at": _time(plane.suspended_at),
                "resynced_at": _time(plane.resynced_at),
            }
            for plane in facts.planes
        ],
        "users": [
            *(({"command": "watch", "process": facts.process},) if facts.process is not None else ()),
            *(
                {
                    "command": lease.kind,
                    **_plane_document(lease.plane),
                    "host": lease.holder.host,
                    "process": lease.holder.pid,
                    "address": lease.holder.address or None,
                    "actor": lease.holder.actor or None,
                    "commit": lease.holder.commit or None,
                    "since": _time(lease.since),
                }
                for lease in facts.leases
                if lease.is_held
            ),
        ],
    }


def _plane_document(plane: ControlPlane) -> JsonObject:
    return {"control_plane": plane.public_url, "org_id": plane.org_id}


def _report_copy(
    source: StateLocation, target: StateLocation, rows: Mapping[str, int], output: str, *, words: str, next_step: str
) -> None:
    if output == "json":
        copied = _contents(rows)
        out_json({"format_version": FORMAT_VERSION, "from": str(source), "to": str(target), "copied": copied})
        return
    numbers = {"run": "run", "plane": "control plane", "base": "app"}
    has = ", ".join(counted(rows[name], word) for name, word in numbers.items() if name in rows)
    out_text(f"{words} {visible(str(source))} to {visible(str(target))}: {has}\n")
    if next_step:
        note(f"{next_step}\n")


def _contents(rows: Mapping[str, int]) -> JsonObject:
    return {name: rows[table] for table, name in _CONTENTS.items() if table in rows}


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
