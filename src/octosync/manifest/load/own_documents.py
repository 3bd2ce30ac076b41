"""The documents that octosync itself writes, such as plans and schemas: below `-f`, they are not taken for manifests."""

from __future__ import annotations

import re
from collections.abc import Mapping as Table
from typing import Final

from octosync.manifest.yaml.nodes import Mapping, Node, Scalar, Sequence

# The keys that identify a document with a `format_version`. A new minor version adds keys. That of `octosync bootstrap` is
# not among them: it may contain keys of an app, and must not be kept with the manifests.
_KEYS: Final[Table[str, frozenset[str]]] = {
    "a plan": frozenset({"octosync_version", "resource_changes", "summary"}),
    "a result of apply": frozenset({"plan", "outcomes", "exit_code"}),
    "a result of a failed run": frozenset({"octosync_version", "errored", "errors"}),
    "a result of validate": frozenset({"valid", "files", "diagnostics"}),
    "a status": frozenset({"control_plane", "errored", "apps", "cost"}),
    "a status of watch": frozenset({"octosync_version", "control_plane", "alarms", "holds"}),
    "a status of the manifests": frozenset({"control_plane", "errored", "declared", "summary"}),
}
_VERSION: Final = re.compile(r"\d{1,4}\.\d{1,4}", re.ASCII)
_JSON_SCHEMA: Final = "https://json-schema.org/draft/2020-12/schema"
_SCHEMAS: Final = frozenset({"octosync manifest", "octosync.yaml", "octosync plan", "octosync watch status"})
_DEFINITIONS: Final = "dev.octosync."


def describe_own_document(root: Mapping) -> str | None:
    """Return what a document of octosync is; None for any other document, also for one with `apiVersion` or `kind`."""
    keys = root.entries.keys()
    if root.repeated or root.has_unread_key or not keys.isdisjoint({"apiVersion", "kind"}):
        return None
    if _VERSION.fullmatch(_text(root.get("format_version"))):
        return next((what for what, own in _KEYS.items() if own <= keys), None)
    if _text(root.get("$schema")) == _JSON_SCHEMA and _text(root.get("title")) in _SCHEMAS:
        return "a JSON Schema"
    definitions = root.get("definitions")
    if "swagger" in keys and isinstance(definitions, Mapping) and definitions.entries:
        return "a kustomize schema" if all(map(_is_own_definition, definitions.entries)) else None
    return "a SARIF log" if _is_own_log(root.get("runs")) else None


def _is_own_definition(name: str) -> bool:
    return name.startswith(_DEFINITIONS)


def _is_own_log(runs: Node | None) -> bool:
    node = runs.items[0] if isinstance(runs, Sequence) and len(runs.items) == 1 else None
    for key in ("tool", "driver", "name"):
        node = node.get(key) if isinstance(node, Mapping) else None
    return _text(node) == "octosync"


def _text(node: Node | None) -> str:
    return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else ""
