"""Observe: only declared sections are read, a failure affects only its app, and the order of responses does not matter."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.support.clients import KEY, client_of, connection_to
from tests.support.plane import Plane
from tests.support.scripted_server import json_reply, scripted_server
from tests.support.virtual_time import run_in_virtual_time, virtual_clock

from octosync.contract import Contract
from octosync.errors import CredentialRefused, Forbidden, RemoteError, Unavailable, Unreadable
from octosync.model import App, InferenceConfig, Observation, Section, Slot, State, Suspension, Target
from octosync.octomil import Connection, Octomil, RateOptions, observe
from octosync.server import ServerSettings, Token, running_server

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def _declared(slug: str, *sections: Section, **more: Any) -> App:
    """Return a declaration with something in each section."""
    return App(
        slug=slug,
        fields={"name": slug.title()},
        targets=(Target(app=slug, platform="ios", identifier=slug),) if Section.TARGETS in sections else (),
        slots=(Slot(app=slug, capability="chat"),) if Section.SLOTS in sections else (),
        inference_config=InferenceConfig(app=slug, config={}) if Section.INFERENCE_CONFIG in sections else None,
        **more,
    )


async def _observe(plane: Plane, *apps: App, **settings: Any) -> Observation:
    async with client_of(plane.url, **settings) as client:
        seen = await observe(client, State.from_apps(*apps), now=NOW)
        assert seen.requests == client.requests
        return seen


async def test_only_declared_sections_are_read(plane: Plane) -> None:
    """An app with only its slots declared costs two requests. All other sections count as not read."""
    plane.app("shop", "chat", "vision", target="com.shop", config={"a": 1})
    plane.log()
    seen = await _observe(plane, _declared("shop", Section.SLOTS))
    assert plane.log() == ["GET /api/v1/apps/shop", "GET /api/v1/apps/shop/slots"]
    app = seen.state.apps["shop"]
    assert app.complete_sections == {Section.SLOTS}
    assert [slot.capability for slot in app.slots] == ["chat", "vision"]
    assert (app.targets, app.inference_config) == ((), None)
    assert seen.read_at.keys() == {("shop", None), ("shop", Section.SLOTS)}
    assert seen.unmanaged is None
    assert seen.org_id
    assert not seen.errors


async def test_a_section_declared_empty_is_read_too(plane: Plane) -> None:
    """With `targets: []` the manifest owns the list, so it is read. A missing config is known to be missing."""
    plane.app("shop", target="com.shop")
    desired = App(
        slug="shop",
        complete_sections=frozenset({Section.TARGETS}),
        inference_config=InferenceConfig(app="shop", config=None),
    )
    app = (await _observe(plane, desired)).state.apps["shop"]
    assert [target.identifier for target in app.targets] == ["com.shop"]
    assert app.inference_config == InferenceConfig(app="shop", config=None)
    assert app.complete_sections == {Section.TARGETS, Section.INFERENCE_CONFIG}


async def test_forty_apps_cost_one_list_and_three_reads_each(plane: Plane) -> None:
    """With targets, slots and config declared everywhere, the reads are one list and three per app."""
    for number in range(40):
        plane.app(f"app-{number:02}", "chat", target=f"com.{number}", config={})
    plane.app("other")
    plane.log()
    seen = await _observe(plane, *(_declared(f"app-{number:02}", *Section) for number in range(40)))
    assert len(plane.log()) == seen.requests == 40 * 3 + 1
    assert list(seen.state.apps) == [f"app-{number:02}" for number in range(40)]
    assert seen.unmanaged == ("other",)
    assert len(seen.read_at) == 160


@pytest.mark.parametrize(("count", "listed"), [(5, False), (6, True)])
async def test_up_to_five_apps_are_read_by_slug_and_more_by_list(plane: Plane, count: int, listed: bool) -> None:
    """The boundary is exact on both sides."""
    for number in range(count):
        plane.app(f"app-{number}")
    plane.log()
    seen = await _observe(plane, *(_declared(f"app-{number}") for number in range(count)), concurrency=1)
    assert len(seen.state.apps) == count
    assert plane.log() == (
        ["GET /api/v1/apps"] if listed else [f"GET /api/v1/apps/app-{number}" for number in range(count)]
    )


async def test_an_app_missing_from_the_list_is_read_before_it_counts_as_absent(plane: Plane) -> None:
    """Lists hide archived apps, so each missing app is read by slug. For archived and absent apps, no children are read."""
    for number in range(5):
        plane.app(f"app-{number}")
    plane.app("old", "chat")
    plane.send("POST", "/apps/old/archive")
    plane.log()
    desired = [_declared(f"app-{number}") for number in range(5)]
    seen = await _observe(plane, *desired, _declared("old", *Section), _declared("new", *Section), concurrency=1)
    assert plane.log() == ["GET /api/v1/apps", "GET /api/v1/apps/new", "GET /api/v1/apps/old"]
    assert seen.state.apps["old"].archived
    assert seen.state.apps["old"].complete_sections == frozenset()
    assert "new" not in seen.state.apps
    assert "new" not in seen.errors
    assert ("new", None) in seen.read_at


async def test_an_app_known_only_by_its_children_is_read_like_any_other(plane: Plane) -> None:
    """The app must exist, so it is read, by either method."""
    plane.app("shop", "chat")
    seen = await _observe(plane, _declared("shop", Section.SLOTS, declared=False))
    assert [slot.capability for slot in seen.state.apps["shop"].slots] == ["chat"]


async def test_only_targets_of_a_suspended_app_are_read(plane: Plane) -> None:
    """An active suspension saves reads. An expired one has no effect."""
    for slug in ("on", "off"):
        plane.app(slug, "chat")
    on = _declared("on", *Section, suspension=Suspension(NOW + timedelta(hours=1)))
    off = _declared("off", Section.SLOTS, suspension=Suspension(NOW))
    plane.log()
    seen = await _observe(plane, on, off, concurrency=1)
    assert plane.log() == [
        "GET /api/v1/apps/off",
        "GET /api/v1/apps/on",
        "GET /api/v1/apps/off/slots",
        "GET /api/v1/apps/on/targets",
    ]
    assert seen.state.apps["on"].complete_sections == {Section.TARGETS}


async def test_an_empty_declaration_costs_no_request(plane: Plane) -> None:
    """An empty state costs no request."""
    plane.log()
    assert await _observe(plane) == Observation()
    assert plane.log() == []


async def test_a_failed_read_is_an_error_of_its_app_alone(plane: Plane) -> None:
    """The other apps are complete. The failed one is neither in the state nor absent, and has its first error."""
    for slug in ("a", "b", "c"):
        plane.app(slug, "chat", target=f"com.{slug}", config={})
    plane.break_with(
        {"operation": "apps.list_targets", "slug": "b", "action": "html", "status": 200, "times": None},
        {"operation": "apps.list_slots", "slug": "b", "action": "cut", "times": None},
        {"operation": "apps.get_inference_config", "slug": "b", "action": "status", "status": 500, "times": None},
    )
    seen = await _observe(plane, *(_declared(slug, *Section) for slug in ("a", "b", "c")), attempts=2)
    assert set(seen.state.apps) == {"a", "c"}
    assert set(seen.errors) == {"b"}
    assert isinstance(seen.errors["b"], Unreadable)


async def test_an_app_that_vanishes_during_the_reads_is_an_error(plane: Plane) -> None:
    """An app that vanishes between the reads of the app and its slots is an error."""
    plane.app("shop", "chat")
    plane.app("other")
    plane.break_with(
        {"operation": "apps.list_slots", "action": "status", "status": 404, "code": "app_not_found", "times": None}
    )
    seen = await _observe(plane, _declared("shop", Section.SLOTS), _declared("other"))
    assert seen.errors["shop"].reference == "app-not-found"
    assert set(seen.state.apps) == {"other"}


@pytest.mark.parametrize("count", [3, 8])
async def test_a_refused_key_is_reported_once(count: int) -> None:
    """A 401 concerns every app alike: one error, no copies, and no further requests."""
    with running_server(ServerSettings(tokens=(Token("ana", "another-key"),))) as server:
        async with client_of(server.url, concurrency=2) as client:
            with pytest.raises(CredentialRefused):
                await observe(
                    client, State.from_apps(*(_declared(f"app-{number}", *Section) for number in range(count)))
                )
            assert client.requests <= 2


@pytest.mark.parametrize(("code", "kind"), [("insufficient_scope", Forbidden), ("missing_org_context", Forbidden)])
async def test_a_forbidden_read_is_reported_once(code: str, kind: type[RemoteError]) -> None:
    """A key that may not read a section of one app may not read it of any app."""
    async with (
        scripted_server(json_reply({"error": {"code": code, "message": "no"}}, 403)) as server,
        client_of(server.url) as client,
    ):
        with pytest.raises(kind):
            await observe(client, State.from_apps(_declared("a"), _declared("b")))


async def test_an_outage_is_reported_once() -> None:
    """If the connection is refused, or every response fails, the run ends with exit 75 and one error."""
    async with (
        scripted_server(json_reply({"detail": "boom"}, 503)) as server,
        client_of(server.url, attempts=2) as client,
    ):
        with pytest.raises(Unavailable, match="unavailable"):
            await observe(client, State.from_apps(_declared("a"), _declared("b")))
        assert len(server.received) == 4
    async with client_of(server.url, attempts=2) as client:
        with pytest.raises(Unavailable, match="connection-refused"):
            await observe(client, State.from_apps(_declared("a"), _declared("b")))


async def test_an_outage_in_the_middle_costs_a_few_requests(plane: Plane) -> None:
    """If apps can be listed and everything else fails, reading stops instead of retrying each of 40 reads."""
    slugs = [f"app-{number}" for number in range(40)]
    for slug in slugs:
        plane.app(slug, "chat")
    plane.break_with({"operation": "apps.list_slots", "action": "status", "status": 503, "times": 1000})
    async with client_of(plane.url, attempts=2, concurrency=1) as client:
        with pytest.raises(Unavailable, match="unavailable"):
            await observe(client, State.from_apps(*(_declared(slug, Section.SLOTS) for slug in slugs)))
        assert client.requests == 1 + 10 * 2


async def test_a_wrong_path_is_reported_once(plane: Plane) -> None:
    """A route that the control plane lacks is not tried for all forty apps."""
    for number in range(6):
        plane.app(f"app-{number}", "chat")
    contract = Contract().overridden(operations={"apps.list_slots": {"path": "/application/{slug}/slots"}})
    connection = connection_to(plane.url, attempts=2, concurrency=1)
    async with Octomil(connection, contract) as client:
        with pytest.raises(Unavailable, match="unknown-route"):
            await observe(client, State.from_apps(*(_declared(f"app-{number}", Section.SLOTS) for number in range(6))))
        assert client.requests == 3


async def test_an_org_other_than_the_configured_one_stops_everything() -> None:
    """A key of another org returns the apps of that org, and nothing is planned from them."""
    async with (
        scripted_server(json_reply({"slug": "a", "name": "A", "org_id": "org-2"})) as server,
        client_of(server.url, org="org-1") as client,
    ):
        with pytest.raises(RemoteError) as wrong:
            await observe(client, State.from_apps(_declared("a", *Section)))
        assert len(server.received) == 1
    assert wrong.value.reference == "wrong-org"
    assert "org-1" in wrong.value.message
    assert "org-2" in wrong.value.message


async def test_responses_of_different_orgs_stop_everything() -> None:
    """Two orgs in one observation are an error. A response without an org is accepted."""
    slot = {"capability": "chat", "serving_policy": "local_first", "bindings": []}
    app, slots = json_reply({"slug": "a", "name": "A", "org_id": "org-1"}), json_reply([{**slot, "org_id": "org-2"}])
    async with scripted_server(app, slots) as server, client_of(server.url) as client:
        with pytest.raises(RemoteError, match="mixed-orgs"):
            await observe(client, State.from_apps(_declared("a", Section.SLOTS)))
    async with scripted_server(app, json_reply([slot])) as server, client_of(server.url, org="org-1") as client:
        assert (await observe(client, State.from_apps(_declared("a", Section.SLOTS)))).org_id == "org-1"


async def test_an_app_that_a_list_summarises_is_read_by_slug(plane: Plane) -> None:
    """If a list omits names or declared descriptions, the apps are read by slug."""
    for number in range(6):
        plane.app(f"app-{number}")
        plane.send("PATCH", f"/apps/app-{number}", {"description": "d"})
    for left_out in ("name", "description"):
        desired = [App(slug=f"app-{number}", fields={left_out: "x"}) for number in range(6)]
        plane.break_with({"operation": "apps.list", "action": "drop_answer_field", "field": f"apps.{left_out}"})
        plane.log()
        seen = await _observe(plane, *desired)
        assert [app.fields["name"] for app in seen.state] == [f"App-{number}" for number in range(6)]
        assert {app.fields["description"] for app in seen.state} == {"d"}
        assert len(plane.log()) == 7


async def test_an_app_without_its_declared_name_is_unreadable(plane: Plane) -> None:
    """A missing name is a failed read, not a difference. If the name is not declared, it is not needed."""
    plane.app("a")
    plane.app("b")
    plane.break_with({"operation": "apps.get", "action": "drop_answer_field", "field": "name", "times": None})
    seen = await _observe(plane, _declared("a"), App(slug="b"))
    assert [(slug, error.reference) for slug, error in seen.errors.items()] == [("a", "unreadable-answer")]
    assert "field name is missing (apps.get" in seen.errors["a"].message
    assert [app.slug for app in seen.state] == ["b"]


async def test_progress_counts_every_read(plane: Plane) -> None:
    """Every read is counted when it ends, failed ones included, and at the end all expected reads are done."""
    plane.app("a", "chat", config={})
    plane.app("b", "chat", config={})
    plane.break_with({"operation": "apps.list_slots", "slug": "b", "action": "garbage", "times": None})
    steps: list[tuple[int, int]] = []
    async with client_of(plane.url) as client:
        desired = State.from_apps(_declared("a", *Section), _declared("b", *Section))
        seen = await observe(client, desired, progress=lambda done, expected: steps.append((done, expected)))
    assert set(seen.errors) == {"b"}
    assert [done for done, _ in steps] == list(range(1, 9))
    assert steps[-1] == (8, 8)


def test_response_times_do_not_change_the_observation() -> None:
    """However long each response takes, the observation is the same except for its times, even with a failing app."""

    def delayed_responses(rng: random.Random) -> httpx.MockTransport:
        async def handle(request: httpx.Request) -> httpx.Response:
            await asyncio.sleep(rng.uniform(0, 5))
            path = request.url.path.removeprefix("/api/v1/apps")
            if path == "":
                return httpx.Response(200, json=[{"slug": f"app-{number}"} for number in range(9)])
            if path == "/app-3/slots":
                return httpx.Response(400, json={"code": "odd", "message": "no"})
            if path.endswith("/slots"):
                return httpx.Response(
                    200, json={"slots": [{"capability": "vision"}, {"capability": "chat"}], "total": 2}
                )
            if path.endswith("/targets"):
                return httpx.Response(200, json=[])
            return httpx.Response(404, json={"code": "app_not_found", "message": path})

        return httpx.MockTransport(handle)

    def seen(seed: int) -> str:
        async def main() -> Observation:
            transport = delayed_responses(random.Random(seed))  # noqa: S311 — an order of responses, no secret
            connection = Connection(url="https://api.octomil.com", concurrency=1 + seed)
            async with Octomil(connection, rate=RateOptions(clock=virtual_clock), transport=transport) as client:
                sections = (Section.TARGETS, Section.SLOTS)
                return await observe(client, State.from_apps(*(_declared(f"app-{n}", *sections) for n in range(12))))

        observation = run_in_virtual_time(main())
        errors = {slug: str(error) for slug, error in observation.errors.items()}
        times = list(observation.read_at)
        return repr((observation.state, errors, observation.unmanaged, observation.requests, times))

    assert len({seen(seed) for seed in range(6)}) == 1


def test_a_read_has_the_time_at_which_it_was_sent() -> None:
    """A read that waited for the rate limit has its time of sending, so that apply does not read again needlessly."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/slots"):
            return httpx.Response(200, json=[])
        slug = request.url.path.rpartition("/")[2]
        return httpx.Response(200, json={"slug": slug, "name": slug})

    async def main() -> Observation:
        connection = Connection(url="https://api.octomil.com", requests_per_minute=1)
        async with Octomil(
            connection, rate=RateOptions(clock=virtual_clock), transport=httpx.MockTransport(handle)
        ) as client:
            return await observe(client, State.from_apps(_declared("a", Section.SLOTS)))

    times = run_in_virtual_time(main()).read_at
    assert times["a", None] == 0.0
    assert times["a", Section.SLOTS] >= 60.0


async def test_the_key_is_in_no_observation(plane: Plane) -> None:
    """Neither an observation nor its errors contain the key."""
    plane.app("a", "chat")
    plane.break_with(
        {"operation": "apps.list_slots", "action": "status", "status": 400, "message": f"no {KEY}", "times": None}
    )
    seen = await _observe(plane, _declared("a", Section.SLOTS))
    assert KEY not in f"{seen!r} {[str(error) for error in seen.errors.values()]}"
