"""Which operation of an OpenAPI document is which of ours, and where the document has it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from octosync.contract.contract import Contract
from octosync.contract.openapi.document import Described
from octosync.contract.operations import Operation


@dataclass(frozen=True, slots=True)
class Match:
    """One of ours: what the document has for it, if anything, and else what it has at its path by other methods."""

    described: Described | None = None
    by_id: bool = False
    other_methods: tuple[Described, ...] = ()


@dataclass(frozen=True, slots=True)
class Matches:
    """All of ours by id. `base` is what stands before the paths of the API; `others` are operations that are none of ours."""

    base: str
    by_operation: Mapping[str, Match]
    others: int

    def path_of(self, described: Described) -> str:
        """Return an operation's path below the base; as it is where it doesn't stand there."""
        return _below(described.path, self.base)


def match_operations(contract: Contract, described: Iterable[Described], base: str) -> Matches:
    """Match by operation id first, else by method and path, whatever the parameters in it are called.

    `base` is where the API is expected to begin; what most of its operations say themselves goes before that.
    """
    every = tuple(described)
    base = _base_of(every, contract.operations.values(), base)
    by_id, by_place, by_path = _by_id(every), _by_place(every, base), defaultdict[str, list[Described]](list)
    for one in every:
        by_path[anonymous(_below(one.path, base))].append(one)
    matches: dict[str, Match] = {}
    for ours in contract.operations.values():
        if (found := by_id.get(_plain(ours.id))) is not None:
            matches[ours.id] = Match(found, by_id=True)
        elif (found := by_place.get((ours.method, anonymous(ours.path)))) is not None:
            matches[ours.id] = Match(found)
        else:
            matches[ours.id] = Match()
    taken = {id(match.described) for match in matches.values()}
    for ours in contract.operations.values():
        if matches[ours.id].described is None:
            there = tuple(one for one in by_path[anonymous(ours.path)] if id(one) not in taken)
            matches[ours.id] = Match(other_methods=there)
    return Matches(base, matches, sum(id(one) not in taken for one in every))


def anonymous(path: str) -> str:
    """Return a path without the names of its parameters, and without a slash at its end."""
    return re.sub(r"{[^{}]*}", "{}", path).rstrip("/")


def parameters_in(path: str) -> tuple[str, ...]:
    """Return the names of a path's parameters, in their order."""
    return tuple(re.findall(r"{([^{}]*)}", path))


def _base_of(described: Iterable[Described], ours: Iterable[Operation], expected: str) -> str:
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


def _by_id(described: Iterable[Described]) -> dict[str, Described]:
    """Index by id, however its words are parted: `apps.list`, `apps_list`, `appsList`. What is there twice is not told."""
    found: defaultdict[str, list[Described]] = defaultdict(list)
    for one in described:
        if one.id is not None:
            found[_plain(one.id)].append(one)
    return {id_: ones[0] for id_, ones in found.items() if len(ones) == 1}


def _by_place(described: Iterable[Described], base: str) -> dict[tuple[str, str], Described]:
    return {(one.method, anonymous(_below(one.path, base))): one for one in described}


def _plain(id_: str) -> str:
    return re.sub(r"[^a-z0-9]", "", id_.lower())
