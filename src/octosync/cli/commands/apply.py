"""`octosync apply`: its options and help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from octosync.cli.command import REMOTE_CODES, runs
from octosync.cli.options import (
    FORMATS,
    BareOption,
    CommandWithBareOptions,
    F,
    attempted_option,
    lock_timeout_option,
    option,
    output_options,
    run_options,
    state_option,
)
from octosync.errors import ExitCode

_WAIT_DEFAULT: Final = "10m"
_WAIT: Final = "--wait"


@dataclass(frozen=True, slots=True)
class Timeout:
    """The timeout of --wait: as written on the command line, and in seconds."""

    text: str
    seconds: float

    @property
    def typed(self) -> tuple[str, ...]:
        """The flag, for a command line."""
        return (f"{_WAIT}={self.text}",)


def _timeout(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Timeout | None:
    from octosync.manifest import parse_duration

    if value is None:
        return None
    try:
        return Timeout(value, parse_duration(value).total_seconds())
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, parameter) from None


wait_option: Callable[[F], F] = option(
    _WAIT,
    cls=BareOption,
    bare=_WAIT_DEFAULT,
    metavar="TIMEOUT",
    callback=_timeout,
    help="Wait until the deployments of this run, and declared canaries and deployments in progress, are covered, or have "
    f"failed or timed out (exit 6). TIMEOUT is a duration such as 90s or 1h; the default is {_WAIT_DEFAULT}; 0 checks once.",
)


@click.command(
    cls=CommandWithBareOptions,
    codes=(*REMOTE_CODES, ExitCode.STALE, ExitCode.GUARDED, ExitCode.PARTIAL, ExitCode.UNCOVERED),
    example="octosync apply -f apps/ --context production --yes --wait=15m",
)
@click.argument("planfile", required=False, type=click.Path(path_type=Path), metavar="[PLANFILE]")
@run_options(reviews=False)
@attempted_option
@option("-y", "--yes", env=False, is_flag=True, help="Skip the confirmation; required without a terminal.")
@wait_option
@state_option
@lock_timeout_option
@output_options(*FORMATS)
@runs("apply")
def command() -> None:
    """Change the control plane to match the manifests: plan, check guards, confirm, apply.

    With a PLANFILE from `octosync plan --plan-out`, apply only the approved changes, before or after the merge. Set -f, --app,
    --base and similar options as for the plan: apply plans again, and the changes of these apps must be the same.
    """
