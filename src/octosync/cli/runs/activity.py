"""`octosync activity`, and the parts that all commands share that show a feed of one app."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from octosync.cli.commands.activity import FeedRequest
from octosync.cli.console import err, note, out, out_json, wants_colour
from octosync.cli.progress import ProgressBar, WaitDisplay
from octosync.cli.run_options import RemoteFlags
from octosync.cli.session import check_app_names, open_session, run_with_client
from octosync.cli.signals import StopSignal
from octosync.errors import ExitCode, Interrupted, RemoteError, UsageError
from octosync.octomil import Octomil
from octosync.octomil.activity import Feed, FeedEntry, FeedTail, NewEntries, activity_feed, follow_feed
from octosync.report import visible
from octosync.report.show.activity import ACTIVITY, FeedFormat, Table, feed_document, feed_lines

E = TypeVar("E", bound=FeedEntry)


def show_feed(
    request: FeedRequest,
    remote: RemoteFlags,
    config: Path | None,
    open_feed: Callable[[Octomil, str], Feed[E]],
    shown: FeedFormat[E],
) -> ExitCode:
    """Show the newest entries of the feed that `open_feed` returns, and with --follow the new ones as they arrive.

    Raises `RemoteError` and `UsageError`.
    """
    _check(request)
    session = open_session(remote, config)
    writer = _FeedWriter(request, shown)

    async def show_entries(remote: Octomil, wait_display: WaitDisplay, _: StopSignal) -> None:
        feed = open_feed(remote, request.app)
        with ProgressBar("reading", session.connection.requests_per_minute) as bar:
            wait_display.show = bar.waiting
            newest = await feed.read_newest(request.limit, to_follow=request.follow)
            wait_display.show = None
        writer.write_newest(newest)
        if request.follow:
            async for news in follow_feed(feed, every=request.interval, failed=writer.show_failure):
                writer.write_new(news)

    try:
        run_with_client(session, show_entries)
    except Interrupted as end:
        if not request.follow:
            raise
        return end.exit_code  # the normal end of --follow
    return ExitCode.DONE


def _check(request: FeedRequest) -> None:
    check_app_names([request.app])
    if not request.limit and not request.follow:
        raise UsageError(
            "nothing-to-show",
            "--limit 0 shows nothing",
            hints=("Use --limit 0 with --follow, to show only new entries.",),
        )
    if request.follow and request.output == "json":
        raise UsageError(
            "endless-document",
            "--follow has no end, so it can't write a single JSON document",
            hints=("Use -o jsonl: it writes one line per entry.",),
        )


class _FeedWriter(Generic[E]):
    """Writes entries in the format of the request; notes go to standard error."""

    def __init__(self, request: FeedRequest, shown: FeedFormat[E]) -> None:
        self._request = request
        self._shown = shown
        self._table: Table[E] | None = None

    def write_newest(self, newest: FeedTail[E]) -> None:
        """Write the newest entries."""
        request, entries = self._request, newest.entries
        match request.output:
            case "json":
                out_json(feed_document(self._shown, request.app, entries, complete=newest.complete))
            case "jsonl":
                out(feed_lines(self._shown, entries))
            case _:
                self._begin_table(newest)

    def write_new(self, news: NewEntries[E]) -> None:
        """Write the new entries."""
        if news.gap:
            err("Too many new entries for one request: entries older than these are left out.\n")
        if self._request.output == "jsonl":
            out(feed_lines(self._shown, news.entries))
        elif news.entries:
            self._table = self._table or self._with_head(news.entries)
            out(self._table.rows(news.entries))

    def show_failure(self, error: RemoteError, seconds: float) -> None:
        """Report a failed request, and when the next one is sent."""
        err(f"{visible(error.reference)}: {visible(error.message)}; trying again in {seconds:g} s\n")

    def _begin_table(self, newest: FeedTail[E]) -> None:
        entries, following = newest.entries, self._request.follow
        if not entries:
            if newest.complete and not following:
                out(f"{self._shown.nothing}\n")
            return
        if not newest.complete:
            note(f"Showing the newest {len(entries):,}; use --limit N for older entries\n")
        self._table = self._with_head(entries)
        out(self._table.rows(entries))
        if summary := "" if following else "".join(f"{line}\n" for line in self._shown.summary(entries)):
            out(f"\n{summary}")

    def _with_head(self, entries: tuple[E, ...]) -> Table[E]:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        table = Table(self._shown, entries, colour=wants_colour(sys.stdout, self._request.colour), width=width)
        out(table.head())
        return table


def run(request: FeedRequest, remote: RemoteFlags, config: Path | None) -> ExitCode:
    """Run `octosync activity`."""
    return show_feed(request, remote, config, activity_feed, ACTIVITY)
