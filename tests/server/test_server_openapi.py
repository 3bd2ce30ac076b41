from __future__ import annotations

import json
import re
from typing import Any

from tests.support.planes import Served, ok

from octosync.contract import OPERATIONS
from octosync.server.app import HANDLERS
from octosync.server.routes import PREFIX, operation_at


def document_of(plane: Served) -> Any:
    """Fetch the plane's OpenAPI document."""
    return ok(plane.api.get(plane.running.url + "/openapi.json"))


def test_every_operation_of_the_contract_is_served() -> None:
    """There is a handler for each of the table's operations, and none beyond it."""
    assert HANDLERS.keys() == OPERATIONS.keys()
    assert len(HANDLERS) == 28


def test_the_document_has_exactly_the_contracts_operations(plane: Served) -> None:
    """`/openapi.json` carries each operation id at the table's method and path, and nothing else."""
    served = {
        (operation["operationId"], method.upper(), path)
        for path, methods in document_of(plane)["paths"].items()
        for method, operation in methods.items()
    }
    assert served == {(one.id, one.method, PREFIX + one.path) for one in OPERATIONS.values()}


def test_every_reference_of_the_document_leads_somewhere(plane: Served) -> None:
    """Request bodies, answers and errors are described, and no schema is missing; asking twice gives the same."""
    document = document_of(plane)
    referenced = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert referenced <= document["components"]["schemas"].keys()
    assert document_of(plane) == document
    put_slot = document["paths"]["/api/v1/apps/{slug}/slots/{capability}"]["put"]
    assert put_slot["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/PutSlotRequest")
    assert put_slot["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Slot")
    assert [parameter["name"] for parameter in put_slot["parameters"]] == ["slug", "capability", "org_id"]


def test_a_request_is_matched_to_its_operation_by_the_table() -> None:
    """Each operation's own URL leads to it, with its parameters; a slug never shadows a fixed path."""
    values = {"slug": "a/b", "capability": "chat", "target_id": "tgt_1"}
    for operation in OPERATIONS.values():
        id_, parameters = operation_at(operation.method, PREFIX + operation.url(values))
        assert id_ == operation.id
        assert parameters.items() <= values.items()
    assert operation_at("GET", "/apps") == (None, {})
    assert operation_at("GET", f"{PREFIX}/apps/") == (None, {})
    assert operation_at("TRACE", f"{PREFIX}/apps") == (None, {})
