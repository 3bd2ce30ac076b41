from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.embedded_planes import EmbeddedPlane, ok, refused, run_plane


@pytest.mark.parametrize(
    ("platform", "publishable"),
    [("ios", True), ("android", True), ("browser", True), ("macos", False), ("linux", False), ("windows", False)],
)
def test_bootstrap_makes_app_target_and_keys(plane: EmbeddedPlane, platform: str, publishable: bool) -> None:
    """One request creates all objects; only mobile and browser platforms get a publishable key."""
    body = {"slug": "demo", "name": "Demo", "platform": platform, "identifier": "x"}
    made = ok(plane.api.post("/apps/bootstrap", json=body), 201)
    assert ok(plane.api.get("/apps/demo")) == made["app"]
    assert ok(plane.api.get("/apps/demo/targets"))["targets"] == [made["target"]]
    assert made["app_key"].startswith("oct_app_test_")
    assert ("publishable_key" in made) is publishable
    assert made.get("publishable_key", "oct_pub_test_").startswith("oct_pub_test_")


def test_a_failed_bootstrap_leaves_nothing(plane: EmbeddedPlane) -> None:
    """If the target is registered already, the app is not created either, and there is no event."""
    plane.with_target(plane.with_app("holder"), "ios", "x")
    events = ok(plane.api.get("/activity"))["total"]
    body = {"slug": "demo", "name": "Demo", "platform": "ios", "identifier": "x"}
    assert refused(plane.api.post("/apps/bootstrap", json=body), 409, "conflict")["details"]["app_slug"] == "holder"
    refused(plane.api.get("/apps/demo"), 404, "app_not_found")
    assert ok(plane.api.get("/activity"))["total"] == events


def test_keys_are_shown_once_and_stored_hashed(tmp_path: Path) -> None:
    """No key is in any other response, nor in the database's files."""
    with run_plane(db=tmp_path / "plane.db") as plane:
        body = {"slug": "demo", "name": "Demo", "platform": "ios", "identifier": "x"}
        made = ok(plane.api.post("/apps/bootstrap", json=body), 201)
        later = "".join(plane.api.get(path).text for path in ("/apps/demo", "/apps/demo/activity", "/apps"))
        keys = [made["app_key"], made["publishable_key"]]
        assert not any(key in later for key in keys)
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"demo" in stored
    assert not any(key.encode() in stored for key in keys)
