"""The comparison of an operation's query, request body and response with an OpenAPI document, and its findings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from octosync.contract.openapi.document import DocumentOperation, OpenApiDocument, mapping_of
from octosync.contract.openapi.schemas import ModelField, Schemas, SchemaShape, fields_of_model, join_types
from octosync.contract.requests import MAX_PAGE_SIZE, Exchange


class FindingLevel(Enum):
    """The severity of a finding: it won't work, it may not work, or it is unknown or only worth knowing."""

    MISMATCH = "mismatch"
    WARNING = "warning"
    NOTE = "note"


class FindingKind(Enum):
    """The kind of a finding. Its value is stable: it is in the JSON output."""

    MISSING = "missing"
    OTHER_PATH = "other-path"
    OTHER_METHOD = "other-method"
    NO_OVERRIDE = "no-override"
    DEPRECATED = "deprecated"
    UNKNOWN_REQUEST_FIELD = "unknown-request-field"
    NEEDED_REQUEST_FIELD = "needed-request-field"
    OTHER_REQUEST_TYPE = "other-request-type"
    UNKNOWN_PARAMETER = "unknown-parameter"
    NEEDED_PARAMETER = "needed-parameter"
    OTHER_PAGING = "other-paging"
    OTHER_BODY = "other-body"
    LACKING_ANSWER_FIELD = "lacking-answer-field"
    OTHER_ANSWER_TYPE = "other-answer-type"
    OTHER_ENVELOPE = "other-envelope"
    CANT_TELL = "cant-tell"


@dataclass(frozen=True, slots=True)
class ConformanceFinding:
    """A difference that a comparison found. `field` is its dotted path, "" for none; `mends`: an override resolves it."""

    level: FindingLevel
    kind: FindingKind
    message: str
    field: str = ""
    mends: bool = False


def not_comparable(what: str, why: str) -> ConformanceFinding:
    """Return the finding that something can't be compared."""
    return ConformanceFinding(FindingLevel.NOTE, FindingKind.CANT_TELL, f"{what} can't be compared: {why}")


# Parameters for pagination in other APIs.
_PAGING: Final = re.compile(
    r"(?i)page.*|per_?page|cursor|.*_?token|(starting_|ending_)?(after|before)|skip|take|size|count|start|next|first|last|limit|offset"
)
# What every HTTP client sends, or octosync sends with every request if it is configured.
_OF_EVERY_REQUEST: Final = frozenset({"authorization", "accept", "content-type", "user-agent", "host", "org_id"})


def compare_query(exchange: Exchange, described: DocumentOperation) -> Iterator[ConformanceFinding]:
    """Yield findings about parameters: those that the document requires, and those of octosync's pagination."""
    query = {
        str(parameter["name"]): parameter
        for parameter in described.parameters
        if parameter.get("in") == "query" and "name" in parameter
    }
    for parameter in described.parameters:
        name, place = str(parameter.get("name")), str(parameter.get("in"))
        known = name in exchange.query or name.lower() in _OF_EVERY_REQUEST
        if parameter.get("required") is True and place != "path" and not known:
            message = f"it requires the {place} parameter {name}, which octosync doesn't send"
            yield ConformanceFinding(FindingLevel.MISMATCH, FindingKind.NEEDED_PARAMETER, message, name)
    for name in exchange.options:
        if name not in query:
            message = f"it has no query parameter {name}, which octosync sends on request"
            yield ConformanceFinding(FindingLevel.WARNING, FindingKind.UNKNOWN_PARAMETER, message, name)
    if not exchange.query:
        return
    if exchange.query[0] in query and exchange.query[1] in query:
        most = mapping_of(query["limit"].get("schema")).get("maximum")
        if isinstance(most, int | float) and most < MAX_PAGE_SIZE:
            message = f"a page has at most {most:g} entries, but octosync requests {MAX_PAGE_SIZE}"
            yield ConformanceFinding(FindingLevel.MISMATCH, FindingKind.OTHER_PAGING, message, "limit")
        return
    others = sorted(name for name in query if _PAGING.fullmatch(name) and name not in exchange.query)
    unknown = " and ".join(name for name in exchange.query if name not in query)
    message = f"it has no {unknown}, which octosync uses to read {exchange.plural} page by page"
    if others:
        message += f"; it has {', '.join(others)}, so octosync might see the first page only"
        yield ConformanceFinding(FindingLevel.MISMATCH, FindingKind.OTHER_PAGING, message, unknown)
    else:
        message += ": fine if the list is never split into pages"
        yield ConformanceFinding(FindingLevel.WARNING, FindingKind.OTHER_PAGING, message, unknown)


def compare_request(
    exchange: Exchange,
    described: DocumentOperation,
    document: OpenApiDocument,
    schemas: Schemas,
    unsent: frozenset[str],
) -> Iterator[ConformanceFinding]:
    """Yield findings about the body; `unsent` are its fields that are never sent."""
    given = described.raw.get("requestBody")
    schema, is_other_media = document.content(given)
    sends = exchange.body is not None or exchange.any_body
    if given is not None and document.resolved(given) is None:
        if sends:
            yield not_comparable("the body", "its reference leads out of the document")
        return
    if is_other_media:
        if sends or _is_required(document, given):
            yield ConformanceFinding(
                FindingLevel.MISMATCH, FindingKind.OTHER_BODY, "the body is not JSON in the document"
            )
    elif not sends:
        if _is_required(document, given):
            fields = ", ".join(sorted(schemas.shape(schema).required))
            message = f"it requires a body{fields and f' with {fields}'}, but octosync sends none"
            yield ConformanceFinding(FindingLevel.MISMATCH, FindingKind.OTHER_BODY, message)
    elif schema is None:
        yield ConformanceFinding(
            FindingLevel.MISMATCH, FindingKind.OTHER_BODY, "it takes no body, but octosync sends one"
        )
    else:
        shape = schemas.shape(schema)
        if exchange.body is None:
            yield from _compare_any_body(shape)
        else:
            parts = {name: part for name, part in fields_of_model(exchange.body).items() if name not in unsent}
            yield from _request_fields(parts, shape, schemas, "")


def _is_required(document: OpenApiDocument, given: object) -> bool:
    return (document.resolved(given) or {}).get("required") is True


def _compare_any_body(shape: SchemaShape) -> Iterator[ConformanceFinding]:
    if not shape.may_be("object"):
        yield ConformanceFinding(
            FindingLevel.MISMATCH,
            FindingKind.OTHER_REQUEST_TYPE,
            f"the body is {join_types(shape.types or ())}, but octosync sends an object",
        )
    elif shape.required:
        fields = ", ".join(sorted(shape.required))
        message = f"it requires {fields}; octosync sends only the object that manifests declare"
        yield ConformanceFinding(FindingLevel.WARNING, FindingKind.NEEDED_REQUEST_FIELD, message)


def _request_fields(
    parts: Mapping[str, ModelField], shape: SchemaShape, schemas: Schemas, at: str
) -> Iterator[ConformanceFinding]:
    """Yield findings about the fields of an object that is sent."""
    for name, part in parts.items():
        path = f"{at}{name}"
        if name in shape.barred:
            message = f"{path} is read-only in the document, but octosync sends it"
            yield ConformanceFinding(FindingLevel.MISMATCH, FindingKind.UNKNOWN_REQUEST_FIELD, message, path)
        elif name in shape.fields:
            yield from _request_value(part, schemas.shape(shape.fields[name]), schemas, path)
        elif shape.unclear is None and not shape.takes_anything:
            message = f"it has no {path}, which octosync sends{'' if part.needed else _IF_DECLARED}"
            yield ConformanceFinding(FindingLevel.MISMATCH, FindingKind.UNKNOWN_REQUEST_FIELD, message, path)
    if shape.unclear is not None:
        yield not_comparable(f"what is in {at.rstrip('.') or 'the body'}", shape.unclear)
    for name in sorted(shape.required):
        path = f"{at}{name}"
        if name not in parts:
            message = f"it requires {path}, which octosync doesn't send"
        elif not parts[name].needed:
            message = f"it requires {path}, which octosync sends only if it is declared or live"
        else:
            continue
        yield ConformanceFinding(FindingLevel.MISMATCH, FindingKind.NEEDED_REQUEST_FIELD, message, path)


_IF_DECLARED: Final = " if it is declared"


def _request_value(part: ModelField, shape: SchemaShape, schemas: Schemas, path: str) -> Iterator[ConformanceFinding]:
    types = part.types - {"null"}
    accepted = types if shape.types is None else shape.types | ({"integer"} if "number" in shape.types else set())
    if types and not types & accepted:
        message = f"{path} is {join_types(shape.types or ())} in the document, but octosync sends {join_types(types)}"
        yield ConformanceFinding(FindingLevel.MISMATCH, FindingKind.OTHER_REQUEST_TYPE, message, path)
        return
    if "null" in part.types and not shape.may_be("null"):
        message = f"{path} is never null in the document, but octosync sends null to remove it"
        yield ConformanceFinding(FindingLevel.WARNING, FindingKind.OTHER_REQUEST_TYPE, message, path)
    if part.inside:
        yield from _request_fields(part.inside, shape, schemas, f"{path}.")


# The JSON types that are accepted for a type of the model: pydantic parses numbers in strings.
_READ_FROM: Final[Mapping[str, frozenset[str]]] = {
    "integer": frozenset({"integer", "number", "string"}),
    "number": frozenset({"integer", "number", "string"}),
}


def compare_response(
    exchange: Exchange, described: DocumentOperation, document: OpenApiDocument, schemas: Schemas
) -> Iterator[ConformanceFinding]:
    """Yield findings about the response; fields that octosync doesn't need may be missing."""
    if exchange.response is None and not exchange.any_response:
        return
    given = _success(document, described)
    if given is None:
        yield not_comparable("the response", "the document describes no success")
        return
    schema, is_other_media = document.content(given)
    if schema is None:
        what = "the response is not JSON in the document" if is_other_media else "it returns nothing"
        yield ConformanceFinding(
            FindingLevel.MISMATCH, FindingKind.OTHER_ENVELOPE, f"{what}, but octosync reads {_wanted(exchange)}"
        )
        return
    shape = schemas.shape(schema)
    if exchange.response is None:
        if not shape.may_be("object"):
            message = f"the response is {join_types(shape.types or ())}, but octosync reads an object"
            yield ConformanceFinding(FindingLevel.MISMATCH, FindingKind.OTHER_ENVELOPE, message)
        return
    parts = _with(fields_of_model(exchange.response), exchange.needed)
    if exchange.plural is None:
        yield from _response_value(
            ModelField(names=("",), types=frozenset({"object"}), inside=parts), shape, schemas, ""
        )
        return
    items, problem = _items(exchange.plural, shape, schemas)
    if problem is not None:
        yield problem
    elif items is not None:
        list_ = ModelField(names=(exchange.plural,), types=frozenset({"array"}), inside=parts)
        yield from _response_value(list_, items, schemas, exchange.plural)


def _success(document: OpenApiDocument, described: DocumentOperation) -> Mapping[str, Any] | None:
    """Return the first success with content, otherwise the first success; None if there is none."""
    responses = {str(status).upper(): node for status, node in mapping_of(described.raw.get("responses")).items()}
    statuses = sorted(status for status in responses if re.fullmatch(r"2(\d\d|XX)", status)) or ["DEFAULT"]
    resolved = [node for status in statuses if (node := document.resolved(responses.get(status))) is not None]
    return next((response for response in resolved if response.get("content")), next(iter(resolved), None))


def _items(plural: str, shape: SchemaShape, schemas: Schemas) -> tuple[SchemaShape | None, ConformanceFinding | None]:
    """Return the list in its envelope or a bare one, and the finding if there is none."""
    if plural in shape.fields:
        return schemas.shape(shape.fields[plural]), None
    if shape.types is not None and "array" in shape.types:
        return shape, None
    if shape.unclear is not None:
        return None, not_comparable("the response", shape.unclear)
    if shape.takes_anything and not shape.fields:
        return None, not_comparable("the response", "the document doesn't describe its content")
    lists = sorted(name for name, schema in shape.fields.items() if "array" in (schemas.shape(schema).types or ()))
    there = f"the list is in {', '.join(lists)}" if lists else "the response has no list"
    message = f"{there}, but octosync reads {plural}, or a bare list"
    return None, ConformanceFinding(FindingLevel.MISMATCH, FindingKind.OTHER_ENVELOPE, message, plural)


def _response_value(part: ModelField, shape: SchemaShape, schemas: Schemas, path: str) -> Iterator[ConformanceFinding]:
    readable = frozenset().union(*(_READ_FROM.get(type_, frozenset({type_})) for type_ in part.types))
    given = shape.types if shape.types is None else shape.types - {"null"}
    if part.types and given and not given & readable:
        read, sent = join_types(part.types - {"null"}), join_types(given)
        message = f"{path or 'the response'} is {sent} in the document, but octosync reads {read}"
        yield ConformanceFinding(FindingLevel.MISMATCH, FindingKind.OTHER_ANSWER_TYPE, message, path)
    elif part.inside and "array" in part.types and (given is None or "array" in given):
        if shape.items is None:
            yield not_comparable(f"what is in {path}", "the document doesn't describe it")
        else:
            yield from _response_fields(part.inside, schemas.shape(shape.items), schemas, f"{path}[].")
    elif part.inside:
        yield from _response_fields(part.inside, shape, schemas, f"{path}." if path else "")


def _response_fields(
    parts: Mapping[str, ModelField], shape: SchemaShape, schemas: Schemas, at: str
) -> Iterator[ConformanceFinding]:
    """Yield findings about the fields of an object that is returned."""
    if shape.unclear is not None or (shape.takes_anything and not shape.fields):
        why = shape.unclear or "the document doesn't describe it"
        yield not_comparable(f"what is in {at.rstrip('.') or 'the response'}", why)
    for part in parts.values():
        path = f"{at}{part.names[-1]}"
        found = next((name for name in part.names if name in shape.fields), None)
        if found is not None:
            yield from _response_value(part, schemas.shape(shape.fields[found]), schemas, path)
            if part.needed and found not in shape.everywhere:
                message = f"only some forms of the response have {path}, which octosync needs"
                yield ConformanceFinding(FindingLevel.WARNING, FindingKind.LACKING_ANSWER_FIELD, message, path)
        elif shape.unclear is None and shape.fields and (part.needed or not shape.is_open):
            yield _lacking(part, path)


def _lacking(part: ModelField, path: str) -> ConformanceFinding:
    if part.needed:
        return ConformanceFinding(
            FindingLevel.MISMATCH,
            FindingKind.LACKING_ANSWER_FIELD,
            f"the response lacks {path}, which octosync needs",
            path,
        )
    message = f"the response lacks {path}, which octosync reads if it is present"
    return ConformanceFinding(FindingLevel.NOTE, FindingKind.LACKING_ANSWER_FIELD, message, path)


def _with(parts: Mapping[str, ModelField], also: frozenset[str]) -> Mapping[str, ModelField]:
    return {name: replace(part, needed=part.needed or name in also) for name, part in parts.items()}


def _wanted(exchange: Exchange) -> str:
    return f"a list of {exchange.plural}" if exchange.plural else "an object"
