"""The comparison of an OpenAPI document with the contract: its differences, and the overrides that resolve them.

Operations are matched by id, or by method and path.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from octosync.contract.openapi.document import DocumentOperation, OpenApiDocument
from octosync.contract.openapi.messages import (
    ConformanceFinding,
    FindingKind,
    FindingLevel,
    compare_query,
    compare_request,
    compare_response,
)
from octosync.contract.openapi.schemas import Schemas
from octosync.contract.operations import OPERATIONS, Contract, Operation, Overrides, overrides_in
from octosync.contract.requests import EXCHANGES
from octosync.errors import ConfigError


@dataclass(frozen=True, slots=True)
class OperationMatch:
    """The document's operation for one of the contract's, or the operations at its path with other methods."""

    described: DocumentOperation | None = None
    by_id: bool = False
    other_methods: tuple[DocumentOperation, ...] = ()


@dataclass(frozen=True, slots=True)
class OperationMatches:
    """The matches by id. `base` is the prefix of the API's paths; `others` is the number of unmatched operations."""

    base: str
    by_operation: Mapping[str, OperationMatch]
    others: int

    def path_of(self, described: DocumentOperation) -> str:
        """Return an operation's path relative to the base; unchanged if it is not below it."""
        return _below(described.path, self.base)


def match_operations(contract: Contract, described: Iterable[DocumentOperation], base: str) -> OperationMatches:
    """Match operations by id, otherwise by method and path, regardless of the names of parameters.

    `base` is the expected prefix of paths; the prefix that most operations of the document have takes precedence.
    """
    every = tuple(described)
    base = _base_of(every, contract.operations.values(), base)
    by_id, by_place, by_path = _by_id(every), _by_place(every, base), defaultdict[str, list[DocumentOperation]](list)
    for operation in every:
        by_path[anonymous(_below(operation.path, base))].append(operation)
    matches: dict[str, OperationMatch] = {}
    for ours in contract.operations.values():
        if (found := by_id.get(_plain(ours.id))) is not None:
            matches[ours.id] = OperationMatch(found, by_id=True)
        elif (found := by_place.get((ours.method, anonymous(ours.path)))) is not None:
            matches[ours.id] = OperationMatch(found)
        else:
            matches[ours.id] = OperationMatch()
    taken = {id(match.described) for match in matches.values()}
    for ours in contract.operations.values():
        if matches[ours.id].described is None:
            same_path = by_path[anonymous(ours.path)]
            unmatched = tuple(operation for operation in same_path if id(operation) not in taken)
            matches[ours.id] = OperationMatch(other_methods=unmatched)
    return OperationMatches(base, matches, sum(id(operation) not in taken for operation in every))


def anonymous(path: str) -> str:
    """Return a path without the names of its parameters and without a trailing slash."""
    return re.sub(r"{[^{}]*}", "{}", path).rstrip("/")


def parameters_in(path: str) -> tuple[str, ...]:
    """Return the names of a path's parameters, in order."""
    return tuple(re.findall(r"{([^{}]*)}", path))


def _base_of(described: Iterable[DocumentOperation], ours: Iterable[Operation], expected: str) -> str:
    """Return the prefix of paths: the longest one that most of the matching operations have in common."""
    bases: Counter[str] = Counter()
    known = [(operation.method, anonymous(operation.path)) for operation in ours]
    for operation in described:
        full = anonymous(operation.path)
        bases.update(
            {full.removesuffix(path) for method, path in known if method == operation.method and full.endswith(path)}
        )
        bases[expected] += full.startswith(f"{expected}/")
    return max(bases, key=lambda base: (bases[base], -len(base)), default="") if +bases else ""


def _below(path: str, base: str) -> str:
    return path.removeprefix(base) if path.startswith(f"{base}/") else path


def _by_id(described: Iterable[DocumentOperation]) -> dict[str, DocumentOperation]:
    """Return the operations by id, regardless of separators: `apps.list`, `apps_list`, `appsList`; without ambiguous ids."""
    found: defaultdict[str, list[DocumentOperation]] = defaultdict(list)
    for operation in described:
        if operation.id is not None:
            found[_plain(operation.id)].append(operation)
    return {id_: operations[0] for id_, operations in found.items() if len(operations) == 1}


def _by_place(described: Iterable[DocumentOperation], base: str) -> dict[tuple[str, str], DocumentOperation]:
    return {(operation.method, anonymous(_below(operation.path, base))): operation for operation in described}


def _plain(id_: str) -> str:
    return re.sub(r"[^a-z0-9]", "", id_.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationComparison:
    """The comparison of one operation of the contract.

    `found` is `METHOD path` in the document, relative to its base; None if it is missing. `by_id`: matched by operation id.
    """

    operation: Operation
    found: str | None
    by_id: bool = False
    findings: tuple[ConformanceFinding, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether there is no mismatch."""
        return all(finding.level is not FindingLevel.MISMATCH for finding in self.findings)

    @property
    def is_whole(self) -> bool:
        """Whether the document is complete enough to compare everything."""
        return all(finding.kind is not FindingKind.CANT_TELL for finding in self.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conformance:
    """The comparison of all operations. `mending` is the `api` that octosync.yaml needs, None if it needs no change.

    `base` is the prefix of the document's paths, `expected_base` that of the contract's.
    """

    document: OpenApiDocument
    operations: tuple[OperationComparison, ...]
    mending: Overrides | None = None
    base: str = ""
    expected_base: str = ""
    others: int = 0

    @property
    def agrees(self) -> bool:
        """Whether no operation has a mismatch."""
        return all(operation.agrees for operation in self.operations)

    @property
    def is_elsewhere(self) -> bool:
        """Whether the document has the whole API at another base; a document without a base is not counted."""
        return self.base not in {"", self.expected_base}


def compare_with(document: OpenApiDocument, contract: Contract, base: str) -> Conformance:
    """Compare a contract with a document; `base` is the prefix of the contract's paths, such as `/api/v1`."""
    return _Comparison(document, contract, base).result()


class _Comparison:
    def __init__(self, document: OpenApiDocument, contract: Contract, base: str) -> None:
        self._document = document
        self._contract = contract
        self._base = base
        self._matches: OperationMatches = match_operations(contract, document.operations, base)
        self._request_schemas, self._response_schemas = Schemas(document, sent=True), Schemas(document, sent=False)
        self._moves: dict[str, dict[str, str]] = {}
        self._unsent: dict[str, list[str]] = {}

    def result(self) -> Conformance:
        compared = tuple(self._compared(operation) for operation in self._contract.operations.values())
        mending = None
        if self._moves or self._unsent:
            mending = overrides_in(self._contract).with_more(self._moves, self._unsent)
        return Conformance(
            document=self._document,
            operations=compared,
            mending=mending,
            base=self._matches.base,
            expected_base=self._base,
            others=self._matches.others,
        )

    def _compared(self, ours: Operation) -> OperationComparison:
        match = self._matches.by_operation[ours.id]
        described = match.described
        if described is None:
            return OperationComparison(operation=ours, found=None, findings=(_missing(match),))
        path = self._matches.path_of(described)
        return OperationComparison(
            operation=ours,
            found=f"{described.method} {path}",
            by_id=match.by_id,
            findings=(*self._place(ours, described, path), *self._exchange(ours, described)),
        )

    def _place(self, ours: Operation, described: DocumentOperation, path: str) -> Iterator[ConformanceFinding]:
        if described.raw.get("deprecated") is True:
            yield ConformanceFinding(
                FindingLevel.WARNING, FindingKind.DEPRECATED, "the document marks it as deprecated"
            )
        differs: dict[str, str] = {}
        if anonymous(path) != anonymous(ours.path):
            differs["path"] = _with_our_names(path, ours)
        if described.method != ours.method:
            differs["method"] = described.method
        if not differs:
            return
        why_not = self._try(ours.id, differs)
        if "path" in differs:
            yield ConformanceFinding(
                FindingLevel.MISMATCH, FindingKind.OTHER_PATH, f"the document has it at {path}", mends=why_not is None
            )
        if "method" in differs:
            yield ConformanceFinding(
                FindingLevel.MISMATCH,
                FindingKind.OTHER_METHOD,
                f"the document has it as {described.method}",
                mends=why_not is None,
            )
        if why_not is not None:
            yield ConformanceFinding(FindingLevel.NOTE, FindingKind.NO_OVERRIDE, f"no override is possible: {why_not}")

    def _try(self, id_: str, differs: Mapping[str, str]) -> str | None:
        """Record an override if it is valid, otherwise return why it isn't."""
        moves = overrides_in(self._contract).with_more({**self._moves, id_: dict(differs)}, {})
        try:
            Contract().overridden(operations=moves.operations)
        except ConfigError as error:
            return error.message.partition(": ")[2]
        self._moves[id_] = dict(differs)
        return None

    def _exchange(self, ours: Operation, described: DocumentOperation) -> Iterator[ConformanceFinding]:
        exchange = EXCHANGES[ours.id]
        yield from compare_query(exchange, described)
        droppable = _DROPPABLE.get(ours.id, frozenset())
        for finding in compare_request(
            exchange, described, self._document, self._request_schemas, self._read_only(ours)
        ):
            name = finding.field.partition(".")[0]
            if finding.kind is FindingKind.UNKNOWN_REQUEST_FIELD and name in droppable:
                self._unsent.setdefault("slot", []).append(name)
                yield replace(finding, mends=True)
            else:
                yield finding
        yield from compare_response(exchange, described, self._document, self._response_schemas)

    def _read_only(self, ours: Operation) -> frozenset[str]:
        """Return the fields of the body that octosync.yaml marks as read-only, so that they are not sent."""
        shape = self._contract.shapes["slot"]
        return shape.read_only & _DROPPABLE.get(ours.id, frozenset())


# The fields that `api.readOnly` can remove from a body. A slot's bindings and policy are always sent.
_DROPPABLE: Final[Mapping[str, frozenset[str]]] = {
    "apps.put_slot": frozenset({"preferred_engines", "public_client_allowed", "model_variant_id"})
}


def _with_our_names(path: str, ours: Operation) -> str:
    """Return the document's path with the contract's parameter names, as overrides need it; unchanged if they don't match."""
    names, theirs = parameters_in(OPERATIONS[ours.id].path), parameters_in(path)
    if len(names) != len(theirs) or set(names) == set(theirs):
        return path
    for own, their in zip(names, theirs, strict=True):
        path = path.replace(f"{{{their}}}", f"{{{own}}}", 1)
    return path


def _missing(match: OperationMatch) -> ConformanceFinding:
    methods = ", ".join(operation.method for operation in match.other_methods)
    message = "the document doesn't have it"
    if methods:
        message += f"; at its path it has {methods}"
    return ConformanceFinding(FindingLevel.MISMATCH, FindingKind.MISSING, message)
