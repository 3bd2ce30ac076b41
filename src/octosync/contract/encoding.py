"""HTTP bodies, decoded piece by piece: what is read is bounded, whatever an encoding expands it to."""

from __future__ import annotations

import zlib
from typing import Final

# The only encoding that octosync asks for. A response that uses another one, or several, is refused.
ACCEPT_ENCODING: Final = "gzip"
_GZIP: Final = frozenset({"gzip", "x-gzip"})  # RFC 9110 wants both read alike
_GZIP_WINDOW: Final = zlib.MAX_WBITS | 16


class BodyError(Exception):
    """A body that is not read to its end."""


class BodyTooLarge(BodyError):
    """The body has more bytes than the limit, as it was sent or decoded."""


class EncodingRefused(BodyError):
    """The body has a Content-Encoding that was not asked for."""


class BodyCorrupt(BodyError):
    """The body is not what its Content-Encoding says."""


class BodyDecoder:
    """Collects one body. `encoding` is the response's Content-Encoding, `largest` the limit in bytes.

    Never holds more than the limit and one piece. Raises `EncodingRefused`.
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
        """Take the next piece as it was sent. Raises `BodyTooLarge`, `BodyCorrupt`."""
        self._received += len(piece)
        if self._received > self._largest:
            raise BodyTooLarge
        self._body += piece if self._inflater is None else self._inflated(piece, self._inflater)
        if len(self._body) > self._largest:
            raise BodyTooLarge

    def finish(self) -> bytes:
        """Return the whole body. Raises `BodyCorrupt` for an encoded body that is cut off."""
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
