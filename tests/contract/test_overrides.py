"""The contract overrides that are accepted, and those that are rejected."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from octosync.contract import OPERATIONS, PLATFORMS, Access, Contract
from octosync.errors import ConfigError
from octosync.model import JsonObject

PREVIEW, ENABLE = "apps.capabilities.preview", "apps.capabilities.enable"
Override = Mapping[str, Mapping[str, str]]


def test_an_override_replaces_only_its_own_path_and_method() -> None:
    """An override changes its own operation and does not modify the contract that it was made from."""
    plain = Contract()
    changed = plain.overridden(operations={"apps.update": {"method": "put", "path": "/v2/apps/{slug}"}})
    assert (changed.operations["apps.update"].method, changed.operations["apps.update"].path) == (
        "PUT",
        "/v2/apps/{slug}",
    )
    assert {id_: operation for id_, operation in changed.operations.items() if id_ != "apps.update"} == {
        id_: operation for id_, operation in OPERATIONS.items() if id_ != "apps.update"
    }
    assert plain == Contract()


@pytest.mark.parametrize("id_", [id_ for id_, operation in OPERATIONS.items() if operation.access is Access.READ])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_read_never_becomes_a_write(id_: str, method: str) -> None:
    """A read keeps its method or becomes a GET, so a plan never changes anything."""
    if method == OPERATIONS[id_].method:
        assert Contract().overridden(operations={id_: {"method": method}}) == Contract()
        return
    with pytest.raises(ConfigError) as caught:
        Contract().overridden(operations={id_: {"method": method}})
    assert caught.value.reference == "override-turns-read-into-write"


@pytest.mark.parametrize(
    "operations",
    [
        {PREVIEW: {"path": OPERATIONS[ENABLE].path}},
        {PREVIEW: {"path": OPERATIONS[ENABLE].path + "/"}},
        {PREVIEW: {"path": OPERATIONS["apps.capabilities.optimize"].path}},
        {ENABLE: {"path": OPERATIONS[PREVIEW].path}},
        {ENABLE: {"path": "/v2/{slug}/{capability}"}, PREVIEW: {"path": OPERATIONS[ENABLE].path}},
        {ENABLE: {"path": "/v2/{slug}/{capability}"}, PREVIEW: {"path": "/v2/{slug}/{capability}"}},
    ],
)
def test_a_read_by_post_never_gets_the_path_of_a_write(operations: Override) -> None:
    """Moving a preview to the path of an enable, or the reverse, would change something: it is refused."""
    with pytest.raises(ConfigError) as caught:
        Contract().overridden(operations=operations)
    assert caught.value.reference == "override-turns-read-into-write"


@pytest.mark.parametrize(
    ("operations", "reference"),
    [
        ({"apps.frobnicate": {"path": "/x"}}, "unknown-operation"),
        ({"apps.putslot": {"path": "/x"}}, "unknown-operation"),
        ({"apps.archive": {"method": "BREW"}}, "unknown-method"),
        ({"apps.get": {"path": "apps/{slug}"}}, "path-not-absolute"),
        ({"apps.get": {"path": "https://elsewhere.example/{slug}"}}, "path-not-absolute"),
        ({"apps.get": {"path": "/apps"}}, "path-parameters"),
        ({"apps.get": {"path": "/apps/{id}"}}, "path-parameters"),
        ({"apps.get": {"path": "/apps/{slug}/{capability}"}}, "path-parameters"),
        ({"apps.list": {"path": "/{slug}"}}, "path-parameters"),
        ({"apps.get": {"path": "/apps/{}"}}, "path-parameters"),
        ({"apps.get": {"path": "/apps/{slug.__class__}"}}, "path-parameters"),
        ({"apps.get": {"path": "/apps/{slug[0]}"}}, "path-parameters"),
        ({"apps.get": {"path": "/apps/{slug!r}"}}, "path-template"),
        ({"apps.get": {"path": "/apps/{slug:>10}"}}, "path-template"),
        ({"apps.get": {"path": "/apps/{slug"}}, "path-template"),
    ],
)
def test_an_invalid_override_is_refused_by_name(operations: Override, reference: str) -> None:
    """An invalid override is an error that names it, and no part of it takes effect."""
    with pytest.raises(ConfigError) as caught:
        Contract().overridden(operations=operations)
    assert caught.value.reference == reference
    assert "api.operations" in caught.value.message


def test_an_unknown_operation_gets_a_suggestion() -> None:
    """The error for a typo has a suggestion, and for any other unknown name the list of names."""
    with pytest.raises(ConfigError) as caught:
        Contract().overridden(operations={"apps.putslot": {}})
    assert caught.value.hints == ("Did you mean apps.put_slot?",)
    with pytest.raises(ConfigError) as caught:
        Contract().overridden(operations={"zzz": {}})
    assert all(id_ in caught.value.hints[0] for id_ in OPERATIONS)


def test_read_only_fields_are_added_to_the_known_ones() -> None:
    """`api.readOnly` adds fields that are never sent. It removes none."""
    plain = Contract()
    changed = plain.overridden(read_only={"slot": ["revision", "etag"]})
    assert changed.shapes["slot"].read_only == plain.shapes["slot"].read_only | {"revision", "etag"}
    assert changed.shapes["app"] == plain.shapes["app"]
    fields, server_fields = changed.shapes["slot"].split({"id": "s", "revision": 3, "bindings": [], "colour": "red"})
    assert fields == {"bindings": [], "colour": "red"}
    assert server_fields == {"id": "s", "revision": 3}


def test_a_dotted_read_only_field_is_inside_another_field() -> None:
    """A key that a control plane adds inside a policy or to each binding can be declared read-only. The other keys stay."""
    shape = (
        Contract().overridden(read_only={"slot": ["serving_policy.rev", "bindings.meta.id", "tier.x"]}).shapes["slot"]
    )
    raw: JsonObject = {
        "serving_policy": {"routing_mode": "auto", "rev": 3},
        "bindings": [{"binding_key": "a", "meta": {"id": 1, "by": "b"}}, {"binding_key": "c"}, "odd"],
        "tier": "gold",
    }
    fields, server_fields = shape.split(raw)
    assert fields == {
        "serving_policy": {"routing_mode": "auto"},
        "bindings": [{"binding_key": "a", "meta": {"by": "b"}}, {"binding_key": "c"}, "odd"],
        "tier": "gold",
    }
    assert server_fields == {}
    assert raw["serving_policy"] == {"routing_mode": "auto", "rev": 3}


def test_an_unknown_object_has_no_read_only_fields() -> None:
    """`api.readOnly` for an unknown kind of object is an error."""
    with pytest.raises(ConfigError) as caught:
        Contract().overridden(read_only={"slots": ["x"]})
    assert caught.value.reference == "unknown-object"


def test_platforms_are_added_once_each() -> None:
    """`api.platforms` adds names after the known ones, without duplicates."""
    assert Contract().overridden(platforms=["visionos", "ios", "visionos"]).platforms == (*PLATFORMS, "visionos")


def test_overrides_accumulate() -> None:
    """An overridden contract can be overridden again and keeps its earlier overrides."""
    once = Contract().overridden(operations={"apps.get": {"path": "/v2/apps/{slug}"}}, platforms=["visionos"])
    twice = once.overridden(read_only={"app": ["tier"]})
    assert twice.operations["apps.get"].path == "/v2/apps/{slug}"
    assert "visionos" in twice.platforms
    assert "tier" in twice.shapes["app"].read_only
