from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.support.embedded_planes import EmbeddedPlane, invalid_fields, ok, refused
from tests.support.fleets import SMALL

from octosync.server import ServerSettings, create_app


def test_the_log_tells_what_was_received(plane: EmbeddedPlane) -> None:
    """The log has method, path with query, status, key, operation and request id, in order, and not the local controls."""
    plane.with_app()
    plane.api.get("/apps?limit=5")
    plane.api.get("/nope%2Fx")
    entries = [
        (entry["method"], entry["path"], entry["status"], entry["operation"], entry["key"]) for entry in plane.log()
    ]
    assert entries == [
        ("POST", "/api/v1/apps", 201, "apps.create", None),
        ("GET", "/api/v1/apps?limit=5", 200, "apps.list", None),
        ("GET", "/api/v1/nope%2Fx", 404, None, None),
    ]


def test_the_log_can_be_emptied(plane: EmbeddedPlane) -> None:
    """`?clear=true` returns the log and empties it, `DELETE` empties it."""
    plane.with_app()
    assert len(ok(plane.local.get("/requests-log?clear=true"))["requests"]) == 1
    assert plane.log() == []
    plane.api.get("/apps")
    assert plane.local.delete("/requests-log").status_code == 204
    assert plane.log() == []


def test_the_catalog_is_replaced_whole(plane: EmbeddedPlane) -> None:
    """The catalog is read as it was put; the error for an invalid variant names its path, and nothing changes."""
    ok(plane.local.put("/catalog", json={"variants": [SMALL]}))
    assert ok(plane.local.get("/catalog")) == {"variants": [SMALL]}
    wrong = {**SMALL, "latency": 0, "min_device_class": "toaster"}
    answer = plane.local.put("/catalog", json={"variants": [SMALL, wrong]})
    assert sorted(invalid_fields(answer)) == ["variants[1].latency", "variants[1].min_device_class"]
    assert invalid_fields(plane.local.put("/catalog", json={"variants": [SMALL, SMALL]})) == ["variants"]
    assert ok(plane.local.get("/catalog")) == {"variants": [SMALL]}


def test_the_policy_is_replaced_whole(plane: EmbeddedPlane) -> None:
    """Fields that the body lacks become empty."""
    policy = {"require_approval": ["production"], "platforms": ["tvos"], "slot_fields": ["quota"]}
    assert ok(plane.local.put("/policy", json=policy)) == policy
    assert ok(plane.local.get("/policy")) == policy
    assert ok(plane.local.put("/policy", json={})) == {"require_approval": [], "platforms": [], "slot_fields": []}
    assert invalid_fields(plane.local.put("/policy", json={"require_approval": ["prod"]})) == ["require_approval[0]"]


@pytest.mark.parametrize(
    ("client", "origin", "status"),
    [
        (("127.0.0.1", 1), None, 200),
        (("::1", 1), "http://localhost:3000", 200),
        (("10.0.0.9", 1), None, 403),
        (("testclient", 1), None, 403),
        (None, None, 403),
    ],
)
async def test_controls_answer_callers_on_this_machine_only(client: Any, origin: str | None, status: int) -> None:
    """A request from another machine is rejected, with any Host."""
    app = create_app(ServerSettings())

    async def from_client(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "client": client}, receive, send)

    headers = {} if origin is None else {"Origin": origin}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(from_client), base_url="http://localhost") as caller:
        answer = await caller.get("/_local/requests-log", headers=headers)
    if status == 403:
        refused(answer, 403, "loopback_only")
    else:
        ok(answer)
