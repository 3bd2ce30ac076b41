"""The fields of a slot, and the body of the PUT that replaces it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.states import LIVE_SLOT, desired_app, live_app, plan_of

from octosync.contract import PRESETS, Contract, normalise_slot_fields
from octosync.plan import PutSlot, Verb


def put(declared: dict[str, Any], fields: dict[str, Any] | None, contract: Contract | None = None) -> PutSlot | None:
    """Plan one slot; None for no change."""
    live = live_app("a", slots={} if fields is None else {"chat": fields})
    actions = plan_of(desired_app("a", slots={"chat": declared}), live, contract=contract).actions
    if not actions:
        return None
    (action,) = actions
    assert isinstance(action, PutSlot)
    return action


def test_a_new_slot_without_a_policy_gets_local_first() -> None:
    """A create sends the default policy expanded, an explicit empty list of bindings, and no undeclared field."""
    action = put({"preferred_engines": ["mlx"]}, None)
    assert action is not None
    assert action.body == {"serving_policy": PRESETS["local_first"], "bindings": [], "preferred_engines": ["mlx"]}
    assert action.declared == {"preferred_engines": ["mlx"]}
    assert action.verb is Verb.CREATE


def test_a_new_slot_gets_its_declared_policy() -> None:
    """The default is used only if no policy is declared."""
    action = put({"serving_policy": "cloud_only"}, None)
    assert action is not None
    assert action.body == {"serving_policy": PRESETS["cloud_only"], "bindings": []}


def test_a_replacement_keeps_undeclared_fields() -> None:
    """Octomil's variant, undeclared known fields and fields unknown to octosync are carried over in the body."""
    live: dict[str, Any] = {
        "model_variant_id": "var_1",
        "public_client_allowed": True,
        "quota": {"rps": 5},
        "note": None,
    }
    action = put({"preferred_engines": ["mlx"]}, live)
    assert action is not None
    assert action.body == normalise_slot_fields({**LIVE_SLOT, **live, "preferred_engines": ["mlx"]})
    assert [change.path for change in action.fields] == [("preferred_engines",)]


def test_no_read_only_field_is_sent() -> None:
    """Fields that only the control plane writes are not in the body, those that octosync.yaml adds included."""
    plain = put({"preferred_engines": ["mlx"]}, {"revision": 7})
    assert plain is not None
    assert plain.body is not None
    assert plain.body["revision"] == 7
    assert not Contract().shapes["slot"].read_only & plain.body.keys()
    extended = Contract().overridden(read_only={"slot": ["revision"]})
    action = put({"preferred_engines": ["mlx"]}, {"revision": 7}, extended)
    assert action is not None
    assert action.body is not None
    assert "revision" not in action.body


@pytest.mark.parametrize(
    ("declared", "live", "paths"),
    [
        ({}, {"serving_policy": "cloud_only", "bindings": [{"use_case": "x"}]}, None),
        ({"serving_policy": "local_first"}, {}, None),
        ({"serving_policy": "private"}, {"serving_policy": "local_only"}, None),
        ({"serving_policy": "cloud_only"}, {"serving_policy": PRESETS["cloud_only"]}, None),
        ({"serving_policy": "local_first"}, {"serving_policy": {**PRESETS["local_first"], "region": "eu"}}, None),
        (
            {"serving_policy": "cloud_first"},
            {"serving_policy": {**PRESETS["local_first"], "region": "eu"}},
            [("serving_policy", "routing_preference")],
        ),
        ({"bindings": []}, {}, None),
        ({"bindings": [{"use_case": "x"}]}, {"bindings": [{"use_case": "x", "id": 1}]}, None),
        ({"bindings": [{"use_case": "y"}]}, {"bindings": [{"use_case": "x", "id": 1}]}, [("bindings",)]),
        ({"preferred_engines": ["a", "b"]}, {"preferred_engines": ["b", "a"]}, [("preferred_engines",)]),
        ({"public_client_allowed": False}, {"public_client_allowed": True}, [("public_client_allowed",)]),
        ({"model_variant_id": "v2"}, {"model_variant_id": "v1"}, [("model_variant_id",)]),
    ],
)
def test_fields_are_compared_by_their_type(
    declared: dict[str, Any], live: dict[str, Any], paths: list[tuple[str, ...]] | None
) -> None:
    """A policy is one value compared expanded, bindings a list without order, engines a ranking."""
    action = put(declared, live)
    assert (None if action is None else [change.path for change in action.fields]) == paths


@pytest.mark.parametrize("declared", [{"bindings": []}, {"preferred_engines": []}, {"public_client_allowed": False}])
def test_a_field_that_a_response_omits_has_its_default(declared: dict[str, Any]) -> None:
    """Declaring the default of a field that the control plane omits is no change."""
    live = live_app("a", slots={"chat": dict.fromkeys(LIVE_SLOT)})
    assert live.slots[0].fields == {}
    assert plan_of(desired_app("a", slots={"chat": declared}), live).actions == ()


def test_partially_declared_bindings_are_carried_over() -> None:
    """A binding keeps the undeclared fields of the control plane when another binding, or one of its own fields, changes."""
    live = {"bindings": [{"binding_key": "k", "use_case": "old", "id": 1}, {"use_case": "y", "id": 2}]}
    action = put({"bindings": [{"use_case": "y"}, {"binding_key": "k", "use_case": "new"}, {"use_case": "z"}]}, live)
    assert action is not None
    assert action.body is not None
    assert action.body["bindings"] == [
        {"use_case": "y", "id": 2},
        {"use_case": "z"},
        {"binding_key": "k", "use_case": "new", "id": 1},
    ]


def test_a_carried_variant_stays_when_the_policy_changes() -> None:
    """The variant that Octomil chose survives every change of a manifest that doesn't declare it."""
    action = put({"serving_policy": "cloud_only"}, {"model_variant_id": "var_1"})
    assert action is not None
    assert action.body is not None
    assert action.body["model_variant_id"] == "var_1"


def test_undeclared_public_clients_are_a_warning() -> None:
    """Live `public_client_allowed: true` without a declaration is always reported, and never once declared."""
    live = live_app("a", slots={"chat": {"public_client_allowed": True}})
    (finding,) = plan_of(desired_app("a", slots={"chat": {}}), live).diagnostics
    assert (finding.rule, finding.severity.value) == ("undeclared-public-client", "warning")
    assert plan_of(desired_app("a", slots={"chat": {"public_client_allowed": True}}), live).diagnostics == ()
