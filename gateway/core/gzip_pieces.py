"""A gzip stream (RFC 1952) put together from pieces, some of which were compressed long before.

Deflate ends a piece at a whole byte if it is flushed, and a piece that looks back at nothing
before itself may stand anywhere. The one member of the stream then needs the checksum of the
whole, which follows from those of the pieces.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache

_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LAST_BLOCK = b"\x03\x00"
_POLYNOMIAL = 0xEDB88320
_ONE, _X = 1 << 31, 1 << 30
"""The polynomials 1 and x, lowest power first."""

_WINDOW_BITS = -15


class Deflated:
    """A piece that is being compressed.

    Parameters
    ----------
    level
        Of zlib, 1 to 9.

    Attributes
    ----------
    crc, size : int
        Checksum and bytes of what was compressed so far.
    """

    def __init__(self, level: int) -> None:
        self._deflate = zlib.compressobj(level, zlib.DEFLATED, _WINDOW_BITS)
        self.crc = 0
        self.size = 0

    def pieces(self, data: Iterable[bytes]) -> Iterator[bytes]:
        """Compress all that there is; the last piece ends at a whole byte."""
        for one in data:
            self.crc = zlib.crc32(one, self.crc)
            self.size += len(one)
            if done := self._deflate.compress(one):
                yield done
        yield self._deflate.flush(zlib.Z_FULL_FLUSH)


def inflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what was compressed."""
    inflate = zlib.decompressobj(_WINDOW_BITS)
    for piece in pieces:
        while piece:
            yield inflate.decompress(piece, 1 << 18)
            piece = inflate.unconsumed_tail


class GzipPieces:
    """Puts a gzip stream together: what each method returns stands one after the other."""

    def __init__(self) -> None:
        self._crc = 0
        self._size = 0

    head = _HEAD
    """What stands before all pieces."""

    def plain(self, text: bytes) -> bytes:
        """Return a piece for a text of less than 64 KiB, uncompressed."""
        self.add(zlib.crc32(text), len(text))
        size = len(text)
        return b"\x00" + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little") + text

    def add(self, crc: int, size: int) -> None:
        """Count a piece that was compressed by :class:`Deflated`, with its checksum and size."""
        self._crc = joined_crc(self._crc, crc, size)
        self._size += size

    def tail(self) -> bytes:
        """Return what stands after all pieces."""
        size = self._size & 0xFFFFFFFF
        return _LAST_BLOCK + self._crc.to_bytes(4, "little") + size.to_bytes(4, "little")


def joined_crc(first: int, second: int, second_size: int) -> int:
    """Return the CRC-32 of two byte strings, one after the other, from the CRC-32 of each."""
    return _product(_shift(second_size), first) ^ second


@lru_cache(4096)
def _shift(size: int) -> int:
    """Return the polynomial that a checksum is multiplied with when bytes are put behind."""
    result, power, bits = _ONE, _X, 8 * size
    while bits:
        if bits & 1:
            result = _product(power, result)
        power = _product(power, power)
        bits >>= 1
    return result


def _product(one: int, other: int) -> int:
    """Multiply two polynomials modulo that of the CRC."""
    result, bit = 0, _ONE
    while bit:
        if one & bit:
            result ^= other
        other = other >> 1 ^ (_POLYNOMIAL if other & 1 else 0)
        bit >>= 1
    return result
