"""Enrich: the questions of a plan take as few requests as possible, and a failed response is an error, not an answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.harness import Harness, open_harness
from tests.support.states import desired_app

from octosync.errors import CredentialRefused, RemoteError
from octosync.model import (
    Address,
    Deployment,
    FollowUpReads,
    Observation,
    OptimizationCheck,
    Preview,
    Section,
    State,
)
from octosync.octomil import enrich, observe

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    with open_harness(tmp_path) as harness:
        yield harness


def chat(slug: str, environment: str = "production") -> Address:
    """Return the address of the deployment of `chat`."""
    return Address.of_capability(slug, "chat", environment)


async def observed(harness: Harness, *slugs: str, deploy: bool = False) -> Observation:
    """Observe apps with one slot each."""
    where = {"chat": "production"} if deploy else None
    async with harness.client() as client:
        desired = State.from_apps(*(desired_app(slug, slots={"chat": {}}, deploy=where) for slug in slugs))
        return await observe(client, desired)


async def enriched(harness: Harness, seen: Observation, **questions: Any) -> tuple[Observation, list[str]]:
    """Enrich an observation. Return it with the requests that were sent."""
    harness.plane.log()
    async with harness.client() as client:
        found = await enrich(client, seen, FollowUpReads(**questions))
    return found, [line.removeprefix("GET /api/v1") for line in harness.plane.log()]


def deployments(seen: Observation, slug: str) -> list[str]:
    """Return the deployments of an app."""
    return [deployment.address.name for deployment in seen.state.apps[slug].deployments]


async def test_one_apps_deployments_are_one_request(harness: Harness) -> None:
    """For one app its own list is read instead of the list of the org."""
    harness.plane.app("a", "chat", target="com.a")
    harness.plane.deploy("a")
    seen, requests = await enriched(harness, await observed(harness, "a"), deployments=("a",))
    assert requests == ["/apps/a/deployments"]
    assert deployments(seen, "a") == ["chat@production"]
    assert Section.DEPLOYMENTS in seen.state.apps["a"].complete_sections
    assert seen.read_at["a", Section.DEPLOYMENTS] == harness.now
    assert seen.canaries is None


async def test_many_apps_deployments_are_the_orgs_list(harness: Harness) -> None:
    """One list replaces one request per app. It also contains the number of running canaries of the org."""
    for slug in ("a", "b", "c", "d"):
        harness.plane.app(slug, "chat", target=f"com.{slug}")
        harness.plane.catalog(good=1)
        harness.plane.deploy(slug)
    harness.plane.catalog(good=1, better=2)
    harness.plane.send("POST", "/apps/d/capabilities/chat/optimize", {"environment": "production"})
    seen, requests = await enriched(harness, await observed(harness, "a", "b", "c"), deployments=("a", "b", "c"))
    assert requests == ["/deployments"]
    assert [deployments(seen, slug) for slug in ("a", "b", "c")] == [["chat@production"]] * 3
    assert seen.canaries == 1
    assert (await observed(harness, "a", "b", "c", deploy=True)).canaries == 1


async def test_a_long_org_list_is_not_read_for_a_few_apps(harness: Harness) -> None:
    """If the first page shows that the other pages cost more requests than one per app, each app is read."""
    harness.plane.app("a", "chat", target="com.a")
    harness.plane.app("b", "chat", target="com.b")
    harness.plane.deploy("b")
    for number in range(51):
        harness.plane.app(f"other-{number}", "chat", "tts")
        for capability in ("chat", "tts"):
            for environment in ("production", "staging", "development"):
                harness.plane.deploy(f"other-{number}", capability, environment)
    seen, requests = await enriched(harness, await observed(harness, "a", "b"), deployments=("a", "b"))
    assert sorted(requests) == ["/apps/a/deployments", "/apps/b/deployments", "/deployments"]
    assert (deployments(seen, "a"), deployments(seen, "b")) == ([], ["chat@production"])
    harness.plane.log()
    declared = await observed(harness, "a", "b", deploy=True)
    assert declared.canaries is None
    assert sum(line.endswith("deployments") for line in harness.plane.log()) == 3


async def test_if_the_list_of_the_org_is_unreadable_each_app_is_read(harness: Harness) -> None:
    """If the key may not read it, or the control plane has no such list, the same result takes more requests."""
    for slug in ("a", "b"):
        harness.plane.app(slug, "chat", target=f"com.{slug}")
        harness.plane.deploy(slug)
    seen = await observed(harness, "a", "b")
    refused = {"operation": "deployments.list", "action": "status", "status": 403, "code": "forbidden", "times": None}
    harness.plane.break_with(refused)
    found, _ = await enriched(harness, seen, deployments=("a", "b"))
    assert (deployments(found, "a"), deployments(found, "b")) == (["chat@production"], ["chat@production"])
    assert found.errors == {}


async def test_an_unreadable_list_of_the_org_is_requested_once(harness: Harness) -> None:
    """A list that can't be read is not requested again for the canaries."""
    for slug in ("a", "b"):
        harness.plane.app(slug, "chat", target=f"com.{slug}")
    seen = await observed(harness, "a", "b")
    refused = {"operation": "deployments.list", "action": "status", "status": 403, "code": "forbidden", "times": None}
    harness.plane.break_with(refused)
    found, requests = await enriched(harness, seen, deployments=("a", "b"), canaries=True)
    assert sorted(requests) == ["/apps/a/deployments", "/apps/b/deployments", "/deployments"]
    assert isinstance(found.canaries, RemoteError)
    assert isinstance((await observed(harness, "a", "b", deploy=True)).canaries, RemoteError)


async def test_unreadable_facts_of_a_guard_are_an_error(harness: Harness) -> None:
    """Unreadable deployments and routing statistics are an error of their app, never an absence. Other apps are not affected."""
    for slug in ("a", "b", "c"):
        harness.plane.app(slug, "chat")
    seen = await observed(harness, "a", "b", "c")
    broken = {"action": "status", "status": 403, "code": "forbidden", "times": None}
    harness.plane.break_with(
        {"operation": "deployments.list", **broken},
        {"operation": "apps.deployments", "slug": "a", **broken},
        {"operation": "apps.routing_stats", "slug": "b", **broken},
    )
    found, _ = await enriched(harness, seen, deployments=("a", "c"), routing=("b", "c"))
    assert set(found.errors) == {"a", "b"}
    assert found.routing["c"].total == 0
    assert deployments(found, "c") == []


async def test_requests_of_an_app_are_counted(harness: Harness) -> None:
    """The traffic of an app comes from its routing statistics."""
    harness.plane.app("a", "chat")
    harness.plane.local("POST", "/requests", {"app_slug": "a", "capability": "chat", "route": "local", "count": 3})
    harness.plane.local("POST", "/requests", {"app_slug": "a", "capability": "chat", "route": "cloud", "count": 1})
    found, requests = await enriched(harness, await observed(harness, "a"), routing=("a",))
    stats = found.routing["a"]
    assert (stats.total, stats.local, stats.cloud) == (4, 3, 1)
    assert requests == ["/apps/a/routing/stats"]


async def test_previews_and_checks_are_results_or_errors(harness: Harness) -> None:
    """There is one preview per capability. A failed preview is an error in its place."""
    harness.plane.app("a", "chat", target="com.a")
    harness.plane.app("b", "chat", target="com.b")
    harness.plane.deploy("b")
    seen = await observed(harness, "a", "b")
    harness.plane.break_with({
        "operation": "apps.capabilities.preview", "slug": "b", "action": "status", "status": 403, "code": "forbidden",
        "times": None,
    })  # fmt: skip
    found, _ = await enriched(harness, seen, previews=(chat("a"), chat("b")), checks=(chat("b"),))
    preview = found.previews[chat("a")]
    assert isinstance(preview, Preview)
    assert preview.variant
    assert isinstance(found.previews[chat("b")], RemoteError)
    check = found.checks[chat("b")]
    assert isinstance(check, OptimizationCheck)
    assert not check.available
    assert found.errors == {}
    assert found.requests == seen.requests + 3


async def test_the_feed_is_read_back_to_the_requested_time(harness: Harness) -> None:
    """One page if it reaches back far enough, otherwise at most five: newest first, each event once."""
    for number in range(30):
        harness.plane.app(f"app-{number}", "chat", "tts", "vision", "embedding", "reasoning")
    for number in range(30):
        for name in range(11):
            harness.plane.send("PATCH", f"/apps/app-{number}", {"name": f"Name {name}"})
    seen = await observed(harness, "app-0")
    far, requests = await enriched(harness, seen, org_feed_since=LONG_AGO)
    assert len(requests) == 5
    assert isinstance(far.org_feed, tuple)
    assert len(far.org_feed) == len({event.id for event in far.org_feed}) == 500
    near, requests = await enriched(harness, seen, org_feed_since=datetime.now(UTC) + timedelta(hours=1))
    assert len(requests) == 1
    assert isinstance(near.org_feed, tuple)
    assert near.org_feed == far.org_feed[:100]


async def test_an_unreadable_feed_is_not_a_failure(harness: Harness) -> None:
    """The unreadable feed of the org is an error, that of an app is empty. Everything else is read."""
    harness.plane.app("a", "chat")
    seen = await observed(harness, "a")
    broken = {"action": "status", "status": 403, "code": "forbidden", "times": None}
    harness.plane.break_with({"operation": "activity.list", **broken}, {"operation": "apps.activity", **broken})
    found, _ = await enriched(harness, seen, org_feed_since=LONG_AGO, app_feeds=("a",))
    assert isinstance(found.org_feed, RemoteError)
    assert found.app_feeds == {"a": ()}
    assert found.errors == {}


async def test_an_apps_feed_is_one_page(harness: Harness) -> None:
    """The events of the app are read newest first, with actor, time and object."""
    harness.plane.app("a", "chat")
    harness.plane.app("b")
    found, requests = await enriched(harness, await observed(harness, "a"), app_feeds=("a",))
    assert requests == ["/apps/a/activity"]
    assert [(event.type, event.app) for event in found.app_feeds["a"]] == [("slot.created", "a"), ("app.created", "a")]
    assert all(event.actor and event.at for event in found.app_feeds["a"])


async def test_canaries_are_counted_over_the_whole_org(harness: Harness) -> None:
    """Canaries are counted even if no app needs its deployments. An unreadable list does not count as zero."""
    harness.plane.app("other", "chat", target="com.other")
    harness.plane.catalog(good=1)
    harness.plane.deploy("other")
    harness.plane.catalog(good=1, better=2)
    harness.plane.send("POST", "/apps/other/capabilities/chat/optimize", {"environment": "production"})
    harness.plane.app("a", "chat")
    seen = await observed(harness, "a")
    found, _ = await enriched(harness, seen, canaries=True)
    assert found.canaries == 1
    harness.plane.break_with(
        {"operation": "deployments.list", "action": "status", "status": 403, "code": "forbidden", "times": None}
    )
    failed, _ = await enriched(harness, seen, canaries=True)
    assert isinstance(failed.canaries, RemoteError)


async def test_deployments_without_a_capability_are_ignored(harness: Harness) -> None:
    """Other deployments of the org are ignored. One with a capability and without an environment is an unreadable response."""
    harness.plane.app("a", "chat")
    seen = await observed(harness, "a")
    foreign = {"id": "d1", "status": "active"}
    listed = {"operation": "apps.deployments", "action": "answer", "times": None}
    harness.plane.break_with({**listed, "value": {"deployments": [foreign], "total": 1, "limit": 100, "offset": 0}})
    found, _ = await enriched(harness, seen, deployments=("a",))
    assert deployments(found, "a") == []
    halved = {**foreign, "capability": "chat"}
    harness.plane.break_with({**listed, "value": {"deployments": [halved], "total": 1, "limit": 100, "offset": 0}})
    broken, _ = await enriched(harness, seen, deployments=("a",))
    assert "environment" in broken.errors["a"].message


UNNAMED = {"id": "d1", "status": "active", "environment": "production", "capability": None}


def listing(*deployments: dict[str, Any]) -> dict[str, Any]:
    """Return a page of deployments."""
    return {"deployments": list(deployments), "total": len(deployments), "limit": 100, "offset": 0}


@pytest.mark.parametrize(
    ("deployment", "readable"),
    [
        (UNNAMED, False),
        ({**UNNAMED, "capability": ""}, False),
        ({"id": "d1", "status": "active"}, False),
        ({**UNNAMED, "status": "rolled_back"}, False),
        ({**UNNAMED, "environment": "staging"}, True),
        ({**UNNAMED, "environment": "staging", "canary": {"percentage": 10}}, False),
        ({**UNNAMED, "environment": "staging", "canary": {"percentage": 10}, "status": "completed"}, True),
    ],
)
async def test_a_missing_capability_does_not_mean_absence(
    harness: Harness, deployment: dict[str, Any], readable: bool
) -> None:
    """If the declared deployment may be the one without a capability, the app is unreadable, and nothing is enabled."""
    harness.plane.app("a", "chat", target="com.a")
    harness.plane.break_with(
        {"operation": "apps.deployments", "action": "answer", "value": listing(deployment), "times": None}
    )
    seen = await observed(harness, "a", deploy=True)
    assert list(seen.errors) == ([] if readable else ["a"])
    if not readable:
        assert "field deployments[0].capability is missing" in seen.errors["a"].message
        assert seen.errors["a"].reference == "unreadable-answer"
    plan = (await harness.review(desired_app("a", slots={"chat": {}}, deploy={"chat": "production"}))).plan
    assert len(plan.actions) == readable


async def test_a_listed_deployment_outweighs_an_unnamed_one(harness: Harness) -> None:
    """If the capability is deployed, a deployment without a name is not an error: the app is read from its list or the org's."""
    ids = {}
    for slug in ("a", "b"):
        harness.plane.app(slug, "chat", target=f"com.{slug}")
        harness.plane.deploy(slug)
        ids[slug] = harness.plane.send("GET", f"/apps/{slug}")["id"]
    named = [{**UNNAMED, "id": slug, "app_id": app_id, "capability": "chat"} for slug, app_id in sorted(ids.items())]
    own = {**UNNAMED, "app_id": ids["a"]}
    app_list = {"operation": "apps.deployments", "action": "answer", "value": listing(*named[:1], own), "slug": "a"}
    for extra in (own, UNNAMED):
        org_list = {"operation": "deployments.list", "action": "answer", "value": listing(*named, extra)}
        harness.plane.break_with({**org_list, "times": None}, {**app_list, "times": None})
        harness.plane.log()
        seen = await observed(harness, "a", "b", deploy=True)
        assert seen.errors == {}
        assert deployments(seen, "a") == deployments(seen, "b") == ["chat@production"]
        app_reads = [line for line in harness.plane.log() if line.endswith("/deployments") and "/apps/" in line]
        assert len(app_reads) == (2 if extra is own else 0)


async def test_a_response_that_echoes_the_key_is_masked(harness: Harness) -> None:
    """Reasons and variants, which a plan contains and shows, have the key masked."""
    harness.plane.app("a", "chat", target="com.a")
    seen = await observed(harness, "a")
    async with harness.client() as client:
        token = client.connection.token
    assert token is not None
    key = token.reveal()
    suggestion = {"recommended_variant": {"id": key, "reason": f"because {key}"}, "device_count": 1, "warnings": [key]}
    harness.plane.break_with(
        {"operation": "apps.capabilities.preview", "action": "answer", "value": suggestion, "times": None}
    )
    found, _ = await enriched(harness, seen, previews=(chat("a"),))
    preview = found.previews[chat("a")]
    assert isinstance(preview, Preview)
    assert (preview.variant, preview.reason) == ("(sensitive)", "because (sensitive)")
    assert key not in repr(found)


async def test_a_refused_key_ends_the_reads(harness: Harness) -> None:
    """A key that was revoked meanwhile is one error, not one per response."""
    harness.plane.app("a", "chat")
    seen = await observed(harness, "a")
    harness.plane.break_with({"operation": "*", "action": "status", "status": 401, "times": None})
    with pytest.raises(CredentialRefused):
        await enriched(harness, seen, previews=(chat("a"),), app_feeds=("a",))


async def test_progress_is_reported(harness: Harness) -> None:
    """The progress is the number of finished reads and their total."""
    harness.plane.app("a", "chat")
    seen = await observed(harness, "a")
    progress: list[tuple[int, int]] = []
    async with harness.client() as client:
        questions = FollowUpReads(previews=(chat("a"), chat("a", "staging")))
        await enrich(client, seen, questions, progress=lambda done, total: progress.append((done, total)))
    assert progress == [(1, 2), (2, 2)]


def test_a_deployment_has_its_address() -> None:
    """A deployment that existed before keeps its address."""
    deployment = Deployment(id="d", app="a", capability="chat", environment="staging", status="paused", live=True)
    assert str(deployment.address) == "app/a/capability/chat@staging"
