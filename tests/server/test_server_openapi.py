from __future__ import annotations

import json
import re
from typing import Any

from jsonschema import Draft202012Validator
from tests.support.embedded_planes import EmbeddedPlane, ok

from octosync.contract import OPERATIONS
from octosync.server.app import HANDLERS
from octosync.server.middleware import PREFIX, find_operation


def document_of(plane: EmbeddedPlane) -> Any:
    """Fetch the control plane's OpenAPI document."""
    return ok(plane.api.get(plane.running.url + "/openapi.json"))


def test_every_operation_of_the_contract_is_served() -> None:
    """There is a handler for each operation of the table, and no other."""
    assert HANDLERS.keys() == OPERATIONS.keys()
    assert len(HANDLERS) == 28


def test_the_document_has_exactly_the_contracts_operations(plane: EmbeddedPlane) -> None:
    """`/openapi.json` has each operation id at the table's method and path, and no other."""
    served = {
        (operation["operationId"], method.upper(), path)
        for path, methods in document_of(plane)["paths"].items()
        for method, operation in methods.items()
    }
    assert served == {(operation.id, operation.method, PREFIX + operation.path) for operation in OPERATIONS.values()}


def test_every_reference_of_the_document_leads_somewhere(plane: EmbeddedPlane) -> None:
    """Request bodies, responses and errors are described, and no schema is missing; the document is always the same."""
    document = document_of(plane)
    referenced = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert referenced <= document["components"]["schemas"].keys()
    assert document_of(plane) == document
    put_slot = document["paths"]["/api/v1/apps/{slug}/slots/{capability}"]["put"]
    assert put_slot["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/PutSlotRequest")
    assert put_slot["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Slot")
    assert [parameter["name"] for parameter in put_slot["parameters"]] == ["slug", "capability", "org_id"]


def test_a_request_is_matched_to_its_operation_by_the_table() -> None:
    """Each operation's URL leads to it, with its parameters; a slug never shadows a fixed path."""
    values = {"slug": "a/b", "capability": "chat", "target_id": "tgt_1"}
    for operation in OPERATIONS.values():
        id_, parameters = find_operation(operation.method, PREFIX + operation.url(values))
        assert id_ == operation.id
        assert parameters.items() <= values.items()
    assert find_operation("GET", "/apps") == (None, {})
    assert find_operation("GET", f"{PREFIX}/apps/") == (None, {})
    assert find_operation("TRACE", f"{PREFIX}/apps") == (None, {})


REFUSED: list[tuple[str, dict[str, str], Any]] = [
    ("apps.create", {}, {"slug": "Upper", "name": "A"}),
    ("apps.create", {}, {"slug": "b", "name": "\x1b[2J"}),
    ("apps.create", {}, {"slug": "b", "name": "B", "description": "\x00"}),
    ("apps.update", {}, {"name": "\x7f"}),
    ("apps.create_target", {}, {"platform": "tvos", "identifier": "com.b"}),
    ("apps.create_target", {}, {"platform": "ios", "identifier": "\x85"}),
    ("apps.bootstrap", {}, {"slug": "b", "name": "B", "platform": "tvos", "identifier": "com.b"}),
    ("apps.put_slot", {}, {"tier": "gold"}),
    ("apps.put_slot", {}, {"preferred_engines": [""]}),
    ("apps.put_slot", {}, {"bindings": [{"a": ["\x01"]}]}),
    ("apps.put_slot", {}, {"bindings": [{"\x01": 1}]}),
    ("apps.put_inference_config", {}, {"a": {"b": "\x01"}}),
    ("apps.put_slot", {"capability": "Chat"}, {}),
    ("apps.delete_slot", {"capability": "a b"}, None),
    ("apps.capabilities.enable", {"capability": "x" * 65}, {}),
]
ACCEPTED: list[tuple[str, dict[str, str], Any]] = [
    ("apps.create", {}, {"slug": "b", "name": "tab\tand\nline"}),
    ("apps.create_target", {}, {"platform": "ios", "identifier": "com.b"}),
    ("apps.put_slot", {}, {"bindings": [{"a": [1, None, {"b": True}]}], "preferred_engines": ["mlx"]}),
    ("apps.put_inference_config", {}, {"a": {"b": [1.5, "x"]}}),
]


def _is_valid(document: Any, operation: str, parameters: dict[str, str], body: Any) -> bool:
    """Return whether a request is valid by the document."""
    at = OPERATIONS[operation]
    described = document["paths"][PREFIX + at.path][at.method.lower()]
    shapes = {parameter["name"]: parameter["schema"] for parameter in described["parameters"]}
    pairs = [(value, shapes[name]) for name, value in parameters.items()]
    if body is not None:
        pairs.append((body, described["requestBody"]["content"]["application/json"]["schema"]))
    components = {"components": document["components"]}
    return all(Draft202012Validator({**shape, **components}).is_valid(value) for value, shape in pairs)


def test_what_the_document_allows_is_what_the_server_takes(plane: EmbeddedPlane) -> None:
    """Control characters, platforms, names of capabilities and unknown fields: the document forbids exactly what is refused."""
    plane.with_app("a")
    document = document_of(plane)
    for operation, changed, body in (*REFUSED, *ACCEPTED):
        at = OPERATIONS[operation]
        valid = _is_valid(document, operation, changed, body)
        url = at.url({"slug": "a", "capability": "chat", "target_id": "t", **changed})
        answer = plane.api.request(at.method, url, json=body)
        assert valid == (answer.status_code != 422) == ((operation, changed, body) in ACCEPTED), (operation, body)
    ok(plane.local.put("/policy", json={"platforms": ["tvos"], "slot_fields": ["tier"]}))
    document = document_of(plane)
    assert _is_valid(document, "apps.create_target", {}, {"platform": "tvos", "identifier": "com.b"})
    assert _is_valid(document, "apps.put_slot", {}, {"tier": "gold"})


def test_a_method_that_a_path_does_not_have_is_told_all_that_it_has(plane: EmbeddedPlane) -> None:
    """`Allow` of a 405 lists the methods of every operation of the path."""
    for path, allowed in (
        ("/apps", "GET, POST"),
        ("/apps/a", "GET, PATCH"),
        ("/apps/a/slots/chat", "DELETE, GET, PUT"),
        ("/apps/a/inference-config", "DELETE, GET, PUT"),
        ("/apps/a/archive", "POST"),
    ):
        answer = plane.api.request("TRACE", path)
        assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
        assert answer.json() == {"detail": "Method Not Allowed"}
    assert plane.local.patch("/faults").headers["Allow"] == "DELETE, GET, PUT"
