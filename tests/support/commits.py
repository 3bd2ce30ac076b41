"""Commits in a test: a set of apps, all declared in one file that is replaced in one step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.controllers import manifest


def commit(folder: Path, apps: Mapping[str, Mapping[str, Any]], name: str = "all.yaml") -> None:
    """Declare exactly these apps, by slug, in one file of `folder/apps`; their fields are those of `manifest`."""
    write(folder, "\n---\n".join(manifest(slug, **spec) for slug, spec in apps.items()), name)


def write(folder: Path, text: str, name: str = "all.yaml") -> None:
    """Put a file into `folder/apps` in one step, so that it is never seen incomplete."""
    apps = folder / "apps"
    apps.mkdir(exist_ok=True)
    (folder / "new-file").write_text(text)
    (folder / "new-file").replace(apps / name)


def child(kind: str, slug: str, name: str = "", **spec: Any) -> str:
    """Return the document of one object of an app, such as a Target."""
    return json.dumps(
        {
            "apiVersion": "octosync.dev/v1",
            "kind": kind,
            "metadata": {"name": name or f"{slug}-{kind.lower()}"},
            "spec": {"app": slug, **spec},
        }
    )
