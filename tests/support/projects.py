"""A project: a working directory with manifests, and the control plane that they are applied to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.embedded_planes import EmbeddedPlane, ok
from tests.support.plane import writes_in
from tests.support.workdirs import CommandResult, Workdir

APP = """\
apiVersion: octosync.dev/v1
kind: App
metadata: {{name: {slug}}}
spec:
  name: {name}
  targets:
    - {{platform: ios, identifier: com.acme.{slug}}}
  slots:
    - capability: chat
      servingPolicy: local_first
  inferenceConfig: {{model: "@app/{slug}/chat"}}
"""
ACTIONS = 4  # that create this app: the app, a target, a slot, an inference config


@dataclass(frozen=True)
class Project:
    """A working directory and a control plane. The commands pass the control plane's URL with --url."""

    plane: EmbeddedPlane
    workdir: Workdir

    @property
    def url(self) -> str:
        """The control plane's URL."""
        return self.plane.running.url

    def declare(self, slug: str = "search", *, name: str = "Search", text: str | None = None) -> Path:
        """Write an app's manifest."""
        return self.workdir.write(f"apps/{slug}.yaml", text or APP.format(slug=slug, name=name))

    def plan(self, *arguments: str | Path, **more: Any) -> CommandResult:
        """Plan the manifests in `apps`."""
        return self.workdir.octosync("plan", "-f", "apps", "--url", self.url, *arguments, **more)

    def apply(self, *arguments: str | Path, **more: Any) -> CommandResult:
        """Apply the manifests in `apps` without confirmation."""
        return self.workdir.octosync("apply", "-f", "apps", "--url", self.url, "--yes", *arguments, **more)

    def save_plan(self, *arguments: str | Path, file: str = "plan.json") -> dict[str, Any]:
        """Save a plan to a file, and return the document."""
        assert self.plan("--plan-out", file, *arguments).code == 0
        document: dict[str, Any] = json.loads((self.workdir.directory / file).read_text())
        return document

    def apply_file(
        self, *arguments: str | Path, file: str = "plan.json", paths: Sequence[str] = ("apps",), **more: Any
    ) -> CommandResult:
        """Apply a plan file for the manifests in `apps` or at other paths."""
        named = [part for path in paths for part in ("-f", path)]
        return self.workdir.octosync("apply", file, *named, "--url", self.url, *arguments, **more)

    def log(self) -> list[str]:
        """Return `METHOD /path` of the requests since the last call."""
        log = ok(self.plane.local.get("/requests-log", params={"clear": "true"}))["requests"]
        return [f"{entry['method']} {entry['path'].partition('?')[0].removeprefix('/api/v1')}" for entry in log]

    def writes(self) -> list[str]:
        """Return `METHOD /path` of the writes since the last call."""
        return writes_in(self.log())

    def break_with(self, *rules: dict[str, Any]) -> None:
        """Inject faults."""
        ok(self.plane.local.put("/faults", json={"rules": list(rules)}))
