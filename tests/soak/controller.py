"""The controller of a soak: a separate process, composed as `octosync watch` is, with an accelerated clock."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.soak.children import open_descriptors, resident_megabytes, write_line
from tests.support.controllers import FastClock

from octosync import __version__
from octosync.cli.inputs_reloader import InputsReloader
from octosync.cli.run_options import ManifestFlags, RemoteFlags
from octosync.cli.session import connect
from octosync.errors import ConfigError
from octosync.manifest import Configuration
from octosync.model import NotifyEvent, Secret
from octosync.octomil import PERCENT_FOR_WRITES, Connection, Octomil, RateOptions
from octosync.plan import ControlPlane, DeployPolicy, GuardPolicy
from octosync.state import Journal, WatchState
from octosync.watch.controller import Controller, ControllerOptions
from octosync.watch.log import Log, libraries_in
from octosync.watch.manifests.desired import DesiredState
from octosync.watch.metrics import CONTENT_TYPE, Metrics
from octosync.watch.notify.endpoints import Endpoint
from octosync.watch.notify.notices import Sender
from octosync.watch.notify.webhook import Notifier
from octosync.watch.settings import Clock, LogFormat, Settings
from octosync.watch.web import WebOptions, bind, create_app, serve


async def watch(options: dict[str, Any]) -> None:
    """Run until SIGTERM. The first line of standard input has the options; times are in seconds."""
    clock, folder = FastClock(options["speed"], options["began"]), Path(options["folder"])
    flags = RemoteFlags(url=options["url"], token_file=folder / "key", rate=options["limit"])
    # Retries wait in real time.
    connection = replace(connect(flags, Configuration(), None, {}), backoff=0.5 / clock.speed)
    reloader = InputsReloader(flags=ManifestFlags(paths=(str(folder / "apps"),)), remote=flags, environment={})
    control_plane = ControlPlane(url=connection.url)
    metrics = Metrics()
    remote = Octomil(
        connection,
        rate=RateOptions(percent_for_writes=PERCENT_FOR_WRITES, clock=clock.monotonic, sleep=clock.sleep),
        on_request=lambda request: metrics.count_request(request.operation, request.code, request.seconds),
    )
    with (
        (folder / "log").open("w", encoding="utf-8") as stream,
        Journal(folder / "state.db") as journal,
        bind("127.0.0.1", 0) as listener,
    ):
        log = Log(stream, clock, format_=LogFormat.JSON)
        notifier = Notifier(
            (Endpoint(url=Secret(options["receiver"]), name="receiver", events=frozenset(NotifyEvent)),),
            Sender(control_plane=control_plane, version=__version__, external_url=None),
            clock=clock,
            log=log,
            record=WatchState(journal).for_control_plane(control_plane),
        )
        controller = Controller(
            ControllerOptions(
                remote=remote,
                desired=DesiredState(reloader, reloader.watched, clock),
                journal=journal,
                control_plane=control_plane,
                settings=Settings(drift_hold=timedelta(seconds=options["hold"])),
                policy=lambda _: GuardPolicy(),
                deploy=DeployPolicy(previews=False),
                read_token=lambda: _token(connect(flags, Configuration(), None, {})),
                log=log,
                notifier=notifier,
                metrics=metrics,
                clock=clock,
                chance=random.Random(3),  # noqa: S311 — jitter
                can_post=True,
            )
        )
        source = WebOptions(
            control=controller.api,
            metrics=metrics.render,
            metrics_type=CONTENT_TYPE,
            admin_token=Secret(options["admin_token"]),
        )
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, controller.stop.set)
        loop.add_signal_handler(signal.SIGHUP, controller.reload)
        with libraries_in(log):
            async with remote, notifier, serve(create_app(source), listener) as served:
                write_line({"url": served.url})
                answers = asyncio.ensure_future(_answer(clock))
                answers.add_done_callback(lambda _: controller.stop.set())
                await controller.run()
                answers.cancel()
                with suppress(asyncio.CancelledError):
                    await answers


def _token(connection: Connection) -> tuple[Secret, str]:
    if connection.token is None:
        raise ConfigError("no-credential", "there is no API key")
    return connection.token, connection.token_source


def _objects() -> Counter[str]:
    """Count the objects of octosync's own classes, by class."""
    gc.collect()
    interval = sys.getswitchinterval()
    # Manifests load in threads: a thread that is building a tuple must not run while another reference to the tuple exists.
    sys.setswitchinterval(60)
    time.sleep(0.01)  # for threads that still wait by the old interval
    try:
        return Counter(
            f"{module}.{type(value).__qualname__}"
            for value in gc.get_objects()
            if (module := str(type(value).__module__)).startswith("octosync.")
        )
    finally:
        sys.setswitchinterval(interval)


async def _answer(clock: Clock) -> None:
    """Write the size of this process for every line of standard input."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        write_line(
            {
                "at": clock.monotonic(),
                "rss": resident_megabytes(),
                "tasks": len(asyncio.all_tasks()),
                "fds": open_descriptors(),
                "objects": _objects(),
            }
        )


if __name__ == "__main__":
    write_line(None)
    asyncio.run(watch(json.loads(sys.stdin.readline())))
