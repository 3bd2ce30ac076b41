"""A fleet of apps for controllers in processes: random commits, and changes by hand to values that no manifest declares."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.support.proxies import Exchange
from tests.support.watch_bench import Bench

SLUGS = ("ash", "elm", "fir", "oak")
CAPABILITIES = ("chat", "vision", "tts")
DECLARED, FOREIGN = ("local_first", "cloud_first", "performance_first"), ("cloud_only", "local_only")


@dataclass
class Fleet:
    """The declarations of some apps, which random commits change."""

    chance: random.Random
    slots: dict[str, dict[str, str]] = field(default_factory=dict)
    targets: dict[str, set[str]] = field(default_factory=dict)
    descriptions: dict[str, str] = field(default_factory=dict)

    def declare_all(self, bench: Bench) -> None:
        """Declare all apps."""
        for slug in SLUGS:
            self.slots[slug], self.targets[slug], self.descriptions[slug] = (
                {"chat": "local_first"},
                {f"com.{slug}"},
                slug,
            )
            self.write(bench, slug)

    def commit(self, bench: Bench, number: int) -> None:
        """Change something of an app, or move a target from one app to another."""
        slug, second = self.chance.sample(SLUGS, 2)
        capability = self.chance.choice(CAPABILITIES)
        match self.chance.randrange(5):
            case 0 | 1:
                self.slots[slug][capability] = self.chance.choice(DECLARED)
            case 2 if len(self.slots[slug]) > 1:
                self.slots[slug].pop(capability, None)
            case 3 if self.targets[slug]:
                self.targets[second].add(self.targets[slug].pop())
            case 3:
                self.targets[slug].add(f"com.{slug}.{number}")
            case _:
                self.descriptions[slug] = f"declared {number}"
        self.write(bench, slug)
        self.write(bench, second)

    def write(self, bench: Bench, slug: str) -> None:
        """Write an app's manifest."""
        bench.declare(
            slug,
            slots=self.slots[slug],
            targets=tuple(sorted(self.targets[slug])),
            description=self.descriptions[slug],
        )

    async def interfere(self, bench: Bench, number: int) -> None:
        """Change a declared and existing object by hand, to a value that no manifest ever declares."""
        slug = self.chance.choice(SLUGS)
        if bench.plane.http.get(f"/api/v1/apps/{slug}").status_code == 404:
            return
        capability = self.chance.choice(sorted(self.slots[slug]))
        path = f"/apps/{slug}/slots/{capability}"
        match self.chance.randrange(3):
            case 0:
                await bench.as_teammate("PATCH", f"/apps/{slug}", {"description": f"by hand {number}"})
            case 1 if bench.live(slug, capability) is not None:
                await bench.as_teammate("DELETE", path)
            case _:
                await bench.as_teammate("PUT", path, {"serving_policy": FOREIGN[number % 2], "bindings": []})


def is_ours(exchange: Exchange) -> bool:
    """Return whether octosync has sent a request."""
    return exchange.request.headers["user-agent"].startswith("octosync/")


def failed_writes(exchanges: Iterable[Exchange]) -> set[tuple[str, int | None]]:
    """Return the collections and status codes of our writes that were rejected."""
    return {
        (exchange.line.rpartition("/")[2], exchange.status)
        for exchange in exchanges
        if exchange.writes and is_ours(exchange) and (exchange.status or 200) >= 400
    }
