"""The first manifest of an app that exists already: what it has is declared, so it plans to nothing, and grows from there."""

from __future__ import annotations

import json
import re
from typing import Final

from octosync.manifest.scalars import NotJson, resolve
from octosync.manifest.schema import API_VERSION

_PLAIN: Final = re.compile(r"[A-Za-z0-9](?:[\w ./()+-]*[\w./()+-])?", re.ASCII)

_SLOTS: Final = """\
  # What the app's models do is its slots, one each. Until a list of slots is declared, none is touched:
  # slots:
  #   - capability: chat
  #     servingPolicy: local_first
  #     deploy: {environments: [production]}
"""


def starter_manifest(slug: str, *, name: str, platform: str, identifier: str) -> str:
    """Write the manifest of an app with one target. Any text is written so that it is read back as it is."""
    return (
        f"apiVersion: {API_VERSION}\n"
        "kind: App\n"
        "metadata:\n"
        f"  name: {_scalar(slug)}\n"
        "spec:\n"
        f"  name: {_scalar(name)}\n"
        "  targets:\n"
        f"    - platform: {_scalar(platform)}\n"
        f"      identifier: {_scalar(identifier)}\n"
        f"{_SLOTS}"
    )


def _scalar(text: str) -> str:
    """Write a text plainly where YAML reads that as the same text, else in double quotes; `${` is no variable here."""
    if _PLAIN.fullmatch(text) and _is_text(text):
        return text
    quoted = json.dumps(text.replace("${", "$${"), ensure_ascii=False)
    return "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in quoted)


def _is_text(text: str) -> bool:
    try:
        return resolve(text) == text
    except NotJson:
        return False
