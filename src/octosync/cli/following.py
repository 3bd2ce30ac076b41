"""`--wait`: how it is typed, and how the wait after a run is shown and ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from octosync.apply import Followed, Following
from octosync.cli.options import BareOption, F, option
from octosync.cli.progress import ProgressBar, Waits
from octosync.cli.signals import Stopping
from octosync.manifest import parse_duration
from octosync.model import Standing, State
from octosync.octomil import Octomil
from octosync.report import standing_name, standing_share, standing_words

_DEFAULT: Final = "10m"
_FLAG: Final = "--wait"
_MOST_ROWS: Final = 12  # of a terminal, for what is still waited for


@dataclass(frozen=True, slots=True)
class Timeout:
    """How long to wait at most: as it was written, and in seconds."""

    text: str
    seconds: float

    @property
    def typed(self) -> tuple[str, ...]:
        """As it has to be typed again."""
        return (f"{_FLAG}={self.text}",)


def _timeout(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Timeout | None:
    if value is None:
        return None
    try:
        return Timeout(value, parse_duration(value).total_seconds())
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, parameter) from None


wait_option: Callable[[F], F] = option(
    _FLAG,
    cls=BareOption,
    bare=_DEFAULT,
    metavar="TIMEOUT",
    callback=_timeout,
    help="Wait until the deployments of this run, and declared canaries and deployments in progress, are covered, or have "
    f"failed or timed out (exit 6). TIMEOUT is a duration such as 90s or 1h; the default is {_DEFAULT}; 0 checks once.",
)


class Rows(ProgressBar):
    """A bar for each deployment that is waited for; without a terminal, a line whenever one has moved."""

    def __init__(self, pace: int) -> None:
        super().__init__("waiting", pace)
        self._rows: dict[str, Any] = {}
        self._said: dict[str, str] = {}

    def show(self, standings: Sequence[Standing]) -> None:
        """Show how each stands."""
        pending = [one for one in standings if one.fate is None]
        if self._bar is None:
            self._say(pending)
            return
        self._bar.update(self._task, completed=len(standings) - len(pending), total=len(standings))
        shown = {standing_name(one): one for one in pending[:_MOST_ROWS]}
        for name in self._rows.keys() - shown.keys():
            self._bar.remove_task(self._rows.pop(name))
        for name, one in shown.items():
            done, total = standing_share(one) or (0.0, None)
            if name not in self._rows:
                self._rows[name] = self._bar.add_task(name, total=None, wait=None)
            self._bar.update(
                self._rows[name], description=f"{name}  {standing_words(one)}", completed=int(done), total=total
            )

    def _say(self, pending: Sequence[Standing]) -> None:
        for one in pending:
            name, words = standing_name(one), standing_words(one)
            if self._said.get(name) != words:
                self._said[name] = words
                self._line(f"waiting for {name}: {words}")


async def follow(
    remote: Octomil,
    followed: Sequence[Followed],
    live: State,
    *,
    within: Timeout,
    waits: Waits,
    stopping: Stopping,
    on_look: Callable[[Sequence[Standing]], None],
) -> tuple[Standing, ...]:
    """Wait, and show how each deployment stands; a signal ends the wait at once, since nothing is being written."""
    if not any(one.is_pending for one in followed):
        return tuple(one.standing for one in followed)
    stopping.graceful = False
    with Rows(remote.connection.requests_per_minute) as rows:
        waits.show = rows.waiting

        def looked(standings: Sequence[Standing]) -> None:
            rows.show(standings)
            on_look(standings)

        following = Following(remote, followed, live, on_look=looked)
        try:
            return await following.go(within.seconds)
        except asyncio.CancelledError:
            if stopping.code is None:
                raise
            return following.standings
        finally:
            waits.show = None
            stopping.is_over = True
