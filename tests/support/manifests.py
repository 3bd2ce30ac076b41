"""Manifests in a temporary folder, loaded as the commands load them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from octosync.manifest import (
    Configuration,
    ConfigurationResult,
    LoadOptions,
    Manifests,
    load_manifests,
    read_configuration,
)
from octosync.model import Diagnostic

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def app(spec: str = "", *, name: str = "demo", metadata: str = "") -> str:
    """Return an App's manifest; `spec` and additional `metadata` are YAML without indentation."""
    text = f"apiVersion: octosync.dev/v1\nkind: App\nmetadata:\n  name: {name}\n{_indented(metadata)}"
    return f"{text}spec:\n{_indented(spec)}" if spec else text


def child(kind: str, spec: str, *, metadata: str = "") -> str:
    """Return a child document of a kind."""
    meta = f"metadata:\n{_indented(metadata)}" if metadata else ""
    return f"apiVersion: octosync.dev/v1\nkind: {kind}\n{meta}spec:\n{_indented(spec)}"


def slot(fields: str) -> str:
    """Return an App with one chat slot that has these fields."""
    return app("slots:\n  - capability: chat\n" + _indented(fields, by=4))


_OPTIONS = frozenset(field.name for field in fields(LoadOptions))


class Workspace:
    """A folder of manifests."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Write files, and create their folders."""
        for name, content in files.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def configure(self, text: str, **more: Any) -> ConfigurationResult:
        """Write octosync.yaml and read it."""
        self.write({"octosync.yaml": text})
        return read_configuration(Path("octosync.yaml"), directory=self.directory, **more)

    def load(self, *paths: str, configuration: Configuration | None = None, **more: Any) -> Manifests:
        """Load paths, by default everything in the folder."""
        return self._load(paths or ["."], configuration or Configuration(directory=self.directory), **more)

    def load_paths(self, *, configuration: Configuration, **more: Any) -> Manifests:
        """Load the paths of octosync.yaml, as commands without -f do."""
        return self._load([], configuration, **more)

    def _load(self, paths: Sequence[str], configuration: Configuration, **more: Any) -> Manifests:
        given = {name: more.pop(name) for name in _OPTIONS & more.keys()}
        options = LoadOptions(directory=self.directory, **given)
        return load_manifests(paths, configuration=configuration, now=NOW, options=options, **more)

    def load_text(self, text: str | bytes, name: str = "app.yaml", **more: Any) -> Manifests:
        """Write one file and load it."""
        self.write({name: text})
        return self.load(name, **more)


def rules(found: Manifests | ConfigurationResult) -> list[str]:
    """Return the rule ids of all diagnostics, in order."""
    return [diagnostic.rule for diagnostic in found.diagnostics]


def only(found: Manifests | ConfigurationResult) -> Diagnostic:
    """Return the only diagnostic."""
    (diagnostic,) = found.diagnostics
    return diagnostic


def _indented(text: str, by: int = 2) -> str:
    return "".join(f"{' ' * by}{line}\n" for line in text.splitlines())
