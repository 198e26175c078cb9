"""Where frames lie that say it themselves, as TILED_SPARSE images do (PS3.3 C.8.12.6.1).

There may be hundreds of thousands of them. A data set of so many items is read in a minute and
some gigabytes; the few bytes that matter are found in a fraction of a second.
"""

from __future__ import annotations

import re
import struct
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from gateway.core.errors import NotAcceptable

Corners = NDArray[np.int64]
"""Shape (n, 3): frame number from 1, and column and row of its top left pixel, from 0."""

MOST_PARSED = 10_000
"""Frames whose positions are read item by item where the short way does not lead."""

_COLUMN = re.compile(rb"\x48\x00\x1e\x02SL\x04\x00(.{4})", re.DOTALL)
_ROW = re.compile(rb"\x48\x00\x1f\x02SL\x04\x00(.{4})", re.DOTALL)
_DEPTH = re.compile(rb"\x40\x00\x4a\x07DS(..)", re.DOTALL)
_PATH = re.compile(rb"\x48\x00\x06\x01SH(..)", re.DOTALL)


def read_corners(header: bytes, start: int, frames: int) -> Corners:
    """Return the places of the frames of the first focal plane and optical path.

    First are those that the first frame has.

    Parameters
    ----------
    header
        Part 10 header.
    start
        Where the Per-Frame Functional Groups start in it.
    frames
        Number of frames.

    Raises
    ------
    NotAcceptable
        If the frames do not say where they lie.
    """
    columns = [value for (value,) in _integers(_COLUMN, header, start)]
    rows = [value for (value,) in _integers(_ROW, header, start)]
    depths, paths = (_texts(one, header, start) for one in (_DEPTH, _PATH))
    # An element is never taken for what it is not: then there are too many, or too few.
    if len(columns) == len(rows) == frames and {len(depths), len(paths)} <= {0, frames}:
        return _of_the_first(list(zip(columns, rows, strict=True)), [depths, paths])
    if frames > MOST_PARSED:
        raise _unknown()
    return _parsed(header, frames)


def _integers(pattern: re.Pattern[bytes], header: bytes, start: int) -> list[tuple[int]]:
    return [struct.unpack("<i", match[1]) for match in pattern.finditer(header, start)]


def _texts(pattern: re.Pattern[bytes], header: bytes, start: int) -> list[bytes]:
    return [
        header[match.end() : match.end() + int.from_bytes(match[1], "little")].strip()
        for match in pattern.finditer(header, start)
    ]


def _of_the_first(places: list[tuple[int, int]], qualities: list[list[bytes]]) -> Corners:
    corners = np.empty((len(places), 3), np.int64)
    corners[:, 0] = np.arange(1, len(places) + 1)
    corners[:, 1:] = np.array(places).reshape(-1, 2) - 1
    shown = np.ones(len(places), bool)
    for texts in qualities:
        if texts:
            shown &= np.array([text == texts[0] for text in texts])
    return corners[shown]


def _parsed(header: bytes, frames: int) -> Corners:
    groups = dcmread(BytesIO(header)).get("PerFrameFunctionalGroupsSequence") or []
    if len(groups) != frames:
        raise _unknown()
    places: list[tuple[int, int]] = []
    depths: list[bytes] = []
    paths: list[bytes] = []
    for group in groups:
        place = _first(group, "PlanePositionSlideSequence")
        column = place.get("ColumnPositionInTotalImagePixelMatrix")
        row = place.get("RowPositionInTotalImagePixelMatrix")
        if column is None or row is None:
            raise _unknown()
        places.append((int(column), int(row)))
        depths.append(str(place.get("ZOffsetInSlideCoordinateSystem")).encode())
        path = _first(group, "OpticalPathIdentificationSequence")
        paths.append(str(path.get("OpticalPathIdentifier")).encode())
    return _of_the_first(places, [depths, paths])


def _first(dataset: Dataset, keyword: str) -> Dataset:
    items = dataset.get(keyword)
    return items[0] if items else Dataset()


def _unknown() -> NotAcceptable:
    return NotAcceptable(
        "The frames of the image do not say where they lie in it, so it is not rendered. Ask for "
        "single frames."
    )
