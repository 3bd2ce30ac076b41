"""Fingerprints: a digest of a live object, so that a change between plan and apply is noticed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.states import desired_app, live_app, plan_of

from octosync.model import App
from octosync.plan import Fingerprint, Plan

WANTED = desired_app("a", fields={"name": "n"}, targets=["ios:x"], slots={"chat": {}}, config={"m": 1})
LIVE: dict[str, Any] = {"targets": ["ios:x"], "slots": {"chat": {"quota": 1}}, "config": {"m": 1}, "description": "d"}


def fingerprints(live: App) -> dict[str, str]:
    """Plan against live and return the fingerprints by address."""
    return {str(address): str(value) for address, value in plan_of(WANTED, live).fingerprints.items()}


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        ({}, None),
        ({"description": "other"}, "app/a"),
        ({"fields": {"tier": "gold"}}, "app/a"),
        ({"slots": {"chat": {"quota": 2}}}, "app/a/slot/chat"),
        ({"slots": {"chat": {"quota": 1, "model_variant_id": "v"}}}, "app/a/slot/chat"),
        ({"slots": {"chat": {"quota": 1, "serving_policy": "cloud_only"}}}, "app/a/slot/chat"),
        ({"slots": {"chat": {"quota": 1, "model_variant_id": None}}}, None),
        ({"slots": {"chat": {"quota": 1.0}}}, None),
        ({"slots": {"chat": {"quota": True}}}, "app/a/slot/chat"),
        ({"config": {"m": 2}}, "app/a/inference-config"),
        ({"config": {"m": 1, "undeclared": 1}}, "app/a/inference-config"),
        ({"config": {"m": 1.0}}, None),
    ],
)
def test_a_fingerprint_covers_every_field_declared_or_not(change: dict[str, Any], moved: str | None) -> None:
    """A change of any live field changes the fingerprint of its own object only; equal values don't."""
    before, after = fingerprints(live_app("a", **LIVE)), fingerprints(live_app("a", **{**LIVE, **change}))
    assert before.keys() == after.keys()
    assert [address for address in before if before[address] != after[address]] == ([moved] if moved else [])


def test_read_only_fields_are_not_covered() -> None:
    """IDs and times of an app and its slots may change although no one changed the objects."""
    live = live_app("a", **LIVE)
    stamped = {"updated_at": "2030-01-01T00:00:00Z"}
    slots = tuple(replace(slot, server_fields={**slot.server_fields, **stamped}) for slot in live.slots)
    assert fingerprints(replace(live, server_fields={**live.server_fields, **stamped}, slots=slots)) == fingerprints(
        live
    )


def test_a_reregistered_target_has_another_fingerprint() -> None:
    """A removal identifies a target by its ID, so the fingerprint covers the ID."""
    live = live_app("a", **LIVE)
    reregistered = replace(
        live, targets=tuple(replace(target, server_fields={"id": "other"}) for target in live.targets)
    )
    before, after = fingerprints(live), fingerprints(reregistered)
    assert [address for address in before if before[address] != after[address]] == ["app/a/target/ios:x"]


def test_an_absent_object_has_the_fingerprint_absent() -> None:
    """An object that is to be created has the fingerprint `absent`."""
    wanted = {str(address): str(value) for address, value in plan_of(WANTED).fingerprints.items()}
    assert wanted == dict.fromkeys(
        ["app/a", "app/a/target/ios:x", "app/a/slot/chat", "app/a/inference-config"], "absent"
    )


def test_archiving_changes_an_apps_fingerprint() -> None:
    """An app that was archived since is not the app that was planned."""
    both = [
        plan_of(desired_app("a", archived=True), live_app("a", archived=archived, read=()))
        for archived in (True, False)
    ]
    first, second = ({str(address): str(value) for address, value in plan.fingerprints.items()} for plan in both)
    assert first.keys() == second.keys() == {"app/a"}
    assert first != second


def _fingerprints_of_actions(plan: Plan) -> dict[str, Fingerprint]:
    return {str(action.address): action.fingerprint for action in plan.actions}


def test_an_action_carries_the_fingerprint_of_its_object() -> None:
    """Every action has the fingerprint of the object it was planned for, removals of undeclared objects included."""
    live = live_app("a", name="old", targets=["ios:y"], slots={"tts": {}}, config={"m": 2})
    plan = plan_of(WANTED, live)
    assert len(plan.actions) == 6
    assert _fingerprints_of_actions(plan) == {str(address): value for address, value in plan.fingerprints.items()}
