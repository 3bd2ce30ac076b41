"""`octosync schema`: print the schemas for editors, for tools that read plans, and for kustomize."""

from __future__ import annotations

from typing import Final

from octosync.cli.console import out_json
from octosync.errors import UsageError
from octosync.manifest import configuration_schema, kustomize_definitions, manifest_schema
from octosync.plan import plan_schema
from octosync.watch.web import watch_schema

_SCHEMAS: Final = {
    "manifest": manifest_schema,
    "config": configuration_schema,
    "plan": plan_schema,
    "watch-status": watch_schema,
}


def run(name: str | None, *, kustomize: bool) -> None:
    """Run `octosync schema`."""
    if kustomize and name is not None:
        raise UsageError(
            "two-schemas",
            f"--kustomize can't be combined with {name}: it prints a different document",
            hints=("Use only one of them.",),
        )
    out_json(kustomize_definitions() if kustomize else _SCHEMAS[name or "manifest"]())
