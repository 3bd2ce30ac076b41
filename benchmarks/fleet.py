"""The apps of the benchmarks: their manifests, the writes that create them, and control planes on which they are live.

Each app has two targets, two slots and an inference config: six objects, which a first apply creates with six writes.
"""

from __future__ import annotations

import re
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

from benchmarks.timing import PYTHON, ROOT, call_child, environment

OBJECTS: Final = 6  # objects per app
SECTIONS: Final = ("slots", "targets", "inference-config")

_MANIFEST: Final = """\
apiVersion: octosync.dev/v1
kind: App
metadata:
  name: {slug}
  labels: {{team: team-{team}, tier: gold}}
spec:
  name: {name}
  description: {description}
  targets:
    - {{platform: ios, identifier: com.example.app{n:05}}}
    - {{platform: android, identifier: com.example.app{n:05}}}
  slots:
    - capability: chat
      servingPolicy: {policy}
      preferredEngines: [coreml, mlx]
    - capability: vision
      servingPolicy: local_only
      preferredEngines: [coreml]
  inferenceConfig:
    model: "@app/{slug}/chat"
    parameters: {{temperature: 0.2, max_tokens: 512}}
"""
_DESCRIPTION: Final = "One of many, for a benchmark"
# Serving policies as the control plane returns them.
_POLICIES: Final = {
    "local_only": {
        "routing_mode": "local_only",
        "fallback": {"allow_cloud_fallback": False, "allow_local_fallback": True},
    },
    "local_first": {
        "routing_mode": "auto",
        "routing_preference": "local",
        "fallback": {"allow_cloud_fallback": True, "allow_local_fallback": True},
    },
    "cloud_first": {
        "routing_mode": "auto",
        "routing_preference": "cloud",
        "fallback": {"allow_cloud_fallback": True, "allow_local_fallback": True},
    },
}
_COPIED: Final = ("apps", "targets", "slots", "inference_configs")


def slug(n: int) -> str:
    """Return the slug of app `n`."""
    return f"app-{n:05}"


def manifest(n: int, *, description: str = _DESCRIPTION, policy: str = "local_first") -> str:
    """Return the manifest of app `n`."""
    return _MANIFEST.format(
        n=n, slug=slug(n), name=f"Application {n:05}", team=n % 7, description=description, policy=policy
    )


def write_manifests(folder: Path, apps: int, per_file: int = 50, **changed: str) -> Path:
    """Write the manifests of all apps into a folder, and return it. `changed` are arguments of `manifest`."""
    folder.mkdir(exist_ok=True)
    for first in range(0, apps, per_file):
        documents = (manifest(n, **changed) for n in range(first, min(apps, first + per_file)))
        (folder / f"apps-{first:05}.yaml").write_text("---\n".join(documents), encoding="utf-8")
    return folder


def writes_of(n: int) -> list[tuple[str, str, Any]]:
    """Return the method, path and body of each write with which octosync creates app `n`; the first creates the app itself."""
    app = f"/apps/{slug(n)}"
    identifier = f"com.example.app{n:05}"
    return [
        ("POST", "/apps", {"slug": slug(n), "name": f"Application {n:05}", "description": _DESCRIPTION}),
        ("POST", f"{app}/targets", {"platform": "ios", "identifier": identifier}),
        ("POST", f"{app}/targets", {"platform": "android", "identifier": identifier}),
        ("PUT", f"{app}/slots/chat", _slot("local_first", "coreml", "mlx")),
        ("PUT", f"{app}/slots/vision", _slot("local_only", "coreml")),
        (
            "PUT",
            f"{app}/inference-config",
            {"model": f"@app/{slug(n)}/chat", "parameters": {"temperature": 0.2, "max_tokens": 512}},
        ),
    ]


def _slot(policy: str, *engines: str) -> dict[str, Any]:
    return {"bindings": [], "serving_policy": _POLICIES[policy], "preferred_engines": [*engines]}


def wanted(n: int, *, policy: str) -> dict[str, Any]:
    """Return the state of app `n` as JSON, with the chat slot's serving policy: what a script compares with live state."""
    (_, _, app), (_, _, ios), (_, _, android), *slots, (_, _, config) = writes_of(n)
    chat, vision = ({"capability": path.rpartition("/")[2], **body} for _, path, body in slots)
    chat["serving_policy"] = _POLICIES[policy]
    return {"app": app, "targets": [ios, android], "slots": [chat, vision], "config": config}


def fill(database: Path, apps: int) -> Path:
    """Create a database of `octosync server` on which the apps are live, and return it.

    Only the first app is created by requests. The rows of the others are copies of its rows, because 60,000 requests take longer
    than all measures.
    """
    database.write_bytes(_first_app())
    with sqlite3.connect(database) as connection:
        for table in _COPIED:
            cursor = connection.execute(f"SELECT * FROM {table}")  # noqa: S608 — the tables are constants
            rows, names = cursor.fetchall(), [column[0] for column in cursor.description]
            marks = ", ".join("?" * len(names))
            copies = (
                [_copied(name, value, n) for name, value in zip(names, row, strict=True)]
                for n in range(1, apps)
                for row in rows
            )
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", copies)  # noqa: S608 — likewise
    connection.close()
    return database


@cache
def _first_app() -> bytes:
    """Return a database with the first app."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "plane.db"
        call_child("over_http.create_first", database)
        return database.read_bytes()


def _copied(name: str, value: object, n: int) -> object:
    """Return the value of a column for app `n` instead of app 0."""
    if name == "seq":
        return None  # the database numbers the rows
    if not isinstance(value, str):
        return value
    if name == "id" or name.endswith("_id"):
        return f"{value[:-6]}{n:06}"
    return value.replace("00000", f"{n:05}")


@contextmanager
def control_plane(database: Path | None = None) -> Iterator[str]:
    """Run a control plane in a process of its own, so that it costs the measured process no CPU time. Yield its URL."""
    command = [*PYTHON, "-m", "octosync", "server", "--port", "0"]
    if database is not None:
        command += ["--db", str(database)]
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        try:
            yield url_in(process)
        finally:
            process.terminate()


def url_in(process: subprocess.Popen[str]) -> str:
    """Return the URL in the first line of standard error."""
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r"http://[\d.:]+", line)
    assert found is not None, line
    return found[0]
