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
_LONGEST_PATH: Final = 255  # longer texts are inline patches and the like
_MOST_TEXTS: Final = 10_000
_MOST_LEVELS: Final = 9
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
    try:
        with Path(kustomization).open("rb") as file:
            # Only lists, objects and texts: whatever else YAML can say costs time, and names no path.
            content = yaml.load(file.read(_MOST_BYTES), yaml.CBaseLoader)  # noqa: S506 — knows no tags
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return ()
    return tuple(islice(_texts(content), _MOST_TEXTS))


def _may_be_path(text: str) -> bool:
    # kustomize refuses absolute ones; as the value of a label, / would be everything there is.
    return 0 < len(text) <= _LONGEST_PATH and text.isprintable() and not text.startswith("/") and "://" not in text


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
