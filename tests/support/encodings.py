"""HTTP bodies in encodings that no client accepts, and a limit for the memory that receiving them takes."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_BLANKS = 192 * 2**20
# Far less than the expanded bomb, far more than it takes to receive it.
_MOST_MEMORY = 96 * 2**20

# Values of Content-Encoding. The bodies are small, and large once they are decoded.
REFUSED_ENCODINGS = ("gzip, gzip", "gzip,identity,gzip", "deflate", "br", "zstd", "compress", "gzip;q=1", "x" * 5_000)


@cache
def bomb() -> bytes:
    """Return 192 MiB of blanks, compressed twice: about a kilobyte."""
    return gzip.compress(gzip.compress(b" " * _BLANKS, 1))


def body_in(encoding: str) -> bytes:
    """Return a body for one of the refused encodings."""
    return zlib.compress(b"[]") if encoding == "deflate" else bomb()


@contextmanager
def limited_memory() -> Iterator[None]:
    """Fail if the block takes as much memory as the expanded bomb."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < _MOST_MEMORY, f"{peak >> 20} MiB"
