"""The first manifest of an app that exists already: what it has is declared, so it plans to nothing, and grows from there."""

from __future__ import annotations

from typing import Final

from octosync.manifest.writing import manifest_text
from octosync.model import App, Section, Target

_SLOTS: Final = """\
  # What the app's models do is its slots, one each. Until a list of slots is declared, none is touched:
  # slots:
  #   - capability: chat
  #     servingPolicy: local_first
  #     deploy: {environments: [production]}
"""


def starter_manifest(slug: str, *, name: str, platform: str, identifier: str) -> str:
    """Write the manifest of an app with one target. Any text is written so that it is read back as it is."""
    target = Target(app=slug, platform=platform, identifier=identifier)
    app = App(slug=slug, fields={"name": name}, targets=(target,), whole=frozenset({Section.TARGETS}))
    return f"{manifest_text(app)}{_SLOTS}"
