"""`octosync watch`: its options and help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from octosync.cli.command import REMOTE_CODES, Command, runs
from octosync.cli.options import (
    Duration,
    bundle_options,
    deploy_options,
    drift_hold_option,
    guard_options,
    manifest_options,
    option,
    remote_options,
    selection_options,
    state_option,
)
from octosync.cli.run_options import StateFlag
from octosync.watch.settings import LogFormat, WriteMode


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchFlags:
    """The values of the flags, apart from those that name manifests, a control plane or guards."""

    apps: tuple[str, ...]
    selector: str | None
    optimize: str | None
    previews: bool
    retry_rolled_back: bool
    heal: str
    drift_hold: str | None
    interval: str
    resync: str
    load_timeout: str
    listen: str
    advertise: str | None
    external_url: str | None
    allowed_hosts: tuple[str, ...]
    log_format: str
    journal: StateFlag
    state_key_file: Path | None


@click.command(cls=Command, codes=REMOTE_CODES, example="octosync watch -f apps/ --context production")
@manifest_options
@selection_options
@remote_options
@deploy_options
@option(
    "--heal",
    type=click.Choice([heal.value for heal in WriteMode]),
    default=WriteMode.ALL.value,
    show_default=True,
    help="What to write: all applies changes and reverts drift, manifest only applies changes, none writes nothing.",
)
@drift_hold_option
@option(
    "--interval",
    metavar="DURATION",
    type=Duration(),
    default="15s",
    show_default=True,
    help="The time between requests for the activity feed.",
)
@option(
    "--resync",
    metavar="DURATION",
    type=Duration(),
    default="15m",
    show_default=True,
    help="The time between resyncs of all apps, if the rate limit allows it.",
)
@option(
    "--load-timeout",
    metavar="DURATION",
    type=Duration(),
    default="2m",
    show_default=True,
    help="The time limit for loading manifests. After it, the previous manifests stay in use.",
)
@option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:9900",
    show_default=True,
    help="The address of the status page, health probes and metrics; port 0 for any free port.",
)
@option(
    "--advertise",
    metavar="HOST:PORT",
    help="The address at which other replicas reach this one; by default that of --listen, or of this machine.",
)
@option("--external-url", metavar="URL", help="The public URL of the status page, for links in notifications.")
@option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="Accept requests for this host name too, for example that of a Service. Repeatable.",
)
@option(
    "--log-format",
    type=click.Choice([log_format.value for log_format in LogFormat]),
    default=LogFormat.TEXT.value,
    show_default=True,
    help="The format of the log on standard error.",
)
@state_option
@option(
    "--state-key-file",
    type=click.Path(path_type=Path),
    help="The file with the key that seals sensitive values in the state file; or set OCTOSYNC_STATE_KEY.",
)
@guard_options(in_watch=True)
@bundle_options("flags", WatchFlags)
@runs("watch")
def command() -> None:
    """Reconcile continuously until a signal stops the process.

    Applies manifest changes within seconds, reports drift and reverts it after its hold, and serves a status page. Its buttons
    and POST requests need the token in OCTOSYNC_ADMIN_TOKEN. SIGHUP reloads everything. The first SIGTERM or SIGINT finishes
    the writes in progress, the second one exits at once.
    """
