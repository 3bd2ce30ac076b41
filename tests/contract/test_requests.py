"""The models of requests and responses match what is really sent and needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import httpx
import pytest
from pydantic import BaseModel
from tests.support.action_cases import CASES, populate
from tests.support.harness import Harness, open_harness

from octosync.apply import FirstApp
from octosync.cli.root import octosync
from octosync.contract import APP, OPERATIONS, SLOT
from octosync.contract.openapi.schemas import fields_of_model
from octosync.contract.requests import EXCHANGES, AppBody, AppChangeBody, BootstrapBody, RequestBody, SlotBody
from octosync.contract.responses import WireApp, WireSlot
from octosync.manifest.schema.models import APP_WIRE_NAMES, SLOT_WIRE_NAMES
from octosync.octomil import Octomil
from octosync.server import response_models
from octosync.server.handlers.apps import CreateAppRequest, UpdateAppRequest
from octosync.server.handlers.slots import PutSlotRequest
from octosync.server.middleware import find_operation


class _Recorder(httpx.AsyncBaseTransport):
    """A transport that records every request."""

    def __init__(self, requests: list[httpx.Request]) -> None:
        self._requests = requests
        self._inner = httpx.AsyncHTTPTransport(verify=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._requests.append(request)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Recorded(Harness):
    """A harness that records the requests of its clients."""

    requests: list[httpx.Request]

    def client(self, transport: httpx.AsyncBaseTransport | None = None, **settings: object) -> Octomil:
        return super().client(transport or _Recorder(self.requests), **settings)


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[_Recorded]:
    with open_harness(tmp_path) as plain:
        harness = _Recorded(plain.plane, plain.journal)
        harness.requests = []
        yield harness


def _checked_operations(requests: list[httpx.Request]) -> set[str]:
    """Compare each request with the exchange of its operation. Return the ids of the operations."""
    ids = set()
    for request in requests:
        id_, _ = find_operation(request.method, request.url.path)
        assert id_ is not None
        exchange = EXCHANGES[id_]
        assert set(request.url.params) <= {*exchange.query, "org_id"}, id_
        if exchange.body is not None:
            exchange.body.model_validate_json(request.content)
        else:
            assert bool(request.content) is exchange.any_body, id_
        ids.add(id_)
    return ids


def test_every_operation_has_an_exchange() -> None:
    """Both parts of the operation table have the same rows, each with its commands."""
    assert EXCHANGES.keys() == OPERATIONS.keys()
    with click.Context(octosync) as context:
        commands = set(octosync.list_commands(context))
    assert all(exchange.by and commands.issuperset(exchange.by) for exchange in EXCHANGES.values())


def test_a_bootstrap_matches_the_table() -> None:
    """The only write that is not part of a plan has the documented body, too."""
    first = FirstApp(slug="a", name="A", platform="ios", identifier="com.a")
    BootstrapBody.model_validate(first.body)


async def test_requests_match_the_table(harness: _Recorded) -> None:
    """Every request of a plan and an apply of every kind of action has the parameters and the body of the table.

    The commands that the table names for an operation are those that send it.
    """
    desired = populate(harness.plane)
    reviewed = await harness.review(*desired)
    planned = _checked_operations(harness.requests)
    harness.requests.clear()
    await harness.apply(reviewed)
    applied = _checked_operations(harness.requests)
    assert {id_ for id_ in planned if "plan" not in EXCHANGES[id_].by} == set()
    assert {id_ for id_ in applied if "apply" not in EXCHANGES[id_].by} == set()
    writes = {id_ for id_, exchange in EXCHANGES.items() if exchange.by == ("apply",)}
    assert writes - {"apps.delete_inference_config"} <= applied


@pytest.mark.parametrize("kind", CASES)
async def test_each_kind_of_action_matches_the_table(harness: _Recorded, kind: str) -> None:
    """Each kind of action on its own: a new slot and a changed slot, a new config and a changed config."""
    case = CASES[kind]
    case.prepare(harness.plane)
    await harness.reconcile(case.desired)
    assert case.operation in _checked_operations(harness.requests)


@pytest.mark.parametrize("body", RequestBody.__subclasses__())
def test_a_body_has_the_required_and_optional_fields_of_its_model(body: type[RequestBody]) -> None:
    """The fields of a body are those of its model. Required fields are those without a default."""
    parts = fields_of_model(body)
    assert parts.keys() == body.model_fields.keys()
    assert {name for name, part in parts.items() if part.needed} == {
        name for name, field in body.model_fields.items() if field.is_required()
    }
    assert all(part.types for part in parts.values())


APP_MODELS = (AppBody, AppChangeBody, WireApp, response_models.App, CreateAppRequest, UpdateAppRequest)
SLOT_MODELS = (SlotBody, WireSlot, response_models.Slot, PutSlotRequest)


@pytest.mark.parametrize("model", [*APP_MODELS, *SLOT_MODELS])
def test_every_model_has_the_writable_fields(model: type[BaseModel]) -> None:
    """A field that manifests may declare is in all models of its object's requests and responses."""
    shape = SLOT if model in SLOT_MODELS else APP
    assert set(shape.writable) - model.model_fields.keys() == set()


def test_manifests_declare_the_writable_fields() -> None:
    """Manifests have a key for each field of an app or a slot that can be sent, and for no other."""
    assert set(APP_WIRE_NAMES.values()) == set(APP.writable)
    assert set(SLOT_WIRE_NAMES.values()) == set(SLOT.writable)
