"""Following what a run touched: what ends it, how often it looks, and with how few requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.support.every_kind import AUTO
from tests.support.site import Site
from tests.support.states import desired_app

from octosync.apply import RolloutWaiter, rollouts_to_watch
from octosync.errors import Forbidden, Unavailable
from octosync.model import App, Outcome, RolloutResult, RolloutStatus

PRODUCTION = "chat@production"


@dataclass
class Watched:
    """A wait, how it ended, and what it took. `meanwhile` is done in each pause, told which one it is."""

    site: Site
    meanwhile: Callable[[int], None] = lambda _: None
    pauses: list[float] = field(default_factory=list)
    looks: list[tuple[RolloutStatus, ...]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    ended: tuple[RolloutStatus, ...] = ()

    async def sleep(self, seconds: float) -> None:
        """Let time go on, for the client and the control plane."""
        self.pauses.append(seconds)
        self.site.later(seconds)
        self.requests += self.site.plane.log()
        self.site.plane.local("POST", "/tick", {"seconds": seconds})
        self.meanwhile(len(self.pauses))
        self.site.plane.log()

    async def follow(self, *desired: App, within: float = 600, **settings: Any) -> Watched:
        """Take a whole turn, and wait for what it touched."""
        turn = await self.site.look(*desired)
        outcomes: Sequence[Outcome] = (await self.site.act(turn)).outcomes if turn.plan.actions else ()
        self.site.plane.log()
        live = turn.observation.state
        async with self.site.client(**settings) as remote:
            following = RolloutWaiter(
                remote, rollouts_to_watch(turn.plan, live, outcomes), live, on_read=self.looks.append, sleep=self.sleep
            )
            self.ended = await following.wait_until_settled(within)
        self.requests += self.site.plane.log()
        return self

    @property
    def fates(self) -> dict[str, RolloutResult | None]:
        """Return `app/name` → fate."""
        return {f"{one.address.app}/{one.address.name}": one.result for one in self.ended}


def app_with_devices(site: Site, slug: str = "a", *, devices: int = 40) -> App:
    """Create an app with a slot, a target and devices; return what declares it deployed to production."""
    site.plane.app(slug, "chat", target=f"com.{slug}")
    if devices:
        seen = {"platform": "ios", "identifier": f"com.{slug}", "device_class": "high", "count": devices}
        site.plane.local("POST", "/devices", seen)
    return desired_app(slug, slots={"chat": {}}, deploy={"chat": "production"})


def set_status(site: Site, status: str, slug: str = "a") -> None:
    """Pause, resume or roll back an app's latest deployment, as a person would."""
    *_, latest = site.plane.send("GET", f"/apps/{slug}/deployments")["deployments"]
    site.plane.local("POST", f"/deployments/{latest['id']}", {"status": status})


def paused(site: Site, slug: str = "a") -> App:
    """Make an app whose deployment covers nobody; return what declares a change of its slot."""
    app_with_devices(site, slug)
    site.plane.deploy(slug)
    set_status(site, "paused", slug)
    return desired_app(slug, slots={"chat": {"preferred_engines": ["mlx"]}}, deploy={"chat": "production"})


async def test_an_enabled_capability_is_covered(site: Site) -> None:
    """Where its devices have it at the first look, two requests are all that it takes, and nothing is slept."""
    watched = await Watched(site).follow(app_with_devices(site))
    assert watched.fates == {f"a/{PRODUCTION}": RolloutResult.COVERED}
    assert (watched.ended[0].covered, watched.ended[0].devices) == (40, 40)
    assert watched.pauses == []
    assert watched.requests == ["GET /api/v1/apps/a/health", "GET /api/v1/apps/a/deployments"]


async def test_a_slot_without_devices_is_not_waited_for(site: Site) -> None:
    """There is nothing that could be covered: one request tells, and its deployment isn't even asked for."""
    watched = await Watched(site).follow(app_with_devices(site, devices=0))
    assert watched.fates == {f"a/{PRODUCTION}": RolloutResult.NO_DEVICES}
    assert watched.requests == ["GET /api/v1/apps/a/health"]


async def test_a_canary_is_followed_until_it_is_through(site: Site) -> None:
    """Its percentage rises from look to look; coverage is asked for at first, and again only when it is through."""
    app_with_devices(site)
    site.plane.catalog(good=1)
    site.plane.deploy("a")
    site.plane.catalog(good=1, better=1.2)
    watched = await Watched(site).follow(desired_app("a", slots={"chat": {}}, deploy={"chat": AUTO}), within=900)
    assert watched.fates == {f"a/{PRODUCTION}": RolloutResult.COVERED}
    assert watched.ended[0].variant == "better"
    shown = [one.canary.percentage or 0 for (one,) in watched.looks if one.canary is not None]
    assert len(set(shown)) > 5
    assert shown == sorted(shown)
    assert watched.requests.count("GET /api/v1/apps/a/health") == 2
    assert watched.requests.count("GET /api/v1/apps/a/deployments") == len(watched.looks)


async def test_a_canary_that_ran_before_is_followed_by_a_run_with_nothing_to_write(site: Site) -> None:
    """A run that was killed while it waited is followed up by the next one; what is through and untouched is not."""
    site.plane.catalog(good=1)
    for slug in ("a", "b"):
        app_with_devices(site, slug)
        site.plane.deploy(slug)
    site.plane.local("POST", "/tick", {"seconds": 600})
    site.plane.catalog(good=1, better=1.2)
    site.plane.send("POST", "/apps/a/capabilities/chat/optimize", {"environment": "production"})
    declared = [desired_app(slug, slots={"chat": {}}, deploy={"chat": "production"}) for slug in ("a", "b")]
    watched = await Watched(site).follow(*declared, within=900)
    assert watched.fates == {f"a/{PRODUCTION}": RolloutResult.COVERED}


async def test_a_rollback_ends_the_wait(site: Site) -> None:
    """What is rolled back while it is waited for has failed, at the next look, whatever time is left."""
    desired = paused(site)
    watched = await Watched(site, lambda number: set_status(site, "rolled_back") if number == 2 else None).follow(
        desired
    )
    assert watched.fates == {f"a/{PRODUCTION}": RolloutResult.ROLLED_BACK}
    assert len(watched.pauses) == 2


async def test_a_failed_deployment_ends_the_wait(site: Site) -> None:
    """A status that says so is believed, even where its devices are covered."""
    desired = app_with_devices(site)
    turn = Watched(site)
    site.plane.deploy("a")
    failed = {"action": "set_answer_field", "field": "deployments.status", "value": "failed", "times": None, "skip": 1}
    site.plane.break_with({"operation": "apps.deployments", **failed})
    watched = await turn.follow(desired)
    assert watched.fates == {f"a/{PRODUCTION}": RolloutResult.FAILED}
    assert watched.ended[0].status == "failed"


async def test_what_was_rolled_back_before_says_nothing_of_what_is_enabled_again(site: Site) -> None:
    """Its old deployment is still listed; it is the new one that counts."""
    desired = app_with_devices(site)
    site.plane.deploy("a")
    set_status(site, "rolled_back")
    turn = await site.look(desired)
    assert turn.plan.actions == ()
    site.plane.deploy("a")  # as --retry-rolled-back does
    watched = await Watched(site).follow(desired)
    assert watched.fates == {f"a/{PRODUCTION}": RolloutResult.COVERED}


async def test_time_runs_out(site: Site) -> None:
    """It is looked at ever less often, once more at the end of the time, and not a second longer."""
    watched = await Watched(site).follow(paused(site), within=100)
    assert watched.fates == {f"a/{PRODUCTION}": RolloutResult.TIMED_OUT}
    assert (watched.ended[0].covered, watched.ended[0].devices, watched.ended[0].status) == (0, 40, "paused")
    assert sum(watched.pauses) == pytest.approx(100)
    assert watched.pauses[:3] == [2, 3, 4.5]
    assert max(watched.pauses) == 15
    assert len(watched.looks) == len(watched.pauses) + 1


async def test_no_time_is_one_look(site: Site) -> None:
    """A timeout of 0 says how everything stands now, and waits for nothing."""
    watched = await Watched(site).follow(paused(site), within=0)
    assert watched.fates == {f"a/{PRODUCTION}": RolloutResult.TIMED_OUT}
    assert watched.pauses == []
    assert len(watched.requests) == 2


async def test_what_is_settled_is_not_asked_for_again(site: Site) -> None:
    """While one app is waited for, nothing more is read of the others."""
    watched = await Watched(site).follow(paused(site, "a"), app_with_devices(site, "b"), within=30)
    assert watched.fates == {f"a/{PRODUCTION}": RolloutResult.TIMED_OUT, f"b/{PRODUCTION}": RolloutResult.COVERED}
    assert [line for line in watched.requests if "/apps/b/" in line] == ["GET /api/v1/apps/b/health"]


async def test_deployments_of_many_apps_are_one_request(site: Site) -> None:
    """The org's list has them all: a look at four apps takes five requests, not eight."""
    apps = [app_with_devices(site, slug) for slug in "abcd"]
    watched = await Watched(site).follow(*apps)
    assert set(watched.fates.values()) == {RolloutResult.COVERED}
    assert sorted(watched.requests) == [
        *(f"GET /api/v1/apps/{slug}/health" for slug in "abcd"),
        "GET /api/v1/deployments",
    ]


async def test_a_look_leaves_half_of_the_rate_to_others(site: Site) -> None:
    """With ten requests a minute, two looks of two requests each are 24 seconds apart."""
    watched = await Watched(site).follow(paused(site), within=60, requests_per_minute=10)
    assert watched.pauses == [24, 24, 12]


async def test_a_failed_read_is_tried_again(site: Site) -> None:
    """What can't be read at one look may be readable at the next: nobody gives up for that."""
    desired = app_with_devices(site)
    site.plane.break_with({"operation": "apps.health", "action": "status", "status": 501})
    watched = await Watched(site).follow(desired)
    assert watched.fates == {f"a/{PRODUCTION}": RolloutResult.COVERED}
    assert len(watched.pauses) == 1
    assert isinstance(watched.looks[0][0].error, Unavailable)
    assert watched.ended[0].error is None


async def test_what_can_not_be_read_until_the_end_is_an_error_that_says_so(site: Site) -> None:
    """It is neither covered nor timed out: how it stands is not known, and why not is told."""
    desired = app_with_devices(site)
    site.plane.break_with({"operation": "apps.health", "action": "status", "status": 501, "times": None})
    watched = await Watched(site).follow(desired, within=10)
    assert watched.fates == {f"a/{PRODUCTION}": RolloutResult.UNREADABLE}
    assert isinstance(watched.ended[0].error, Unavailable)
    assert sum(watched.pauses) == pytest.approx(10)


async def test_what_will_never_be_readable_is_not_waited_for(site: Site) -> None:
    """A key that may not read an app's health won't be allowed to in ten minutes; the other apps are waited for."""
    apps = [app_with_devices(site, slug) for slug in "ab"]
    site.plane.break_with(
        {"operation": "apps.health", "slug": "a", "action": "status", "status": 403, "code": "forbidden", "times": None}
    )
    watched = await Watched(site).follow(*apps)
    assert watched.fates == {f"a/{PRODUCTION}": RolloutResult.UNREADABLE, f"b/{PRODUCTION}": RolloutResult.COVERED}
    assert isinstance(watched.ended[0].error, Forbidden)
    assert watched.pauses == []


async def test_a_refused_key_ends_the_whole_wait(site: Site) -> None:
    """Every other request would be refused alike, so none is sent."""
    apps = [app_with_devices(site, slug) for slug in "ab"]
    site.plane.break_with({"operation": "apps.health", "action": "status", "status": 401, "times": None})
    watched = await Watched(site).follow(*apps, concurrency=1)
    assert set(watched.fates.values()) == {RolloutResult.UNREADABLE}
    assert len(watched.requests) == 1


async def test_a_look_that_hangs_ends_when_time_is_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A control plane that doesn't answer holds nobody for longer than was asked for, and what comes after an answer."""
    monkeypatch.setattr("octosync.apply.rollout._LAST_READ_SECONDS", 0.05)
    desired = app_with_devices(site)
    site.plane.break_with({"operation": "apps.health", "action": "delay", "seconds": 30})
    watched = await Watched(site).follow(desired, within=0)
    assert watched.fates == {f"a/{PRODUCTION}": RolloutResult.TIMED_OUT}
    assert watched.looks == []
