"""Decoding of HTTP bodies, piece by piece and with a size limit that also holds for the decoded body."""

from __future__ import annotations

import zlib
from typing import Final

# The only encoding that octosync accepts. A response that uses another one, or several, is rejected.
ACCEPT_ENCODING: Final = "gzip"
_GZIP: Final = frozenset({"gzip", "x-gzip"})  # the same encoding according to RFC 9110
_GZIP_WINDOW: Final = zlib.MAX_WBITS | 16


class BodyError(Exception):
    """A body that can't be read completely."""


class BodyTooLarge(BodyError):
    """The body is larger than the limit, encoded or decoded."""


class EncodingRefused(BodyError):
    """The body has a Content-Encoding that was not requested."""


class BodyCorrupt(BodyError):
    """The body does not match its Content-Encoding."""


class BodyDecoder:
    """Collects a body. `encoding` is the response's Content-Encoding, `largest` the limit in bytes.

    It never holds more than the limit and one piece. Raises `EncodingRefused`.
    """

    def __init__(self, encoding: str | None, largest: int) -> None:
        name = (encoding or "identity").strip().lower()
        if name != "identity" and name not in _GZIP:
            raise EncodingRefused
        self._inflater = zlib.decompressobj(_GZIP_WINDOW) if name in _GZIP else None
        self._largest = largest
        self._received = 0
        self._body = bytearray()

    def feed(self, piece: bytes) -> None:
        """Add the next piece, encoded as received. Raises `BodyTooLarge`, `BodyCorrupt`."""
        self._received += len(piece)
        if self._received > self._largest:
            raise BodyTooLarge
        self._body += piece if self._inflater is None else self._inflated(piece, self._inflater)
        if len(self._body) > self._largest:
            raise BodyTooLarge

    def finish(self) -> bytes:
        """Return the complete body. Raises `BodyCorrupt` for an encoded body that is truncated."""
        if self._inflater is not None and self._received and not self._inflater.eof:
            raise BodyCorrupt
        return bytes(self._body)

    def _inflated(self, piece: bytes, inflater: zlib._Decompress) -> bytes:
        try:
            inflated = inflater.decompress(piece, self._largest + 1 - len(self._body))
        except zlib.error:
            raise BodyCorrupt from None
        if inflater.unused_data:
            raise BodyCorrupt
        return inflated
