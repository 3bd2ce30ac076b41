from __future__ import annotations

from tests.support.embedded_planes import EmbeddedPlane, ok, refused, run_plane
from tests.support.fleets import LARGE, SMALL, post, with_fleet

from octosync.model import Address
from octosync.server import Token


def test_every_write_is_an_event_with_its_resource(plane: EmbeddedPlane) -> None:
    """Events name the object as its address does, newest first."""
    app = plane.with_app()
    target = plane.with_target(app)
    plane.with_slot(app)
    plane.with_slot(app)
    ok(plane.api.put(f"{app}/inference-config", json={}))
    ok(plane.api.put(f"{app}/inference-config", json={"a": 1}))
    ok(plane.api.patch(app, json={"name": "New"}))
    plane.api.delete(f"{app}/inference-config")
    plane.api.delete(f"{app}/slots/chat")
    plane.api.delete(f"{app}/targets/{target}")
    ok(plane.api.post(f"{app}/archive"))
    events = ok(plane.api.get(f"{app}/activity"))["events"]
    config, slot = Address.of_inference_config("demo"), Address.of_slot("demo", "chat")
    at = Address.of_target("demo", "ios", "com.example.demo")
    expected = [
        ("app.archived", Address.of_app("demo")),
        ("target.deleted", at),
        ("slot.deleted", slot),
        ("inference_config.deleted", config),
        ("app.updated", Address.of_app("demo")),
        ("inference_config.updated", config),
        ("inference_config.created", config),
        ("slot.updated", slot),
        ("slot.created", slot),
        ("target.created", at),
        ("app.created", Address.of_app("demo")),
    ]
    assert [(event["type"], event["resource"]) for event in events] == [
        (type_, {"type": address.kind.value, "key": address.name}) for type_, address in expected
    ]
    assert {event["app_slug"] for event in events} == {"demo"}


def test_a_refused_write_leaves_no_event(plane: EmbeddedPlane) -> None:
    """Rejected writes create no event."""
    plane.with_app()
    refused(plane.api.post("/apps", json={"slug": "demo", "name": "x"}), 409, "conflict")
    assert ok(plane.api.get("/activity"))["total"] == 1


def test_the_orgs_feed_holds_every_apps_events(plane: EmbeddedPlane) -> None:
    """App feed and org feed are one table: the app's feed is the org's, filtered."""
    plane.with_app("one")
    plane.with_app("two")
    plane.with_slot("/apps/one")
    feed = ok(plane.api.get("/activity"))["events"]
    assert [event["app_slug"] for event in feed] == ["one", "two", "one"]
    assert ok(plane.api.get("/apps/one/activity"))["events"] == [feed[0], feed[2]]
    assert ok(plane.api.get("/activity?limit=1&offset=1"))["events"] == feed[1:2]


def test_an_event_names_the_key_that_acted() -> None:
    """The actor is the name of the key; without keys it is anonymous; effects of time are the system's."""
    with run_plane(token="s", tokens=(Token.parse("ana:s"),)) as plane:
        app = with_fleet(plane, SMALL)
        ok(post(plane, app, "enable"), 201)
        plane.tick(600)
        ok(plane.local.put("/catalog", json={"variants": [SMALL, LARGE]}))
        ok(post(plane, app, "optimize"))
        events = ok(plane.api.get("/activity"))["events"]
        actors = {event["type"]: event["actor"] for event in events}
        assert actors["capability.optimized"] == {"type": "api_key", "id": "ana", "name": "ana"}
        assert actors["deployment.completed"] == {"type": "system", "id": "system"}
        assert events[0]["resource"] == {"type": "capability", "key": "chat@production"}
    with run_plane() as plane:
        plane.with_app()
        assert ok(plane.api.get("/activity"))["events"][0]["actor"]["type"] == "anonymous"
