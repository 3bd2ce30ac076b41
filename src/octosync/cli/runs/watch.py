"""`octosync watch`: run the controller and its HTTP server."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from octosync import __version__
from octosync.cli import signals
from octosync.cli.audit import audit_of, input_flags
from octosync.cli.commands.watch import WatchFlags
from octosync.cli.console import err, is_debug, is_quiet, wants_colour
from octosync.cli.contexts import state_key
from octosync.cli.debug import request_words, settings, state_words
from octosync.cli.inputs import LoadedInputs, load_inputs, load_settings
from octosync.cli.inputs_reloader import InputsReloader
from octosync.cli.root import is_defect
from octosync.cli.run_options import ManifestFlags, RemoteFlags, StateFlag
from octosync.cli.session import connect, control_plane
from octosync.cli.state_location import ChosenState, choose_state
from octosync.errors import ConfigError, ExitCode, InternalError, OctosyncError, UsageError
from octosync.manifest import Cache, parse_duration
from octosync.manifest.config.config import FILE_NAME
from octosync.manifest.git.repository import is_tracked
from octosync.manifest.load.limits import LOAD_TIMEOUT, load_deadline
from octosync.manifest.load.selection import matching
from octosync.model import Optimize, Secret, State
from octosync.octomil import PERCENT_FOR_WRITES, Connection, Octomil, RateOptions
from octosync.plan import (
    Allowance,
    ControlPlane,
    DeployPolicy,
    GitRevision,
    GuardPolicy,
    Invocation,
    ManifestSet,
    RunInfo,
)
from octosync.report import render_diagnostics
from octosync.state import (
    DamagedFile,
    Journal,
    LeaseHolder,
    LeaseKeeper,
    StateLocation,
    WatchState,
    check_driver,
    open_or_replace_journal,
    state_lock,
)
from octosync.watch.approvals import HOST, TOKEN_VARIABLE
from octosync.watch.controller import Controller, ControllerOptions
from octosync.watch.log import Log, about, libraries_in
from octosync.watch.manifests.desired import DesiredState, ManifestLoad, problems_of
from octosync.watch.metrics import CONTENT_TYPE, Metrics
from octosync.watch.notify.endpoints import Endpoint, endpoints
from octosync.watch.notify.notices import Sender
from octosync.watch.notify.webhook import Notifier
from octosync.watch.replica import Replica, ReplicaOptions, Term
from octosync.watch.settings import Clock, LogFormat, Settings, SystemClock, WriteMode
from octosync.watch.standby import StandbyView
from octosync.watch.status import Clone, clone_of
from octosync.watch.web import WebOptions, bind, create_app, parse_listen, serve
from octosync.watch.web.post_endpoints import admin_token
from octosync.watch.web.server import advertised_address, parse_advertised

# Seconds. A control plane that hangs is detected after two of them and an interval.
_READ_TIMEOUT: Final = 15.0
# Seconds in addition to the timeouts, after which no request of a former leader is under way: one that has lost the lease because
# the clock of the database has jumped may send for as long as its lease would have lasted.
_LATE_WRITES: Final = 15.0

_Runner: TypeAlias = Controller | Replica


def run(manifests: ManifestFlags, remote: RemoteFlags, guards: Mapping[str, Allowance], flags: WatchFlags) -> ExitCode:
    """Run `octosync watch`."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # before there is anything to reload, SIGHUP must not end the process
    options = _WatchOptions.from_flags(manifests, remote, guards, flags)
    if options.log_format is LogFormat.TEXT:
        return _watch(options)
    try:
        return _watch(options)
    except Exception as caught:  # noqa: BLE001 — a JSON log contains this error, too
        error = caught if isinstance(caught, OctosyncError) else InternalError(caught)
        options.log(SystemClock()).bind(**(about(caught) if is_defect(caught) else {})).error(
            "ended", message=error.message, reference=error.reference, hints=list(error.hints)
        )
        return error.exit_code


def _watch(options: _WatchOptions) -> ExitCode:
    reloader = InputsReloader(flags=options.manifests, remote=options.remote)
    # A malformed selector is an error at the start; one that matches nothing yet may match later.
    matching(State(), selector=options.settings.selector)
    host, port = parse_listen(options.listen)
    cache = Cache()  # what the first load has parsed is not parsed again when the controller loads
    first = _first_load(options, cache)
    if not first.configuration_is_usable:
        _report(options, first)
        return ExitCode.ERROR
    if first.fails:  # the controller starts anyway: it reports the errors, and loads corrected manifests
        _report(options, first)
    state = choose_state(options.state, first.configuration, first.context, options.manifests.config)
    token = admin_token(os.environ.get(TOKEN_VARIABLE))
    key = state_key(os.environ, options.state_key_file)
    with _opened(state.location, key) as (journal, damaged), bind(host, port) as listener:
        process = _WatchProcess(
            options=options,
            first=first,
            reloader=reloader,
            cache=cache,
            state=state,
            seal_key=key,
            journal=journal,
            state_damaged="" if damaged is None else _damage(damaged),
            listener=listener,
            admin_token=token,
        )
        return signals.run(process.run)


@contextmanager
def _opened(location: StateLocation, key: Secret | None) -> Iterator[tuple[Journal | None, DamagedFile | None]]:
    """Open a state file, and lock it. A shared state is opened when this process leads: it may be unreachable now."""
    if not isinstance(location, Path):
        check_driver(location)
        yield None, None
        return
    _refuse_tracked(location)
    journal, damaged = open_or_replace_journal(location, SystemClock().now(), seal_key=key)
    with journal, state_lock(location):
        yield journal, damaged


def _refuse_tracked(state: Path) -> None:
    """Raise `ConfigError` for a state file in Git: its author could set the baseline."""
    if state.exists() and is_tracked(state):
        raise ConfigError(
            "state-is-tracked",
            f"{state} is tracked by Git, and a committed state file can't be trusted",
            hints=(
                f"Remove it from the repository:  git rm --cached {shlex.quote(str(state))}",
                "Or use a state file outside the repository: --state FILE",
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _WatchOptions:
    """The values of the options, grouped by subject."""

    manifests: ManifestFlags
    remote: RemoteFlags
    guards: Mapping[str, Allowance]
    settings: Settings
    deploy: DeployPolicy
    state: StateFlag
    state_key_file: Path | None
    listen: str
    advertise: str | None
    log_format: LogFormat
    external_url: str | None
    allowed_hosts: tuple[str, ...]
    load_timeout: timedelta

    @classmethod
    def from_flags(
        cls, manifests: ManifestFlags, remote: RemoteFlags, guards: Mapping[str, Allowance], flags: WatchFlags
    ) -> _WatchOptions:
        """Return the options from the values of the flags. Raise `UsageError` for durations that are too short."""
        write_mode = WriteMode(flags.heal)
        return cls(
            manifests=manifests,
            remote=remote,
            guards=guards,
            settings=Settings(
                interval=_at_least_a_second("--interval", flags.interval),
                resync=_at_least_a_second("--resync", flags.resync),
                write_mode=write_mode,
                drift_hold=None if flags.drift_hold is None else parse_duration(flags.drift_hold),
                apps=flags.apps,
                selector=flags.selector,
            ),
            deploy=DeployPolicy(
                optimize=Optimize(flags.optimize or Optimize.AUTO),
                # Previews are for review, so only if watch writes nothing.
                previews=write_mode is WriteMode.NONE and flags.previews,
                retry_rolled_back=flags.retry_rolled_back,
            ),
            state=flags.journal,
            state_key_file=flags.state_key_file,
            listen=flags.listen,
            advertise=None if flags.advertise is None else parse_advertised(flags.advertise),
            log_format=LogFormat(flags.log_format),
            external_url=flags.external_url,
            allowed_hosts=tuple(_allowed_hosts(flags.allowed_hosts, flags.external_url)),
            load_timeout=_at_least_a_second("--load-timeout", flags.load_timeout),
        )

    @property
    def loosening_flags(self) -> tuple[str, ...]:
        """The flags that loosen something beside the guards."""
        hold = self.settings.drift_hold
        return (
            *input_flags(self.manifests, self.remote),
            *((f"--drift-hold {hold.total_seconds():.0f}s",) if hold is not None else ()),
            *(("--retry-rolled-back",) if self.deploy.retry_rolled_back else ()),
        )

    def log(self, clock: Clock) -> Log:
        """Return a log that writes to standard error."""
        return Log(sys.stderr, clock, format_=self.log_format, is_quiet=is_quiet())

    @property
    def invocation(self) -> Invocation:
        """The equivalent invocation of plan and apply."""
        return Invocation(
            paths=self.manifests.paths,
            kustomize=self.manifests.kustomize,
            apps=self.settings.apps,
            selector=self.settings.selector,
        )

    def invocation_in(self, clone: Clone) -> Invocation:
        """Return the equivalent invocation in a clone of the repository, without the paths that are only on this machine."""
        invocation, kustomize = self.invocation, self.invocation.kustomize
        return replace(
            invocation,
            paths=tuple(clone.path(path) for path in invocation.paths if clone.has(path)),
            kustomize=None if kustomize is None else clone.path(kustomize),
        )

    def typed_in(self, clone: Clone) -> tuple[str, ...]:
        """Return the flags that select the same control plane in a clone, without the API key."""
        config = None if self.manifests.config is None else str(self.manifests.config)
        in_clone = clone.path(config) if config is not None and clone.has(config) else None
        config_path = None if in_clone in {None, FILE_NAME} else Path(str(in_clone))
        return replace(self.remote, token_file=None).connection_arguments(config_path)

    def apply_again(self, clone: Clone) -> tuple[str, ...]:
        """Return the words of the equivalent apply command, in a clone."""
        remote_bases = ("--allow-remote-bases",) if self.manifests.allow_remote_bases else ()
        # A file is only on this machine.
        shared = self.state.arguments_elsewhere
        typed = self.typed_in(clone)
        return ("octosync", "apply", *self.invocation_in(clone).arguments(), *remote_bases, *typed, *shared)


@dataclass(frozen=True, slots=True, kw_only=True)
class _WatchProcess:
    """One controller with its HTTP server."""

    options: _WatchOptions
    first: LoadedInputs
    reloader: InputsReloader
    cache: Cache
    state: ChosenState
    seal_key: Secret | None
    journal: Journal | None
    state_damaged: str
    listener: socket.socket
    admin_token: Secret | None

    @property
    def address(self) -> str:
        """The address at which other replicas reach this one."""
        return self.options.advertise or advertised_address(self.listener)

    async def run(self, stop_signal: signals.StopSignal) -> ExitCode:
        """Run until a signal stops the process."""
        options, first = self.options, self.first
        clock = SystemClock()
        log = options.log(clock)
        if self.state_damaged:
            log.error("state_damaged", message=self.state_damaged, reference="journal-unusable")
        connection = self._connect()
        # Now, not when this replica leads: a replica that can't do that must not be a standby.
        receivers = endpoints(first.configuration.notify, os.environ, insecure=options.remote.insecure)
        metrics = Metrics()
        remote = Octomil(
            connection,
            first.configuration.contract,
            sensitivity=first.configuration.sensitivity,
            on_request=lambda request: metrics.count_request(request.operation, request.code, request.seconds),
            rate=RateOptions(percent_for_writes=PERCENT_FOR_WRITES),
        )
        if is_debug():
            self._log_debug_output(remote, log)
        stop_signal.graceful = True
        with libraries_in(log):
            async with remote, self._runner(remote, receivers, metrics, clock, log) as runner:
                source = WebOptions(
                    control=runner.api,
                    metrics=metrics.render,
                    metrics_type=CONTENT_TYPE,
                    admin_token=self.admin_token,
                    hosts=options.allowed_hosts,
                    log=log,
                    refresh=runner.refresh if isinstance(runner, Replica) else None,
                )
                async with (
                    _handling_signals(stop_signal, runner, log),
                    serve(create_app(source), self.listener) as served,
                ):
                    log.info(
                        "started",
                        message=f"watching {connection.host}: {served.url}",
                        url=served.url,
                        version=__version__,
                    )
                    await runner.run()
        log.info("stopped", message="octosync watch has stopped")
        return ExitCode.DONE

    @asynccontextmanager
    async def _runner(
        self, remote: Octomil, receivers: Sequence[Endpoint], metrics: Metrics, clock: Clock, log: Log
    ) -> AsyncIterator[_Runner]:
        """Yield the controller, or a replica that runs one while it leads."""
        start = partial(self._controller, remote=remote, receivers=receivers, metrics=metrics, log=log)
        if self.journal is not None:
            async with start(Term(journal=self.journal, clock=clock)) as controller:
                yield controller
            return
        location, connection = self.state.location, remote.connection
        plane = control_plane(connection, self.first.context, None)
        open_journal = partial(Journal, location, seal_key=self.seal_key)

        def check_state() -> None:
            with open_journal() as journal:
                WatchState(journal).has_key(plane)

        yield Replica(
            ReplicaOptions(
                keeper=LeaseKeeper(partial(Journal, location)),
                control_plane=plane,
                holder=LeaseHolder.this_process(address=self.address, actor="controller"),
                open_journal=open_journal,
                check_state=check_state,
                start=start,
                standby=StandbyView(
                    desired=self._desired(clock, Cache()),
                    settings=self.options.settings,
                    control_plane=plane,
                    open_journal=open_journal,
                    clock=clock,
                    log=log,
                ),
                remote=remote,
                longest_request=connection.connect_timeout + connection.response_timeout + _LATE_WRITES,
                log=log,
                metrics=metrics,
                clock=clock,
            )
        )

    @asynccontextmanager
    async def _controller(
        self, term: Term, remote: Octomil, receivers: Sequence[Endpoint], metrics: Metrics, log: Log
    ) -> AsyncIterator[Controller]:
        """Yield the controller of a term, while its notifier runs."""
        state = WatchState(term.journal)
        plane = control_plane(remote.connection, self.first.context, None)
        if state.take_key(plane):
            log.warning(
                "state_key_changed",
                message=f"the values that {self.state.location} has sealed with another key are discarded: apps with "
                "sensitive values are reconciled anew, and until then no object counts as removed",
                file=str(self.state.location),
            )
        sender = Sender(control_plane=plane, version=__version__, external_url=self.options.external_url)
        record = state.for_control_plane(plane)
        async with Notifier(receivers, sender, clock=term.clock, log=log, record=record) as notifier:
            options = self._controller_options(remote, plane, term, log)
            yield Controller(replace(options, notifier=notifier, metrics=metrics))

    def _log_debug_output(self, remote: Octomil, log: Log) -> None:
        """Log the settings now, and each request when it was sent."""
        for line in (
            *settings(self.first.configuration, self.first.context, remote.connection),
            state_words(self.state),
        ):
            log.info("setting", message=line)
        remote.trace_requests(lambda request: log.info("request", message=request_words(request)))

    def _controller_options(self, remote: Octomil, plane: ControlPlane, term: Term, log: Log) -> ControllerOptions:
        options, connection = self.options, remote.connection
        return ControllerOptions(
            remote=remote,
            desired=self._desired(term.clock, self.cache),
            journal=term.journal,
            control_plane=plane,
            settings=options.settings,
            policy=lambda loaded: GuardPolicy(limits=loaded.configuration.guards.limits, allowed=options.guards),
            deploy=options.deploy,
            read_token=self._read_token if connection.token is not None else None,
            apply_again=shlex.join(options.apply_again(self._clone())),
            about=partial(self._about, connection),
            log=log,
            clock=term.clock,
            settled_at=term.settled_at,
            can_post=self.admin_token is not None,
            state_damaged=self.state_damaged,
            audit=audit_of(
                "watch",
                actor="controller",
                flags=options.loosening_flags,
                keys=() if connection.token is None else (connection.token,),
            ),
        )

    def _desired(self, clock: Clock, cache: Cache) -> DesiredState:
        return DesiredState(
            self.reloader,
            self.reloader.watched,
            clock,
            apps=self.options.settings.apps,
            selector=self.options.settings.selector,
            load_timeout=self.options.load_timeout,
            cache=cache,
            context=self.first.context,
        )

    def _clone(self) -> Clone:
        watched = self.reloader.watched
        return clone_of((*watched.paths, *watched.kustomizations, *watched.configuration))

    def _connect(self) -> Connection:
        connection = connect(self.options.remote, self.first.configuration, self.first.context, os.environ)
        return replace(connection, read_timeout=_READ_TIMEOUT)

    def _about(self, connection: Connection, declared: ManifestLoad) -> RunInfo:
        """Return the run info for the plans of a load of the manifests."""
        options, manifests = self.options, declared.manifests
        return RunInfo(
            octosync_version=__version__,
            timestamp=declared.loaded_at or datetime.now(UTC),
            control_plane=control_plane(connection, declared.context, None),
            invocation=options.invocation_in(declared.clone),
            manifests=ManifestSet(
                files=manifests.files,
                apps=len(manifests.state.apps),
                git=GitRevision(revision=declared.revision, dirty=False) if declared.revision else None,
                compute_digest=lambda: manifests.digest,
            ),
            requests_per_minute=connection.requests_per_minute,
            typed=options.apply_again(declared.clone),
            connection_arguments=options.typed_in(declared.clone),
        )

    def _read_token(self) -> tuple[Secret, str]:
        """Return the current API key and its source. Raise `ConfigError` if it can't be read or is missing."""
        connection = self._connect()
        if connection.token is None:
            raise ConfigError("no-credential", f"no API key is set for {connection.url}")
        return connection.token, connection.token_source


def _damage(damaged: DamagedFile) -> str:
    return (
        f"{damaged.why}. It is kept as {damaged.path}. Holds, approvals, a suspension of everything and all baselines are lost: "
        "no object counts as removed from the manifests"
    )


@asynccontextmanager
async def _handling_signals(stop_signal: signals.StopSignal, runner: _Runner, log: Log) -> AsyncIterator[None]:
    """Stop at the first SIGTERM or SIGINT, and reload at SIGHUP, until the block ends."""

    async def stop() -> None:
        await stop_signal.requested.wait()
        log.info("stopping", message="finishing the writes in progress; a second signal exits at once")
        runner.stop.set()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, runner.reload)
    task = asyncio.ensure_future(stop())
    try:
        yield
    finally:
        task.cancel()
        loop.remove_signal_handler(signal.SIGHUP)


def _first_load(options: _WatchOptions, cache: Cache) -> LoadedInputs:
    """Load all inputs, so that errors are reported at the start; after the time limit, load only octosync.yaml."""
    try:
        with load_deadline(options.load_timeout):
            return load_inputs(options.manifests, options.remote, cache=cache)
    except OctosyncError as error:
        if error.reference != LOAD_TIMEOUT:
            raise
        timeout = error
    log = options.log(SystemClock())
    log.error("invalid", message=timeout.message, reference=timeout.reference, hints=list(timeout.hints))
    return load_settings(options.manifests, options.remote)


def _report(options: _WatchOptions, inputs: LoadedInputs) -> None:
    """Report the errors in octosync.yaml and the manifests."""
    if options.log_format is LogFormat.JSON:
        errors = problems_of(inputs.diagnostics)
        options.log(SystemClock()).error("invalid", message="octosync.yaml or the manifests have errors", errors=errors)
        return
    colour = wants_colour(sys.stderr, "auto")
    err(render_diagnostics(inputs.diagnostics, files=inputs.manifests.files, colour=colour))


def _allowed_hosts(names: Sequence[str], external_url: str | None) -> Iterator[str]:
    """Yield the accepted host names. Raise `UsageError` for an invalid one."""
    for name in names:
        if HOST.fullmatch(name) is None or HOST.fullmatch(f"{name}:1") is None:
            raise UsageError(
                "host-malformed",
                f"--allowed-host: {name!r} is not a host name",
                hints=("Omit the scheme, port and path, for example octosync.example.com",),
            )
        yield name
    if external_url is not None:
        try:
            parts = urlsplit(external_url)
            host = parts.hostname if parts.scheme in {"http", "https"} else None
        except ValueError:
            host = None
        if host is None:
            raise UsageError(
                "external-url-malformed",
                f"--external-url: {external_url!r} is not the URL of a web page",
                hints=("For example https://octosync.example.com",),
            )
        yield host


def _at_least_a_second(flag: str, text: str) -> timedelta:
    span = parse_duration(text)
    if span < timedelta(seconds=1):
        raise UsageError("too-short", f"{flag} {text} is shorter than a second", hints=("For example 15s.",))
    return span
