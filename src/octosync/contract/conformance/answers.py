"""What octosync needs of an operation's answer, against what an OpenAPI document says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from octosync.contract.conformance.findings import Finding, Kind, Level, cant_tell
from octosync.contract.conformance.parts import Part, parts_of
from octosync.contract.exchanges import Exchange
from octosync.contract.openapi.document import Described, Document, mapping_of
from octosync.contract.openapi.schemas import Schemas, Shape, listed

# What a value of a type of ours is read from: pydantic takes a number from a text.
_READ_FROM: Final[Mapping[str, frozenset[str]]] = {
    "integer": frozenset({"integer", "number", "string"}),
    "number": frozenset({"integer", "number", "string"}),
}


def findings_of_answer(
    exchange: Exchange, described: Described, document: Document, schemas: Schemas
) -> Iterator[Finding]:
    """Compare the answer with what octosync reads of it. What it needs not, it may lack."""
    if exchange.answer is None and not exchange.any_answer:
        return
    given = _success(document, described)
    if given is None:
        yield cant_tell("the answer", "it describes none that is a success")
        return
    schema, is_other_media = document.content(given)
    if schema is None:
        what = "the answer is not JSON there" if is_other_media else "it answers nothing"
        yield Finding(Level.MISMATCH, Kind.OTHER_ENVELOPE, f"{what}, and octosync reads {_wanted(exchange)}")
        return
    shape = schemas.shape(schema)
    if exchange.answer is None:
        if not shape.may_be("object"):
            message = f"the answer is {listed(shape.types or ())}, and octosync reads an object"
            yield Finding(Level.MISMATCH, Kind.OTHER_ENVELOPE, message)
        return
    parts = _with(parts_of(exchange.answer), exchange.also)
    if exchange.plural is None:
        yield from _answered_value(Part(names=("",), types=frozenset({"object"}), inside=parts), shape, schemas, "")
        return
    items, problem = _items(exchange.plural, shape, schemas)
    if problem is not None:
        yield problem
    elif items is not None:
        list_ = Part(names=(exchange.plural,), types=frozenset({"array"}), inside=parts)
        yield from _answered_value(list_, items, schemas, exchange.plural)


def _success(document: Document, described: Described) -> Mapping[str, Any] | None:
    """Return the first success with content, else the first success; None for none that can be read."""
    responses = {str(status).upper(): one for status, one in mapping_of(described.raw.get("responses")).items()}
    statuses = sorted(status for status in responses if re.fullmatch(r"2(\d\d|XX)", status)) or ["DEFAULT"]
    resolved = [one for status in statuses if (one := document.resolved(responses.get(status))) is not None]
    return next((one for one in resolved if one.get("content")), next(iter(resolved), None))


def _items(plural: str, shape: Shape, schemas: Schemas) -> tuple[Shape | None, Finding | None]:
    """Find the list in its envelope; a bare one is read, too."""
    if plural in shape.fields:
        return schemas.shape(shape.fields[plural]), None
    if shape.types is not None and "array" in shape.types:
        return shape, None
    if shape.unclear is not None:
        return None, cant_tell("the answer", shape.unclear)
    if shape.takes_anything and not shape.fields:
        return None, cant_tell("the answer", "the document doesn't say what is in it")
    lists = sorted(name for name, one in shape.fields.items() if "array" in (schemas.shape(one).types or ()))
    there = f"the list is in {', '.join(lists)}" if lists else "the answer has no list"
    message = f"{there}, and octosync reads {plural}, or a bare list"
    return None, Finding(Level.MISMATCH, Kind.OTHER_ENVELOPE, message, plural)


def _answered_value(part: Part, shape: Shape, schemas: Schemas, path: str) -> Iterator[Finding]:
    readable = frozenset().union(*(_READ_FROM.get(one, frozenset({one})) for one in part.types))
    given = shape.types if shape.types is None else shape.types - {"null"}
    if part.types and given and not given & readable:
        message = f"{path or 'the answer'} is {listed(given)} there, and octosync reads {listed(part.types - {'null'})}"
        yield Finding(Level.MISMATCH, Kind.OTHER_ANSWER_TYPE, message, path)
    elif part.inside and "array" in part.types and (given is None or "array" in given):
        if shape.items is None:
            yield cant_tell(f"what is in {path}", "the document doesn't say")
        else:
            yield from _answered(part.inside, schemas.shape(shape.items), schemas, f"{path}[].")
    elif part.inside:
        yield from _answered(part.inside, shape, schemas, f"{path}." if path else "")


def _answered(parts: Mapping[str, Part], shape: Shape, schemas: Schemas, at: str) -> Iterator[Finding]:
    """Compare the fields of an object that is answered."""
    if shape.unclear is not None or (shape.takes_anything and not shape.fields):
        why = shape.unclear or "the document doesn't say"
        yield cant_tell(f"what is in {at.rstrip('.') or 'the answer'}", why)
    for part in parts.values():
        path = f"{at}{part.names[-1]}"
        found = next((name for name in part.names if name in shape.fields), None)
        if found is not None:
            yield from _answered_value(part, schemas.shape(shape.fields[found]), schemas, path)
            if part.needed and found not in shape.everywhere:
                message = f"only some forms of the answer have {path}, which octosync needs"
                yield Finding(Level.WARNING, Kind.LACKING_ANSWER_FIELD, message, path)
        elif shape.unclear is None and shape.fields and (part.needed or not shape.is_open):
            yield _lacking(part, path)


def _lacking(part: Part, path: str) -> Finding:
    if part.needed:
        return Finding(
            Level.MISMATCH, Kind.LACKING_ANSWER_FIELD, f"the answer lacks {path}, which octosync needs", path
        )
    message = f"the answer lacks {path}, which octosync reads where it is there"
    return Finding(Level.NOTE, Kind.LACKING_ANSWER_FIELD, message, path)


def _with(parts: Mapping[str, Part], also: frozenset[str]) -> Mapping[str, Part]:
    return {name: replace(part, needed=part.needed or name in also) for name, part in parts.items()}


def _wanted(exchange: Exchange) -> str:
    return f"a list of {exchange.plural}" if exchange.plural else "an object"
