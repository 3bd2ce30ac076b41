"""Starter files: the first manifest of an existing app, and the files of a new repository."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from octosync.contract import PRESETS
from octosync.manifest.export.yaml_writer import manifest_text, value_text
from octosync.model import App, Section, Slot, Target

LOCAL: Final = "local"

_SLOTS: Final = """\
  # Declare one slot per capability. Without `slots`, existing slots are left alone:
  # slots:
  #   - capability: chat
  #     servingPolicy: local_first
  #     deploy: {environments: [production]}
"""


_DEPLOY: Final = """\
      # Without `deploy`, the slot is configured but never deployed:
      # deploy: {environments: [production]}
"""

_CONFIGURATION: Final = """\
# yaml-language-server: $schema={schema}
# Settings of all commands that run in this folder or below. Never put a secret in this file.
requires: ">=0.1,<1"

contexts:
  # `octosync server --seed demo` listens here.
  local: {{url: "http://127.0.0.1:8787"}}
{contexts}defaultContext: local

paths: [apps/]
"""


def starter_manifest(slug: str, *, name: str, platform: str, identifier: str) -> str:
    """Return the manifest of an app with one target. All strings load as the same strings."""
    target = Target(app=slug, platform=platform, identifier=identifier)
    app = App(slug=slug, fields={"name": name}, targets=(target,), complete_sections=frozenset({Section.TARGETS}))
    return f"{manifest_text(app)}{_SLOTS}"


def starter_app(slug: str, *, schema: str) -> str:
    """Return the manifest of a new app with a target and a slot; `schema` is the location of the manifests' JSON Schema."""
    target = Target(app=slug, platform="ios", identifier=f"com.example.{slug}")
    slot = Slot(app=slug, capability="chat", fields={"serving_policy": PRESETS["local_first"]}, preset="local_first")
    app = App(
        slug=slug,
        fields={"name": slug.replace("-", " ").capitalize()},
        targets=(target,),
        slots=(slot,),
        complete_sections=frozenset({Section.TARGETS, Section.SLOTS}),
    )
    return f"# yaml-language-server: $schema={schema}\n{manifest_text(app)}{_DEPLOY}"


def starter_configuration(contexts: Mapping[str, str], *, schema: str) -> str:
    """Return an octosync.yaml with the default context `local` and these contexts, all of Octomil's public API.

    `contexts` has, by name, the environment variable that holds a context's key.
    """
    lines = (
        f'  {value_text(name)}: {{url: "https://api.octomil.com", tokenEnv: {variable}}}\n'
        for name, variable in contexts.items()
    )
    head = "  # Add `org: ID` to a context, and octosync refuses to work with another org.\n" if contexts else ""
    return _CONFIGURATION.format(schema=schema, contexts=head + "".join(lines))
