from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.support.embedded_planes import Clock, EmbeddedPlane, ok, run_plane
from tests.support.fleets import LARGE, SMALL, post, with_fleet

from octosync.errors import ConfigError
from octosync.server import ServerSettings, create_app

PATHS = (
    "/apps?include_archived=true", "/apps/demo/targets", "/apps/demo/slots", "/apps/demo/inference-config",
    "/apps/demo/deployments", "/apps/demo/health", "/apps/demo/routing/stats", "/apps/demo/first-request", "/activity",
)  # fmt: skip


def everything(plane: EmbeddedPlane) -> list[Any]:
    """Read all state."""
    return [ok(plane.api.get(path)) for path in PATHS] + [ok(plane.local.get(path)) for path in ("/catalog", "/policy")]


def fill(plane: EmbeddedPlane) -> None:
    """Create nearly every kind of object."""
    app = with_fleet(plane, SMALL)
    ok(plane.api.put(f"{app}/inference-config", json={"model": "m", "ü": [1]}))
    ok(post(plane, app, "enable"), 201)
    plane.tick(200)
    ok(plane.local.put("/catalog", json={"variants": [SMALL, LARGE]}))
    ok(plane.local.put("/policy", json={"require_approval": ["staging"]}))
    ok(post(plane, app, "optimize"))
    ok(plane.local.post("/requests", json={"app_slug": "demo", "capability": "chat", "route": "local", "count": 3}))
    ok(plane.api.post(f"{plane.with_app('gone')}/archive"))


def test_a_restart_keeps_everything(tmp_path: Path) -> None:
    """State, server time and a running canary are the same after a restart, and time continues from there."""
    clock = Clock()
    with run_plane(db=tmp_path / "plane.db", clock=clock) as plane:
        fill(plane)
        before = everything(plane)
        first_id = plane.api.get("/apps").headers["X-Request-Id"]
    with run_plane(db=tmp_path / "plane.db", clock=clock) as plane:
        assert everything(plane) == before
        assert plane.api.get("/apps").headers["X-Request-Id"] > first_id
        plane.tick(600)
        assert ok(plane.api.get("/deployments"))["deployments"][0]["status"] == "completed"


def test_a_restart_does_not_seed_again(tmp_path: Path) -> None:
    """The demo's devices are added once per database."""
    totals: list[int] = []
    for _ in range(2):
        with run_plane(db=tmp_path / "plane.db", seed="demo") as plane:
            if not totals:
                app = plane.with_app("field-notes")
                plane.with_target(app, "ios", "com.octomil.field-notes")
                plane.with_slot(app)
            totals.append(ok(plane.api.get("/apps/field-notes/health"))["slots"][0]["total_devices"])
    assert totals[0] == totals[1] > 0


def test_the_same_history_gives_the_same_answers() -> None:
    """Two control planes with the same clock and the same requests return the same bytes, including ids."""
    texts = []
    for _ in range(2):
        with run_plane() as plane:
            fill(plane)
            texts.append([plane.api.get(path).content for path in PATHS])
    assert texts[0] == texts[1]


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    """A database of another schema version is not changed, and the error has a hint."""
    path = tmp_path / "plane.db"
    with run_plane(db=path):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ConfigError) as caught:
        create_app(ServerSettings(db=path))
    assert caught.value.reference == "database-version"
    assert "99" in caught.value.message
    assert caught.value.hints


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    """Another program's database, and a file that is no database, are left unchanged."""
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    text = tmp_path / "notes.txt"
    text.write_text("not a database at all, but long enough to be looked at as one " * 40)
    for file, reference in ((path, "database-foreign"), (text, "database-unusable"), (tmp_path, "database-unusable")):
        with pytest.raises(ConfigError) as caught:
            create_app(ServerSettings(db=file))
        assert caught.value.reference == reference
        assert str(file) in caught.value.message
    assert text.read_text().startswith("not a database")


def test_a_database_is_for_its_owner_only(tmp_path: Path) -> None:
    """A new file is readable by its owner only; an existing file loses the permissions of group and others."""
    path = tmp_path / "plane.db"
    for slug in ("first", "second"):
        with run_plane(db=path) as plane:
            plane.with_app(slug)
            assert {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {
                "plane.db": 0o600,
                "plane.db-wal": 0o600,
            }
        path.chmod(0o644)


def test_a_file_is_served_once_at_a_time(tmp_path: Path) -> None:
    """A second server on the same file is refused while the first one runs."""
    with run_plane(db=tmp_path / "plane.db"), pytest.raises(ConfigError) as caught:
        create_app(ServerSettings(db=tmp_path / "plane.db"))
    assert caught.value.reference == "database-in-use"
