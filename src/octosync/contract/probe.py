"""The result of a probe of the read operations, and the overrides that follow from it.

A real response is compared with what octosync needs of it. Notes name fields, never values.
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
    """The result of probing an operation."""

    CONFIRMED = "confirmed"
    DIFFERS = "differs"
    REFUSED = "refused"
    ABSENT = "absent"
    FAILED = "failed"
    NOT_TRIED = "not-tried"

    @property
    def is_good(self) -> bool:
        """Whether the probe found no problem."""
        return self in {Verdict.CONFIRMED, Verdict.NOT_TRIED}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedOperation:
    """The result of one operation. `notes` are the differences, or why it was not tried; `found_at` is another path."""

    operation: Operation
    verdict: Verdict
    notes: tuple[str, ...] = ()
    found_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """The result of a probe: the app, the read operations in the table's order, and the number of requests."""

    app: str | None
    operations: tuple[ProbedOperation, ...]
    requests: int

    @property
    def is_good(self) -> bool:
        """Whether every operation that was tried is as octosync expects."""
        return all(operation.verdict.is_good for operation in self.operations)


def overrides_of(probe: ProbeResult, contract: Contract) -> tuple[Overrides | None, frozenset[str]]:
    """Return the overrides for operations at other paths, and the ids of those whose path the user has to fill in.

    The overrides are None if nothing has to be overridden.
    """
    found = {
        probed.operation.id: {"path": probed.found_at} for probed in probe.operations if probed.found_at is not None
    }
    open_ = {
        probed.operation.id: {"path": _open_path(probed.operation)} for probed in probe.operations if _is_open(probed)
    }
    if not found and not open_:
        return None, frozenset()
    return overrides_in(contract).with_more({**found, **open_}, {}), frozenset(open_)


def _is_open(probed: ProbedOperation) -> bool:
    return probed.verdict is Verdict.ABSENT and probed.found_at is None


def _open_path(operation: Operation) -> str:
    """Return the operation's path with `…` in place of its name."""
    head, *names = operation.path.split("/")
    last = max(index for index, name in enumerate(names) if "{" not in name)
    return "/".join([head, *names[:last], "…", *names[last + 1 :]])


_MOST = 5  # differences that are reported per response, and fields that are named


def differences_in(exchange: Exchange, body: JsonValue) -> tuple[str, ...]:
    """Return the differences that prevent octosync from reading a response."""
    return tuple(islice(dict.fromkeys(_differences(exchange, body)), _MOST))


def items_in(exchange: Exchange, body: JsonValue) -> Sequence[JsonValue] | None:
    """Return the entries of a list, in its envelope or bare; None if there is no list."""
    inner = body.get(exchange.plural or "") if isinstance(body, Mapping) else body
    return inner if isinstance(inner, list) else None


def _differences(exchange: Exchange, body: JsonValue) -> Iterator[str]:
    if exchange.response is None:
        if body is not None and not isinstance(body, Mapping):
            yield "the response is not an object"
        return
    if exchange.plural is None:
        yield from _object_differences(exchange, body, "")
        return
    items = items_in(exchange, body)
    if items is None:
        yield _envelope_difference(exchange.plural, body)
        return
    for item in items:
        yield from _object_differences(exchange, item, f"{exchange.plural}[].")
    objects = [item for item in items if isinstance(item, Mapping)]
    for name in sorted(exchange.needed):
        # Not every item must have it: some may be of another kind, which octosync ignores.
        if objects and all(item.get(name) is None for item in objects):
            yield _missing(exchange, objects[0], f"{exchange.plural}[].", name)


def _envelope_difference(plural: str, body: JsonValue) -> str:
    if not isinstance(body, Mapping):
        return f"the response is neither a list nor an object with {plural}"
    lists = sorted(name for name, value in body.items() if isinstance(value, list))
    there = f"the list is in {', '.join(lists[:_MOST])}" if lists else "the response has no list"
    return f"{there}, but octosync reads {plural}, or a bare list"


def _object_differences(exchange: Exchange, value: JsonValue, at: str) -> Iterator[str]:
    assert exchange.response is not None  # noqa: S101 — see the caller
    if not isinstance(value, Mapping):
        yield f"{at.rstrip('.') or 'the response'} is not an object"
        return
    try:
        exchange.response.model_validate(value)
    except ValidationError as invalid:
        for error in invalid.errors(include_input=False, include_url=False, include_context=False):
            path = ".".join(str(part) for part in error["loc"] if not isinstance(part, int))
            if len(error["loc"]) == 1 and error["type"] == "missing":
                yield _missing(exchange, value, at, path)
            else:
                yield f"{at}{path}: {error['msg'].lower()}"


def _missing(exchange: Exchange, item: JsonObject, at: str, name: str) -> str:
    """Return the note about a missing field, with unknown fields that may be meant, the closest first."""
    known = exchange.response.model_fields if exchange.response is not None else {}
    unknown = [key for key in sorted(item) if key not in known]
    close = get_close_matches(name, unknown, n=_MOST, cutoff=0.5) or unknown[:_MOST]
    return f"{at}{name} is missing" + (f"; it has {', '.join(close)}" if close else "")
