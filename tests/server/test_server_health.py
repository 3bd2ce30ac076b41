from __future__ import annotations

from tests.support.embedded_planes import EmbeddedPlane, ok, refused
from tests.support.fleets import SMALL, post, with_fleet


def test_an_app_without_slots_is_uncovered(plane: EmbeddedPlane) -> None:
    """An app without slots is uncovered."""
    assert ok(plane.api.get(f"{plane.with_app()}/health")) == {"status": "uncovered", "slots": []}


def test_coverage_counts_the_devices_that_are_assigned(plane: EmbeddedPlane) -> None:
    """Uncovered before enable, covered after it, partial once a target has devices that no deployment reaches."""
    app = with_fleet(plane, SMALL, high=30, low=10)
    assert ok(plane.api.get(f"{app}/health"))["slots"] == [
        {
            "capability": "chat",
            "status": "uncovered",
            "active_deployments": 0,
            "covered_devices": 0,
            "total_devices": 40,
        }
    ]
    ok(post(plane, app, "enable"), 201)
    ok(post(plane, app, "enable", "staging"), 201)
    covered = ok(plane.api.get(f"{app}/health"))
    assert covered["status"] == "covered"
    assert covered["slots"][0]["active_deployments"] == 2
    assert covered["slots"][0]["covered_devices"] == 40
    plane.with_target(app, "android", "com.example.demo")
    plane.with_devices(5, platform="android")
    partial = ok(plane.api.get(f"{app}/health"))["slots"][0]
    assert (partial["status"], partial["covered_devices"], partial["total_devices"]) == ("partial", 40, 45)


def test_devices_that_appear_later_join_the_deployments_of_their_target(plane: EmbeddedPlane) -> None:
    """A device belongs to a target by platform and identifier, whenever it is first seen."""
    app = with_fleet(plane, SMALL, high=0, low=0)
    ok(post(plane, app, "enable"), 201)
    assert ok(plane.api.get(f"{app}/health"))["status"] == "uncovered"
    plane.with_devices(7, app_slug="demo")
    assert ok(plane.api.get(f"{app}/health"))["slots"][0]["covered_devices"] == 7


def test_devices_wait_for_their_target(plane: EmbeddedPlane) -> None:
    """Devices may be seen before any app has their target, and are counted together."""
    for _ in range(2):
        plane.with_devices(3)
    app = plane.with_app()
    plane.with_target(app)
    plane.with_slot(app)
    assert ok(plane.api.get(f"{app}/health"))["slots"][0]["total_devices"] == 6


def test_an_app_is_as_covered_as_its_slots_agree(plane: EmbeddedPlane) -> None:
    """One covered slot and one uncovered make the app partial."""
    app = with_fleet(plane, SMALL)
    ok(post(plane, app, "enable"), 201)
    plane.with_slot(app, "tts")
    health = ok(plane.api.get(f"{app}/health"))
    assert health["status"] == "partial"
    assert [slot["status"] for slot in health["slots"]] == ["covered", "uncovered"]


def test_a_paused_deployment_covers_nothing(plane: EmbeddedPlane) -> None:
    """Only deployments that serve requests count."""
    app = with_fleet(plane, SMALL)
    id_ = ok(post(plane, app, "enable"), 201)["id"]
    ok(plane.local.post(f"/deployments/{id_}", json={"status": "paused"}))
    slot = ok(plane.api.get(f"{app}/health"))["slots"][0]
    assert (slot["status"], slot["active_deployments"]) == ("uncovered", 0)


def test_devices_of_another_apps_target_are_a_conflict(plane: EmbeddedPlane) -> None:
    """Devices of an app whose target belongs to another app are rejected with the slug of the owner."""
    plane.with_target(plane.with_app("holder"))
    body = {"app_slug": "other", "platform": "ios", "identifier": "com.example.demo", "count": 1}
    assert refused(plane.local.post("/devices", json=body), 409, "conflict")["details"]["app_slug"] == "holder"
