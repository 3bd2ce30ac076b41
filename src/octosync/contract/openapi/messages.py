"""What octosync sends with an operation, against what an OpenAPI document says of the request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from octosync.contract.conformance.findings import Finding, Kind, Level, cant_tell
from octosync.contract.conformance.parts import Part, parts_of
from octosync.contract.exchanges import LARGEST_PAGE, Exchange
from octosync.contract.openapi.document import Described, Document, mapping_of
from octosync.contract.openapi.schemas import Schemas, Shape, listed

# Parameters by which lists are paged elsewhere.
_PAGING: Final = re.compile(
    r"(?i)page.*|per_?page|cursor|.*_?token|(starting_|ending_)?(after|before)|skip|take|size|count|start|next|first|last|limit|offset"
)
# What every HTTP client sends, or octosync does with every request where it is configured.
_OF_EVERY_REQUEST: Final = frozenset({"authorization", "accept", "content-type", "user-agent", "host", "org_id"})


def findings_of_query(exchange: Exchange, described: Described) -> Iterator[Finding]:
    """Compare what goes beside the body: parameters that the document needs, and those by which octosync pages."""
    query = {str(one["name"]): one for one in described.parameters if one.get("in") == "query" and "name" in one}
    for one in described.parameters:
        name, place = str(one.get("name")), str(one.get("in"))
        known = name in exchange.query or name.lower() in _OF_EVERY_REQUEST
        if one.get("required") is True and place != "path" and not known:
            message = f"it needs the {place} parameter {name}, which octosync doesn't send"
            yield Finding(Level.MISMATCH, Kind.NEEDED_PARAMETER, message, name)
    for name in exchange.options:
        if name not in query:
            message = f"it doesn't know the query parameter {name}, which octosync sends where that is asked for"
            yield Finding(Level.WARNING, Kind.UNKNOWN_PARAMETER, message, name)
    if not exchange.query:
        return
    if exchange.query[0] in query and exchange.query[1] in query:
        most = mapping_of(query["limit"].get("schema")).get("maximum")
        if isinstance(most, int | float) and most < LARGEST_PAGE:
            message = f"a page has at most {most:g} entries, and octosync asks for {LARGEST_PAGE}"
            yield Finding(Level.MISMATCH, Kind.OTHER_PAGING, message, "limit")
        return
    others = sorted(name for name in query if _PAGING.fullmatch(name) and name not in exchange.query)
    unknown = " and ".join(name for name in exchange.query if name not in query)
    message = f"it doesn't know {unknown}, by which octosync reads {exchange.plural} page by page"
    if others:
        message += f"; it has {', '.join(others)}, so octosync might see the first page only"
        yield Finding(Level.MISMATCH, Kind.OTHER_PAGING, message, unknown)
    else:
        message += ": fine if the list always comes whole"
        yield Finding(Level.WARNING, Kind.OTHER_PAGING, message, unknown)


def findings_of_request(
    exchange: Exchange, described: Described, document: Document, schemas: Schemas, unsent: frozenset[str]
) -> Iterator[Finding]:
    """Compare the body; `unsent` are fields of it that are never sent."""
    given = described.raw.get("requestBody")
    schema, is_other_media = document.content(given)
    sends = exchange.body is not None or exchange.any_body
    if given is not None and document.resolved(given) is None:
        if sends:
            yield cant_tell("the body", "it leads out of the document")
        return
    if is_other_media:
        if sends or _is_required(document, given):
            yield Finding(Level.MISMATCH, Kind.OTHER_BODY, "the body is not JSON there")
    elif not sends:
        if _is_required(document, given):
            fields = ", ".join(sorted(schemas.shape(schema).required))
            message = f"it needs a body{fields and f' with {fields}'}, and octosync sends none"
            yield Finding(Level.MISMATCH, Kind.OTHER_BODY, message)
    elif schema is None:
        yield Finding(Level.MISMATCH, Kind.OTHER_BODY, "it takes no body, and octosync sends one")
    else:
        shape = schemas.shape(schema)
        if exchange.body is None:
            yield from _of_any_body(shape)
        else:
            parts = {name: part for name, part in parts_of(exchange.body).items() if name not in unsent}
            yield from _sent(parts, shape, schemas, "")


def _is_required(document: Document, given: object) -> bool:
    return (document.resolved(given) or {}).get("required") is True


def _of_any_body(shape: Shape) -> Iterator[Finding]:
    if not shape.may_be("object"):
        yield Finding(
            Level.MISMATCH,
            Kind.OTHER_REQUEST_TYPE,
            f"the body is {listed(shape.types or ())}, and octosync sends an object",
        )
    elif shape.required:
        fields = ", ".join(sorted(shape.required))
        message = f"it needs {fields}; octosync sends the object that manifests declare, and nothing around it"
        yield Finding(Level.WARNING, Kind.NEEDED_REQUEST_FIELD, message)


def _sent(parts: Mapping[str, Part], shape: Shape, schemas: Schemas, at: str) -> Iterator[Finding]:
    """Compare the fields of an object that is sent."""
    for name, part in parts.items():
        path = f"{at}{name}"
        if name in shape.barred:
            message = f"{path} is read-only there, and octosync sends it"
            yield Finding(Level.MISMATCH, Kind.UNKNOWN_REQUEST_FIELD, message, path)
        elif name in shape.fields:
            yield from _sent_value(part, schemas.shape(shape.fields[name]), schemas, path)
        elif shape.unclear is None and not shape.takes_anything:
            message = f"it doesn't know {path}, which octosync sends{'' if part.needed else _WHERE_DECLARED}"
            yield Finding(Level.MISMATCH, Kind.UNKNOWN_REQUEST_FIELD, message, path)
    if shape.unclear is not None:
        yield cant_tell(f"what is in {at.rstrip('.') or 'the body'}", shape.unclear)
    for name in sorted(shape.required):
        path = f"{at}{name}"
        if name not in parts:
            message = f"it needs {path}, which octosync doesn't send"
        elif not parts[name].needed:
            message = f"it needs {path}, which octosync sends only where it is declared or live"
        else:
            continue
        yield Finding(Level.MISMATCH, Kind.NEEDED_REQUEST_FIELD, message, path)


_WHERE_DECLARED: Final = " where it is declared"


def _sent_value(part: Part, shape: Shape, schemas: Schemas, path: str) -> Iterator[Finding]:
    types = part.types - {"null"}
    accepted = types if shape.types is None else shape.types | ({"integer"} if "number" in shape.types else set())
    if types and not types & accepted:
        message = f"{path} is {listed(shape.types or ())} there, and octosync sends {listed(types)}"
        yield Finding(Level.MISMATCH, Kind.OTHER_REQUEST_TYPE, message, path)
        return
    if "null" in part.types and not shape.may_be("null"):
        message = f"{path} is never null there, which octosync sends to remove it"
        yield Finding(Level.WARNING, Kind.OTHER_REQUEST_TYPE, message, path)
    if part.inside:
        yield from _sent(part.inside, shape, schemas, f"{path}.")
