"""The exports of a package, imported when they are used for the first time: a command imports only the modules that it needs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module


def lazy_exports(
    package: str, modules: Mapping[str, str]
) -> tuple[list[str], Callable[[str], object], Callable[[], list[str]]]:
    """Return `__all__`, `__getattr__` and `__dir__` for the `__init__` of a package.

    `modules` lists the exported names by the module that defines them. Type checkers and import-linter don't read it: for them,
    the `__init__` imports the same names under `TYPE_CHECKING`.
    """
    module_of = {name: f"{package}.{module}" for module, names in modules.items() for name in names.split()}

    def get(name: str) -> object:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules[package])
        value = getattr(import_module(module_of[name]), name)
        setattr(sys.modules[package], name, value)  # `__getattr__` is not called for this name again
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *module_of})

    return list(module_of), get, names
