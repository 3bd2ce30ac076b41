"""The probe of the read operations: at most ten GETs, each with the verdict confirmed, differs, refused or absent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from tests.support.clients import client_of
from tests.support.plane import Plane
from tests.support.renamed_api import RenamedApi, envelope, fields, rename

from octosync.contract import Contract
from octosync.contract.probe import ProbeResult, Verdict, overrides_of
from octosync.contract.requests import EXCHANGES
from octosync.errors import CredentialRefused, OctosyncError, RemoteError
from octosync.octomil import PROBED_BY_GET, Connection, Octomil, probe
from octosync.octomil.probe import MAX_GETS
from octosync.server import ServerSettings, running_server

NOT_FOUND = {"error": {"code": "app_not_found", "message": "No such app"}}


@contextmanager
def renamed(**changes: Any) -> Iterator[tuple[Plane, RenamedApi]]:
    """Run a control plane with an app, behind a proxy that renames paths."""
    with running_server(ServerSettings()) as server, httpx.Client(base_url=server.url) as http:
        plane = Plane(server.url, http)
        plane.app("a", "chat", target="com.a", config={"model": "m"})
        plane.catalog(good=1)
        plane.deploy("a")
        plane.log()
        yield plane, rename(server, **changes)


async def probed(plane: Plane, app: str | None = None, *only: str, **settings: Any) -> ProbeResult:
    """Probe a control plane."""
    async with client_of(plane.url, **{"attempts": 1, **settings}) as client:
        return await probe(client, app, only)


def verdicts(probe: ProbeResult) -> dict[str, str]:
    """Return the verdict of every operation with a problem."""
    return {probed.operation.id: probed.verdict.value for probed in probe.operations if not probed.verdict.is_good}


def notes(probe: ProbeResult, id_: str) -> tuple[str, ...]:
    """Return the notes of an operation."""
    return next(probed.notes for probed in probe.operations if probed.operation.id == id_)


async def test_our_own_server_is_confirmed(plane: Plane) -> None:
    """All operations that ten GETs reach are confirmed, with the first app of the list; the others have the reason why not."""
    plane.app("b", "chat", target="com.b")
    plane.app("a", "chat", target="com.a", config={"model": "m"})
    plane.log()
    result = await probed(plane)
    log = plane.log()
    assert (result.app, result.is_good, result.requests) == ("a", True, MAX_GETS)
    assert len(log) == MAX_GETS
    assert all(line.startswith("GET ") for line in log)
    by_verdict = {
        verdict: {probed.operation.id for probed in result.operations if probed.verdict is verdict}
        for verdict in Verdict
    }
    assert len(by_verdict[Verdict.CONFIRMED]) == MAX_GETS
    assert {"apps.capabilities.preview", "apps.capabilities.check_optimization"} < by_verdict[Verdict.NOT_TRIED]
    assert "a probe sends only GET requests" in notes(result, "apps.capabilities.preview")[0]
    assert "--operation activity.list tries it" in notes(result, "activity.list")[0]


@pytest.mark.parametrize("id_", PROBED_BY_GET)
async def test_each_operation_can_be_asked_for(id_: str) -> None:
    """A single operation takes its own request and those that it needs, and is confirmed."""
    with renamed() as (plane, there):
        result = await probed(plane, None, id_)
    assert next(probed.verdict for probed in result.operations if probed.operation.id == id_) is Verdict.CONFIRMED
    assert result.requests == len(there.requests) <= 3
    assert result.is_good


async def test_an_empty_control_plane_leaves_most_untried(plane: Plane) -> None:
    """Without an app, the operations on apps are not tried, with the reason; that is not a failure."""
    result = await probed(plane)
    assert result.is_good
    assert result.requests == 3
    assert notes(result, "apps.health") == ("the list of apps is empty: name an app",)
    assert "empty" in notes(result, "apps.list")[0]


async def test_an_app_without_slots_has_none_to_fetch(plane: Plane) -> None:
    """An operation on a slot is not tried if the app has none; the response for an app without a config is noted."""
    plane.app("a")
    result = await probed(plane, "a")
    assert result.is_good
    assert notes(result, "apps.get_slot") == ("the app has no slots",)
    assert "no inference config" in notes(result, "apps.get_inference_config")[0]


@pytest.mark.parametrize("status", [403, 500])
async def test_a_list_that_was_not_read_is_not_said_to_be_empty(status: int) -> None:
    """What needs a list that failed is not tried for that, never since there is no app, or no slot of it."""
    with renamed(statuses={"/apps/a/slots": (status, {})}) as (plane, _):
        slots = await probed(plane)
    with renamed(statuses={"/api/v1/apps": (status, {})}) as (plane, _):
        apps = await probed(plane)
    assert notes(slots, "apps.get_slot") == ("the app's slots were not read",)
    assert notes(apps, "apps.get") == ("the list of apps was not read: name an app",)


async def test_five_renames_are_told_apart() -> None:
    """Another path, field, envelope or id and a missing operation are reported with different verdicts and notes."""
    changes = {
        "paths": {"/apps/a/slots": "/apps/a/capability-slots"},
        "answers": {
            "/targets": fields(identifier="bundle_id", id="target_id"),
            "/apps/a/deployments": envelope(deployments="items"),
        },
        "statuses": {"/routing/stats": (404, {"detail": "Not Found"})},
    }
    with renamed(**changes) as (plane, there):
        result = await probed(plane, "a")
    assert verdicts(result) == {
        "apps.list_slots": "differs",
        "apps.list_targets": "differs",
        "apps.deployments": "differs",
        "apps.routing_stats": "absent",
    }
    assert notes(result, "apps.list_slots") == ("it is at /apps/{slug}/capability-slots",)
    assert notes(result, "apps.list_targets") == (
        "targets[].id is missing; it has bundle_id, created_at, target_id",
        "targets[].identifier is missing; it has bundle_id, created_at, target_id",
    )
    assert notes(result, "apps.deployments") == (
        "the list is in items, but octosync reads deployments, or a bare list",
    )
    assert len(there.requests) == result.requests == MAX_GETS
    assert {line.split()[0] for line in there.requests} == {"GET"}
    overrides, incomplete = overrides_of(result, Contract())
    assert overrides is not None
    assert overrides.operations == {
        "apps.list_slots": {"path": "/apps/{slug}/capability-slots"},
        "apps.routing_stats": {"path": "/apps/{slug}/routing/…"},
    }
    assert incomplete == {"apps.routing_stats"}


async def test_the_override_that_is_found_confirms_it() -> None:
    """With the suggested overrides, the same probe confirms the operation."""
    with renamed(paths={"/inference-config": "/inference_config"}) as (plane, _):
        first = await probed(plane, "a")
        overrides, _ = overrides_of(first, Contract())
        assert overrides is not None
        contract = Contract().overridden(operations=overrides.operations)
        async with Octomil(Connection(url=plane.url, attempts=1), contract) as client:
            assert (await probe(client, "a")).is_good
    assert verdicts(first) == {"apps.get_inference_config": "differs"}


async def test_the_clients_contract_is_what_it_was() -> None:
    """Looking for an operation elsewhere leaves the client as it was."""
    with renamed(statuses={"/health": (404, {"detail": "Not Found"})}) as (plane, _):
        async with client_of(plane.url, attempts=1) as client:
            await probe(client, "a", ("apps.health",))
            assert client.contract == Contract()


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (401, {"error": {"code": "invalid_api_key", "message": "no"}}, "refused"),
        (403, {"error": {"code": "insufficient_scope", "message": "no"}}, "refused"),
        (404, {"detail": "Not Found"}, "absent"),
        (404, {"whatever": 1}, "absent"),
        (404, NOT_FOUND, "differs"),
        (405, {"detail": "Method Not Allowed"}, "absent"),
        (501, {}, "absent"),
        (422, {"detail": [{"loc": ["query", "limit"], "msg": "too large"}]}, "differs"),
        (302, {}, "differs"),
        (200, [], "differs"),
        (200, None, "differs"),
        (500, {}, "failed"),
        (429, {}, "failed"),
    ],
)
async def test_an_answer_is_what_it_is(status: int, body: Any, verdict: str) -> None:
    """Each kind of answer has its verdict, and a 404 of an app that is there is not one of the operation."""
    with renamed(statuses={"/health": (status, body)}) as (plane, there):
        result = await probed(plane, "a")
    assert verdicts(result) == {"apps.health": verdict}
    assert notes(result, "apps.health")
    assert len(there.requests) == result.requests <= MAX_GETS


async def test_a_slot_that_is_listed_and_not_there_differs() -> None:
    """A slot's 404 after the list has shown it is a difference, and so is another slot's answer."""
    missing = {"error": {"code": "capability_not_configured", "message": "no"}}
    with renamed(statuses={"/slots/chat": (404, missing)}) as (plane, _):
        assert verdicts(await probed(plane, "a")) == {"apps.get_slot": "differs"}
    with renamed(answers={"/slots/chat": lambda body: {**body, "capability": "vision"}}) as (plane, _):
        assert notes(await probed(plane, "a"), "apps.get_slot") == (
            "it returned another capability than the requested one",
        )


async def test_an_app_that_is_not_there_is_an_error(plane: Plane) -> None:
    """A wrong slug is an error, not a verdict on the operations."""
    with pytest.raises(OctosyncError, match="the org has no app nope") as caught:
        await probed(plane, "nope")
    assert caught.value.reference == "no-such-app"
    with pytest.raises(OctosyncError, match="the org has no app nope"):
        await probed(plane, "nope", "apps.health")


async def test_a_refused_key_ends_it_at_once() -> None:
    """If the key is rejected from the beginning, there is only one request."""
    refused = (401, {"error": {"code": "invalid_api_key", "message": "no"}})
    with renamed(statuses={"": refused}) as (plane, there), pytest.raises(CredentialRefused):
        await probed(plane)
    assert len(there.requests) == 1


async def test_nothing_is_sent_after_a_throttled_request() -> None:
    """A control plane that throttles gets no further requests; the operations that were not tried have the reason."""
    with renamed(statuses={"/slots": (429, {})}) as (plane, there):
        result = await probed(plane, "a")
    assert result.requests == len(there.requests) == 4
    assert notes(result, "apps.health") == ("nothing more was sent after a request that was throttled",)
    with renamed(statuses={"/apps": (429, {})}) as (plane, _), pytest.raises(RemoteError):
        await probed(plane)


@pytest.mark.parametrize("id_", [id_ for id_ in PROBED_BY_GET if EXCHANGES[id_].response is not None])
async def test_every_needed_field_is_missed(id_: str) -> None:
    """Of each operation, each field that octosync needs is missed where the response lacks it."""
    exchange = EXCHANGES[id_]
    assert exchange.response is not None
    needed = {name for name, field in exchange.response.model_fields.items() if field.is_required()} | exchange.needed
    for name in needed:

        def without(body: Any, name: str = name) -> Any:
            if exchange.plural is None:
                return {key: value for key, value in body.items() if key != name}
            return fields(**{name: "other"})(body)

        path = Contract().operations[id_].path.format(slug="a", capability="chat")
        with renamed(answers={f"/api/v1{path}": without}) as (plane, _):
            plane.local(
                "POST",
                "/requests",
                {"app_slug": "a", "capability": "chat", "route": "local", "count": 1, "latency_ms": 1},
            )
            result = await probed(plane, "a", id_)
        assert verdicts(result) == {id_: "differs"}, name
        assert any(name in note for note in notes(result, id_))


async def test_a_client_that_sends_again_can_not_probe(plane: Plane) -> None:
    """Ten GETs are ten GETs: a client that would send one of them again is refused."""
    async with client_of(plane.url) as client:
        with pytest.raises(ValueError, match="attempts=1"):
            await probe(client, None)
