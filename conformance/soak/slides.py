"""Slides of all scanners, of which a fuzz run changes what is not pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tifffile import TiffFile, TiffPage

from converters.library import ScannerFiles
from tests.ndpi import make_ndpi
from tests.scanners import (
    make_generic,
    make_leica,
    make_mirax,
    make_ome,
    make_philips,
    make_qptiff,
    make_trestle,
    make_ventana,
    make_vms,
)

_HEAD = 64
"""Bytes of a tile or strip that are headers, of the first of each page."""


@dataclass(frozen=True, slots=True)
class FuzzedSlide:
    """A slide on disk, and where in one of its files there are no pixels.

    Parameters
    ----------
    path
        What is added.
    changed
        The file that is changed.
    whole
        Its bytes.
    ranges
        Where they are headers: start and stop of each range.
    """

    path: Path
    changed: Path
    whole: bytes
    ranges: tuple[tuple[int, int], ...]

    @property
    def seed(self) -> bytes:
        """All headers, one after the other."""
        return b"".join(self.whole[start:stop] for start, stop in self.ranges)

    def read(self, headers: bytes) -> None:
        """Add the slide with other headers; a case that is too long goes behind the file."""
        data, place = bytearray(self.whole), 0
        for start, stop in self.ranges:
            piece = headers[place : place + stop - start]
            data[start : start + len(piece)] = piece
            place += stop - start
        self.changed.write_bytes(bytes(data) + headers[place:])
        ScannerFiles().plan(str(self.path))


def _tiff(make: Callable[[Path], object], suffix: str) -> Callable[[Path], FuzzedSlide]:
    def made(folder: Path) -> FuzzedSlide:
        path = folder / f"slide{suffix}"
        make(path)
        return FuzzedSlide(path, path, path.read_bytes(), _headers(path))

    return made


def _headers(path: Path) -> tuple[tuple[int, int], ...]:
    """Return the ranges of a TIFF that are not pixels."""
    header = np.ones(path.stat().st_size, np.bool_)
    with TiffFile(path, is_ndpi=False) as tiff:
        for page in tiff.pages:
            assert isinstance(page, TiffPage)
            for one in [page, *(page.pages or ())]:
                assert isinstance(one, TiffPage)
                places = zip(one.dataoffsets, one.databytecounts, strict=True)
                for number, (offset, length) in enumerate(places):
                    header[offset + (0 if number else _HEAD) : offset + length] = False
    edges = np.flatnonzero(np.diff(header.astype(np.int8), prepend=0, append=0)).tolist()
    return tuple(zip(edges[::2], edges[1::2], strict=True))


def _mirax(folder: Path) -> FuzzedSlide:
    path, index = folder / "slide.mrxs", folder / "slide" / "Slidedat.ini"
    make_mirax(path)
    whole = index.read_bytes()
    return FuzzedSlide(path, index, whole, ((0, len(whole)),))


def _vms(folder: Path) -> FuzzedSlide:
    path = folder / "slide.vms"
    make_vms(path, columns=1152, rows=256)
    whole = path.read_bytes()
    return FuzzedSlide(path, path, whole, ((0, len(whole)),))


SLIDES: dict[str, Callable[[Path], FuzzedSlide]] = {
    "converters.formats.ndpi": _tiff(
        lambda path: make_ndpi(path, columns=256, rows=64, stripe=64, factors=(1, 2), plain=(4,)),
        ".ndpi",
    ),
    "converters.formats.leica": _tiff(make_leica, ".scn"),
    "converters.formats.philips": _tiff(make_philips, ".tiff"),
    "converters.formats.qptiff": _tiff(make_qptiff, ".qptiff"),
    "converters.formats.ome": _tiff(make_ome, ".ome.tiff"),
    "converters.formats.trestle": _tiff(make_trestle, ".tif"),
    "converters.formats.ventana": _tiff(make_ventana, ".bif"),
    "converters.formats.generic": _tiff(make_generic, ".tiff"),
    "converters.formats.mirax": _mirax,
    "converters.formats.vms": _vms,
}
"""What makes a slide in a folder, by the module that reads it."""
