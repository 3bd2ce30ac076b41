"""Commits in a test: what is declared by slug, all of it put into one file at once, as a commit is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.controllers import manifest


def commit(folder: Path, apps: Mapping[str, Mapping[str, Any]], name: str = "all.yaml") -> None:
    """Declare exactly these apps, by slug, in one file of `folder/apps`; what of each is as for `manifest`."""
    write(folder, "\n---\n".join(manifest(slug, **spec) for slug, spec in apps.items()), name)


def write(folder: Path, text: str, name: str = "all.yaml") -> None:
    """Put a file into `folder/apps`, whole from the first moment."""
    apps = folder / "apps"
    apps.mkdir(exist_ok=True)
    (folder / "coming").write_text(text)
    (folder / "coming").replace(apps / name)


def child(kind: str, slug: str, name: str = "", **spec: Any) -> str:
    """Return a document of one object of an app, such as a Target."""
    return json.dumps(
        {
            "apiVersion": "octosync.dev/v1",
            "kind": kind,
            "metadata": {"name": name or f"{slug}-{kind.lower()}"},
            "spec": {"app": slug, **spec},
        }
    )
