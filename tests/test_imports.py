"""Imports: what packages export, and who imports it from where."""

from __future__ import annotations

import ast
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from tests.support.manifests import app

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"
# A regular expression, because parsing all files takes seconds.
IMPORT = re.compile(r"^ *from (octosync\.[\w.]+) import (\([^)]*\)|.*)$", re.MULTILINE)
FOLDERS = ("src", "tests", "docs", "benchmarks", "deploy")


def packages() -> dict[str, Path]:
    """Return the `__init__.py` of each package, outer packages first."""
    paths = sorted(SOURCE.rglob("__init__.py"), key=lambda path: len(path.parts))
    return {".".join(path.parent.relative_to(SOURCE).parts): path for path in paths}


def exports() -> dict[str, frozenset[str]]:
    """Return the names in `__all__` by package, outer packages first."""
    modules = {package: import_module(package) for package in packages()}
    return {package: frozenset(module.__all__) for package, module in modules.items() if hasattr(module, "__all__")}


def imports_for_type_checkers(path: Path) -> dict[str, str]:
    """Return the names that a package imports under `TYPE_CHECKING`, with their modules."""
    found: dict[str, str] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.If):
            for statement in node.body:
                assert isinstance(statement, ast.ImportFrom)
                found |= {alias.name: statement.module or "" for alias in statement.names}
    return found


def imports_from_octosync(source: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each module of octosync that Python code imports from, with the names of one statement."""
    for statement in IMPORT.finditer(source):
        names = re.sub("#.*", "", statement[2]).strip("( ")
        yield statement[1], {name.split()[0] for name in re.split(r"[,)]", names) if name.strip()}


def imports_past_a_package(path: Path, packages: dict[str, frozenset[str]]) -> Iterator[str]:
    """Yield what a file imports from a module although the module's package exports it."""
    own = ".".join(path.relative_to(SOURCE).parts) if path.is_relative_to(SOURCE) else ""
    for module, imported in imports_from_octosync(path.read_text(encoding="utf-8")):
        for package, names in packages.items():
            if module.startswith(f"{package}.") and not own.startswith(f"{package}."):
                for name in sorted(names & imported):
                    yield f"from {package} import {name}"


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


LAZY = {package: path for package, path in packages().items() if "lazy_exports" in path.read_text(encoding="utf-8")}


@pytest.mark.parametrize("package", LAZY)
def test_a_package_exports_what_it_imports_for_type_checkers(package: str) -> None:
    """The exports of a package are the same for Python as for type checkers and import-linter."""
    module, imported = import_module(package), imports_for_type_checkers(LAZY[package])
    assert imported
    assert sorted(module.__all__) == sorted(imported)
    for name, source in imported.items():
        assert getattr(module, name) is getattr(import_module(source), name)
    assert set(imported) <= set(dir(module))


@pytest.mark.parametrize("package", LAZY)
def test_no_export_has_the_name_of_a_module(package: str) -> None:
    """Importing a module of a package never replaces an export of the package."""
    module = import_module(package)
    assert not set(module.__all__).intersection(found.name for found in pkgutil.iter_modules(module.__path__))


@pytest.mark.parametrize("package", LAZY)
def test_a_misspelt_export_is_an_ordinary_error(package: str) -> None:
    """A name that a package doesn't export raises the errors that Python raises for any module."""
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nonesuch'"):
        import_module(package).nonesuch  # noqa: B018 — the access raises
    with pytest.raises(ImportError, match=f"cannot import name 'nonesuch' from '{package}'"):
        exec(f"from {package} import nonesuch")  # noqa: S102 — the statement is what is tested


# The modules of octosync that the fastest commands import, without packages.
ROOT_MODULES = {"__main__", "cli.command", "cli.console", "cli.root", "cli.signals", "errors"}
OPTIONS = ROOT_MODULES | {
    "cli.options",
    "cli.run_options",
    "cli.shell_completion",
    "exports",
    "model.optimize",
    "plan.guards.flags",
    "report.size_limit",
    "state.lock",
}
LOADING = {
    "collector",
    "cli.contexts",
    "cli.inputs",
    "contract.operations",
    "contract.resources",
    "manifest.config.config",
    "manifest.load.assemble",
    "manifest.load.digest",
    "manifest.load.documents",
    "manifest.load.files",
    "manifest.load.limits",
    "manifest.load.load",
    "manifest.load.owners",
    "manifest.load.rendered_origins",
    "manifest.load.resources",
    "manifest.load.variables",
    "manifest.schema.checked_object",
    "manifest.schema.models",
    "manifest.schema.rules",
    "manifest.schema.shapes",
    "manifest.yaml.loader",
    "manifest.yaml.nodes",
    "manifest.yaml.scalars",
    "manifest.yaml.simple",
    "manifest.yaml.source",
    "model.address",
    "model.diagnostic",
    "model.redaction",
    "model.state",
    "model.values",
}
REPORT = {"cli.output", "report.errors", "report.run_report", "report.text", "report.validation"}
# By command: the packages of others, and the modules of octosync.
IMPORTED = {
    "--help": ({"click"}, ROOT_MODULES),
    "version": ({"click"}, OPTIONS | {"cli.commands.version"}),
    "plan --help": ({"click"}, OPTIONS | {"cli.commands.plan"}),
    "help plan": ({"click"}, OPTIONS | {"cli.commands.help", "cli.commands.plan"}),
    "watch --help": ({"click"}, OPTIONS | {"cli.commands.watch", "watch.settings"}),
    "[completing] pl": ({"click"}, OPTIONS | {"cli.commands.plan"}),
    "[completing] plan --ba": ({"click"}, OPTIONS | {"cli.commands.plan"}),
    "validate -f one.yaml": (
        {"click", "yaml", "pydantic_core", "typing_extensions"},
        OPTIONS | LOADING | REPORT | {"cli.commands.validate", "cli.runs.validate"},
    ),
}
# Parts of the standard library that take more time than all of such a command, or than all of its other imports.
SLOW = {"asyncio", "email", "http", "importlib.metadata", "logging", "multiprocessing", "sqlite3", "ssl", "subprocess"}
# Runs the entry point, and prints the names of all modules that it imports.
TRACED = """
import atexit, sys
before = {*sys.modules}
# The substitute for pydantic's loader of plugins has no spec, and the command line of httpx is None.
names = lambda: (name for name, module in sys.modules.items() if module and getattr(module, "__spec__", name) is not None)
atexit.register(lambda: print(*{*names()} - before, file=sys.stderr))
from octosync.__main__ import main
main()
"""


def modules_of(command: str, folder: Path, *, fails: bool = False) -> set[str]:
    """Run a command, or the completion of its last word, in a folder; return the modules that it imports."""
    words = command.split()
    environment = dict(os.environ)
    if words[0] == "[completing]":
        environment |= {
            "_OCTOSYNC_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(("octosync", *words[1:])),
            "COMP_CWORD": str(len(words) - 1),
        }
        words = []
    ran = subprocess.run(
        [sys.executable, "-P", "-c", TRACED, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode != 0) == fails, ran.stderr
    return set(ran.stderr.split())


@pytest.mark.parametrize("command", IMPORTED)
def test_a_fast_command_imports_no_more_than_it_needs(command: str, tmp_path: Path) -> None:
    """Help, versions, completion and validation start fast, because they import these modules and no others."""
    (tmp_path / "one.yaml").write_text(app())
    modules = modules_of(command, tmp_path)
    names = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names
    # Extension modules in Cython and Python's own configuration have names of versions and platforms.
    others = {name for name in names if not name.startswith("_")} - {"octosync", "cython_runtime"}
    own = {module.removeprefix("octosync.") for module in modules if module.startswith("octosync.")}
    own -= {package.removeprefix("octosync.") for package in packages()}
    allowed, listed = IMPORTED[command]
    what_to_do = (
        "Import a new module in the function that needs it, or move what is needed from it to a module that imports less. "
        "Only if all of the command's runs need it, add it to the list of this test."
    )
    assert (own - listed, others - allowed, modules & SLOW) == (set(), set(), set()), what_to_do
    assert (listed - own, allowed - others) == (set(), set()), "Remove these modules from the list of this test."


def test_a_run_without_a_terminal_imports_no_terminal_library(tmp_path: Path) -> None:
    """A run in CI starts faster without rich, which only draws the bar on a terminal, and without httpx's command line."""
    modules = modules_of("apply -f missing.yaml --url http://127.0.0.1:1 --yes", tmp_path, fails=True)
    assert {"octosync.cli.progress", "httpx"} <= modules
    assert not {module for module in modules if module.partition(".")[0] in {"rich", "pygments"}}


def test_pydantic_gets_a_part_of_its_loader_of_plugins() -> None:
    """The command line replaces pydantic's module that finds plugins. What the substitute lacks is taken from the module."""
    code = """
import sys
from octosync.__main__ import main
sys.argv = ["octosync", "version"]
try:
    main()
except SystemExit:
    from pydantic.plugin._loader import get_plugins
    assert get_plugins() == ()
    from pydantic.plugin._loader import PYDANTIC_ENTRY_POINT_GROUP as group
    assert group == "pydantic"
"""
    subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True)
