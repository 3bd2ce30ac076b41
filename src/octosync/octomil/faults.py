"""Error bodies: the four shapes that Octomil answers with, read into one. All public."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from octosync.model import JsonValue

# What FastAPI answers for a path that it has no route for: a cold start, or a path of ours that is wrong.
_UNREGISTERED = {"detail": "Not Found"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What an error body says; all of it optional. `fields` are (path, message) of a 422."""

    code: str | None = None
    message: str = ""
    request_id: str | None = None
    details: JsonValue = None
    fields: tuple[tuple[str, str], ...] = ()


def is_unregistered_route(body: JsonValue) -> bool:
    """Whether a 404 says that the route doesn't exist, which says nothing about the object."""
    return body == _UNREGISTERED


def fault_in(body: JsonValue) -> Fault | None:
    """Read an error body; None for what has none of the four shapes.

    `{"error": {code, message, details?, request_id?}}` · `{error, message, status_code}` · flat `{code, message, …}` ·
    FastAPI's `{"detail": str or list}`, whose detail may also be one of the others.
    """
    if not isinstance(body, Mapping):
        return None
    nested = body.get("error")
    if isinstance(nested, Mapping):
        return _flat(nested)
    if isinstance(nested, str):
        return _flat({"code": nested, **{key: value for key, value in body.items() if key != "error"}})
    if "detail" in body:
        return _of_detail(body["detail"])
    if isinstance(body.get("code"), str) or isinstance(body.get("message"), str):
        return _flat(body)
    return None


def _of_detail(detail: JsonValue) -> Fault | None:
    if isinstance(detail, str):
        return Fault(message=detail)
    if isinstance(detail, Mapping):
        return fault_in(detail)
    if isinstance(detail, list | tuple):
        return Fault(fields=_fields(detail))
    return None


def _flat(body: Mapping[str, JsonValue]) -> Fault:
    details = body.get("details")
    return Fault(
        code=_text(body.get("code")) or None,
        message=_text(body.get("message")) or _text(body.get("detail")),
        request_id=_text(body.get("request_id")) or None,
        details=details,
        fields=_fields(details.get("errors") if isinstance(details, Mapping) else details),
    )


def _fields(items: JsonValue) -> tuple[tuple[str, str], ...]:
    """Take place and message of each item; never its `input`, which is a value that was sent."""
    if not isinstance(items, list | tuple):
        return ()
    return tuple(
        (_path(item.get("loc", item.get("field", item.get("path")))), _text(item.get("msg", item.get("message"))))
        for item in items
        if isinstance(item, Mapping)
    )


def _path(location: JsonValue) -> str:
    if isinstance(location, list | tuple):
        inside = location[1:] if location and location[0] in {"body", "query", "path"} else location
        return ".".join(map(str, inside))
    return _text(location)


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""
