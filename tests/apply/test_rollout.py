"""Waiting for rollouts: what ends the wait, how often apply reads, and with how few requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.support.action_cases import AUTO
from tests.support.harness import Harness
from tests.support.states import desired_app

from octosync.apply import RolloutWaiter, rollouts_to_watch
from octosync.errors import Forbidden, Unavailable
from octosync.model import App, Outcome, RolloutResult, RolloutStatus

PRODUCTION = "chat@production"


@dataclass
class Wait:
    """A wait, its result and its requests. `meanwhile` runs in each pause and gets its number."""

    harness: Harness
    meanwhile: Callable[[int], None] = lambda _: None
    pauses: list[float] = field(default_factory=list)
    reports: list[tuple[RolloutStatus, ...]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    ended: tuple[RolloutStatus, ...] = ()

    async def sleep(self, seconds: float) -> None:
        """Advance the time of the client and of the control plane."""
        self.pauses.append(seconds)
        self.harness.advance(seconds)
        self.requests += self.harness.plane.log()
        self.harness.plane.local("POST", "/tick", {"seconds": seconds})
        self.meanwhile(len(self.pauses))
        self.harness.plane.log()

    async def follow(self, *desired: App, within: float = 600, **settings: Any) -> Wait:
        """Observe, plan, apply and wait for the rollouts."""
        reviewed = await self.harness.review(*desired)
        outcomes: Sequence[Outcome] = (await self.harness.apply(reviewed)).outcomes if reviewed.plan.actions else ()
        self.harness.plane.log()
        live = reviewed.observation.state
        async with self.harness.client(**settings) as remote:
            following = RolloutWaiter(
                remote,
                rollouts_to_watch(reviewed.plan, live, outcomes),
                live,
                on_read=self.reports.append,
                sleep=self.sleep,
            )
            self.ended = await following.wait_until_settled(within)
        self.requests += self.harness.plane.log()
        return self

    @property
    def results(self) -> dict[str, RolloutResult | None]:
        """Return each result by `app/name`."""
        return {f"{rollout.address.app}/{rollout.address.name}": rollout.result for rollout in self.ended}


def app_with_devices(harness: Harness, slug: str = "a", *, devices: int = 40) -> App:
    """Create an app with a slot, a target and devices. Return a declaration that deploys it to production."""
    harness.plane.app(slug, "chat", target=f"com.{slug}")
    if devices:
        seen = {"platform": "ios", "identifier": f"com.{slug}", "device_class": "high", "count": devices}
        harness.plane.local("POST", "/devices", seen)
    return desired_app(slug, slots={"chat": {}}, deploy={"chat": "production"})


def set_status(harness: Harness, status: str, slug: str = "a") -> None:
    """Set the status of an app's latest deployment, as a user would."""
    *_, latest = harness.plane.send("GET", f"/apps/{slug}/deployments")["deployments"]
    harness.plane.local("POST", f"/deployments/{latest['id']}", {"status": status})


def paused(harness: Harness, slug: str = "a") -> App:
    """Create an app whose deployment covers no devices. Return a declaration that changes its slot."""
    app_with_devices(harness, slug)
    harness.plane.deploy(slug)
    set_status(harness, "paused", slug)
    return desired_app(slug, slots={"chat": {"preferred_engines": ["mlx"]}}, deploy={"chat": "production"})


async def test_an_enabled_capability_is_covered(harness: Harness) -> None:
    """If the first read shows full coverage, two requests suffice, and there is no pause."""
    wait = await Wait(harness).follow(app_with_devices(harness))
    assert wait.results == {f"a/{PRODUCTION}": RolloutResult.COVERED}
    assert (wait.ended[0].covered, wait.ended[0].devices) == (40, 40)
    assert wait.pauses == []
    assert wait.requests == ["GET /api/v1/apps/a/health", "GET /api/v1/apps/a/deployments"]


async def test_a_slot_without_devices_is_not_waited_for(harness: Harness) -> None:
    """Without devices there is nothing to cover: one request shows that, and the deployments are not read."""
    wait = await Wait(harness).follow(app_with_devices(harness, devices=0))
    assert wait.results == {f"a/{PRODUCTION}": RolloutResult.NO_DEVICES}
    assert wait.requests == ["GET /api/v1/apps/a/health"]


async def test_a_canary_is_followed_to_its_end(harness: Harness) -> None:
    """Its percentage rises from read to read. Coverage is read first and again only after the canary has ended."""
    app_with_devices(harness)
    harness.plane.catalog(good=1)
    harness.plane.deploy("a")
    harness.plane.catalog(good=1, better=1.2)
    wait = await Wait(harness).follow(desired_app("a", slots={"chat": {}}, deploy={"chat": AUTO}), within=900)
    assert wait.results == {f"a/{PRODUCTION}": RolloutResult.COVERED}
    assert wait.ended[0].variant == "better"
    percentages = [rollout.canary.percentage or 0 for (rollout,) in wait.reports if rollout.canary is not None]
    assert len(set(percentages)) > 5
    assert percentages == sorted(percentages)
    assert wait.requests.count("GET /api/v1/apps/a/health") == 2
    assert wait.requests.count("GET /api/v1/apps/a/deployments") == len(wait.reports)


async def test_a_canary_from_an_earlier_run_is_followed_without_a_write(harness: Harness) -> None:
    """If an earlier run was killed while waiting, the next one waits instead, except for finished, unchanged rollouts."""
    harness.plane.catalog(good=1)
    for slug in ("a", "b"):
        app_with_devices(harness, slug)
        harness.plane.deploy(slug)
    harness.plane.local("POST", "/tick", {"seconds": 600})
    harness.plane.catalog(good=1, better=1.2)
    harness.plane.send("POST", "/apps/a/capabilities/chat/optimize", {"environment": "production"})
    declared = [desired_app(slug, slots={"chat": {}}, deploy={"chat": "production"}) for slug in ("a", "b")]
    wait = await Wait(harness).follow(*declared, within=900)
    assert wait.results == {f"a/{PRODUCTION}": RolloutResult.COVERED}


async def test_a_rollback_ends_the_wait(harness: Harness) -> None:
    """A rollout that is rolled back during the wait has failed at the next read, whatever time is left."""
    desired = paused(harness)
    wait = await Wait(harness, lambda number: set_status(harness, "rolled_back") if number == 2 else None).follow(
        desired
    )
    assert wait.results == {f"a/{PRODUCTION}": RolloutResult.ROLLED_BACK}
    assert len(wait.pauses) == 2


async def test_a_failed_deployment_ends_the_wait(harness: Harness) -> None:
    """The status "failed" is final, even if the devices are covered."""
    desired = app_with_devices(harness)
    waiting = Wait(harness)
    harness.plane.deploy("a")
    failed = {"action": "set_answer_field", "field": "deployments.status", "value": "failed", "times": None, "skip": 1}
    harness.plane.break_with({"operation": "apps.deployments", **failed})
    wait = await waiting.follow(desired)
    assert wait.results == {f"a/{PRODUCTION}": RolloutResult.FAILED}
    assert wait.ended[0].status == "failed"


async def test_an_earlier_rollback_does_not_affect_a_new_deployment(harness: Harness) -> None:
    """The old deployment is still listed, and only the new one counts."""
    desired = app_with_devices(harness)
    harness.plane.deploy("a")
    set_status(harness, "rolled_back")
    reviewed = await harness.review(desired)
    assert reviewed.plan.actions == ()
    harness.plane.deploy("a")  # as --retry-rolled-back does
    wait = await Wait(harness).follow(desired)
    assert wait.results == {f"a/{PRODUCTION}": RolloutResult.COVERED}


async def test_the_timeout_ends_the_wait(harness: Harness) -> None:
    """Reads become less frequent, the last one happens at the timeout, and the wait never exceeds it."""
    wait = await Wait(harness).follow(paused(harness), within=100)
    assert wait.results == {f"a/{PRODUCTION}": RolloutResult.TIMED_OUT}
    assert (wait.ended[0].covered, wait.ended[0].devices, wait.ended[0].status) == (0, 40, "paused")
    assert sum(wait.pauses) == pytest.approx(100)
    assert wait.pauses[:3] == [2, 3, 4.5]
    assert max(wait.pauses) == 15
    assert len(wait.reports) == len(wait.pauses) + 1


async def test_a_timeout_of_zero_is_one_read(harness: Harness) -> None:
    """A timeout of 0 reports the current state and does not wait."""
    wait = await Wait(harness).follow(paused(harness), within=0)
    assert wait.results == {f"a/{PRODUCTION}": RolloutResult.TIMED_OUT}
    assert wait.pauses == []
    assert len(wait.requests) == 2


async def test_a_settled_app_is_not_read_again(harness: Harness) -> None:
    """While apply waits for one app, it reads nothing of the settled ones."""
    wait = await Wait(harness).follow(paused(harness, "a"), app_with_devices(harness, "b"), within=30)
    assert wait.results == {f"a/{PRODUCTION}": RolloutResult.TIMED_OUT, f"b/{PRODUCTION}": RolloutResult.COVERED}
    assert [line for line in wait.requests if "/apps/b/" in line] == ["GET /api/v1/apps/b/health"]


async def test_deployments_of_many_apps_are_one_request(harness: Harness) -> None:
    """The list of the org contains them all: reading four apps takes five requests, not eight."""
    apps = [app_with_devices(harness, slug) for slug in "abcd"]
    wait = await Wait(harness).follow(*apps)
    assert set(wait.results.values()) == {RolloutResult.COVERED}
    assert sorted(wait.requests) == [
        *(f"GET /api/v1/apps/{slug}/health" for slug in "abcd"),
        "GET /api/v1/deployments",
    ]


async def test_waiting_uses_at_most_half_of_the_rate_limit(harness: Harness) -> None:
    """At ten requests per minute, two reads of two requests each are 24 seconds apart."""
    wait = await Wait(harness).follow(paused(harness), within=60, requests_per_minute=10)
    assert wait.pauses == [24, 24, 12]


async def test_a_failed_read_is_repeated(harness: Harness) -> None:
    """A failed read may succeed next time, so it does not end the wait."""
    desired = app_with_devices(harness)
    harness.plane.break_with({"operation": "apps.health", "action": "status", "status": 501})
    wait = await Wait(harness).follow(desired)
    assert wait.results == {f"a/{PRODUCTION}": RolloutResult.COVERED}
    assert len(wait.pauses) == 1
    assert isinstance(wait.reports[0][0].error, Unavailable)
    assert wait.ended[0].error is None


async def test_an_app_that_is_unreadable_until_the_end_is_an_error(harness: Harness) -> None:
    """It is neither covered nor timed out: its state is unknown, and the error has the reason."""
    desired = app_with_devices(harness)
    harness.plane.break_with({"operation": "apps.health", "action": "status", "status": 501, "times": None})
    wait = await Wait(harness).follow(desired, within=10)
    assert wait.results == {f"a/{PRODUCTION}": RolloutResult.UNREADABLE}
    assert isinstance(wait.ended[0].error, Unavailable)
    assert sum(wait.pauses) == pytest.approx(10)


async def test_a_permanently_unreadable_app_is_not_waited_for(harness: Harness) -> None:
    """A key without permission to read an app's health will not get it by waiting. Apply still waits for the other apps."""
    apps = [app_with_devices(harness, slug) for slug in "ab"]
    harness.plane.break_with(
        {"operation": "apps.health", "slug": "a", "action": "status", "status": 403, "code": "forbidden", "times": None}
    )
    wait = await Wait(harness).follow(*apps)
    assert wait.results == {f"a/{PRODUCTION}": RolloutResult.UNREADABLE, f"b/{PRODUCTION}": RolloutResult.COVERED}
    assert isinstance(wait.ended[0].error, Forbidden)
    assert wait.pauses == []


async def test_a_refused_key_ends_the_wait(harness: Harness) -> None:
    """Every other request would be refused as well, so none is sent."""
    apps = [app_with_devices(harness, slug) for slug in "ab"]
    harness.plane.break_with({"operation": "apps.health", "action": "status", "status": 401, "times": None})
    wait = await Wait(harness).follow(*apps, concurrency=1)
    assert set(wait.results.values()) == {RolloutResult.UNREADABLE}
    assert len(wait.requests) == 1


async def test_a_hanging_read_ends_at_the_timeout(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the control plane does not respond, the wait ends soon after its timeout, without a result of that read."""
    monkeypatch.setattr("octosync.apply.rollout._LAST_READ_SECONDS", 0.05)
    desired = app_with_devices(harness)
    harness.plane.break_with({"operation": "apps.health", "action": "delay", "seconds": 30})
    wait = await Wait(harness).follow(desired, within=0)
    assert wait.results == {f"a/{PRODUCTION}": RolloutResult.TIMED_OUT}
    assert wait.reports == []
