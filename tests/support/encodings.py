"""HTTP bodies in encodings that no client asked for, and how much memory it takes to receive them."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_BLANKS = 192 * 2**20
# Far below what one of the bombs expands to, far above what receiving it takes.
_MOST_MEMORY = 96 * 2**20

# The Content-Encoding of each; what is sent is small, and what it claims to be is not.
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
    """Fail where what is done inside takes as much memory as the bomb expands to."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < _MOST_MEMORY, f"{peak >> 20} MiB"
