"""Apps of a controller in a test, one manifest file each, and a control plane that teammates change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.support.clients import KEY
from tests.support.controllers import FastClock, RunningController, manifest, plane_at
from tests.support.plane import Plane

from octosync.server import Token

TICK = "GET /api/v1/activity"
NEVER = timedelta(days=300)
CLOUD = {"serving_policy": "cloud_only", "bindings": []}


def declare(folder: Path, *slugs: str, chat: str = "local_first", **spec: Any) -> None:
    """Declare apps with a slot and a target, one file each."""
    (folder / "apps").mkdir(exist_ok=True)
    for slug in slugs:
        text = manifest(slug, **{"targets": (f"com.{slug}",), "slots": {"chat": chat}, **spec})
        (folder / "apps" / f"{slug}.json").write_text(text)


def create_live(plane: Plane, *slugs: str) -> None:
    """Create live apps as `declare` declares them."""
    for slug in slugs:
        plane.app(slug, "chat", target=f"com.{slug}")


def app_slugs(count: int) -> tuple[str, ...]:
    """Return this number of slugs, sorted."""
    return tuple(f"app-{number:02}" for number in range(count))


@contextmanager
def plane_of_ana(clock: FastClock, **settings: Any) -> Iterator[Plane]:
    """Run a control plane with keys for the controller and for Ana. The test's own requests use Ana's."""
    tokens = (Token("octosync", KEY), Token("ana", "anas-key"))
    with plane_at(clock, tokens=tokens, **settings) as plane:
        plane.http.headers["Authorization"] = "Bearer anas-key"
        yield plane


def requests_of(plane: Plane, name: str) -> list[str]:
    """Return `METHOD path` of the requests of a key since the log was last cleared; don't clear it."""
    entries = plane.http.get("/_local/requests-log").json()["requests"]
    return [f"{entry['method']} {entry['path'].partition('?')[0]}" for entry in entries if entry["key"] == name]


async def wait_for_ticks(watch: RunningController, count: int) -> list[str]:
    """Wait for this number of reads of the activity feed, and return all requests until then."""
    requests: list[str] = []

    def ticked() -> bool:
        requests.extend(watch.requests())
        return requests.count(TICK) >= count

    await watch.until(ticked)
    return requests


async def wait_for_resync(watch: RunningController) -> None:
    """Wait for the end of the next resync."""
    before = watch.status.full_read_at
    await watch.until(lambda: watch.status.full_read_at != before)
