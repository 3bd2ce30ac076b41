"""What a probe of the read operations came to, and the overrides that follow from it.

A real answer against what octosync needs of it. Fields are named, values never are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from itertools import islice

from pydantic import ValidationError

from octosync.contract.operations import Contract, Operation, Overrides, overrides_in
from octosync.contract.requests import Exchange
from octosync.model import JsonObject, JsonValue


class Verdict(Enum):
    """What a probe came to."""

    CONFIRMED = "confirmed"
    DIFFERS = "differs"
    REFUSED = "refused"
    ABSENT = "absent"
    FAILED = "failed"
    NOT_TRIED = "not-tried"

    @property
    def is_good(self) -> bool:
        """Whether nothing speaks against the operation."""
        return self in {Verdict.CONFIRMED, Verdict.NOT_TRIED}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedOperation:
    """What came of one operation. `notes` say what differs, or why it was not tried; `found_at` is another path."""

    operation: Operation
    verdict: Verdict
    notes: tuple[str, ...] = ()
    found_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """A whole probe: the read operations in the table's order, the app that was asked for, and the requests that it took."""

    app: str | None
    operations: tuple[ProbedOperation, ...]
    requests: int

    @property
    def is_good(self) -> bool:
        """Whether every operation that was tried is as octosync expects."""
        return all(one.verdict.is_good for one in self.operations)


def overrides_of(probe: ProbeResult, contract: Contract) -> tuple[Overrides | None, frozenset[str]]:
    """Return the overrides for what is elsewhere, and the operations of which somebody has to fill in the path.

    None where there is nothing to override.
    """
    found = {one.operation.id: {"path": one.found_at} for one in probe.operations if one.found_at is not None}
    open_ = {one.operation.id: {"path": _open_path(one.operation)} for one in probe.operations if _is_open(one)}
    if not found and not open_:
        return None, frozenset()
    return overrides_in(contract).with_more({**found, **open_}, {}), frozenset(open_)


def _is_open(one: ProbedOperation) -> bool:
    return one.verdict is Verdict.ABSENT and one.found_at is None


def _open_path(operation: Operation) -> str:
    """Return the operation's path with a gap where its name is."""
    head, *names = operation.path.split("/")
    last = max(index for index, name in enumerate(names) if "{" not in name)
    return "/".join([head, *names[:last], "…", *names[last + 1 :]])


_MOST = 5  # differences that are told of one answer, and fields that are named


def differences_in(exchange: Exchange, body: JsonValue) -> tuple[str, ...]:
    """Say what of an answer octosync can't read; nothing for one that it can."""
    return tuple(islice(dict.fromkeys(_differences(exchange, body)), _MOST))


def items_in(exchange: Exchange, body: JsonValue) -> Sequence[JsonValue] | None:
    """Return the entries of a list, in its envelope or bare; None where there is none."""
    inner = body.get(exchange.plural or "") if isinstance(body, Mapping) else body
    return inner if isinstance(inner, list) else None


def _differences(exchange: Exchange, body: JsonValue) -> Iterator[str]:
    if exchange.answer is None:
        if body is not None and not isinstance(body, Mapping):
            yield "the answer is not an object"
        return
    if exchange.plural is None:
        yield from _of_object(exchange, body, "")
        return
    items = items_in(exchange, body)
    if items is None:
        yield _of_envelope(exchange.plural, body)
        return
    for item in items:
        yield from _of_object(exchange, item, f"{exchange.plural}[].")
    objects = [item for item in items if isinstance(item, Mapping)]
    for name in sorted(exchange.also):
        # Not every item has to have it: some may be of another kind, which octosync leaves alone.
        if objects and all(item.get(name) is None for item in objects):
            yield _missing(exchange, objects[0], f"{exchange.plural}[].", name)


def _of_envelope(plural: str, body: JsonValue) -> str:
    if not isinstance(body, Mapping):
        return f"the answer is neither a list nor an object with {plural}"
    lists = sorted(name for name, value in body.items() if isinstance(value, list))
    there = f"the list is in {', '.join(lists[:_MOST])}" if lists else "the answer has no list"
    return f"{there}, and octosync reads {plural}, or a bare list"


def _of_object(exchange: Exchange, value: JsonValue, at: str) -> Iterator[str]:
    assert exchange.answer is not None  # noqa: S101 — see the caller
    if not isinstance(value, Mapping):
        yield f"{at.rstrip('.') or 'the answer'} is not an object"
        return
    try:
        exchange.answer.model_validate(value)
    except ValidationError as invalid:
        for error in invalid.errors(include_input=False, include_url=False, include_context=False):
            path = ".".join(str(part) for part in error["loc"] if not isinstance(part, int))
            if len(error["loc"]) == 1 and error["type"] == "missing":
                yield _missing(exchange, value, at, path)
            else:
                yield f"{at}{path}: {error['msg'].lower()}"


def _missing(exchange: Exchange, item: JsonObject, at: str, name: str) -> str:
    """Say that a field is missing, and which fields that octosync doesn't know may be meant: the nearest first."""
    known = exchange.answer.model_fields if exchange.answer is not None else {}
    unknown = [key for key in sorted(item) if key not in known]
    close = get_close_matches(name, unknown, n=_MOST, cutoff=0.5) or unknown[:_MOST]
    return f"{at}{name} is missing" + (f"; it has {', '.join(close)}" if close else "")
