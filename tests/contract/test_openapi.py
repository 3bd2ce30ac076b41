"""OpenAPI documents compared with the contract: our own server's document agrees, and every deviation is found and named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.openapi import compare_document, findings_by_operation, move, operation_in, own_document, schema_in

from octosync.contract import Contract
from octosync.contract.openapi import Conformance, read_document
from octosync.errors import OctosyncError
from octosync.manifest.config.reader import read_configuration_text
from octosync.report.show.api import overrides_yaml

Change = Callable[[Any], object]


def contract_with_suggestion(conformance: Conformance) -> Contract:
    """Parse the suggested text like octosync.yaml, and return the resulting contract."""
    assert conformance.mending is not None
    text = "\n".join(overrides_yaml(conformance.mending)) + "\n"
    configured = read_configuration_text("octosync.yaml", text.encode(), Path())
    assert not configured.diagnostics, text
    return configured.configuration.contract


def changed_document(change: Change) -> Any:
    """Return our own server's document after the change."""
    document = own_document()
    change(document)
    return document


def test_our_own_servers_document_agrees() -> None:
    """The document of the embedded control plane matches everything that octosync sends and reads, without a note."""
    conformance = compare_document(own_document())
    assert conformance.agrees
    assert findings_by_operation(conformance) == {}
    assert (conformance.base, conformance.others, conformance.mending) == ("/api/v1", 0, None)
    assert {operation.by_id for operation in conformance.operations} == {True}


# Deviations that an override fixes, the expected finding, and the override.
FIXABLE: dict[str, tuple[Change, str, str, str]] = {
    "another path": (
        lambda document: move(document, "apps.health", path="/api/v1/applications/{app_slug}/coverage"),
        "apps.health",
        "mismatch: the document has it at /applications/{app_slug}/coverage",
        'apps.health: {path: "/applications/{slug}/coverage"}',
    ),
    "another method": (
        lambda document: move(document, "apps.update", method="put"),
        "apps.update",
        "mismatch: the document has it as PUT",
        "apps.update: {method: PUT}",
    ),
    "an unknown field": (
        lambda document: (
            schema_in(document, "PutSlotRequest")["properties"].pop("preferred_engines"),
            schema_in(document, "PutSlotRequest").update(additionalProperties=False),
        ),
        "apps.put_slot",
        "mismatch: it has no preferred_engines, which octosync sends if it is declared",
        "slot: [preferred_engines]",
    ),
}


@pytest.mark.parametrize("name", FIXABLE)
def test_the_suggested_override_fixes_the_deviation(name: str) -> None:
    """Only this deviation is reported, and with the printed lines in octosync.yaml the document agrees."""
    change, id_, message, line = FIXABLE[name]
    document = changed_document(change)
    conformance = compare_document(document)
    assert findings_by_operation(conformance) == {id_: [message]}
    assert not conformance.agrees
    assert conformance.mending is not None
    assert line in "\n".join(overrides_yaml(conformance.mending))
    assert compare_document(document, contract_with_suggestion(conformance)).agrees


# Deviations that no override fixes.
UNFIXABLE: dict[str, tuple[Change, dict[str, list[str]]]] = {
    "an operation is missing": (
        lambda document: document["paths"].pop("/api/v1/apps/{slug}/archive"),
        {"apps.archive": ["mismatch: the document doesn't have it"]},
    ),
    "a required field that is never sent": (
        lambda document: (
            schema_in(document, "CreateTargetRequest")["properties"].update(environment={"type": "string"}),
            schema_in(document, "CreateTargetRequest")["required"].append("environment"),
        ),
        {"apps.create_target": ["mismatch: it requires environment, which octosync doesn't send"]},
    ),
    "a required field that is sent only sometimes": (
        lambda document: schema_in(document, "PutSlotRequest").update(required=["model_variant_id"]),
        {
            "apps.put_slot": [
                "mismatch: it requires model_variant_id, which octosync sends only if it is declared or live"
            ]
        },
    ),
    "a field of another name in a list": (
        lambda document: schema_in(document, "Target")["properties"].update(
            bundle_id=schema_in(document, "Target")["properties"].pop("identifier")
        ),
        {"apps.list_targets": ["mismatch: the response lacks targets[].identifier, which octosync needs"]},
    ),
    "another envelope": (
        lambda document: schema_in(document, "Apps")["properties"].update(
            items=schema_in(document, "Apps")["properties"].pop("apps")
        ),
        {"apps.list": ["mismatch: the list is in items, but octosync reads apps, or a bare list"]},
    ),
    "a required nested field is missing": (
        lambda document: schema_in(document, "Coverage")["properties"].pop("capability"),
        {"apps.health": ["mismatch: the response lacks slots[].capability, which octosync needs"]},
    ),
    "an environment is missing that the model does not require": (
        lambda document: schema_in(document, "Deployment")["properties"].pop("environment"),
        {
            id_: ["mismatch: the response lacks deployments[].environment, which octosync needs"]
            for id_ in ("apps.deployments", "deployments.list")
        },
    ),
    "an optional field is missing": (
        lambda document: schema_in(
            document, "RoutingSums" if "RoutingSums" in document["components"]["schemas"] else "RoutingStats"
        )["properties"].pop("local_requests"),
        {"apps.routing_stats": ["note: the response lacks local_requests, which octosync reads if it is present"]},
    ),
    "an unreadable type": (
        lambda document: schema_in(document, "App")["properties"].update(slug={"type": "integer"}),
        {
            "apps.list": ["mismatch: apps[].slug is integer in the document, but octosync reads string"],
            "apps.get": ["mismatch: slug is integer in the document, but octosync reads string"],
        },
    ),
    "a type that is never sent": (
        lambda document: schema_in(document, "PutSlotRequest")["properties"].update(
            serving_policy={"type": "string", "enum": ["auto"]}
        ),
        {"apps.put_slot": ["mismatch: serving_policy is string in the document, but octosync sends object"]},
    ),
    "an unknown nested field": (
        lambda document: schema_in(document, "FallbackRequest")["properties"].pop("allow_local_fallback"),
        {
            "apps.put_slot": [
                "mismatch: it has no serving_policy.fallback.allow_local_fallback, which octosync sends",
            ]
        },
    ),
    "a field is read-only": (
        lambda document: schema_in(document, "UpdateAppRequest")["properties"]["description"].update(readOnly=True),
        {"apps.update": ["mismatch: description is read-only in the document, but octosync sends it"]},
    ),
    "a null is not accepted": (
        lambda document: schema_in(document, "UpdateAppRequest")["properties"].update(description={"type": "string"}),
        {"apps.update": ["warning: description is never null in the document, but octosync sends null to remove it"]},
    ),
    "a body is required": (
        lambda document: operation_in(document, "apps.archive").update(
            requestBody={
                "required": True,
                "content": {"application/json": {"schema": {"type": "object", "required": ["reason"]}}},
            }
        ),
        {"apps.archive": ["mismatch: it requires a body with reason, but octosync sends none"]},
    ),
    "no body is accepted": (
        lambda document: operation_in(document, "apps.capabilities.enable").pop("requestBody"),
        {"apps.capabilities.enable": ["mismatch: it takes no body, but octosync sends one"]},
    ),
    "a body that is not JSON": (
        lambda document: operation_in(document, "apps.create")["requestBody"].update(
            content={"multipart/form-data": {}}
        ),
        {"apps.create": ["mismatch: the body is not JSON in the document"]},
    ),
    "a response without content": (
        lambda document: operation_in(document, "apps.get")["responses"].update({"200": {"description": "Nothing"}}),
        {"apps.get": ["mismatch: it returns nothing, but octosync reads an object"]},
    ),
    "the config is a list": (
        lambda document: schema_in(document, "InferenceConfigRequest").update(type="array"),
        {"apps.put_inference_config": ["mismatch: the body is array, but octosync sends an object"]},
    ),
    "the config is in an envelope": (
        lambda document: schema_in(document, "InferenceConfigRequest").update(required=["config"]),
        {
            "apps.put_inference_config": [
                "warning: it requires config; octosync sends only the object that manifests declare"
            ]
        },
    ),
    "a header is required": (
        lambda document: operation_in(document, "apps.get")["parameters"].append(
            {"name": "X-Tenant", "in": "header", "required": True}
        ),
        {"apps.get": ["mismatch: it requires the header parameter X-Tenant, which octosync doesn't send"]},
    ),
    "a parameter that is sent only sometimes": (
        lambda document: operation_in(document, "apps.list").update(
            parameters=[
                parameter
                for parameter in operation_in(document, "apps.list")["parameters"]
                if parameter["name"] != "include_archived"
            ]
        ),
        {"apps.list": ["warning: it has no query parameter include_archived, which octosync sends on request"]},
    ),
    "it is deprecated": (
        lambda document: operation_in(document, "apps.get").update(deprecated=True),
        {"apps.get": ["warning: the document marks it as deprecated"]},
    ),
    "a read has the method of a write": (
        lambda document: move(document, "apps.health", method="post"),
        {
            "apps.health": [
                "mismatch: the document has it as POST",
                "note: no override is possible: a read can't become POST",
            ]
        },
    ),
    "its path has another parameter": (
        lambda document: move(document, "apps.health", path="/api/v1/orgs/{org}/apps/{slug}/health"),
        {
            "apps.health": [
                "mismatch: the document has it at /orgs/{org}/apps/{slug}/health",
                "note: no override is possible: /orgs/{org}/apps/{slug}/health must have the parameters: {slug}",
            ]
        },
    ),
}


@pytest.mark.parametrize("name", UNFIXABLE)
def test_a_deviation_without_an_override_is_reported(name: str) -> None:
    """Only this deviation is reported, without an override. The document agrees unless the deviation is a mismatch."""
    change, expected = UNFIXABLE[name]
    conformance = compare_document(changed_document(change))
    assert findings_by_operation(conformance) == expected
    assert conformance.mending is None
    assert conformance.agrees is not any(line.startswith("mismatch") for lines in expected.values() for line in lines)


_BY_PAGE = "which octosync uses to read apps page by page"
_IN_PART = "so octosync might see the first page only"

# Other ways to paginate a list, and the expected finding.
PAGING: dict[str, tuple[list[dict[str, Any]], str]] = {
    "by cursor": (
        [{"name": "cursor", "in": "query"}, {"name": "limit", "in": "query"}],
        f"mismatch: it has no offset, {_BY_PAGE}; it has cursor, {_IN_PART}",
    ),
    "by number": (
        [{"name": "page", "in": "query"}, {"name": "per_page", "in": "query"}],
        f"mismatch: it has no limit and offset, {_BY_PAGE}; it has page, per_page, {_IN_PART}",
    ),
    "without pagination": (
        [],
        f"warning: it has no limit and offset, {_BY_PAGE}: fine if the list is never split into pages",
    ),
    "by smaller pages": (
        [{"name": "limit", "in": "query", "schema": {"maximum": 50}}, {"name": "offset", "in": "query"}],
        "mismatch: a page has at most 50 entries, but octosync requests 100",
    ),
}


@pytest.mark.parametrize("how", PAGING)
def test_a_list_that_may_be_read_in_part_is_a_mismatch(how: str) -> None:
    """The first page of a list with another pagination could count as the whole. Without pagination this is only possible."""
    parameters, message = PAGING[how]
    document = own_document()
    operation_in(document, "apps.list")["parameters"] = [*parameters, {"name": "include_archived", "in": "query"}]
    assert findings_by_operation(compare_document(document)) == {"apps.list": [message]}


def _without_ids(document: Any) -> None:
    for methods in document["paths"].values():
        for operation in methods.values():
            del operation["operationId"]


def test_without_ids_operations_are_matched_by_method_and_path() -> None:
    """A document without operation ids is compared by method and path, with any names of parameters."""
    document = changed_document(_without_ids)
    document["paths"] = {
        path.replace("{slug}", "{app}").replace("{target_id}", "{id}"): item for path, item in document["paths"].items()
    }
    conformance = compare_document(document)
    assert conformance.agrees
    assert {operation.by_id for operation in conformance.operations} == {False}


def test_without_ids_another_method_at_the_same_path_is_reported() -> None:
    """An operation that can't be matched is missing, with the other methods at its path."""
    document = changed_document(lambda document: move(document, "apps.update", method="put"))
    _without_ids(document)
    assert findings_by_operation(compare_document(document)) == {
        "apps.update": ["mismatch: the document doesn't have it; at its path it has PUT"]
    }


@pytest.mark.parametrize("style", ["apps_list_targets", "appsListTargets", "Apps.List-Targets"])
def test_ids_are_equal_in_any_case_and_with_any_separators(style: str) -> None:
    """Generators write ids in their own style: it is still the same operation, even at another path."""
    document = changed_document(
        lambda document: move(document, "apps.list_targets", path="/api/v1/apps/{slug}/app-targets")
    )
    operation_in(document, "apps.list_targets")["operationId"] = style
    assert findings_by_operation(compare_document(document)) == {
        "apps.list_targets": ["mismatch: the document has it at /apps/{slug}/app-targets"]
    }


@pytest.mark.parametrize(
    ("servers", "prefix", "base", "elsewhere"),
    [
        ([{"url": "https://api.octomil.com/api/v1/"}], "", "/api/v1", False),
        ([{"url": "/api"}], "/v1", "/api/v1", False),
        (
            [{"url": "https://{region}.octomil.com/{root}", "variables": {"root": {"default": "api/v1"}}}],
            "",
            "/api/v1",
            False,
        ),
        ([{"url": "https://api.octomil.com"}], "/v2", "/v2", True),
        ([], "", "", False),
        ([{"url": "https://[nowhere"}], "", "", False),
    ],
)
def test_the_base_path_is_considered(servers: list[Any], prefix: str, base: str, elsewhere: bool) -> None:
    """Paths below the base are compared, whether it is in servers, paths or both. Another base is reported."""
    document = own_document()
    document["servers"] = servers
    document["paths"] = {prefix + path.removeprefix("/api/v1"): item for path, item in document["paths"].items()}
    conformance = compare_document(document)
    assert findings_by_operation(conformance) == {}
    assert (conformance.base, conformance.is_elsewhere) == (base, elsewhere)


def test_existing_overrides_are_compared_and_kept() -> None:
    """Existing overrides in octosync.yaml are applied, and are a part of the suggested text."""
    document = changed_document(lambda document: move(document, "apps.health", path="/api/v1/apps/{slug}/coverage"))
    contract = Contract().overridden(
        operations={"apps.health": {"path": "/apps/{slug}/coverage"}, "apps.update": {"method": "PUT"}},
        read_only={"slot": ["label"]},
        platforms=["visionos"],
    )
    conformance = compare_document(document, contract)
    assert findings_by_operation(conformance) == {"apps.update": ["mismatch: the document has it as PATCH"]}
    assert conformance.mending is not None
    assert list(overrides_yaml(conformance.mending)) == [
        "api:",
        "  operations:",
        '    apps.health: {path: "/apps/{slug}/coverage"}',
        "  readOnly:",
        "    slot: [label]",
        '  platforms: ["visionos"]',
    ]
    assert compare_document(document, contract_with_suggestion(conformance)).agrees


# Equivalent descriptions of the same object.
TARGET: dict[str, Any] = {
    "type": "object",
    "properties": {"platform": {"type": "string"}, "identifier": {"type": "string"}},
}
WAYS: dict[str, Any] = {
    "allOf": {"allOf": [{"properties": {"id": {"type": "string"}}}, TARGET]},
    "oneOf": {
        "oneOf": [{**TARGET, "properties": {**TARGET["properties"], "id": {"type": "integer"}}}, {"type": "null"}]
    },
    "a reference next to a field": {
        "$ref": "#/components/schemas/Base",
        "properties": {"id": {"type": "string"}},
    },
    "itself": {"allOf": [{"$ref": "#/components/schemas/Target"}, TARGET, {"properties": {"id": {"type": "string"}}}]},
    "types as a list": {
        "type": ["object", "null"],
        "properties": {**TARGET["properties"], "id": {"type": ["string", "null"]}},
    },
    "nullable": {
        "nullable": True,
        **TARGET,
        "properties": {**TARGET["properties"], "id": {"type": "string", "nullable": True}},
    },
    "an escaped name": {"$ref": "#/components/schemas/a~1b~0c%20d"},
}


@pytest.mark.parametrize("way", WAYS)
def test_equivalent_schemas_are_understood(way: str) -> None:
    """allOf, oneOf, references and circles of them, null in 3.0 and 3.1 and escaped names are all understood."""
    document = own_document()
    whole = {**TARGET, "properties": {**TARGET["properties"], "id": {"type": "string"}}}
    document["components"]["schemas"] |= {"Target": WAYS[way], "Base": TARGET, "a/b~c d": whole}
    found = findings_by_operation(compare_document(document))
    assert found in (
        {},
        {"apps.list_targets": ["note: the response lacks targets[].app_id, which octosync reads if it is present"]},
    )


def test_a_required_field_of_only_some_alternatives_is_a_warning() -> None:
    """A field that one form of the response has and another lacks may be missing."""
    document = own_document()
    document["components"]["schemas"]["Target"] = {
        "anyOf": [{"properties": {"id": {}, "platform": {}, "identifier": {}, "app_id": {}}}, TARGET]
    }
    assert findings_by_operation(compare_document(document)) == {
        "apps.list_targets": ["warning: only some forms of the response have targets[].id, which octosync needs"]
    }


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"$ref": "common.yaml#/Target"}, "common.yaml#/Target leads out of the document"),
        ({"$ref": "#/components/schemas/Nowhere"}, "#/components/schemas/Nowhere leads out of the document"),
        ({"type": "object"}, "the document doesn't describe it"),
        (True, "the document doesn't describe it"),
    ],
)
def test_an_undescribed_part_is_a_note(schema: Any, why: str) -> None:
    """An external reference and a missing schema are notes, and don't fail the check."""
    document = own_document()
    document["components"]["schemas"]["Target"] = schema
    conformance = compare_document(document)
    assert findings_by_operation(conformance) == {
        "apps.list_targets": [f"note: what is in targets[] can't be compared: {why}"]
    }
    assert conformance.agrees


def test_references_to_whole_components_are_followed() -> None:
    """Path items, parameters, bodies and responses may be references within the document."""
    document = own_document()
    path = "/api/v1/apps/{slug}/slots/{capability}"
    components, put = document["components"], document["paths"][path]["put"]
    components["requestBodies"] = {"slot": put["requestBody"]}
    components["responses"] = {"slot": put["responses"]["200"]}
    components["pathItems"] = {"slot": document["paths"][path]}
    components["parameters"] = {
        parameter["name"]: parameter for parameter in operation_in(document, "apps.list")["parameters"]
    }
    operation_in(document, "apps.list")["parameters"] = [
        {"$ref": f"#/components/parameters/{name}"} for name in components["parameters"]
    ]
    put["requestBody"] = {"$ref": "#/components/requestBodies/slot"}
    document["paths"][path]["get"]["responses"]["200"] = {"$ref": "#/components/responses/slot"}
    document["paths"][path] = {"$ref": "#/components/pathItems/slot"}
    assert findings_by_operation(compare_document(document)) == {}
    components["responses"]["slot"]["content"]["application/json"]["schema"] = {"type": "array"}
    assert list(findings_by_operation(compare_document(document))) == ["apps.get_slot"]


def test_nested_references_take_no_time() -> None:
    """Schemas that branch at every level, or refer endlessly, are read once each or ignored."""
    document = own_document()
    schemas = document["components"]["schemas"]
    for level in range(500):
        further = {"$ref": f"#/components/schemas/T{level + 1}"}
        schemas[f"T{level}"] = {"allOf": [further, further], "anyOf": [further, further]}
    schemas["T40"], schemas["Target"] = {**schemas["Target"]}, {"$ref": "#/components/schemas/T0"}
    assert findings_by_operation(compare_document(document)) == {}
    schemas["Target"] = {"$ref": "#/components/schemas/T41"}
    conformance = compare_document(document)
    assert list(findings_by_operation(conformance)) == ["apps.list_targets"]
    assert conformance.agrees


def test_a_document_may_be_yaml() -> None:
    """YAML is equivalent to JSON: status codes as numbers, aliases, and dates as strings."""
    document = own_document()
    for methods in document["paths"].values():
        for operation in methods.values():
            operation["responses"] = {
                int(key) if key.isdigit() else key: response for key, response in operation["responses"].items()
            }
    document["info"]["x-date"] = "DATE"
    text = yaml.safe_dump(document).replace("DATE", "2026-13-45")
    assert "  200:" in text
    assert findings_by_operation(compare_document(document)) == {}
    assert read_document(text.encode(), "openapi.yaml").title == document["info"]["title"]


BOMB = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" if n else "a0: &a0 [x]\n" for n in range(60))

UNREADABLE: dict[str, tuple[bytes, str, str]] = {
    "a web page": (b"\n<!doctype html><html>", "spec-is-html", "is a web page"),
    "not UTF-8": (b"\xff\xfe{", "spec-unreadable", "not UTF-8"),
    "nothing": (b"", "spec-unreadable", "contains no object"),
    "a list": (b"[]", "spec-unreadable", "contains no object"),
    "other JSON": (b'{"a": 1}', "spec-unreadable", "no field `openapi`"),
    "cut JSON": (b'{"openapi": "3.1.0", "paths": {', "spec-unreadable", "not JSON: expecting property name"),
    "bad YAML": (b"openapi: 3.1.0\npaths: [\n", "spec-unreadable", "neither JSON nor YAML"),
    "two documents": (b"openapi: 3.1.0\n---\nopenapi: 3.1.0\n", "spec-unreadable", "neither JSON nor YAML"),
    "Swagger": (b"swagger: '2.0'\npaths: {/a: {}}\n", "spec-version", "Swagger 2.0"),
    "the future": (b"openapi: 4.0.0\npaths: {/a: {}}\n", "spec-version", "OpenAPI 4.0.0"),
    "no paths": (b"openapi: 3.1.0\npaths: {}\n", "spec-unreadable", "describes no paths"),
    "deep JSON": (b'{"a":' * 100_000, "spec-unreadable", "nested too deep"),
    "deep YAML": (b"openapi: " + b"[" * 100_000, "spec-unreadable", "neither JSON nor YAML"),
    "deeply nested YAML": (b"openapi: " + b"[" * 300 + b"]" * 300, "spec-unreadable", "deeper than 200 levels"),
    "a Python object": (b"openapi: !!python/object/apply:os.getcwd []\n", "spec-unreadable", "YAML"),
    "a long number": (b'{"openapi": ' + b"9" * 5000 + b"}", "spec-unreadable", "numbers too long"),
    "an alias bomb": (BOMB.encode(), "spec-unreadable", "no field `openapi`"),
    "a merge key bomb": (
        "".join(
            f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}\n" if n else "m0: &m0 {a: 1}\n" for n in range(60)
        ).encode(),
        "spec-unreadable",
        "no field `openapi`",
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_document_that_is_not_openapi_is_an_error(name: str) -> None:
    """Anything but an OpenAPI document is an error that names the problem. Nothing crashes, hangs or is executed."""
    data, reference, words = UNREADABLE[name]
    with pytest.raises(OctosyncError, match=words) as caught:
        read_document(data, "spec.yaml")
    assert caught.value.reference == reference
    assert "spec.yaml" in caught.value.message
    assert caught.value.hints


def _replaced(value: Any, key: str, unexpected: Any) -> Any:
    """Return a value in which every such key has another value."""
    if isinstance(value, list):
        return [_replaced(child, key, unexpected) for child in value]
    if isinstance(value, dict):
        return {name: unexpected if name == key else _replaced(child, key, unexpected) for name, child in value.items()}
    return value


@pytest.mark.parametrize(
    "unexpected", [None, [], {}, "text", 7, True, {"$ref": 1}, {"$ref": "#/"}, [None], {"a": None}]
)
def test_unexpected_values_do_not_crash_the_comparison(unexpected: Any) -> None:
    """The comparison finishes with values of any type in any place."""
    text = json.dumps(own_document())
    for key in (
        "parameters",
        "schema",
        "content",
        "responses",
        "properties",
        "required",
        "servers",
        "get",
        "anyOf",
        "requestBody",
    ):
        document = _replaced(json.loads(text), key, unexpected)
        assert len(compare_document(document).operations) == 28
