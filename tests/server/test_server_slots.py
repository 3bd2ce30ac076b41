from __future__ import annotations

from typing import Any

import pytest
from tests.support.embedded_planes import EmbeddedPlane, invalid_fields, ok, refused

from octosync.contract import PRESETS

FULL: dict[str, Any] = {
    "serving_policy": "cloud_only",
    "bindings": [{"binding_key": "a", "anything": {"nested": [1, None]}}],
    "preferred_engines": ["mlx", "coreml"],
    "public_client_allowed": True,
    "model_variant_id": "chat-steady-3b-q4",
}


def test_a_put_replaces_wholesale(plane: EmbeddedPlane) -> None:
    """Fields that a body lacks return to their defaults; `created_at` and the id stay."""
    app = plane.with_app()
    first = ok(plane.api.put(f"{app}/slots/chat", json=FULL))
    assert first["bindings"] == FULL["bindings"]
    assert first["preferred_engines"] == ["mlx", "coreml"]
    plane.tick()
    second = ok(plane.api.put(f"{app}/slots/chat", json={"serving_policy": "private"}))
    assert second["bindings"] == []
    assert second["preferred_engines"] == []
    assert second["public_client_allowed"] is False
    assert second["model_variant_id"] is None
    assert (second["id"], second["created_at"]) == (first["id"], first["created_at"])
    assert second["updated_at"] > first["updated_at"]
    assert ok(plane.api.get(f"{app}/slots/chat")) == second


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_answers_as_its_expanded_policy(plane: EmbeddedPlane, preset: str) -> None:
    """A preset's name and its object are equal, and the object is returned."""
    app = plane.with_app()
    for policy in (preset, PRESETS[preset]):
        assert (
            ok(plane.api.put(f"{app}/slots/chat", json={"serving_policy": policy}))["serving_policy"] == PRESETS[preset]
        )


@pytest.mark.parametrize(
    ("policy", "fields"),
    [
        ("offline", ["serving_policy"]),
        (5, ["serving_policy"]),
        ({}, ["serving_policy.routing_mode", "serving_policy.fallback"]),
        (
            {"routing_mode": "x", "fallback": {"allow_cloud_fallback": "yes"}},
            [
                "serving_policy.routing_mode",
                "serving_policy.fallback.allow_cloud_fallback",
                "serving_policy.fallback.allow_local_fallback",
            ],
        ),
        (
            {"routing_mode": "local_only", "fallback": {"allow_cloud_fallback": True, "allow_local_fallback": True}},
            ["serving_policy"],
        ),
        (
            {"routing_mode": "cloud_only", "fallback": {"allow_cloud_fallback": True, "allow_local_fallback": True}},
            ["serving_policy"],
        ),
        ({**PRESETS["local_first"], "retries": 3}, ["serving_policy.retries"]),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(plane: EmbeddedPlane, policy: object, fields: list[str]) -> None:
    """The errors name the paths of unknown presets, modes and keys, missing fields and contradictions."""
    app = plane.with_app()
    assert invalid_fields(plane.api.put(f"{app}/slots/chat", json={"serving_policy": policy})) == fields
    refused(plane.api.get(f"{app}/slots/chat"), 404, "capability_not_configured")


def test_a_preference_outside_auto_is_dropped(plane: EmbeddedPlane) -> None:
    """A routing preference is only valid with `auto`."""
    app = plane.with_app()
    policy = {**PRESETS["local_only"], "routing_preference": "local"}
    assert (
        ok(plane.api.put(f"{app}/slots/chat", json={"serving_policy": policy}))["serving_policy"] == PRESETS["private"]
    )


def test_read_only_fields_are_ignored_and_unknown_ones_refused(plane: EmbeddedPlane) -> None:
    """A slot that was read can be sent back unchanged; an unknown field is refused with its path."""
    app = plane.with_app()
    slot = ok(plane.api.put(f"{app}/slots/chat", json=FULL))
    again = ok(plane.api.put(f"{app}/slots/chat", json={**slot, "id": "other", "capability": "tts"}))
    assert again == slot
    answer = plane.api.put(f"{app}/slots/chat", json={"quota": 1, "bindings": [5], "preferred_engines": ["", "ok"]})
    assert invalid_fields(answer) == ["bindings[0]", "preferred_engines[0]"]
    assert invalid_fields(plane.api.put(f"{app}/slots/chat", json={"quota": 1})) == ["quota"]
    assert invalid_fields(plane.api.put(f"{app}/slots/chat", json={"preferred_engines": ["ok", ""]})) == [
        "preferred_engines[1]"
    ]


def test_slot_fields_beyond_the_contract_can_be_allowed(plane: EmbeddedPlane) -> None:
    """The local policy can add slot and policy fields of a newer Octomil; they are replaced wholesale too."""
    app = plane.with_app()
    ok(plane.local.put("/policy", json={"slot_fields": ["quota", "serving_policy.retries"]}))
    body = {"quota": {"daily": 5}, "serving_policy": {**PRESETS["local_first"], "retries": 3}}
    slot = ok(plane.api.put(f"{app}/slots/chat", json=body))
    assert slot["quota"] == {"daily": 5}
    assert slot["serving_policy"]["retries"] == 3
    assert "quota" not in ok(plane.api.put(f"{app}/slots/chat", json={}))


def test_slots_are_listed_by_capability_and_deleted_once(plane: EmbeddedPlane) -> None:
    """The list is sorted by capability; a delete returns 204, then 404."""
    app = plane.with_app()
    for capability in ("tts", "chat", "a-new_one2"):
        plane.with_slot(app, capability)
    assert [slot["capability"] for slot in ok(plane.api.get(f"{app}/slots"))["slots"]] == ["a-new_one2", "chat", "tts"]
    assert plane.api.delete(f"{app}/slots/chat").status_code == 204
    refused(plane.api.delete(f"{app}/slots/chat"), 404, "capability_not_configured")
    assert ok(plane.api.get(f"{app}/slots"))["total"] == 2


def test_a_capability_must_look_like_one(plane: EmbeddedPlane) -> None:
    """The set of capabilities is open, their format is not."""
    app = plane.with_app()
    for capability in ("Chat", "a.b", "%00", "a" * 65):
        assert invalid_fields(plane.api.put(f"{app}/slots/{capability}", json={})) == ["path.capability"]
