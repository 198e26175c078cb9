"""The pages of an NDPI: a classic TIFF, little endian, whose offsets have 64 bits.

The header and each directory end with a 64-bit offset of the next directory, and after that a
directory has a word for each entry: the upper half of its value. tifffile reads such files too,
but takes them for NDPI by their names and makes Python tuples of tables of millions of stripes.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters.tiff import told
from gateway.core.errors import SlideUnreadable

Int64s = NDArray[np.int64]

_SIGNATURE = b"II*\0"
_NDPI_VERSION = 65420  # the tag that only these files have
_ASCII, _LONG, _RATIONALS = 2, 4, (5, 10)
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_NUMBERS = {1: "u1", 3: "<u2", 4: "<u4", 8: "<i2", 9: "<i4", 11: "<f4", 12: "<f8", 13: "<u4"}
_RATIONAL = {5: "<u4", 10: "<i4"}
_MOST_PAGES, _MOST_ENTRIES = 2048, 512
_LONGEST_TEXT = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A tag of a page.

    Parameters
    ----------
    kind, count
        Type, as TIFF numbers them, and number of its values.
    offset, size
        Where the bytes of its values lie in the file.
    high
        Upper half of a value that stands in the directory itself.
    """

    kind: int
    count: int
    offset: int
    size: int
    high: int


@dataclass(frozen=True, slots=True)
class NdpiFile:
    """An open file.

    Parameters
    ----------
    size
        In bytes.
    """

    descriptor: int
    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly these bytes.

        Raises
        ------
        SlideUnreadable
            If they are not all inside the file.
        """
        inside = offset >= 0 and 0 <= length <= self.size - offset
        data = os.pread(self.descriptor, length, offset) if inside else b""
        if len(data) != length:
            raise SlideUnreadable(
                "It points past its end: it is truncated; copy it again from the scanner."
            )
        return data


@dataclass(frozen=True, slots=True)
class Page:
    """One directory.

    Parameters
    ----------
    index
        Counted from 0.
    entries
        By the number of the tag.
    """

    file: NdpiFile
    index: int
    entries: Mapping[int, Entry]

    def numbers(self, code: int) -> NDArray[np.generic] | None:
        """Return the values of a tag of whole numbers or of floats, or None."""
        entry = self.entries.get(code)
        if entry is None or entry.kind not in _NUMBERS:
            return None
        return np.frombuffer(self.file.read(entry.offset, entry.size), _NUMBERS[entry.kind])

    def integer(self, code: int) -> int | None:
        """Return the first value of a tag of whole numbers; a LONG may have 64 bits."""
        values = self.numbers(code)
        if values is None or not len(values):
            return None
        entry = self.entries[code]
        high = entry.high << 32 if entry.kind == _LONG and entry.count == 1 else 0
        return int(values[0]) + high

    def number(self, code: int) -> float | None:
        """Return the first value of a tag of floats, whole numbers or fractions."""
        entry = self.entries.get(code)
        if entry is None or not entry.count or entry.kind not in _RATIONALS:
            values = self.numbers(code)
            return float(values[0]) if values is not None and len(values) else None
        above, below = np.frombuffer(self.file.read(entry.offset, 8), _RATIONAL[entry.kind])
        return float(above) / float(below) if below else None

    def text(self, code: int) -> str | None:
        """Return a text without blanks around it, or None if there is none."""
        entry = self.entries.get(code)
        if entry is None or entry.kind != _ASCII or entry.size > _LONGEST_TEXT:
            return None
        data = self.file.read(entry.offset, entry.size)
        return data.split(b"\0")[0].decode("utf-8", "replace").strip() or None


@contextmanager
def opened(path: Path) -> Iterator[NdpiFile]:
    """Open a file; whatever goes wrong with it while it is open is SlideUnreadable."""
    with told(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield NdpiFile(descriptor, os.fstat(descriptor).st_size)
        finally:
            os.close(descriptor)


def detects(path: Path) -> bool:
    """Whether the first directory, read with offsets of 64 bits, has the tag of these files."""
    with opened(path) as file:
        try:
            header = file.read(0, 12)
            if header[:4] != _SIGNATURE:
                return False
            entries, _ = _directory(file, int.from_bytes(header[4:], "little"))
        except SlideUnreadable:
            return False
    return _NDPI_VERSION in entries


def pages_of(file: NdpiFile) -> list[Page]:
    """Read all directories.

    Raises
    ------
    SlideUnreadable
        If the chain of directories breaks off, runs in a circle or has no end.
    """
    pages: list[Page] = []
    seen: set[int] = set()
    offset = int.from_bytes(file.read(4, 8), "little")
    while offset:
        if offset in seen or len(pages) == _MOST_PAGES:
            raise SlideUnreadable("Its directories have no end; export it again.")
        seen.add(offset)
        entries, following = _directory(file, offset)
        pages.append(Page(file, len(pages), entries))
        offset = following
    return pages


def _directory(file: NdpiFile, offset: int) -> tuple[dict[int, Entry], int]:
    """Return the entries of a directory, and where the next one lies."""
    (count,) = struct.unpack("<H", file.read(offset, 2))
    if not 0 < count <= _MOST_ENTRIES:
        raise SlideUnreadable(f"A directory of it has {count} entries.")
    data = file.read(offset + 2, 16 * count + 8)
    (following,) = struct.unpack_from("<Q", data, 12 * count)
    entries: dict[int, Entry] = {}
    for index in range(count):
        code, kind, number, low = struct.unpack_from("<HHII", data, 12 * index)
        (high,) = struct.unpack_from("<I", data, 12 * count + 8 + 4 * index)
        size = number * _SIZES.get(kind, 0)
        # Texts never stand in the directory, however short they are.
        inline = size <= 4 and kind != _ASCII
        place = offset + 2 + 12 * index + 8 if inline else low + (high << 32)
        entries.setdefault(code, Entry(kind, number, place, size, high if inline else 0))
    return entries, following
