from __future__ import annotations

from tests.support.embedded_planes import EmbeddedPlane, invalid_fields, ok, refused


def test_a_target_is_unique_across_apps(plane: EmbeddedPlane) -> None:
    """A (platform, identifier) that another app holds is a conflict whose details name the holder."""
    first, second = plane.with_app("first"), plane.with_app("second")
    plane.with_target(first, "ios", "com.example.one")
    for app in (first, second):
        answer = plane.api.post(f"{app}/targets", json={"platform": "ios", "identifier": "com.example.one"})
        assert refused(answer, 409, "conflict")["details"]["app_slug"] == "first"
    plane.with_target(second, "android", "com.example.one")


def test_an_archived_app_keeps_its_targets_for_good(plane: EmbeddedPlane) -> None:
    """The identifiers of an archived app stay taken."""
    first, second = plane.with_app("first"), plane.with_app("second")
    plane.with_target(first, "ios", "com.example.one")
    ok(plane.api.post(f"{first}/archive"))
    answer = plane.api.post(f"{second}/targets", json={"platform": "ios", "identifier": "com.example.one"})
    assert refused(answer, 409, "conflict")["details"]["app_slug"] == "first"


def test_a_deleted_target_is_free_again(plane: EmbeddedPlane) -> None:
    """Delete returns 204 once, 404 afterwards, and another app may then register the target."""
    first, second = plane.with_app("first"), plane.with_app("second")
    target = plane.with_target(first)
    refused(plane.api.delete(f"{second}/targets/{target}"), 404, "target_not_found")
    answer = plane.api.delete(f"{first}/targets/{target}")
    assert (answer.status_code, answer.content) == (204, b"")
    refused(plane.api.delete(f"{first}/targets/{target}"), 404, "target_not_found")
    plane.with_target(second)
    assert ok(plane.api.get(f"{first}/targets"))["targets"] == []


def test_targets_are_listed_as_they_were_answered(plane: EmbeddedPlane) -> None:
    """The list has the targets as create returned them, in the order of registration, with pages."""
    app = plane.with_app()
    created = [
        ok(plane.api.post(f"{app}/targets", json={"platform": platform, "identifier": "z"}), 201)
        for platform in ("windows", "linux", "macos")
    ]
    assert ok(plane.api.get(f"{app}/targets"))["targets"] == created
    assert ok(plane.api.get(f"{app}/targets?limit=1&offset=2"))["targets"] == created[2:]


def test_a_target_needs_a_known_platform_and_an_identifier(plane: EmbeddedPlane) -> None:
    """An unknown platform and an empty identifier are refused with their paths; read-only fields are ignored."""
    app = plane.with_app()
    body = {"platform": "tvos", "identifier": "com.example.tv"}
    assert invalid_fields(plane.api.post(f"{app}/targets", json=body)) == ["platform"]
    assert invalid_fields(plane.api.post(f"{app}/targets", json={"platform": "ios", "identifier": ""})) == [
        "identifier"
    ]
    ok(plane.api.post(f"{app}/targets", json={"id": "x", "platform": "ios", "identifier": "com.example.x"}), 201)


def test_a_platform_beyond_the_contract_can_be_allowed(plane: EmbeddedPlane) -> None:
    """The local policy can add a platform of a newer Octomil."""
    ok(plane.local.put("/policy", json={"platforms": ["tvos"]}))
    plane.with_target(plane.with_app(), "tvos", "com.example.tv")
