"""The models of requests and responses match what is really sent and needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import httpx
import pytest
from tests.support.action_cases import CASES, populate
from tests.support.harness import Harness, open_harness

from octosync.apply import FirstApp
from octosync.cli.root import octosync
from octosync.contract import OPERATIONS
from octosync.contract.openapi.schemas import fields_of_model
from octosync.contract.requests import EXCHANGES, BootstrapBody, RequestBody
from octosync.octomil import Octomil
from octosync.server.middleware import find_operation


class _Recorder(httpx.AsyncBaseTransport):
    """The way to the control plane, which keeps every request."""

    def __init__(self, kept: list[httpx.Request]) -> None:
        self._kept = kept
        self._inner = httpx.AsyncHTTPTransport(verify=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._kept.append(request)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Recorded(Harness):
    """A site whose clients' requests are kept."""

    kept: list[httpx.Request]

    def client(self, transport: httpx.AsyncBaseTransport | None = None, **settings: object) -> Octomil:
        return super().client(transport or _Recorder(self.kept), **settings)


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[_Recorded]:
    with open_harness(tmp_path) as plain:
        harness = _Recorded(plain.plane, plain.journal)
        harness.kept = []
        yield harness


def _held_to_the_table(requests: list[httpx.Request]) -> set[str]:
    """Check each request against its operation's exchange; return the operations' ids."""
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
    """Both halves of the operation table have the same rows, each with its commands."""
    assert EXCHANGES.keys() == OPERATIONS.keys()
    with click.Context(octosync) as context:
        commands = set(octosync.list_commands(context))
    assert all(exchange.by and commands.issuperset(exchange.by) for exchange in EXCHANGES.values())


def test_a_bootstrap_sends_what_the_table_says() -> None:
    """The one write that no plan has is held to its body, too."""
    first = FirstApp(slug="a", name="A", platform="ios", identifier="com.a")
    BootstrapBody.model_validate(first.body)


async def test_what_is_sent_is_what_the_table_says(harness: _Recorded) -> None:
    """Every request of a plan and an apply of every kind of action has the parameters and the body of the table.

    And the commands that the table names for an operation are those that send it.
    """
    desired = populate(harness.plane)
    turn = await harness.review(*desired)
    planned = _held_to_the_table(harness.kept)
    harness.kept.clear()
    await harness.apply(turn)
    applied = _held_to_the_table(harness.kept)
    assert {id_ for id_ in planned if "plan" not in EXCHANGES[id_].by} == set()
    assert {id_ for id_ in applied if "apply" not in EXCHANGES[id_].by} == set()
    writes = {id_ for id_, exchange in EXCHANGES.items() if exchange.by == ("apply",)}
    assert writes - {"apps.delete_inference_config"} <= applied


@pytest.mark.parametrize("kind", CASES)
async def test_each_kind_of_action_sends_what_the_table_says(harness: _Recorded, kind: str) -> None:
    """Each kind of action by itself, too: a first slot and a further exchange, a first config and a changed exchange."""
    case = CASES[kind]
    case.prepare(harness.plane)
    await harness.reconcile(case.desired)
    assert case.operation in _held_to_the_table(harness.kept)


@pytest.mark.parametrize("body", RequestBody.__subclasses__())
def test_a_body_has_what_is_always_sent_and_what_may_be(body: type[RequestBody]) -> None:
    """The fields of a body are its model's, the needed ones those without a default."""
    parts = fields_of_model(body)
    assert parts.keys() == body.model_fields.keys()
    assert {name for name, part in parts.items() if part.needed} == {
        name for name, field in body.model_fields.items() if field.is_required()
    }
    assert all(part.types for part in parts.values())
