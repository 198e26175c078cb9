"""The fingerprint of a slide: deterministic, and without reading gigabytes.

It covers the size of the file, every tag of every page (tables of offsets, JPEG tables and
descriptions among them), all bytes of label, overview and thumbnail, and bytes of tiles
sampled over every level. A copy with a blanked label is another slide.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tifffile import TiffPage

_SAMPLED_TILES = 32
"""Tiles of each level whose bytes are covered, evenly spread, the first and the last included."""

_LONGEST_SAMPLE = 1 << 20
"""Bytes of each sampled tile that are covered."""

_WHOLE = 4 << 20
"""Bytes up to which one of several files is covered whole."""

_SAMPLES, _SAMPLE = 8, 1 << 14
"""Of a larger one: places, evenly spread, the first and the last bytes included; and bytes."""


@dataclass(frozen=True, slots=True)
class Covered:
    """What the fingerprint covers of a page.

    Parameters
    ----------
    tags
        Number, type and count of each tag, and the offset and length of its value in bytes.
    samples
        Offsets and lengths of other bytes.
    """

    tags: Iterable[tuple[int, int, int, int, int]]
    samples: Iterable[tuple[int, int]]


def fingerprint_of(size: int, pages: Iterable[Covered], read: Callable[[int, int], bytes]) -> str:
    """Return the hexadecimal fingerprint of a file that is made of pages, as a TIFF is.

    Parameters
    ----------
    size
        Of the file in bytes.
    pages
        All pages, in their order.
    read
        Returns the bytes of the file at ``(offset, length)``.
    """
    digest = hashlib.sha256(b"slidegate fingerprint 1\x00" + size.to_bytes(8))
    for page in pages:
        for code, kind, count, offset, length in page.tags:
            digest.update(f"{code} {kind} {count};".encode())
            digest.update(read(offset, length))
        for offset, length in page.samples:
            digest.update(read(offset, length))
    return digest.hexdigest()


def tiff_fingerprint(
    size: int, pages: Iterable[TiffPage], read: Callable[[int, int], bytes]
) -> str:
    """Return the hexadecimal fingerprint of a TIFF; see :func:`fingerprint_of`."""
    return fingerprint_of(size, (_covered(page, size) for page in pages), read)


def _covered(page: TiffPage, size: int) -> Covered:
    tags = [
        (tag.code, int(tag.dtype), tag.count, tag.valueoffset, tag.valuebytecount)
        for tag in page.tags
    ]
    longest = _LONGEST_SAMPLE if page.is_tiled else size
    return Covered(
        tags,
        [
            (page.dataoffsets[index], min(page.databytecounts[index], longest))
            for index in _sampled(len(page.dataoffsets), whole=not page.is_tiled)
        ],
    )


def files_fingerprint(files: Mapping[str, Path]) -> str:
    """Return the hexadecimal fingerprint of a slide that is several files.

    It covers the size of each file, all bytes of those up to four megabytes (headers, indexes,
    label), and bytes sampled over the others.

    Parameters
    ----------
    files
        By the names that they have within the slide: not those that whoever copied it chose.
    """
    digest = hashlib.sha256(b"slidegate fingerprint of files 1\x00")
    for name, path in sorted(files.items()):
        with path.open("rb") as file:
            size = file.seek(0, 2)
            digest.update(f"{name}\x00{size}\x00".encode(errors="surrogateescape"))
            if size <= _WHOLE:
                places, length = [0], size
            else:
                length = _SAMPLE
                places = np.linspace(0, size - length, _SAMPLES).astype(int).tolist()
            for place in places:
                file.seek(place)
                digest.update(file.read(length))
    return digest.hexdigest()


def _sampled(count: int, *, whole: bool) -> list[int]:
    if whole or count <= _SAMPLED_TILES:
        return list(range(count))
    return sorted(set(np.linspace(0, count - 1, _SAMPLED_TILES).astype(int).tolist()))
