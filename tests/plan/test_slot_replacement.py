"""A slot's fields, and the body that replaces it wholesale."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.states import LIVE_SLOT, desired_app, live_app, plan_of

from octosync.contract import PRESETS, Contract, normalise_slot_fields
from octosync.plan import PutSlot, Verb


def put(declared: dict[str, Any], live: dict[str, Any] | None, contract: Contract | None = None) -> PutSlot | None:
    """Plan one slot; None for no change."""
    there = live_app("a", slots={} if live is None else {"chat": live})
    actions = plan_of(desired_app("a", slots={"chat": declared}), there, contract=contract).actions
    if not actions:
        return None
    (action,) = actions
    assert isinstance(action, PutSlot)
    return action


def test_a_new_slot_without_a_policy_gets_local_first() -> None:
    """A create sends the default policy expanded, an explicit empty list of bindings, and no field that isn't declared."""
    action = put({"preferred_engines": ["mlx"]}, None)
    assert action is not None
    assert action.body == {"serving_policy": PRESETS["local_first"], "bindings": [], "preferred_engines": ["mlx"]}
    assert action.declared == {"preferred_engines": ["mlx"]}
    assert action.verb is Verb.CREATE


def test_a_declared_policy_is_what_a_new_slot_gets() -> None:
    """The default is only for what is not said."""
    action = put({"serving_policy": "cloud_only"}, None)
    assert action is not None
    assert action.body == {"serving_policy": PRESETS["cloud_only"], "bindings": []}


def test_a_replacement_keeps_what_it_does_not_declare() -> None:
    """Octomil's variant, undeclared known fields and fields that octosync has never heard of are carried in the body."""
    live: dict[str, Any] = {
        "model_variant_id": "var_1",
        "public_client_allowed": True,
        "quota": {"rps": 5},
        "note": None,
    }
    action = put({"preferred_engines": ["mlx"]}, live)
    assert action is not None
    assert action.body == normalise_slot_fields({**LIVE_SLOT, **live, "preferred_engines": ["mlx"]})
    assert [one.path for one in action.fields] == [("preferred_engines",)]


def test_no_read_only_field_is_sent() -> None:
    """What only the control plane writes is not in the body, whatever octosync.yaml adds to it."""
    plain = put({"preferred_engines": ["mlx"]}, {"revision": 7})
    assert plain is not None
    assert plain.body is not None
    assert plain.body["revision"] == 7
    assert not Contract().shapes["slot"].read_only & plain.body.keys()
    told = Contract().overridden(read_only={"slot": ["revision"]})
    action = put({"preferred_engines": ["mlx"]}, {"revision": 7}, told)
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
def test_a_field_is_compared_as_the_value_it_is(
    declared: dict[str, Any], live: dict[str, Any], paths: list[tuple[str, ...]] | None
) -> None:
    """A policy is one value compared expanded, bindings a list without order, engines a ranking."""
    action = put(declared, live)
    assert (None if action is None else [one.path for one in action.fields]) == paths


@pytest.mark.parametrize("declared", [{"bindings": []}, {"preferred_engines": []}, {"public_client_allowed": False}])
def test_a_field_that_an_answer_leaves_out_has_its_default(declared: dict[str, Any]) -> None:
    """Declaring the default of a field that the control plane doesn't answer is no change."""
    live = live_app("a", slots={"chat": dict.fromkeys(LIVE_SLOT)})
    assert live.slots[0].fields == {}
    assert plan_of(desired_app("a", slots={"chat": declared}), live).actions == ()


def test_bindings_that_are_declared_in_part_are_carried_too() -> None:
    """A binding keeps what the control plane knows of it when another one, or a field of its own, changes."""
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
    """The variant that Octomil chose survives every change of a manifest that says nothing of it."""
    action = put({"serving_policy": "cloud_only"}, {"model_variant_id": "var_1"})
    assert action is not None
    assert action.body is not None
    assert action.body["model_variant_id"] == "var_1"


def test_public_clients_that_nobody_declared_are_a_warning() -> None:
    """Live `public_client_allowed: true` that the manifest leaves open is always said, and silent once declared."""
    live = live_app("a", slots={"chat": {"public_client_allowed": True}})
    (finding,) = plan_of(desired_app("a", slots={"chat": {}}), live).diagnostics
    assert (finding.rule, finding.severity.value) == ("undeclared-public-client", "warning")
    assert plan_of(desired_app("a", slots={"chat": {"public_client_allowed": True}}), live).diagnostics == ()
