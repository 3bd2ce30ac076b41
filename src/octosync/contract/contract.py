"""The contract in force: the table, with a user's overrides from octosync.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from string import Formatter

from octosync.contract.names import PLATFORMS
from octosync.contract.operations import OPERATIONS, Access, Operation
from octosync.contract.resources import SHAPES, ObjectShape
from octosync.errors import ConfigError

_READ_METHODS = frozenset({"GET", "HEAD"})
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class Contract:
    """Operations by id, object shapes by name, and the platforms that octosync may register targets on."""

    operations: Mapping[str, Operation] = field(default_factory=lambda: OPERATIONS)
    shapes: Mapping[str, ObjectShape] = field(default_factory=lambda: SHAPES)
    platforms: tuple[str, ...] = PLATFORMS

    def overridden(
        self,
        *,
        operations: Mapping[str, Mapping[str, str]] | None = None,
        read_only: Mapping[str, Iterable[str]] | None = None,
        platforms: Iterable[str] = (),
    ) -> Contract:
        """Return the contract with `api.operations`, `api.readOnly` and `api.platforms` applied.

        Raises `ConfigError` for an unknown operation or object, a method that does not exist, a path that lacks or adds a
        parameter, and for anything that would turn a read into a write.
        """
        changed = {id_: _override(self._operation(id_), override) for id_, override in (operations or {}).items()}
        shapes = dict(self.shapes)
        for name, fields in (read_only or {}).items():
            if name not in shapes:
                raise ConfigError(
                    "unknown-object", f"api.readOnly.{name}: no such object", hints=(f"Objects: {', '.join(shapes)}",)
                )
            shapes[name] = replace(shapes[name], read_only=shapes[name].read_only | frozenset(fields))
        table = {**self.operations, **changed}
        _keep_reads_apart(table.values(), [*self.operations.values(), *changed.values()])
        return Contract(table, shapes, tuple(dict.fromkeys((*self.platforms, *platforms))))

    def _operation(self, id_: str) -> Operation:
        if id_ in self.operations:
            return self.operations[id_]
        close = get_close_matches(id_, self.operations, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Operations: {', '.join(self.operations)}"
        raise ConfigError("unknown-operation", f"api.operations.{id_}: no such operation", hints=(hint,))


def _override(operation: Operation, override: Mapping[str, str]) -> Operation:
    method = override.get("method", operation.method).upper()
    path = override.get("path", operation.path)
    where = f"api.operations.{operation.id}"
    if method not in _METHODS:
        raise ConfigError("unknown-method", f"{where}: {method} is not a method", hints=(", ".join(sorted(_METHODS)),))
    if operation.access is Access.READ and method not in _READ_METHODS and method != operation.method:
        raise ConfigError(
            "override-turns-read-into-write",
            f"{where}: a read can't become {method}",
            hints=("An override may move a read to another path, never make it change something.",),
        )
    if not path.startswith("/"):
        raise ConfigError("path-not-absolute", f"{where}: the path must start with /, below the API's base")
    if _parameters(path) != _parameters(operation.path):
        needed = ", ".join(f"{{{name}}}" for name in sorted(_parameters(operation.path))) or "none"
        raise ConfigError("path-parameters", f"{where}: {path} must have the parameters: {needed}")
    return replace(operation, method=method, path=path)


def _keep_reads_apart(table: Iterable[Operation], known: Iterable[Operation]) -> None:
    """Refuse a read by POST that would be sent to where a write is, or was before it was moved."""
    writes = {(one.method, one.path.rstrip("/")): one for one in known if one.access is Access.WRITE}
    for operation in table:
        place = (operation.method, operation.path.rstrip("/"))
        if operation.access is Access.READ and place in writes:
            raise ConfigError(
                "override-turns-read-into-write",
                f"api.operations.{operation.id}: {' '.join(place)} is {writes[place].id}, which is a write",
                hints=("An override may move a read to another path, never make it change something.",),
            )


def _parameters(path: str) -> frozenset[str]:
    try:
        fields = [field[1:] for field in Formatter().parse(path) if field[1] is not None]
    except ValueError as error:
        raise ConfigError("path-template", f"api.operations: {path} is not a path template: {error}") from error
    if any(format_ or conversion for _, format_, conversion in fields):
        raise ConfigError("path-template", f"api.operations: {path}: a parameter is a name in braces and nothing else")
    return frozenset(str(name) for name, _, _ in fields)
