"""A controller in a test: real files, sockets to a real control plane, and a clock that may run faster than real time."""

from __future__ import annotations

import asyncio
import io
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
from tests.support.clients import connection_to
from tests.support.local_app import AppTransport, TransportWrapper, local_plane
from tests.support.local_client import LocalClient
from tests.support.plane import Plane

from octosync.cli.inputs_reloader import InputsReloader
from octosync.cli.run_options import ManifestFlags, RemoteFlags
from octosync.model import NotifyEvent
from octosync.octomil import Octomil, RateOptions
from octosync.plan import ControlPlane, DeployPolicy, GuardPolicy
from octosync.server import ServerSettings, running_server
from octosync.state import Journal, LeaseHolder, LeaseKeeper, StateLocation, WatchState
from octosync.watch.controller import Controller, ControllerOptions
from octosync.watch.log import Log
from octosync.watch.manifests.desired import DesiredState, ManifestLoad
from octosync.watch.notify.notices import Notice
from octosync.watch.notify.webhook import Notifier
from octosync.watch.replica import Replica, ReplicaOptions, Term
from octosync.watch.settings import Clock, LogFormat, OffsetClock, Settings
from octosync.watch.standby import StandbyView
from octosync.watch.status import AppReconcileStatus, ControllerStatus

T = TypeVar("T", bound="RunningController")

PATIENCE = 60.0  # seconds of real time until a wait fails; enough for a busy machine


class FastClock:
    """A clock on which a real second is `speed` seconds. All parts that share it have the same time.

    `began` is the start by the machine's monotonic clock: another process with the same value has the same time.
    """

    def __init__(self, speed: float = 1.0, began: float | None = None) -> None:
        self.speed = speed
        self.began = time.monotonic() if began is None else began
        self._start = datetime(2030, 1, 1, 12, tzinfo=UTC)
        self._skipped = 0.0
        self._asleep: set[asyncio.Event] = set()

    def monotonic(self) -> float:
        """Return the seconds since the start."""
        return (time.monotonic() - self.began) * self.speed + self._skipped

    def now(self) -> datetime:
        """Return the time of day."""
        return self._start + timedelta(seconds=self.monotonic())

    def skip(self, span: timedelta) -> None:
        """Move the time forward at once. Sleeping tasks still sleep for as long as they requested."""
        self._skipped += span.total_seconds()

    async def advance(self, span: timedelta) -> None:
        """Move the time forward at once, for sleeping tasks too: those whose time has passed wake now."""
        for _ in range(20):  # let tasks that are about to sleep do so
            await asyncio.sleep(0)
        self.skip(span)
        for wake_up in self._asleep:
            wake_up.set()

    async def sleep(self, seconds: float) -> None:
        """Sleep for this number of seconds of this clock."""
        until, woken = self.monotonic() + seconds, asyncio.Event()
        self._asleep.add(woken)
        try:
            await asyncio.wait_for(woken.wait(), seconds / self.speed)
            while (left := until - self.monotonic()) > 0:
                woken.clear()
                await asyncio.wait_for(woken.wait(), left / self.speed)
        except TimeoutError:
            pass
        finally:
            self._asleep.discard(woken)


def plane_at(clock: FastClock, **settings: Any) -> AbstractContextManager[Plane]:
    """Run a control plane that uses this clock, without a server: the controllers of `run_controller` call it."""
    return local_plane(ServerSettings(clock=clock.now, **settings))


@contextmanager
def served_plane_at(clock: FastClock, **settings: Any) -> Iterator[Plane]:
    """Run a server with a control plane that uses this clock."""
    with (
        running_server(ServerSettings(clock=clock.now, **settings)) as plane,
        LocalClient(plane.url, timeout=30) as http,
    ):
        yield Plane(plane.url, http)


@dataclass
class NoticeRecorder:
    """A notifier that keeps every notice it gets at each reconcile, also those that were sent before."""

    notices: list[Notice] = field(default_factory=list)

    def notify(self, notice: Notice) -> None:
        """Record a notice."""
        self.notices.append(notice)

    def notify_all(self, facts: Mapping[str, tuple[Notice, ...]], happened: Iterable[Notice]) -> None:
        """Record the notices of events, and those of the apps' current state."""
        self.notices += (*happened, *(notice for notices in facts.values() for notice in notices))

    def resolve(self, matter: str) -> None:
        """Ignore the end of a subject."""

    def of_event(self, event: NotifyEvent) -> list[Notice]:
        """Return the notices of an event, oldest first."""
        return [notice for notice in self.notices if notice.event is event]


@dataclass
class RunningController:
    """A controller that runs, with its control plane, manifests, clock, log, notices and journal."""

    controller: Controller
    plane: Plane
    apps: Path
    clock: FastClock
    remote: Octomil
    log: io.StringIO
    recorder: NoticeRecorder
    journal: Journal
    task: asyncio.Task[None]

    @property
    def status(self) -> ControllerStatus:
        """The current status."""
        return self.controller.api.status()

    def app(self, slug: str = "demo") -> AppReconcileStatus:
        """Return the current status of an app; of an unknown app, an empty one."""
        return self.status.apps.get(slug) or AppReconcileStatus(slug=slug)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of an event."""
        lines = (json.loads(line) for line in self.log.getvalue().splitlines())
        return [line for line in lines if line["event"] == event]

    async def until(self, condition: Callable[[], Any], *, patience: float = PATIENCE) -> None:
        """Wait until a condition holds; fail if it does not hold in time or if the controller ends."""
        try:
            async with asyncio.timeout(patience):
                pause = 0.005
                while not condition():
                    self._check_that_it_runs()
                    await asyncio.sleep(pause)
                    pause = min(1.1 * pause, 0.03)  # many conditions send requests
        except TimeoutError:
            states = {slug: app.state.value for slug, app in self.status.apps.items()}
            raise AssertionError(f"the condition never held: {states}\n{self.log.getvalue()[-5000:]}") from None

    async def wait(self, span: timedelta) -> None:
        """Let this much of the clock's time pass, in short steps with time for their effects; fail if the controller ends."""
        until = self.clock.now() + span
        while self.clock.now() < until:
            await self.clock.advance(timedelta(seconds=5))
            await asyncio.sleep(0.001)
            self._check_that_it_runs()

    def _check_that_it_runs(self) -> None:
        if self.task.done():
            self.task.result()
            raise AssertionError("the controller has ended")

    @property
    def is_in_sync(self) -> bool:
        """Whether everything was read and every app is in sync."""
        return self.status.ready and all(app.state.value == "in_sync" for app in self.status.apps.values())

    async def until_in_sync(self, *, patience: float = PATIENCE) -> None:
        """Wait until everything was read and every app is in sync."""
        await self.until(lambda: self.is_in_sync, patience=patience)

    def approve(self, guard: str, *apps: str) -> int:
        """Approve everything that a guard blocks now, of these apps or of all; return the number of actions."""
        blocked_sets = [
            blocked
            for blocked in self.status.blocked
            if blocked.guard == guard and (not apps or {*apps} & {*blocked.apps})
        ]
        return sum(self.controller.api.approve(guard, blocked.seen, apps) for blocked in blocked_sets)

    def requests(self) -> list[str]:
        """Return `METHOD path` of every request that the control plane received since the last call."""
        return self.plane.log()


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The options of a controller that differ from the defaults."""

    connection: Mapping[str, Any] = field(default_factory=dict)
    policy: GuardPolicy | None = None
    deploy: DeployPolicy | None = None
    read_token: Any = None
    paths: tuple[str, ...] | None = None
    config: Path | None = None
    kustomize: str | None = None
    through_context: bool = False
    transport: TransportWrapper | None = None
    notifier: Notifier | None = None
    state: StateLocation | None = None

    def flags(self, apps: Path) -> ManifestFlags:
        """Return the flags for the manifests."""
        paths = self.paths if self.paths is not None else () if self.kustomize else (str(apps),)
        return ManifestFlags(paths=paths, kustomize=self.kustomize, config=self.config, allow_empty=True)


@dataclass
class RunningReplica(RunningController):
    """A replica that runs, in place of a controller."""

    controller: Replica  # type: ignore[assignment]  # it has the same operations


_SETUP = frozenset(option.name for option in fields(Setup))


@asynccontextmanager
async def run_controller(
    folder: Path, plane: Plane, clock: FastClock, **arguments: Any
) -> AsyncIterator[RunningController]:
    """Run a controller over `folder/apps`, by default with its state in `folder/state.db`, until the block ends.

    The arguments are the fields of `Setup`; all others are settings of the controller.
    """
    parts = _Parts(folder, plane, clock, arguments)
    with Journal(parts.setup.state or folder / "state.db") as journal:
        controller = Controller(parts.options(Term(journal=journal, clock=clock)))
        async with parts.run(controller, journal, RunningController) as running:
            yield running


@asynccontextmanager
async def run_replica(
    folder: Path, plane: Plane, clock: FastClock, location: StateLocation, *, ttl: float = 0.5, **arguments: Any
) -> AsyncIterator[RunningReplica]:
    """Run a replica with a shared state until the block ends. Its lease lasts for `ttl` real seconds.

    `longest_request` are the seconds that a request can take, `leases` is the location of the leases, `seal_key` the key of
    sensitive values, and `skew` is by how much the clock of its machine is ahead. The other arguments are those of
    `run_controller`.
    """
    longest_request = arguments.pop("longest_request", 0.0)
    leases: StateLocation = arguments.pop("leases", location)
    skew: timedelta = arguments.pop("skew", timedelta())
    open_journal = partial(Journal, location, seal_key=arguments.pop("seal_key", None))
    parts = _Parts(folder, plane, clock, arguments)
    control_plane = ControlPlane(url=parts.remote.connection.url)

    def check_state() -> None:
        with open_journal() as journal:
            WatchState(journal).has_key(control_plane)

    @asynccontextmanager
    async def start(term: Term) -> AsyncIterator[Controller]:
        WatchState(term.journal).take_key(control_plane)
        yield Controller(parts.options(term))

    log, machine_clock = Log(parts.log, clock, format_=LogFormat.JSON), OffsetClock(clock, skew)
    replica = Replica(
        ReplicaOptions(
            keeper=LeaseKeeper(lambda: Journal(leases), ttl=ttl, now=lambda: datetime.now(UTC) + skew),
            control_plane=control_plane,
            holder=LeaseHolder(host=folder.name, pid=1, address="127.0.0.1:1"),
            open_journal=open_journal,
            check_state=check_state,
            start=start,
            remote=parts.remote,
            longest_request=longest_request,
            log=log,
            clock=machine_clock,
            standby=StandbyView(
                desired=parts.desired(machine_clock),
                settings=Settings(**parts.settings),
                control_plane=control_plane,
                open_journal=open_journal,
                clock=machine_clock,
                log=log,
            ),
        )
    )
    with Journal(arguments.get("state") or location) as journal:
        async with parts.run(replica, journal, RunningReplica) as running:
            yield running


class _Parts:
    """What a controller is made of."""

    def __init__(self, folder: Path, plane: Plane, clock: FastClock, arguments: Mapping[str, Any]) -> None:
        setup = Setup(**{name: value for name, value in arguments.items() if name in _SETUP and value is not None})
        self.setup = setup
        self.settings = {name: value for name, value in arguments.items() if name not in _SETUP}
        self.plane, self.clock = plane, clock
        self.apps = folder / "apps"
        self.apps.mkdir(exist_ok=True, parents=True)
        self.log, self.recorder = io.StringIO(), NoticeRecorder()
        remote_flags = RemoteFlags(url=None if setup.through_context else plane.url)
        self.reloader = InputsReloader(flags=setup.flags(self.apps), remote=remote_flags)
        at = connection_to(plane.url, **{"requests_per_minute": 0, **setup.connection})
        transport: httpx.AsyncBaseTransport | None = AppTransport(plane.application) if plane.application else None
        if setup.transport is not None:
            setup.transport.inner, transport = transport or httpx.AsyncHTTPTransport(), setup.transport
        self.remote = Octomil(at, rate=RateOptions(clock=clock.monotonic, sleep=clock.sleep), transport=transport)

    def desired(self, clock: Clock) -> DesiredState:
        """Return what loads the manifests."""
        apps, selector = self.settings.get("apps", ()), self.settings.get("selector")
        return DesiredState(self.reloader, self.reloader.watched, clock, apps=apps, selector=selector)

    def options(self, term: Term) -> ControllerOptions:
        """Return the options of the controller of a term."""
        setup, settings = self.setup, self.settings
        return ControllerOptions(
            remote=self.remote,
            desired=self.desired(term.clock),
            journal=term.journal,
            control_plane=ControlPlane(url=self.remote.connection.url),
            settings=Settings(**settings),
            policy=lambda declared: setup.policy or _policy(declared),
            deploy=setup.deploy or DeployPolicy(previews=False),
            read_token=setup.read_token,
            log=Log(self.log, self.clock, format_=LogFormat.JSON),
            notifier=setup.notifier or self.recorder,
            clock=term.clock,
            chance=random.Random(7),  # noqa: S311 — jitter
            can_post=True,
            settled_at=term.settled_at,
        )

    @asynccontextmanager
    async def run(self, runner: Any, journal: Journal, kind: type[T]) -> AsyncIterator[T]:
        """Run a controller or a replica until the block ends."""
        async with self.remote:
            task = asyncio.ensure_future(runner.run())
            try:
                apps, log, recorder = self.apps, self.log, self.recorder
                yield kind(runner, self.plane, apps, self.clock, self.remote, log, recorder, journal, task)
            finally:
                runner.stop.set()
                await asyncio.wait_for(task, PATIENCE)


def _policy(declared: ManifestLoad) -> GuardPolicy:
    return GuardPolicy(limits=declared.configuration.guards.limits)


def manifest(
    slug: str = "demo",
    *,
    targets: tuple[str, ...] = (),
    slots: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    **spec: Any,
) -> str:
    """Return an app's manifest, with iOS targets by identifier and slots with their serving policies."""
    document = {
        "apiVersion": "octosync.dev/v1",
        "kind": "App",
        "metadata": {"name": slug, **({"annotations": annotations} if annotations else {})},
        "spec": {
            "name": slug.title(),
            "targets": [{"platform": "ios", "identifier": identifier} for identifier in targets],
            "slots": [{"capability": name, "servingPolicy": policy} for name, policy in (slots or {}).items()],
            **spec,
        },
    }
    return json.dumps(document)
