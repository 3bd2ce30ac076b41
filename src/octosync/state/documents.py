"""Documents of the file: JSON as bytes, the same bytes for the same value, read back exactly as it was and strictly."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from octosync.model import JsonValue

_T = TypeVar("_T")

# A half of a surrogate pair is no text, and yet may stand in JSON.
_ENCODING = ("utf-8", "surrogatepass")


def bytes_of(document: JsonValue) -> bytes:
    """Write a document. Raises `ValueError` for what is no JSON."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode(*_ENCODING)


def document_of(data: bytes) -> Any:  # noqa: ANN401  whatever was stored: the readers below say what it is to be
    """Read what `bytes_of` wrote. Raises `ValueError` for anything else."""
    return json.loads(data.decode(*_ENCODING))


def object_of(value: object) -> dict[str, Any]:
    """Return an object. Raises `TypeError` for anything else."""
    return _of(dict, value)


def items_of(value: object) -> list[Any]:
    """Return a list. Raises `TypeError` for anything else."""
    return _of(list, value)


def list_of(value: object, length: int) -> list[Any]:
    """Return a list of a length. Raises `TypeError` or `ValueError` for anything else."""
    found = items_of(value)
    if len(found) != length:
        raise ValueError(f"a list of {length} is {len(found)} long")
    return found


def text_of(value: object) -> str:
    """Return a text. Raises `TypeError` for anything else."""
    return _of(str, value)


def flag_of(value: object) -> bool:
    """Return a boolean. Raises `TypeError` for anything else."""
    return _of(bool, value)


def _of(kind: type[_T], value: object) -> _T:
    if not isinstance(value, kind):
        raise TypeError(f"{type(value).__name__} where {kind.__name__} is to be")
    return value
