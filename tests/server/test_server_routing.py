from __future__ import annotations

from tests.support.embedded_planes import EmbeddedPlane, invalid_fields, ok, refused


def record(plane: EmbeddedPlane, route: str, latency_ms: float, count: int, capability: str = "chat") -> None:
    """Record requests of the demo app."""
    body = {"app_slug": "demo", "capability": capability, "route": route, "latency_ms": latency_ms, "count": count}
    assert ok(plane.local.post("/requests", json=body)) == {"recorded": count}


def test_without_requests_everything_is_zero(plane: EmbeddedPlane) -> None:
    """Without requests: no first request, no decisions, no latency."""
    app = plane.with_app()
    first = ok(plane.api.get(f"{app}/first-request"))
    assert first == {"received": False, "first_request_at": None, "cloud_requests": 0, "local_requests": 0}
    assert ok(plane.api.get(f"{app}/routing/decisions"))["decisions"] == []
    stats = ok(plane.api.get(f"{app}/routing/stats"))
    assert (stats["total_requests"], stats["average_latency_ms"], stats["by_capability"]) == (0, None, [])


def test_the_first_request_is_kept_whatever_its_route(plane: EmbeddedPlane) -> None:
    """Both routes count, and the time of the first request stays."""
    app = plane.with_app()
    record(plane, "cloud", 100, 1)
    at = ok(plane.api.get(f"{app}/first-request"))["first_request_at"]
    plane.tick()
    record(plane, "local", 10, 2)
    first = ok(plane.api.get(f"{app}/first-request"))
    assert first == {"received": True, "first_request_at": at, "cloud_requests": 1, "local_requests": 2}


def test_decisions_are_newest_first_and_stats_sum_them_up(plane: EmbeddedPlane) -> None:
    """Each decision has route, variant and latency; the statistics are their sums, also by capability."""
    app = plane.with_app()
    plane.with_slot(app, model_variant_id="v1")
    record(plane, "local", 10, 3)
    record(plane, "cloud", 50, 1, "tts")
    page = ok(plane.api.get(f"{app}/routing/decisions?limit=2"))
    assert page["total"] == 4
    assert [
        (decision["route"], decision["model_variant_id"], decision["latency_ms"]) for decision in page["decisions"]
    ] == [
        ("cloud", None, 50.0),
        ("local", "v1", 10.0),
    ]
    stats = ok(plane.api.get(f"{app}/routing/stats"))
    assert (stats["total_requests"], stats["local_requests"], stats["cloud_requests"]) == (4, 3, 1)
    assert stats["average_latency_ms"] == 20.0
    assert [entry["capability"] for entry in stats["by_capability"]] == ["chat", "tts"]


def test_requests_are_recorded_for_an_app_that_exists(plane: EmbeddedPlane) -> None:
    """An unknown app is a 404, an unknown route or a negative latency a 422."""
    body = {"app_slug": "nobody", "capability": "chat", "route": "local"}
    refused(plane.local.post("/requests", json=body), 404, "app_not_found")
    answer = plane.local.post("/requests", json={**body, "route": "moon", "latency_ms": -1})
    assert sorted(invalid_fields(answer)) == ["latency_ms", "route"]
