from __future__ import annotations

from typing import Any

import pytest
from tests.support.embedded_planes import Clock, EmbeddedPlane, invalid_fields, ok, refused, run_plane
from tests.support.fleets import LARGE, SMALL, post, with_fleet


def deployment(plane: EmbeddedPlane) -> dict[str, Any]:
    """Return the org's newest deployment."""
    newest: dict[str, Any] = ok(plane.api.get("/deployments"))["deployments"][-1]
    return newest


def with_canary(plane: EmbeddedPlane) -> str:
    """Enable the small variant, complete its rollout, and start a canary of the large one."""
    app = with_fleet(plane, SMALL)
    ok(post(plane, app, "enable"), 201)
    plane.tick(120)
    ok(plane.local.put("/catalog", json={"variants": [SMALL, LARGE]}))
    ok(post(plane, app, "optimize"))
    return app


def test_deployments_move_on_with_server_time(plane: EmbeddedPlane) -> None:
    """`started` becomes `active` after 60 s and `completed` after 120 s, whether time advanced in one tick or several."""
    app = with_fleet(plane, SMALL)
    assert ok(post(plane, app, "enable"), 201)["status"] == "started"
    plane.tick(59)
    assert deployment(plane)["status"] == "started"
    plane.tick(1)
    assert deployment(plane)["status"] == "active"
    ok(post(plane, app, "enable", "staging"), 201)
    plane.tick(600)
    assert [deployment["status"] for deployment in ok(plane.api.get("/deployments"))["deployments"]] == [
        "completed",
        "completed",
    ]
    plane.tick(600)
    assert deployment(plane)["status"] == "completed"


def test_server_time_follows_the_clock(plane: EmbeddedPlane) -> None:
    """Time that passes by itself has the same effect as a tick."""
    del plane
    clock = Clock()
    with run_plane(clock=clock) as plane:
        ok(post(plane, with_fleet(plane, SMALL), "enable"), 201)
        clock.advance(61)
        assert deployment(plane)["status"] == "active"


def test_a_canary_gains_a_step_a_minute(plane: EmbeddedPlane) -> None:
    """A canary has 10% at first and 10% more every 60 s; meanwhile the deployment has the old variant."""
    with_canary(plane)
    for percentage in range(10, 100, 10):
        assert deployment(plane)["canary"] == {"percentage": percentage, "candidate_variant_id": "large"}
        assert (deployment(plane)["status"], deployment(plane)["model_variant_id"]) == ("active", "small")
        plane.tick(60)
    assert deployment(plane)["canary"] is None


def test_a_completed_canary_is_the_deployments_and_the_slots_variant(plane: EmbeddedPlane) -> None:
    """At 100% the deployment is completed, and slot and deployment have the candidate."""
    app = with_canary(plane)
    plane.tick(3600)
    done = deployment(plane)
    assert (done["status"], done["canary"], done["model_variant_id"]) == ("completed", None, "large")
    assert ok(plane.api.get(f"{app}/slots/chat"))["model_variant_id"] == "large"


def test_progress_is_not_undone_by_a_refused_request(plane: EmbeddedPlane) -> None:
    """A request that fails right after time advanced leaves the deployment in the state that time has reached."""
    app = with_canary(plane)
    plane.tick(3600)
    refused(plane.api.get("/apps/nobody"), 404, "app_not_found")
    refused(plane.api.post(f"{app}/targets", json={}), 422, "validation_error")
    assert deployment(plane)["status"] == "completed"


def test_a_paused_deployment_waits(plane: EmbeddedPlane) -> None:
    """While paused, neither a stage nor a canary advances; after a resume it continues where it was, not from the start."""
    with_canary(plane)
    plane.tick(50)
    id_ = deployment(plane)["id"]
    for _ in range(2):
        assert ok(plane.local.post(f"/deployments/{id_}", json={"status": "paused"}))["status"] == "paused"
    plane.tick(6000)
    assert deployment(plane)["canary"]["percentage"] == 10
    ok(plane.local.post(f"/deployments/{id_}", json={"status": "active"}))
    plane.tick(9)
    assert deployment(plane)["canary"]["percentage"] == 10
    plane.tick(1)
    assert deployment(plane)["canary"]["percentage"] == 20


def test_a_paused_deployment_takes_a_canary_that_waits(plane: EmbeddedPlane) -> None:
    """Optimize on a paused deployment leaves it paused; the canary starts to advance after a resume."""
    app = with_fleet(plane, SMALL)
    id_ = ok(post(plane, app, "enable"), 201)["id"]
    ok(plane.local.post(f"/deployments/{id_}", json={"status": "paused"}))
    ok(plane.local.put("/catalog", json={"variants": [SMALL, LARGE]}))
    assert ok(post(plane, app, "optimize"))["status"] == "paused"
    plane.tick(600)
    ok(plane.local.post(f"/deployments/{id_}", json={"status": "active"}))
    assert deployment(plane)["canary"]["percentage"] == 10


def test_a_roll_back_ends_the_canary_for_good(plane: EmbeddedPlane) -> None:
    """Rolled back: no canary, the old variant, and no way to make it live again."""
    app = with_canary(plane)
    id_ = deployment(plane)["id"]
    back = ok(plane.local.post(f"/deployments/{id_}", json={"status": "rolled_back"}))
    assert (back["status"], back["canary"], back["model_variant_id"]) == ("rolled_back", None, "small")
    refused(plane.local.post(f"/deployments/{id_}", json={"status": "active"}), 409, "conflict")
    assert ok(plane.api.get(f"{app}/health"))["status"] == "uncovered"
    plane.tick(6000)
    assert deployment(plane) == back


def test_what_is_done_by_hand_is_in_the_feed_once(plane: EmbeddedPlane) -> None:
    """Each change of a status adds an event; setting the current status changes nothing, and does not advance it either."""
    id_ = ok(post(plane, with_fleet(plane, SMALL), "enable"), 201)["id"]
    plane.tick(60)
    plane.tick(50)
    ok(plane.local.post(f"/deployments/{id_}", json={"status": "active"}))
    plane.tick(10)
    assert deployment(plane)["status"] == "completed"
    for status in ("paused", "paused", "rolled_back", "rolled_back"):
        ok(plane.local.post(f"/deployments/{id_}", json={"status": status}))
    events = [event["type"] for event in ok(plane.api.get("/activity?limit=4"))["events"]]
    assert events == ["deployment.rolled_back", "deployment.paused", "deployment.completed", "deployment.active"]


def test_completing_by_hand_completes_the_canary(plane: EmbeddedPlane) -> None:
    """A canary that a person completes has the same result as one that time completes."""
    app = with_canary(plane)
    done = ok(plane.local.post(f"/deployments/{deployment(plane)['id']}", json={"status": "completed"}))
    assert (done["status"], done["canary"], done["model_variant_id"]) == ("completed", None, "large")
    assert ok(plane.api.get(f"{app}/slots/chat"))["model_variant_id"] == "large"


def test_completing_by_hand_without_a_canary_keeps_the_variant(plane: EmbeddedPlane) -> None:
    """A completed deployment stays completed, and nothing else of it changes."""
    first = ok(post(plane, with_fleet(plane, SMALL), "enable"), 201)
    done = ok(plane.local.post(f"/deployments/{first['id']}", json={"status": "completed"}))
    assert {**done, "status": "started"} == first


def test_a_deployment_by_hand_must_exist_and_know_the_status(plane: EmbeddedPlane) -> None:
    """An unknown id is a 404, an unknown status a 422."""
    refused(plane.local.post("/deployments/none", json={"status": "active"}), 404, "deployment_not_found")
    assert invalid_fields(plane.local.post("/deployments/none", json={"status": "gone"})) == ["status"]


def test_removing_a_target_takes_it_out_of_its_deployments(plane: EmbeddedPlane) -> None:
    """Both deployments lose the target from `app_target_ids`, and only devices of the other targets count as covered."""
    app = with_fleet(plane, SMALL, high=30, low=0)
    gone = ok(plane.api.get(f"{app}/targets"))["targets"][0]["id"]
    kept = plane.with_target(app, "android", "com.example.demo")
    plane.with_devices(12, platform="android")
    ok(post(plane, app, "enable"), 201)
    ok(post(plane, app, "enable", "staging"), 201)
    assert ok(plane.api.get(f"{app}/health"))["slots"][0]["covered_devices"] == 42
    assert plane.api.delete(f"{app}/targets/{gone}").status_code == 204
    assert [deployment["app_target_ids"] for deployment in ok(plane.api.get(f"{app}/deployments"))["deployments"]] == [
        [kept],
        [kept],
    ]
    slot = ok(plane.api.get(f"{app}/health"))["slots"][0]
    assert (slot["status"], slot["covered_devices"], slot["total_devices"]) == ("covered", 12, 12)


def test_a_target_that_no_deployment_reaches_leaves_them_alone(plane: EmbeddedPlane) -> None:
    """Removing a target that was registered after enable does not change the deployment."""
    app = with_fleet(plane, SMALL)
    ok(post(plane, app, "enable"), 201)
    before = deployment(plane)
    late = plane.with_target(app, "linux", "com.example.demo")
    assert plane.api.delete(f"{app}/targets/{late}").status_code == 204
    assert deployment(plane) == before


@pytest.mark.parametrize("seconds", [-1, 1e10, "60", None])
def test_time_goes_forward_within_bounds(plane: EmbeddedPlane, seconds: object) -> None:
    """A tick is a number of seconds from 0 to 10⁹, 60 by default."""
    assert invalid_fields(plane.local.post("/tick", json={"seconds": seconds})) == ["seconds"]
    before = ok(plane.local.post("/tick", json={"seconds": 0}))["now"]
    assert before == "2026-03-01T12:00:00.000000Z"
    assert ok(plane.local.post("/tick"))["now"] == "2026-03-01T12:01:00.000000Z"


def test_time_stays_in_the_calendar(plane: EmbeddedPlane) -> None:
    """Ticks beyond the year 9900 are refused, however they are split."""
    for _ in range(300):
        answer = plane.local.post("/tick", json={"seconds": 1e9})
        if answer.status_code != 200:
            break
    assert invalid_fields(plane.local.post("/tick", json={"seconds": 1e9})) == ["seconds"]
    ok(plane.api.get("/apps"))
