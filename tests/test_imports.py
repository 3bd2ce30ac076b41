"""Imports: what a package exports is imported from the package, by everybody outside of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"
FOLDERS = ("src", "tests", "docs", "benchmarks", "deploy")


def exports() -> dict[str, frozenset[str]]:
    """Return the names in `__all__` by package, outer packages first."""
    found = {}
    for path in sorted(SOURCE.rglob("__init__.py"), key=lambda path: len(path.parts)):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            match node:
                case ast.Assign(targets=[ast.Name("__all__")]):
                    found[".".join(path.parent.relative_to(SOURCE).parts)] = frozenset(ast.literal_eval(node.value))
    return found


def imports_past_a_package(path: Path, packages: dict[str, frozenset[str]]) -> Iterator[str]:
    """Yield what a file imports from a module although the module's package exports it."""
    own = ".".join(path.relative_to(SOURCE).parts) if path.is_relative_to(SOURCE) else ""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        for package, names in packages.items():
            if node.module.startswith(f"{package}.") and not own.startswith(f"{package}."):
                for name in sorted(names.intersection(alias.name for alias in node.names)):
                    yield f"line {node.lineno}: from {package} import {name}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_a_package_exports_is_imported_from_it(folder: str) -> None:
    """One name has one place to import it from, so that modules inside a package can move."""
    packages = exports()
    assert {"octosync.model", "octosync.plan", "octosync.state"} <= packages.keys()
    found = {
        str(path.relative_to(ROOT)): wrong
        for path in sorted((ROOT / folder).rglob("*.py"))
        if (wrong := list(imports_past_a_package(path, packages)))
    }
    assert not found
