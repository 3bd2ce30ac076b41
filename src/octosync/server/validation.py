"""Strict validation of request bodies and query parameters, before a handler gets them.

A body is UTF-8 JSON of at most 1 MiB and 64 levels, without duplicate keys, NaN, infinities, lone surrogates or control
characters other than tab and line breaks. Unknown fields are errors; read-only fields are ignored.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, WithJsonSchema
from starlette.requests import Request

from octosync.contract import ErrorCode
from octosync.model import JsonValue
from octosync.server.errors import ApiError, invalid

MAX_BODY_BYTES = 1024 * 1024
MAX_DEPTH = 64
MAX_OFFSET = 2**31
MAX_PROBLEMS = 100  # in one response
DEFAULT_LIMIT, MAX_LIMIT = 50, 100

_DRAINED_BYTES = 32 * MAX_BODY_BYTES  # read beyond the limit, so that a client gets the 413 and not a reset connection
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_NUMBER = re.compile("[0-9]{1,12}")
_JSON_TYPE = re.compile(r"application/(?:[\w.+-]+\+)?json\s*(?:;|$)", re.IGNORECASE)


class Body(BaseModel):
    """Base of request bodies: types are strict, unknown fields are errors, `read_only` fields are ignored."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())
    read_only: ClassVar[frozenset[str]] = frozenset()


def one_of(names: Sequence[str]) -> tuple[AfterValidator, WithJsonSchema]:
    """Return annotations that limit a `str` field to these names: `Annotated[str, *one_of(NAMES)]`."""

    def check(value: str) -> str:
        if value not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return value

    return AfterValidator(check), WithJsonSchema({"type": "string", "enum": list(names)})


B = TypeVar("B", bound=Body)


class PageQuery(NamedTuple):
    """The page of a list that a request asks for."""

    limit: int
    offset: int


async def read_body(request: Request) -> bytes:
    """Read the whole body. Raises 413 if it is larger than 1 MiB."""
    size, chunks = 0, []
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            chunks.append(chunk)
        elif size > _DRAINED_BYTES:
            break
    if size > MAX_BODY_BYTES:
        raise ApiError(
            413,
            ErrorCode.PAYLOAD_TOO_LARGE,
            f"The body is larger than {MAX_BODY_BYTES} bytes",
            details={"limit_bytes": MAX_BODY_BYTES},
        )
    return b"".join(chunks)


def parse_json(raw: bytes, content_type: str | None) -> JsonValue:
    """Parse a body. Raises 422 if it breaks a rule of the module's docstring.

    The content type must be JSON: a browser doesn't send that to another site without a preflight request.
    """
    if not _JSON_TYPE.match(content_type or ""):
        raise invalid(("header.content-type", "must be application/json"))
    try:
        value: JsonValue = json.loads(raw.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise invalid(("body", "is not UTF-8")) from error
    except RecursionError as error:
        raise invalid(("body", f"is nested deeper than {MAX_DEPTH} levels")) from error
    except json.JSONDecodeError as error:
        raise invalid(("body", f"is not JSON: {error.msg} at character {error.pos}")) from error
    except ValueError as error:  # a number with thousands of digits
        raise invalid(("body", "contains a number that is too long")) from error
    _check(value)
    return value


def validate_body(model: type[B], value: JsonValue) -> B:
    """Validate a parsed body with its model. Raises 422 with the field path of every problem."""
    if isinstance(value, Mapping) and model.read_only:
        value = {key: item for key, item in value.items() if key not in model.read_only}
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)[:MAX_PROBLEMS]
        details = ((_field_path(problem["loc"]), _message(problem["msg"], problem["type"])) for problem in problems)
        raise invalid(*details) from error


def page_of(query: Mapping[str, str]) -> PageQuery:
    """Read `limit` (1 to 100, default 50) and `offset` (0 to 2³¹). Raises 422 for any other value."""
    return PageQuery(
        _whole_number(query, "limit", 1, MAX_LIMIT, DEFAULT_LIMIT), _whole_number(query, "offset", 0, MAX_OFFSET, 0)
    )


def flag_of(query: Mapping[str, str], name: str) -> bool:
    """Read a boolean query parameter, false if absent. Raises 422 for anything but true, false, 1 and 0."""
    value = query.get(name, "false").lower()
    if value not in {"true", "false", "1", "0"}:
        raise invalid((f"query.{name}", "must be true or false"))
    return value in {"true", "1"}


def _whole_number(query: Mapping[str, str], name: str, low: int, high: int, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or not low <= int(text) <= high:
        raise invalid((f"query.{name}", f"must be a whole number from {low} to {high}"))
    return int(text)


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        duplicate = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # add returns None on purpose
        raise invalid(("body", f"has a duplicate key {_quoted(duplicate)}"))
    return value


def _no_constant(name: str) -> JsonValue:
    raise invalid(("body", f"contains {name}, which is not JSON"))


def _check(value: JsonValue) -> None:
    """Check depth, texts and numbers of the whole value, without recursion. Raises 422."""
    unchecked: list[tuple[tuple[str | int, ...], JsonValue]] = [((), value)]
    while unchecked:
        path, item = unchecked.pop()
        if len(path) > MAX_DEPTH:
            raise invalid(("body", f"is nested deeper than {MAX_DEPTH} levels"))
        if isinstance(item, str) and _FORBIDDEN.search(item):
            raise invalid((_field_path(path), "contains a control character or a lone surrogate"))
        if isinstance(item, float) and not math.isfinite(item):
            raise invalid((_field_path(path), "is a number that is too large"))
        if isinstance(item, Mapping):
            for key in item:
                if _FORBIDDEN.search(key):
                    raise invalid((_field_path(path), "has a key with a control character or a lone surrogate"))
            unchecked.extend(((*path, key), inner) for key, inner in item.items())
        elif isinstance(item, list):
            unchecked.extend(((*path, index), inner) for index, inner in enumerate(item))


def _field_path(steps: tuple[str | int, ...]) -> str:
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step[:200]}"
    return text.removeprefix(".") or "body"


def _message(message: str, kind: str) -> str:
    return "unknown field" if kind == "extra_forbidden" else message.removeprefix("Value error, ")


def _quoted(key: Any) -> str:  # noqa: ANN401  any key that a client sent
    return repr(str(key)[:80])
