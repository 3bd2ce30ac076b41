"""Other paths that an operation may have: the few renames that are likely, for a probe that finds nothing at ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from octosync.contract import Contract
from octosync.errors import ConfigError

# What else the last part of a path might be called; never what could be taken for something else that answers alike.
_ALSO: Final[Mapping[str, str]] = {
    "targets": "app-targets",
    "slots": "capability-slots",
    "health": "coverage",
    "activity": "events",
    "first-request": "first-inference",
}


def other_paths(contract: Contract, operation_id: str) -> Iterator[str]:
    """Yield other paths for an operation, likeliest first, each fit to be an override."""
    path = contract.operations[operation_id].path
    parts = path.split("/")
    last = max(index for index, part in enumerate(parts) if "{" not in part)
    renamed = [path.replace("-", "_"), path.replace("_", "-")]
    if last > 0 and "{" not in parts[last - 1] and parts[last - 1]:
        renamed.append("/".join([*parts[: last - 1], f"{parts[last - 1]}-{parts[last]}", *parts[last + 1 :]]))
    if parts[last] in _ALSO:
        renamed.append("/".join([*parts[:last], _ALSO[parts[last]], *parts[last + 1 :]]))
    for other in dict.fromkeys(renamed):
        if other != path and _is_possible(contract, operation_id, other):
            yield other


def _is_possible(contract: Contract, operation_id: str, path: str) -> bool:
    try:
        contract.overridden(operations={operation_id: {"path": path}})
    except ConfigError:
        return False
    return True
