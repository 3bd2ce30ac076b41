"""`octosync status`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from octosync.cli.commands.approvals import Approvals
from octosync.cli.commands.coverage import Presentation, check_flags, read_by, show_declared
from octosync.cli.console import err, out, out_json, shows_blocks, wants_colour
from octosync.cli.options import (
    BareOption,
    CommandWithBareOptions,
    bundled,
    colour_option,
    manifest_options,
    option,
    output_option,
    remote_options,
    state_option,
    typed_options,
)
from octosync.cli.redrawing import WATCH_SECONDS, Progress, look_again
from octosync.cli.remote import Session, check_app_names, open_session, query
from octosync.cli.run_options import ManifestFlags, RemoteFlags
from octosync.cli.session import control_plane
from octosync.errors import ExitCode, OctosyncError
from octosync.manifest.schema.validate import closest
from octosync.model import App, AppStatus, JsonObject
from octosync.octomil import Connection, FoundApps, Octomil, find_apps, is_glob, read_statuses
from octosync.report import StatusFacts, json_line, render_status, status_document


@click.command(cls=CommandWithBareOptions, epilog="Example:  octosync status 'search-*' --context production")
@click.argument("apps", nargs=-1, metavar="[APP…]")
@option(
    "--watch",
    cls=BareOption,
    bare=str(WATCH_SECONDS),
    type=click.FloatRange(0.1, 3600),
    metavar="SECONDS",
    help=f"Refresh every SECONDS, {WATCH_SECONDS} by default, until Ctrl-C.",
)
@option("--archived", is_flag=True, help="Include archived apps.")
@state_option
@option("--declared", is_flag=True, help="Show how much of the org the manifests cover instead.")
@option(
    "--by",
    metavar="folder|label:KEY",
    callback=read_by,
    help="With --declared: group the declared apps by the folder of their manifest, or by a label.",
)
@option("--full", is_flag=True, help="With --declared: list every app.")
@manifest_options
@remote_options
@output_option("text", "json", "jsonl")
@colour_option
@bundled("shown", Presentation)
def command(
    *,
    apps: tuple[str, ...],
    watch: float | None,
    archived: bool,
    declared: bool,
    journal: Path,
    manifests: ManifestFlags,
    remote: RemoteFlags,
    shown: Presentation,
) -> ExitCode:
    """Show live state: coverage, deployments and canaries, traffic, the last change, and the model reference of each slot.

    APP is a slug or a pattern with *. The default is all apps that are not archived. An app needs at most 7 requests.

    --declared compares manifests with the list of apps of the org. Select manifests as for plan, with -f and the options after
    it.
    """
    check_app_names(apps)
    check_flags(typed_options(), declared=declared)
    if declared:
        return show_declared(apps, manifests, remote, shown)
    session = open_session(remote, manifests.config)
    approvals = Approvals(journal, session.connection)

    async def look(client: Octomil, progress: Progress | None = None) -> Seen:
        return await look_at(session, client, apps, approvals, archived=archived, progress=progress)

    if watch is not None:
        return look_again(session, look, every=watch, output=shown.output, colour=shown.colour)
    seen = query(session, "reading", lambda client, bar: look(client, foretelling(bar.advance, session.connection)))
    if shown.output == "json":
        out_json(seen.document())
    elif shown.output == "jsonl":
        out(json_line(seen.document()))
    else:
        out(seen.text(colour=wants_colour(sys.stdout, shown.colour), blocks=shows_blocks(sys.stdout)))
    return seen.exit_code


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at the control plane came to."""

    session: Session
    statuses: tuple[AppStatus, ...]
    facts: StatusFacts
    timestamp: datetime

    @property
    def exit_code(self) -> ExitCode:
        """What could not be read makes an error of the whole, though all else is shown."""
        return ExitCode.ERROR if any(status.errors for status in self.statuses) else ExitCode.DONE

    def document(self) -> JsonObject:
        """Return it for tools."""
        sensitivity = self.session.configuration.sensitivity
        return status_document(self.statuses, self.facts, timestamp=self.timestamp, sensitivity=sensitivity)

    def text(self, *, colour: bool, blocks: bool) -> str:
        """Return it for people."""
        return render_status(self.statuses, self.facts, colour=colour, blocks=blocks)


def foretelling(progress: Progress, connection: Connection) -> Progress:
    """Say, before it begins, what will take minutes at the pace in force; pass everything on."""

    def foretold(done: int, expected: int) -> None:
        pace = connection.requests_per_minute
        if not done and pace and expected > pace:
            err(
                f"{expected:,} requests at {pace:,} a minute take about {expected // pace:,} min."
                " Fewer apps take less: octosync status APP\n"
            )
        progress(done, expected)

    return foretold


async def look_at(
    session: Session,
    remote: Octomil,
    patterns: Sequence[str],
    approvals: Approvals,
    *,
    archived: bool,
    progress: Progress | None = None,
) -> Seen:
    """Read the apps that are meant. Raises `OctosyncError` for a pattern that means none."""
    before, now = remote.requests, datetime.now(UTC)
    found = await find_apps(remote, patterns, archived=archived)
    if found.unmatched:
        raise _no_such_app(found)
    statuses = await read_statuses(remote, found, progress=progress)
    plane = control_plane(session.connection, session.context, _org_of(statuses))
    facts = StatusFacts(
        control_plane=plane,
        requests=remote.requests - before,
        awaiting=approvals.of(statuses, plane.org_id, every=not patterns),
    )
    return Seen(session, statuses, facts, now)


def _no_such_app(found: FoundApps) -> OctosyncError:
    """Say which app is not there, and what was probably meant, as far as apps were listed."""
    first, *others = found.unmatched
    what = "matches no app" if is_glob(first) else "is no app of the org"
    more = f", nor {', '.join(others)}" if others else ""
    close = closest(first, found.listed) if found.listed else None
    hints = (f"Did you mean {close}?",) if close else ("`octosync status` without names lists the org's apps.",)
    return OctosyncError("no-such-app", f"{first} {what}{more}", hints=hints)


def _org_of(statuses: Sequence[AppStatus]) -> str | None:
    """Return the org that the answers name."""
    named = (one.app.identity.get("org_id") for one in statuses if isinstance(one.app, App))
    return next((str(org) for org in named if org), None)
