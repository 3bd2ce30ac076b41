"""The fields of our own models, for comparing them with somebody else's description of the same objects."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One field: the names that it may have, first its own, and the JSON types of its values, none for any.

    `needed`: it is always there. `inside` are the fields of the object, or of each object in the list, that it holds.
    """

    names: tuple[str, ...]
    types: frozenset[str] = frozenset()
    needed: bool = True
    inside: Mapping[str, Part] = field(default_factory=dict)


_TYPES: Final[Mapping[Any, str]] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
    list: "array",
    dict: "object",
}


@cache
def parts_of(model: type[BaseModel]) -> Mapping[str, Part]:
    """Return a model's fields by name. None of ours holds itself."""
    return {name: _part(name, info) for name, info in model.model_fields.items()}


def _part(name: str, info: FieldInfo) -> Part:
    choices = tuple(_choices(info.annotation))
    known = all(one in _TYPES or _is_model(one) for one, _ in choices)
    inside = next((parts_of(model) for one, item in choices for model in (one, item) if _is_model(model)), {})
    return Part(
        names=tuple(dict.fromkeys((*_aliases(info), name))),
        types=frozenset(_TYPES.get(one, "object") for one, _ in choices) if known else frozenset(),
        needed=info.is_required(),
        inside=inside,
    )


def _choices(annotation: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 — an annotation is anything
    """Yield each alternative of a type, and what it is a list of."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in {Union, types.UnionType}:
        for one in inner:
            yield from _choices(one)
    else:
        yield origin or annotation, inner[0] if origin is list else None


def _is_model(annotation: Any) -> bool:  # noqa: ANN401 — see above
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _aliases(info: FieldInfo) -> Iterator[str]:
    alias = info.validation_alias
    for one in alias.choices if isinstance(alias, AliasChoices) else (alias,):
        if isinstance(one, str):
            yield one
