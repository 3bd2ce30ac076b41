"""The table of the control plane's operations, and the contract: the table with overrides from octosync.yaml.

Dotted ids are the documentation's style (public for `apps.capabilities.enable` and `deployments.list`); every path and
method is assumed. Users can correct one in octosync.yaml (`api.operations.<id>: {method, path}`) without a new release.

HTTP bodies are decoded here, with a size limit that also holds for the decoded body.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import lru_cache
from string import Formatter
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from octosync.contract.resources import PLATFORMS, SHAPES, ObjectShape
from octosync.errors import ConfigError


class _ShownParameters(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return f"{{{name}}}"


class Provenance(Enum):
    """The source of the knowledge that an operation exists, and what it does."""

    STATED = "stated"
    PUBLIC = "public"
    ASSUMED = "assumed"


class Access(Enum):
    """Whether an operation can change anything; a preview or a check by POST is a read."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of the control plane.

    `path` is a template relative to the API's base, with `{slug}`, `{capability}` and `{target_id}`. `number` is the
    operation's position in the apps API's own list, None for the two org-level ones. `idempotent`: sending it twice has the
    same effect as sending it once. `summary` is its stated effect.
    """

    id: str
    method: str
    path: str
    number: int | None
    access: Access
    idempotent: bool
    summary: str
    provenance: Provenance = Provenance.STATED
    path_provenance: Provenance = Provenance.ASSUMED

    def url(self, parameters: Mapping[str, str]) -> str:
        """Return the path with percent-encoded values. Raises `KeyError` for a missing parameter."""
        return self.path.format_map({key: _quoted(value) for key, value in parameters.items()})

    def shown_url(self, parameters: Mapping[str, str]) -> str:
        """Return the path as a plan shows it: an unknown parameter is kept, such as `{target_id}`."""
        return self.path.format_map(_ShownParameters({key: _quoted(value) for key, value in parameters.items()}))


@lru_cache(maxsize=1_000)  # the objects of an app have its slug in common
def _quoted(value: str) -> str:
    return quote(value, safe="")


_READ, _WRITE = Access.READ, Access.WRITE
_APP, _SLOT = "/apps/{slug}", "/apps/{slug}/slots/{capability}"
_CAPABILITY = "/apps/{slug}/capabilities/{capability}"
_CONFIG = "/apps/{slug}/inference-config"

# number, id, method, path, access, idempotent, summary
_ROWS: Final = (
    (1, "apps.activity", "GET", f"{_APP}/activity", _READ, True, "An app's activity feed, newest first."),
    (2, "apps.archive", "POST", f"{_APP}/archive", _WRITE, True, "Soft-delete an app: targets and slots are preserved, lists hide it."),
    (3, "apps.bootstrap", "POST", "/apps/bootstrap", _WRITE, False, "Create an app, a target and keys in one transaction."),
    (4, "apps.capabilities.check_optimization", "POST", f"{_CAPABILITY}/check-optimization", _READ, True, "Compare the deployed variant with the alternatives; changes nothing."),
    (5, "apps.capabilities.enable", "POST", f"{_CAPABILITY}/enable", _WRITE, False, "Resolve the best variant, deploy it to the app's registered targets and start it."),
    (6, "apps.capabilities.optimize", "POST", f"{_CAPABILITY}/optimize", _WRITE, False, "Start a canary rollout to a better variant."),
    (7, "apps.capabilities.preview", "POST", f"{_CAPABILITY}/preview", _READ, True, "What enable would do; changes nothing."),
    (8, "apps.create", "POST", "/apps", _WRITE, False, "Create an app."),
    (9, "apps.list", "GET", "/apps", _READ, True, "List the org's apps; archived ones are hidden by default."),
    (10, "apps.create_target", "POST", f"{_APP}/targets", _WRITE, False, "Register a (platform, identifier) target, unique in the org: a duplicate returns 409."),
    (11, "apps.list_targets", "GET", f"{_APP}/targets", _READ, True, "List an app's targets."),
    (12, "apps.delete_slot", "DELETE", _SLOT, _WRITE, True, "Remove a capability slot."),
    (13, "apps.get_slot", "GET", _SLOT, _READ, True, "Fetch one capability slot; 404 if the app has none for the capability."),
    (14, "apps.put_slot", "PUT", _SLOT, _WRITE, True, "Replace a slot's serving policy and bindings wholesale."),
    (15, "apps.delete_target", "DELETE", f"{_APP}/targets/{{target_id}}", _WRITE, True, "Remove a target: from its deployments first, then re-materialize the assignments, then delete."),
    (16, "apps.deployments", "GET", f"{_APP}/deployments", _READ, True, "List an app's deployments."),
    (17, "apps.first_request", "GET", f"{_APP}/first-request", _READ, True, "Whether any inference request was received, cloud or on-device."),
    (18, "apps.get", "GET", _APP, _READ, True, "Fetch one app by slug."),
    (19, "apps.update", "PATCH", _APP, _WRITE, True, "Partially update an app."),
    (20, "apps.health", "GET", f"{_APP}/health", _READ, True, "Slot coverage: has each slot enough active deployment coverage."),
    (21, "apps.delete_inference_config", "DELETE", _CONFIG, _WRITE, True, "Delete the inference configuration."),
    (22, "apps.get_inference_config", "GET", _CONFIG, _READ, True, "Get the inference configuration."),
    (23, "apps.put_inference_config", "PUT", _CONFIG, _WRITE, True, "Create or update the inference configuration."),
    (24, "apps.list_slots", "GET", f"{_APP}/slots", _READ, True, "List an app's slots, each with its active variant and serving policy."),
    (25, "apps.routing_decisions", "GET", f"{_APP}/routing/decisions", _READ, True, "Recent routing decisions: local or cloud, model chosen, latency."),
    (26, "apps.routing_stats", "GET", f"{_APP}/routing/stats", _READ, True, "Aggregated routing statistics."),
    (None, "activity.list", "GET", "/activity", _READ, True, "The org's activity feed."),
    (None, "deployments.list", "GET", "/deployments", _READ, True, "The org's deployments, filtered by `app_id`."),
)  # fmt: skip

OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType(
    {
        id_: Operation(
            id=id_, number=number, method=method, path=path, access=access, idempotent=idempotent, summary=summary
        )
        for number, id_, method, path, access, idempotent, summary in _ROWS
    }
)


_READ_METHODS = frozenset({"GET", "HEAD"})
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
READ_BY_GET: Final = tuple(
    id_ for id_, operation in OPERATIONS.items() if operation.access is Access.READ and operation.method == "GET"
)


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

        Raises `ConfigError` for an unknown operation, object or method, for a path with a missing or additional parameter, and
        for an override that would turn a read into a write.
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
        from difflib import get_close_matches

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
            hints=("An override may move a read to another path, but not turn it into a write.",),
        )
    if not path.startswith("/"):
        raise ConfigError("path-not-absolute", f"{where}: the path must start with /, relative to the API's base")
    if _parameters(path) != _parameters(operation.path):
        needed = ", ".join(f"{{{name}}}" for name in sorted(_parameters(operation.path))) or "none"
        raise ConfigError("path-parameters", f"{where}: {path} must have the parameters: {needed}")
    return replace(operation, method=method, path=path)


def _keep_reads_apart(table: Iterable[Operation], known: Iterable[Operation]) -> None:
    """Raise `ConfigError` if a read would have the method and path of a write, moved or not."""
    writes = {
        (operation.method, operation.path.rstrip("/")): operation
        for operation in known
        if operation.access is Access.WRITE
    }
    for operation in table:
        place = (operation.method, operation.path.rstrip("/"))
        if operation.access is Access.READ and place in writes:
            raise ConfigError(
                "override-turns-read-into-write",
                f"api.operations.{operation.id}: {' '.join(place)} is {writes[place].id}, which is a write",
                hints=("An override may move a read to another path, but not turn it into a write.",),
            )


def _parameters(path: str) -> frozenset[str]:
    try:
        fields = [field[1:] for field in Formatter().parse(path) if field[1] is not None]
    except ValueError as error:
        raise ConfigError("path-template", f"api.operations: {path} is not a path template: {error}") from error
    if any(format_ or conversion for _, format_, conversion in fields):
        raise ConfigError("path-template", f"api.operations: {path}: a parameter is a name in braces and nothing else")
    return frozenset(str(name) for name, _, _ in fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """`api` of octosync.yaml; empty if nothing is overridden."""

    operations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    read_only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Return whether anything is overridden."""
        return bool(self.operations or self.read_only or self.platforms)

    def with_more(
        self, operations: Mapping[str, Mapping[str, str]], read_only: Mapping[str, Iterable[str]]
    ) -> Overrides:
        """Return these overrides updated with the given ones, in the order of the table."""
        moved = {id_: {**self.operations.get(id_, {}), **operations.get(id_, {})} for id_ in OPERATIONS}
        fields = {
            name: tuple(sorted({*self.read_only.get(name, ()), *read_only.get(name, ())})) for name in Contract().shapes
        }
        return Overrides(
            operations={id_: changed for id_, place in moved.items() if (changed := _differing(id_, place))},
            read_only={name: names for name, names in fields.items() if names},
            platforms=self.platforms,
        )


def overrides_in(contract: Contract) -> Overrides:
    """Return the overrides that lead from the default contract to this one."""
    plain = Contract()
    moved = {
        id_: _differing(id_, {"method": operation.method, "path": operation.path})
        for id_, operation in contract.operations.items()
    }
    fields = {
        name: tuple(sorted(shape.read_only - plain.shapes[name].read_only)) for name, shape in contract.shapes.items()
    }
    return Overrides(
        operations={id_: changed for id_, changed in moved.items() if changed},
        read_only={name: names for name, names in fields.items() if names},
        platforms=tuple(platform for platform in contract.platforms if platform not in plain.platforms),
    )


def _differing(id_: str, place: Mapping[str, str]) -> dict[str, str]:
    plain = {"method": OPERATIONS[id_].method, "path": OPERATIONS[id_].path}
    return {key: value for key, value in place.items() if value != plain[key]}


# The only encoding that octosync accepts. A response that uses another one, or several, is rejected.
ACCEPT_ENCODING: Final = "gzip"
_GZIP: Final = frozenset({"gzip", "x-gzip"})  # the same encoding according to RFC 9110
_GZIP_WINDOW: Final = zlib.MAX_WBITS | 16


class BodyError(Exception):
    """A body that can't be read completely."""


class BodyTooLarge(BodyError):
    """The body is larger than the limit, encoded or decoded."""


class EncodingRefused(BodyError):
    """The body has a Content-Encoding that was not requested."""


class BodyCorrupt(BodyError):
    """The body does not match its Content-Encoding."""


class BodyDecoder:
    """Collects a body. `encoding` is the response's Content-Encoding, `largest` the limit in bytes.

    It never holds more than the limit and one piece. Raises `EncodingRefused`.
    """

    def __init__(self, encoding: str | None, largest: int) -> None:
        name = (encoding or "identity").strip().lower()
        if name != "identity" and name not in _GZIP:
            raise EncodingRefused
        self._inflater = zlib.decompressobj(_GZIP_WINDOW) if name in _GZIP else None
        self._largest = largest
        self._received = 0
        self._body = bytearray()

    def feed(self, piece: bytes) -> None:
        """Add the next piece, encoded as received. Raises `BodyTooLarge`, `BodyCorrupt`."""
        self._received += len(piece)
        if self._received > self._largest:
            raise BodyTooLarge
        self._body += piece if self._inflater is None else self._inflated(piece, self._inflater)
        if len(self._body) > self._largest:
            raise BodyTooLarge

    def finish(self) -> bytes:
        """Return the complete body. Raises `BodyCorrupt` for an encoded body that is truncated."""
        if self._inflater is not None and self._received and not self._inflater.eof:
            raise BodyCorrupt
        return bytes(self._body)

    def _inflated(self, piece: bytes, inflater: zlib._Decompress) -> bytes:
        try:
            inflated = inflater.decompress(piece, self._largest + 1 - len(self._body))
        except zlib.error:
            raise BodyCorrupt from None
        if inflater.unused_data:
            raise BodyCorrupt
        return inflated
