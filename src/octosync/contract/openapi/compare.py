"""An OpenAPI document against the contract in force: what of ours it doesn't know, and which override mends it.

Which operation of an OpenAPI document is which of ours, and where the document has it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
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
    """One of ours: what the document has for it, if anything, and else what it has at its path by other methods."""

    described: DocumentOperation | None = None
    by_id: bool = False
    other_methods: tuple[DocumentOperation, ...] = ()


@dataclass(frozen=True, slots=True)
class OperationMatches:
    """All of ours by id. `base` is what stands before the paths of the API; `others` are operations that are none of ours."""

    base: str
    by_operation: Mapping[str, OperationMatch]
    others: int

    def path_of(self, described: DocumentOperation) -> str:
        """Return an operation's path below the base; as it is where it doesn't stand there."""
        return _below(described.path, self.base)


def match_operations(contract: Contract, described: Iterable[DocumentOperation], base: str) -> OperationMatches:
    """Match by operation id first, else by method and path, whatever the parameters in it are called.

    `base` is where the API is expected to begin; what most of its operations say themselves goes before that.
    """
    every = tuple(described)
    base = _base_of(every, contract.operations.values(), base)
    by_id, by_place, by_path = _by_id(every), _by_place(every, base), defaultdict[str, list[DocumentOperation]](list)
    for one in every:
        by_path[anonymous(_below(one.path, base))].append(one)
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
            there = tuple(one for one in by_path[anonymous(ours.path)] if id(one) not in taken)
            matches[ours.id] = OperationMatch(other_methods=there)
    return OperationMatches(base, matches, sum(id(one) not in taken for one in every))


def anonymous(path: str) -> str:
    """Return a path without the names of its parameters, and without a slash at its end."""
    return re.sub(r"{[^{}]*}", "{}", path).rstrip("/")


def parameters_in(path: str) -> tuple[str, ...]:
    """Return the names of a path's parameters, in their order."""
    return tuple(re.findall(r"{([^{}]*)}", path))


def _base_of(described: Iterable[DocumentOperation], ours: Iterable[Operation], expected: str) -> str:
    """Find what stands before our paths: the longest part that most of the operations have in common."""
    bases: Counter[str] = Counter()
    known = [(one.method, anonymous(one.path)) for one in ours]
    for one in described:
        full = anonymous(one.path)
        bases.update(
            {full.removesuffix(path) for method, path in known if method == one.method and full.endswith(path)}
        )
        bases[expected] += full.startswith(f"{expected}/")
    return max(bases, key=lambda base: (bases[base], -len(base)), default="") if +bases else ""


def _below(path: str, base: str) -> str:
    return path.removeprefix(base) if path.startswith(f"{base}/") else path


def _by_id(described: Iterable[DocumentOperation]) -> dict[str, DocumentOperation]:
    """Index by id, however its words are parted: `apps.list`, `apps_list`, `appsList`. What is there twice is not told."""
    found: defaultdict[str, list[DocumentOperation]] = defaultdict(list)
    for one in described:
        if one.id is not None:
            found[_plain(one.id)].append(one)
    return {id_: ones[0] for id_, ones in found.items() if len(ones) == 1}


def _by_place(described: Iterable[DocumentOperation], base: str) -> dict[tuple[str, str], DocumentOperation]:
    return {(one.method, anonymous(_below(one.path, base))): one for one in described}


def _plain(id_: str) -> str:
    return re.sub(r"[^a-z0-9]", "", id_.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationComparison:
    """One operation of ours, as it is in force, and what came of comparing it.

    `found` is `METHOD path` in the document, below its base; None where it isn't there. `by_id`: by its operation id.
    """

    operation: Operation
    found: str | None
    by_id: bool = False
    findings: tuple[ConformanceFinding, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether nothing is a mismatch."""
        return all(one.level is not FindingLevel.MISMATCH for one in self.findings)

    @property
    def is_whole(self) -> bool:
        """Whether the document says enough to compare all of it."""
        return all(one.kind is not FindingKind.CANT_TELL for one in self.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conformance:
    """A whole comparison. `mending` is what `api` in octosync.yaml has to be, None where it needs no other than it is.

    `base` is what stands before the document's paths, `expected_base` before ours.
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
        return all(one.agrees for one in self.operations)

    @property
    def is_elsewhere(self) -> bool:
        """Whether the document has the whole API below another path. One without a base doesn't say where it is."""
        return self.base not in {"", self.expected_base}


def compare_with(document: OpenApiDocument, contract: Contract, base: str) -> Conformance:
    """Compare the contract in force with a document; `base` is the path before ours, as in `/api/v1`."""
    return _Comparison(document, contract, base).result()


class _Comparison:
    def __init__(self, document: OpenApiDocument, contract: Contract, base: str) -> None:
        self._document = document
        self._contract = contract
        self._base = base
        self._matches: OperationMatches = match_operations(contract, document.operations, base)
        self._sent, self._answered = Schemas(document, sent=True), Schemas(document, sent=False)
        self._moves: dict[str, dict[str, str]] = {}
        self._unsent: dict[str, list[str]] = {}

    def result(self) -> Conformance:
        compared = tuple(self._compared(one) for one in self._contract.operations.values())
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
            yield ConformanceFinding(FindingLevel.WARNING, FindingKind.DEPRECATED, "the document calls it deprecated")
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
            yield ConformanceFinding(FindingLevel.NOTE, FindingKind.NO_OVERRIDE, f"no override says so: {why_not}")

    def _try(self, id_: str, differs: Mapping[str, str]) -> str | None:
        """Keep an override if it can be one, else say why it can't."""
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
        for one in compare_request(exchange, described, self._document, self._sent, self._read_only(ours)):
            name = one.field.partition(".")[0]
            if one.kind is FindingKind.UNKNOWN_REQUEST_FIELD and ours.id in _DROPPABLE and name in _DROPPABLE[ours.id]:
                self._unsent.setdefault("slot", []).append(name)
                yield ConformanceFinding(one.level, one.kind, one.message, one.field, mends=True)
            else:
                yield one
        yield from compare_response(exchange, described, self._document, self._answered)

    def _read_only(self, ours: Operation) -> frozenset[str]:
        """Return the fields of the body that are not sent, since octosync.yaml says so."""
        shape = self._contract.shapes["slot"]
        return shape.read_only & _DROPPABLE.get(ours.id, frozenset())


# What `api.readOnly` keeps out of a body. A slot's bindings are sent in any case, and its policy is what it is about.
_DROPPABLE: Final[Mapping[str, frozenset[str]]] = {
    "apps.put_slot": frozenset({"preferred_engines", "public_client_allowed", "model_variant_id"})
}


def _with_our_names(path: str, ours: Operation) -> str:
    """Return the document's path with our parameters' names, as an override has to have it; as it is where they don't fit."""
    names, theirs = parameters_in(OPERATIONS[ours.id].path), parameters_in(path)
    if len(names) != len(theirs) or set(names) == set(theirs):
        return path
    for own, other in zip(names, theirs, strict=True):
        path = path.replace(f"{{{other}}}", f"{{{own}}}", 1)
    return path


def _missing(match: OperationMatch) -> ConformanceFinding:
    there = ", ".join(one.method for one in match.other_methods)
    message = "the document doesn't have it"
    if there:
        message += f"; at its path it has {there}"
    return ConformanceFinding(FindingLevel.MISMATCH, FindingKind.MISSING, message)
