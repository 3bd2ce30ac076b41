from __future__ import annotations

import json
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest
from tests.support.embedded_planes import JSON, Clock, EmbeddedPlane, client, invalid_fields, ok, refused, run_plane

from octosync.server import ServerSettings, create_app
from octosync.server.faults import ConnectionCut


def create(plane: EmbeddedPlane) -> httpx.Response:
    """Send the write that faults are injected into."""
    return plane.api.post("/apps", json={"slug": "demo", "name": "Demo", "description": "kept"})


@pytest.mark.parametrize(("action", "carried_out"), [("cut_before", False), ("cut_after", True), ("cut", False)])
def test_an_answer_is_lost_before_or_after_the_write(plane: EmbeddedPlane, action: str, carried_out: bool) -> None:
    """The connection closes without a response; the rule decides whether the write is executed; the next request is served."""
    plane.inject("apps.create", action)
    with pytest.raises(httpx.TransportError):
        create(plane)
    assert ok(plane.api.get("/apps"))["total"] == (1 if carried_out else 0)
    assert create(plane).status_code == (409 if carried_out else 201)
    assert plane.log()[0]["status"] is None


async def test_a_cut_is_seen_in_process_too() -> None:
    """Without a connection to close, an in-process client gets `ConnectionCut`, and half of a truncated response."""
    transport = httpx.ASGITransport(create_app(ServerSettings()))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as caller:
        rules = [{"operation": "apps.list", "action": action} for action in ("cut_after", "truncated")]
        ok(await caller.put("/_local/faults", json={"rules": rules}))
        with pytest.raises(ConnectionCut):
            await caller.get("/api/v1/apps")
        half = await caller.get("/api/v1/apps")
        assert 0 < len(half.content) < int(half.headers["Content-Length"])


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_status_may_stand_for_a_write_that_happened(plane: EmbeddedPlane, when: str) -> None:
    """A 502 before the write means no change, a 502 after it hides the change."""
    plane.inject("apps.create", "status", status=502, when=when)
    refused(create(plane), 502, "injected_fault")
    assert ok(plane.api.get("/apps"))["total"] == (1 if when == "after" else 0)


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        ("flat", {"code": "odd", "message": "Odd", "details": [1]}),
        ("legacy", {"error": "odd", "message": "Odd", "status_code": 503, "details": [1]}),
        ("detail", {"detail": [1]}),
    ],
)
def test_errors_come_in_every_shape(plane: EmbeddedPlane, shape: str, body: Any) -> None:
    """All error shapes of Octomil's servers can be selected."""
    plane.inject("apps.list", "status", shape=shape, code="odd", message="Odd", details=[1])
    answer = plane.api.get("/apps")
    assert (answer.status_code, answer.json()) == (503, body)
    assert answer.headers["X-Request-Id"]


def test_an_error_may_be_text(plane: EmbeddedPlane) -> None:
    """A text response has only the message."""
    plane.inject("apps.list", "status", shape="text", message="Odd", status=500)
    assert plane.api.get("/apps").text == "Odd"


def test_retry_after_is_seconds_or_a_date() -> None:
    """Both forms of `Retry-After` are the same time, by the clock of the control plane."""
    clock = Clock()
    with run_plane(clock=clock) as plane:
        plane.inject("*", "status", status=429, retry_after=30)
        assert plane.api.get("/apps").headers["Retry-After"] == "30"
        plane.inject("*", "status", status=429, retry_after=30, retry_after_date=True)
        at = parsedate_to_datetime(plane.api.get("/apps").headers["Retry-After"])
        assert (at - clock.now).total_seconds() == 30


def test_answers_that_are_none(plane: EmbeddedPlane) -> None:
    """HTML, an empty body, invalid JSON, a bare 404, a redirect, a bare list: each once, then the normal response."""
    plane.with_app()
    html = _one(plane, "html")
    assert (html.status_code, html.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
    empty = _one(plane, "empty")
    assert (empty.status_code, empty.content) == (200, b"")
    with pytest.raises(json.JSONDecodeError):
        _one(plane, "garbage").json()
    assert _one(plane, "not_found").json() == {"detail": "Not Found"}
    redirect = _one(plane, "redirect", location="http://elsewhere.example/")
    assert (redirect.status_code, redirect.headers["Location"]) == (307, "http://elsewhere.example/")
    assert [app["slug"] for app in _one(plane, "bare_list").json()] == ["demo"]
    assert _one(plane, "answer").json() is None
    approval = _one(plane, "answer", status=202, value={"status": "approval_required"})
    assert (approval.status_code, approval.json()) == (202, {"status": "approval_required"})
    assert _one(plane, "answer", status=204).content == b""
    with pytest.raises(httpx.RemoteProtocolError):
        _one(plane, "truncated")
    assert ok(plane.api.get("/apps"))["total"] == 1


def _one(plane: EmbeddedPlane, action: str, **fields: Any) -> httpx.Response:
    plane.inject("apps.list", action, **fields)
    return plane.api.get("/apps")


def test_a_field_may_be_accepted_and_not_kept(plane: EmbeddedPlane) -> None:
    """`drop_field` removes the field from the request: it is accepted, and response and state don't have the field."""
    app = plane.with_app()
    plane.inject("apps.put_slot", "drop_field", field="bindings")
    slot = ok(plane.api.put(f"{app}/slots/chat", json={"bindings": [{"a": 1}], "preferred_engines": ["mlx"]}))
    assert (slot["bindings"], slot["preferred_engines"]) == ([], ["mlx"])
    assert ok(plane.api.get(f"{app}/slots/chat")) == slot
    plane.inject("apps.put_slot", "drop_field", field="preferred_engines.x.y")
    assert ok(plane.api.put(f"{app}/slots/chat", json={"preferred_engines": ["mlx"]}))["preferred_engines"] == ["mlx"]


def test_a_body_that_has_no_fields_keeps_its_own_error(plane: EmbeddedPlane) -> None:
    """If there is no field to drop, the request is checked as it was sent: invalid JSON is a 422, a large body a 413."""
    app = plane.with_app()

    def chunks() -> Iterator[bytes]:
        yield from [b"{", b"no json"]

    def too_many() -> Iterator[bytes]:
        yield from [b" " * 1024 * 1024] * 9

    plane.inject("apps.put_slot", "drop_field", field="a.b", times=2)
    refused(plane.api.put(f"{app}/slots/chat", content=chunks(), headers=JSON), 422, "validation_error")
    refused(plane.api.put(f"{app}/slots/chat", content=too_many(), headers=JSON), 413, "payload_too_large")


def test_an_answer_without_a_body_stays_without(plane: EmbeddedPlane) -> None:
    """Changes to a response's fields have no effect on a 204."""
    plane.with_slot(plane.with_app())
    plane.inject("apps.delete_slot", "set_answer_field", field="a", value=1)
    answer = plane.api.delete("/apps/demo/slots/chat")
    assert (answer.status_code, answer.content) == (204, b"")


def test_answers_may_lack_or_have_other_fields(plane: EmbeddedPlane) -> None:
    """`drop_answer_field` and `set_answer_field` change only the response, in every item of a list."""
    plane.with_app("one")
    plane.with_app("two")
    plane.inject("apps.list", "set_answer_field", field="apps.org_id", value="other")
    assert {app["org_id"] for app in ok(plane.api.get("/apps"))["apps"]} == {"other"}
    plane.inject("apps.list", "drop_answer_field", field="apps.name")
    assert not any("name" in app for app in ok(plane.api.get("/apps"))["apps"])
    plane.inject("apps.list", "drop_answer_field", field="nothing.here")
    assert ok(plane.api.get("/apps"))["total"] == 2


def test_a_rule_waits_acts_and_is_spent(plane: EmbeddedPlane) -> None:
    """`skip` matches pass, the next `times` have the fault, the rest pass; `null` times never end; `slug` narrows."""
    plane.with_app("one")
    plane.with_app("two")
    plane.inject("apps.get", "not_found", skip=1, times=2, slug="one")
    assert [plane.api.get("/apps/one").status_code for _ in range(5)] == [200, 404, 404, 200, 200]
    assert plane.api.get("/apps/two").status_code == 200
    assert ok(plane.local.get("/faults"))["rules"][0]["acted"] == 2
    plane.inject("*", "empty", times=None)
    assert [plane.api.get("/apps").content for _ in range(5)] == [b""] * 5
    assert plane.local.delete("/faults").status_code == 204
    assert ok(plane.local.get("/faults")) == {"rules": []}
    ok(plane.api.get("/apps"))


def test_a_delayed_request_is_served_in_the_end(plane: EmbeddedPlane) -> None:
    """`delay` changes only the duration; a client that gives up earlier gets a time-out."""
    plane.inject("apps.list", "delay", seconds=0.01)
    ok(plane.api.get("/apps"))
    plane.inject("apps.list", "delay", seconds=60)
    with client(str(plane.api.base_url)) as hasty, pytest.raises(httpx.ReadTimeout):
        hasty.get("/apps", timeout=0.05)


def test_a_rule_that_makes_no_sense_is_refused(plane: EmbeddedPlane) -> None:
    """The error names the path of unknown operations and actions, and the active rules stay."""
    plane.inject("apps.list", "html")
    rules = [{"operation": "apps.nope", "action": "explode", "times": 0}]
    answer = plane.local.put("/faults", json={"rules": rules})
    assert sorted(invalid_fields(answer)) == ["rules[0].action", "rules[0].operation", "rules[0].times"]
    assert plane.api.get("/apps").status_code == 502
