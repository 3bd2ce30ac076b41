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

from octosync.contract import READ_BY_GET, Contract
from octosync.contract.probe import ProbeResult, Verdict, overrides_of
from octosync.contract.requests import EXCHANGES
from octosync.errors import CredentialRefused, OctosyncError, RemoteError
from octosync.octomil import Connection, Octomil, probe_reads
from octosync.octomil.probe import MAX_GETS
from octosync.server import ServerSettings, running_server

NOT_FOUND = {"error": {"code": "app_not_found", "message": "No such app"}}


@contextmanager
def renamed(**changes: Any) -> Iterator[tuple[Plane, RenamedApi]]:
    """Run a control plane with an app, behind a proxy that renames paths."""
    with running_server(ServerSettings()) as server, httpx.Client(base_url=server.url, verify=False) as http:  # noqa: S501  loopback
        plane = Plane(server.url, http)
        plane.app("a", "chat", target="com.a", config={"model": "m"})
        plane.catalog(good=1)
        plane.deploy("a")
        plane.log()
        yield plane, rename(server, **changes)


async def run_probe(plane: Plane, app: str | None = None, *only: str, **settings: Any) -> ProbeResult:
    """Return the probe of a control plane."""
    async with client_of(plane.url, **{"attempts": 1, **settings}) as client:
        return await probe_reads(client, app, only)


def verdicts(probe: ProbeResult) -> dict[str, str]:
    """Return the verdict of every operation with a problem."""
    return {
        operation.operation.id: operation.verdict.value
        for operation in probe.operations
        if not operation.verdict.is_good
    }


def notes(probe: ProbeResult, id_: str) -> tuple[str, ...]:
    """Return the notes of an operation."""
    return next(operation.notes for operation in probe.operations if operation.operation.id == id_)


async def test_our_own_server_is_confirmed(plane: Plane) -> None:
    """All operations that ten GETs reach are confirmed, with the first app of the list. The others have a reason."""
    plane.app("b", "chat", target="com.b")
    plane.app("a", "chat", target="com.a", config={"model": "m"})
    plane.log()
    result = await run_probe(plane)
    log = plane.log()
    assert (result.app, result.is_good, result.requests) == ("a", True, MAX_GETS)
    assert len(log) == MAX_GETS
    assert all(line.startswith("GET ") for line in log)
    by_verdict = {
        verdict: {operation.operation.id for operation in result.operations if operation.verdict is verdict}
        for verdict in Verdict
    }
    assert len(by_verdict[Verdict.CONFIRMED]) == MAX_GETS
    assert {"apps.capabilities.preview", "apps.capabilities.check_optimization"} < by_verdict[Verdict.NOT_TRIED]
    assert "a probe sends only GET requests" in notes(result, "apps.capabilities.preview")[0]
    assert "--operation activity.list tries it" in notes(result, "activity.list")[0]


@pytest.mark.parametrize("id_", READ_BY_GET)
async def test_each_operation_can_be_probed_alone(id_: str) -> None:
    """A single operation costs its own request and those that it needs, and is confirmed."""
    with renamed() as (plane, proxy):
        result = await run_probe(plane, None, id_)
    assert (
        next(operation.verdict for operation in result.operations if operation.operation.id == id_) is Verdict.CONFIRMED
    )
    assert result.requests == len(proxy.requests) <= 3
    assert result.is_good


async def test_an_empty_control_plane_leaves_most_operations_untried(plane: Plane) -> None:
    """Without an app, the operations on apps are not tried, with the reason. That is not a failure."""
    result = await run_probe(plane)
    assert result.is_good
    assert result.requests == 3
    assert notes(result, "apps.health") == ("the list of apps is empty: name an app",)
    assert "empty" in notes(result, "apps.list")[0]


async def test_an_app_without_slots_leaves_slot_operations_untried(plane: Plane) -> None:
    """An operation on a slot is not tried if the app has none. The response for an app without a config is noted."""
    plane.app("a")
    result = await run_probe(plane, "a")
    assert result.is_good
    assert notes(result, "apps.get_slot") == ("the app has no slots",)
    assert "no inference config" in notes(result, "apps.get_inference_config")[0]


@pytest.mark.parametrize("status", [403, 500])
async def test_an_unreadable_list_is_not_reported_as_empty(status: int) -> None:
    """If a list fails, that is the reason for the operations that need it, never "no app" or "no slot"."""
    with renamed(statuses={"/apps/a/slots": (status, {})}) as (plane, _):
        slots = await run_probe(plane)
    with renamed(statuses={"/api/v1/apps": (status, {})}) as (plane, _):
        apps = await run_probe(plane)
    assert notes(slots, "apps.get_slot") == ("the app's slots were not read",)
    assert notes(apps, "apps.get") == ("the list of apps was not read: name an app",)


async def test_five_renames_are_distinguished() -> None:
    """Another path, field, envelope or id and a missing operation are reported with different verdicts and notes."""
    changes = {
        "paths": {"/apps/a/slots": "/apps/a/capability-slots"},
        "answers": {
            "/targets": fields(identifier="bundle_id", id="target_id"),
            "/apps/a/deployments": envelope(deployments="items"),
        },
        "statuses": {"/routing/stats": (404, {"detail": "Not Found"})},
    }
    with renamed(**changes) as (plane, proxy):
        result = await run_probe(plane, "a")
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
    assert len(proxy.requests) == result.requests == MAX_GETS
    assert {line.split()[0] for line in proxy.requests} == {"GET"}
    overrides, incomplete = overrides_of(result, Contract())
    assert overrides is not None
    assert overrides.operations == {
        "apps.list_slots": {"path": "/apps/{slug}/capability-slots"},
        "apps.routing_stats": {"path": "/apps/{slug}/routing/…"},
    }
    assert incomplete == {"apps.routing_stats"}


async def test_the_suggested_override_confirms_the_operation() -> None:
    """With the suggested overrides, the same probe confirms the operation."""
    with renamed(paths={"/inference-config": "/inference_config"}) as (plane, _):
        first = await run_probe(plane, "a")
        overrides, _ = overrides_of(first, Contract())
        assert overrides is not None
        contract = Contract().overridden(operations=overrides.operations)
        async with Octomil(Connection(url=plane.url, attempts=1), contract) as client:
            assert (await probe_reads(client, "a")).is_good
    assert verdicts(first) == {"apps.get_inference_config": "differs"}


async def test_a_probe_does_not_change_the_contract_of_the_client() -> None:
    """Trying other paths for an operation leaves the client unchanged."""
    with renamed(statuses={"/health": (404, {"detail": "Not Found"})}) as (plane, _):
        async with client_of(plane.url, attempts=1) as client:
            await probe_reads(client, "a", ("apps.health",))
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
async def test_each_kind_of_response_has_its_verdict(status: int, body: Any, verdict: str) -> None:
    """Each kind of response has its verdict. A 404 of an existing app does not mean that the operation is absent."""
    with renamed(statuses={"/health": (status, body)}) as (plane, proxy):
        result = await run_probe(plane, "a")
    assert verdicts(result) == {"apps.health": verdict}
    assert notes(result, "apps.health")
    assert len(proxy.requests) == result.requests <= MAX_GETS


async def test_a_listed_slot_that_is_missing_differs() -> None:
    """A 404 for a listed slot is a difference, and so is the response for another slot."""
    missing = {"error": {"code": "capability_not_configured", "message": "no"}}
    with renamed(statuses={"/slots/chat": (404, missing)}) as (plane, _):
        assert verdicts(await run_probe(plane, "a")) == {"apps.get_slot": "differs"}
    with renamed(answers={"/slots/chat": lambda body: {**body, "capability": "vision"}}) as (plane, _):
        assert notes(await run_probe(plane, "a"), "apps.get_slot") == (
            "it returned another capability than the requested one",
        )


async def test_a_missing_app_is_an_error(plane: Plane) -> None:
    """A wrong slug is an error, not a verdict on the operations."""
    with pytest.raises(OctosyncError, match="the org has no app nope") as caught:
        await run_probe(plane, "nope")
    assert caught.value.reference == "no-such-app"
    with pytest.raises(OctosyncError, match="the org has no app nope"):
        await run_probe(plane, "nope", "apps.health")


async def test_a_refused_key_ends_the_probe() -> None:
    """If the key is rejected at first, there is only one request."""
    refused = (401, {"error": {"code": "invalid_api_key", "message": "no"}})
    with renamed(statuses={"": refused}) as (plane, proxy), pytest.raises(CredentialRefused):
        await run_probe(plane)
    assert len(proxy.requests) == 1


async def test_nothing_is_sent_after_a_throttled_request() -> None:
    """A control plane that throttles gets no further requests. The operations that were not tried have that reason."""
    with renamed(statuses={"/slots": (429, {})}) as (plane, proxy):
        result = await run_probe(plane, "a")
    assert result.requests == len(proxy.requests) == 4
    assert notes(result, "apps.health") == ("nothing more was sent after a request that was throttled",)
    with renamed(statuses={"/apps": (429, {})}) as (plane, _), pytest.raises(RemoteError):
        await run_probe(plane)


@pytest.mark.parametrize("id_", [id_ for id_ in READ_BY_GET if EXCHANGES[id_].response is not None])
async def test_every_required_field_is_checked(id_: str) -> None:
    """For each operation, each field that octosync needs is reported if the response lacks it."""
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
            result = await run_probe(plane, "a", id_)
        assert verdicts(result) == {id_: "differs"}, name
        assert any(name in note for note in notes(result, id_))


async def test_a_client_with_retries_cannot_probe(plane: Plane) -> None:
    """A probe sends ten GETs at most, so a client that would retry is refused."""
    async with client_of(plane.url) as client:
        with pytest.raises(ValueError, match="attempts=1"):
            await probe_reads(client, None)
