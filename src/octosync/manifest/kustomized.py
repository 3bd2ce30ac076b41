"""What a kustomization refers to: whichever paths stand in it, whether or not there is anything at them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Final

import yaml

KUSTOMIZATION_NAMES: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_LONGEST_PATH, _LONGEST_NAME = 4095, 255  # as on Linux; longer texts are inline patches and the like
_MOST_TEXTS: Final = 100_000
_MOST_LEVELS: Final = 10
_MOST_BYTES: Final = 1024 * 1024


def referred(kustomization: str, stamp: object) -> frozenset[str]:
    """Return the paths, from the file's folder, that a kustomization names; none where it can't be read.

    It is read again when `stamp` is another: whatever tells its contents apart. Every text in it counts that might be a
    path: which fields hold paths differs from one kustomize to the next.
    """
    return _referred(kustomization, stamp)


@lru_cache(maxsize=1024)
def _referred(kustomization: str, _stamp: object) -> frozenset[str]:
    folder = str(Path(kustomization).parent)
    return frozenset(os.path.normpath(Path(folder, text)) for text in texts_in(kustomization) if _may_be_path(text))


def texts_in(kustomization: str) -> tuple[str, ...]:
    """Return the texts in a kustomization, keys left out; none where it can't be read."""
    content = _content(kustomization)
    return tuple(islice(_texts(content), _MOST_TEXTS)) if content is not None else ()


def is_read_whole(kustomization: str) -> bool:
    """Return whether `referred` returns everything that a kustomization refers to: it is neither malformed nor huge."""
    content = _content(kustomization)
    return content is not None and sum(1 for _ in islice(_texts(content), _MOST_TEXTS + 1)) <= _MOST_TEXTS


def _content(kustomization: str) -> list[object] | None:
    """Return the documents of a kustomization; None if it can't be read."""
    try:
        with Path(kustomization).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        # Only lists, objects and texts: whatever else YAML can say costs time, and names no path.
        return list(yaml.load_all(data, yaml.CBaseLoader)) if len(data) <= _MOST_BYTES else None
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return None


def _may_be_path(text: str) -> bool:
    # kustomize refuses absolute ones; as the value of a label, / would be everything there is.
    if not 0 < len(text) <= _LONGEST_PATH or text.startswith("/") or "://" in text:
        return False
    return text.isprintable() and all(len(name) <= _LONGEST_NAME for name in text.split("/"))


def _texts(content: object) -> Iterator[str]:
    """Yield every text in a value, and what stands behind the = of `name=path`. Deeper than fields of paths are, none.

    What aliases repeat is visited once.
    """
    waiting: deque[tuple[object, int]] = deque([(content, 0)])
    seen: set[int] = set()
    while waiting:
        value, depth = waiting.popleft()
        if isinstance(value, str):
            yield value
            if "=" in value:
                yield value.partition("=")[2]
        elif isinstance(value, dict | list) and depth < _MOST_LEVELS and id(value) not in seen:
            seen.add(id(value))
            below = value.values() if isinstance(value, dict) else value
            waiting.extend((item, depth + 1) for item in below)
