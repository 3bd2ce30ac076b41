"""Answers as what they must be: an object is validated against its wire model, then taken as it came.

Unknown fields are kept. What is not as it must be is one error that names operation, field and request, never a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from pydantic import ValidationError

from octosync.contract.responses import Wire
from octosync.model import JsonObject, JsonValue
from octosync.octomil.client import Octomil
from octosync.octomil.response import Translator

# Of a name that the control plane gives to an object: no real one comes near, and a URL has room for it.
LONGEST_NAME = 512

T = TypeVar("T")
W = TypeVar("W", bound=Wire)


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """What was read, and since when it is known, in seconds of the client's clock."""

    value: T
    at: float


def validated(
    client: Octomil, operation_id: str, model: type[Wire], body: JsonValue, request_id: str | None
) -> JsonObject:
    """Return the object as it came, if it is what the model says. Raises `Unreadable`."""
    parsed(client, operation_id, model, body, request_id)
    assert isinstance(body, Mapping)  # noqa: S101 — what was parsed into a model is an object
    return body


def parsed(client: Octomil, operation_id: str, model: type[W], body: JsonValue, request_id: str | None) -> W:
    """Return the object as its wire model, the API key masked in it: such objects are shown, and never written back.

    Raises `Unreadable`; the error names fields, never their values.
    """
    if body is None:
        problem = "it is empty"
    elif not isinstance(body, Mapping):
        problem = "it is not an object"
    else:
        try:
            return model.model_validate(client.concealer().masked(body))
        except ValidationError as invalid:
            first = invalid.errors(include_input=False, include_url=False, include_context=False)[0]
            problem = f"field {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}"
    raise translator_of(client, operation_id).wrong_shape(problem, request_id)


def translator_of(client: Octomil, operation_id: str) -> Translator:
    """Return what turns an operation's answers into errors."""
    return Translator(client.connection, client.contract.operations[operation_id], client.concealer())


def text_in(item: JsonObject, key: str) -> str | None:
    """Return the text or number of a field; None for what is missing, empty or too long."""
    value = item.get(key)
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if text and len(text) <= LONGEST_NAME else None


def name_in(item: JsonObject, key: str) -> str | None:
    """Return the text or number by which an item is known; None for what is missing, empty, too long or not printable."""
    text = text_in(item, key)
    return text if text is not None and text.isprintable() else None


def segment(item: JsonObject, key: str) -> str | None:
    """Return a name that may be a segment of a URL's path; None also for dots and slashes, which would name another path."""
    name = name_in(item, key)
    return None if name in {".", ".."} or name is None or "/" in name or "\\" in name else name


def time_of(text: str | None) -> datetime | None:
    """Read a time of the control plane's, UTC where it names no zone; None for none, or for what is not one."""
    try:
        at = datetime.fromisoformat(text or "")
        return at.replace(tzinfo=UTC) if at.utcoffset() is None else at.astimezone(UTC)
    except (ValueError, OverflowError):  # OverflowError: the first or last day of the calendar, in another zone
        return None
