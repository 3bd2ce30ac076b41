"""What pages load beside themselves: style, script and icons, each under a URL that changes with its content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

_TYPES: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
CACHED: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: its `path` below `/static/`, with a hash of its content in it."""

    path: str
    body: bytes
    content_type: str


@cache
def assets() -> Mapping[str, Asset]:
    """Return the files by their own names."""
    found = {}
    for entry in sorted(files("octosync.watch.web").joinpath("static").iterdir(), key=lambda entry: entry.name):
        stem, _, ending = entry.name.rpartition(".")
        if ending in _TYPES:
            body = entry.read_bytes()
            path = f"{stem}.{sha256(body).hexdigest()[:16]}.{ending}"
            found[entry.name] = Asset(path, body, _TYPES[ending])
    return found


def asset_url(name: str) -> str:
    """Return where a page finds a file. Raises `KeyError` for one that there is not."""
    return f"/static/{assets()[name].path}"


def asset_at(path: str) -> Asset | None:
    """Find a file by its path below `/static/`; None for an unknown one, or another version."""
    return next((asset for asset in assets().values() if asset.path == path), None)
