"""Apps that a controller watches in a test, a file each, and people who change them by hand."""

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
    """Declare apps, a file each: a slot and a target."""
    (folder / "apps").mkdir(exist_ok=True)
    for slug in slugs:
        text = manifest(slug, **{"targets": (f"com.{slug}",), "slots": {"chat": chat}, **spec})
        (folder / "apps" / f"{slug}.json").write_text(text)


def create_live(plane: Plane, *slugs: str) -> None:
    """Have apps live as `declare` declares them."""
    for slug in slugs:
        plane.app(slug, "chat", target=f"com.{slug}")


def app_slugs(count: int) -> tuple[str, ...]:
    """Name so many apps, in their order."""
    return tuple(f"app-{number:02}" for number in range(count))


@contextmanager
def plane_of_ana(clock: FastClock, **settings: Any) -> Iterator[Plane]:
    """Run a control plane that knows the controller and Ana apart. What is sent is Ana's."""
    tokens = (Token("octosync", KEY), Token("ana", "anas-key"))
    with plane_at(clock, tokens=tokens, **settings) as plane:
        plane.http.headers["Authorization"] = "Bearer anas-key"
        yield plane


def requests_of(plane: Plane, name: str) -> list[str]:
    """Return `METHOD path` of what one key has sent since the log was cleared, without clearing it."""
    entries = plane.http.get("/_local/requests-log").json()["requests"]
    return [f"{one['method']} {one['path'].partition('?')[0]}" for one in entries if one["key"] == name]


async def wait_for_ticks(watch: RunningController, count: int) -> list[str]:
    """Return what was asked for until so many ticks had been."""
    found: list[str] = []

    def ticked() -> bool:
        found.extend(watch.requests())
        return found.count(TICK) >= count

    await watch.until(ticked)
    return found


async def wait_for_resync(watch: RunningController) -> None:
    """Wait until one more full read has ended."""
    before = watch.status.full_read_at
    await watch.until(lambda: watch.status.full_read_at != before)
