"""Aperio SVS: a TIFF with tiled JPEG levels and striped associated images.

Levels become frame recipes: a constant prefix (JPEG tables and, for RGB components, APP14)
and one byte range for each tile. No tile is decoded. Label, overview and thumbnail are strips
and are built once: JPEG strips are joined, strips without loss are stored native.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from math import prod
from pathlib import Path

import numpy as np
from tifffile import TiffFile, TiffPage

from converters.fingerprint import tiff_fingerprint
from converters.jpeg import frame_prefix, join_strips
from converters.sources import ScannedSlide, SlideFacts, SlideImage
from converters.tiff import opened, page_of, pages_of, read_range
from gateway.core.bitstreams import jpeg_frame
from gateway.core.blobs import InMemory
from gateway.core.errors import SlideUnreadable
from gateway.core.frames import FrameTable, TileGrid
from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_BASELINE, Flavour

_JPEG = 7
_JPEG_2000 = {33003, 33005}
_LOSSLESS = {1, 5, 8, 32773, 32946}  # none, LZW, Deflate, PackBits, Deflate by its old number
_RGB, _YCBCR = 2, 6
_LABEL, _OVERVIEW = 1, 9  # values of NewSubfileType
_TILE_LENGTH_LIMIT = 1 << 28
_SHORTEST = 4  # bytes: SOI and EOI; no strip without loss is shorter either
_MOST_PIXELS = 1 << 26  # of a label, an overview or a thumbnail: they are held in memory
_LOOKED_INTO = 32  # tiles of a level, of its last row and of its last column
_HEAD = 4096  # bytes of a tile that hold its headers
_FIRST_YEAR = 1980  # of a date that a scanner can have written
_TABLES, _ICC_PROFILE = 347, 34675


def detects(path: Path) -> bool:
    """Whether the file is a TIFF whose first description begins with ``Aperio``."""
    with path.open("rb") as file:
        if file.read(4) not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return False
    with opened(path) as tiff:
        return bool(tiff.pages) and page_of(tiff, 0).description.startswith("Aperio")


def read(path: Path) -> ScannedSlide:
    """Read the headers of an SVS.

    Raises
    ------
    SlideUnreadable
        If it is damaged, or of a kind that is not supported; the message says which.
    """
    with opened(path) as tiff:
        pages = pages_of(tiff)
        facts, icc_profile = _facts(pages[0]), pages[0].tags.valueof(_ICC_PROFILE)
        levels = [page for page in pages if page.is_tiled and not page.subfiletype]
        images = [_level(tiff, page) for page in levels]
        _check_pyramid(images)
        images += _associated(tiff, pages, {image.grid for image in images})
        return ScannedSlide(_fingerprint(tiff, pages), facts, icc_profile, tuple(images))


def fingerprint(path: Path) -> str:
    """Take the fingerprint of an SVS.

    Raises
    ------
    SlideUnreadable
        If it is damaged.
    """
    with opened(path) as tiff:
        return _fingerprint(tiff, pages_of(tiff))


def _fingerprint(tiff: TiffFile, pages: list[TiffPage]) -> str:
    return tiff_fingerprint(
        tiff.filehandle.size, pages, lambda offset, length: read_range(tiff, offset, length)
    )


# -- the levels


def _parts(tiff: TiffFile, page: TiffPage, expected: int) -> FrameTable:
    """Return where the tiles or strips of a page lie, all of them inside the file."""
    if len(page.dataoffsets) != expected or len(page.databytecounts) != expected:
        raise SlideUnreadable(
            f"Page {page.index} lists {len(page.dataoffsets)} tiles or strips, not {expected}."
        )
    offsets = np.asarray(page.dataoffsets, np.int64)
    lengths = np.asarray(page.databytecounts, np.int64)
    if empty := int((lengths == 0).sum()):
        raise SlideUnreadable(
            f"{empty} of {expected} tiles or strips of page {page.index} have no bytes; "
            "export the slide again from the scanner's software."
        )
    if ((offsets < 8) | (lengths < _SHORTEST) | (lengths > _TILE_LENGTH_LIMIT)).any():
        raise SlideUnreadable(f"Page {page.index} has impossible tile offsets or lengths.")
    if outside := int((offsets > tiff.filehandle.size - lengths).sum()):
        raise SlideUnreadable(
            f"{outside} of {expected} tiles or strips of page {page.index} lie past the end of "
            "the file: it is truncated; copy it again from the scanner."
        )
    return FrameTable(b"", offsets, lengths)


def _level(tiff: TiffFile, page: TiffPage) -> SlideImage:
    _check_pixels(page)
    if page.compression in _JPEG_2000:
        raise SlideUnreadable(f"Page {page.index} is JPEG 2000, which is not supported yet.")
    if page.compression != _JPEG:
        raise SlideUnreadable(
            f"Page {page.index} has TIFF compression {int(page.compression)}; JPEG is supported."
        )
    grid = TileGrid(page.imagewidth, page.imagelength, page.tilewidth, page.tilelength)
    parts = _parts(tiff, page, grid.count)
    rgb = _is_rgb(page)
    tables = page.tags.valueof(_TABLES) or b""
    tile = read_range(tiff, int(parts.offsets[0]), int(parts.lengths[0]))
    prefix = frame_prefix(tables, rgb=rgb, tile=tile)
    for index in _suspects(grid):
        head = read_range(tiff, int(parts.offsets[index]), min(_HEAD, int(parts.lengths[index])))
        _check_tile(head, grid, page.index)
    frames = FrameTable(prefix, parts.offsets + 2, parts.lengths - 2)  # without the tile's SOI
    photometric = "RGB" if rgb else "YBR_FULL_422"
    return SlideImage(Flavour.VOLUME, grid, frames, None, photometric, JPEG_BASELINE, True)


def _suspects(grid: TileGrid) -> list[int]:
    """Return tiles, from 0, that are looked into: encoders cut those of the last row and column."""
    last_row = range(grid.count - grid.across, grid.count)
    last_column = range(grid.across - 1, grid.count, grid.across)
    some: set[int] = {grid.count - 1}
    for tiles in (range(grid.count), last_row, last_column):
        some.update(tiles[:: -(-len(tiles) // _LOOKED_INTO)])
    return sorted(some)


def _check_pixels(page: TiffPage) -> None:
    if page.samplesperpixel != 3 or page.bitspersample != 8 or page.planarconfig != 1:
        raise SlideUnreadable(
            f"Page {page.index} has {page.samplesperpixel} samples of {page.bitspersample} bits; "
            "three interleaved samples of 8 bits are supported."
        )
    if page.imagedepth != 1:
        raise SlideUnreadable(f"Page {page.index} has several focal planes, not supported yet.")
    if min(page.imagewidth, page.imagelength) < 1:
        raise SlideUnreadable(f"Page {page.index} has no pixels.")


def _is_rgb(page: TiffPage) -> bool:
    """Whether the stored components are R, G, B; the sub-sampling tag of an RGB page lies."""
    if page.photometric not in (_RGB, _YCBCR):
        raise SlideUnreadable(
            f"Page {page.index} has TIFF photometric interpretation {int(page.photometric)}; "
            "RGB and YCbCr are supported."
        )
    return bool(page.photometric == _RGB)


def _check_tile(tile: bytes, grid: TileGrid, page: int) -> None:
    head = jpeg_frame(tile)
    if (head.columns, head.rows) != (grid.tile_columns, grid.tile_rows):
        raise SlideUnreadable(
            f"A tile of page {page} is {head.columns} x {head.rows} pixels, "
            f"not {grid.tile_columns} x {grid.tile_rows}."
        )
    if not head.baseline or head.precision != 8 or len(head.sampling) != 3:
        raise SlideUnreadable(f"A tile of page {page} is no baseline JPEG of three components.")


def _check_pyramid(levels: list[SlideImage]) -> None:
    if not levels:
        raise SlideUnreadable("The file has no tiled level.")
    sizes = [(level.grid.matrix_columns, level.grid.matrix_rows) for level in levels]
    for above, below in pairwise(sizes):
        if below[0] >= above[0] or below[1] >= above[1]:
            raise SlideUnreadable(f"A level of {below} pixels follows one of {above} pixels.")


# -- thumbnail, label and overview


def _associated(
    tiff: TiffFile, pages: list[TiffPage], volumes: set[TileGrid]
) -> Iterator[SlideImage]:
    """Build the striped images; a thumbnail of a level's size would be that level twice."""
    taken = {(grid.matrix_columns, grid.matrix_rows) for grid in volumes}
    seen: set[Flavour] = set()
    for page in pages:
        flavour = _flavour(page)
        size = (page.imagewidth, page.imagelength)
        if flavour is None or flavour in seen:
            continue
        if flavour is Flavour.THUMBNAIL and size in taken:
            continue
        seen.add(flavour)
        yield _striped(tiff, page, flavour)


def _flavour(page: TiffPage) -> Flavour | None:
    if page.is_tiled:
        return None
    named = {_LABEL: Flavour.LABEL, _OVERVIEW: Flavour.OVERVIEW}
    return named.get(int(page.subfiletype), Flavour.THUMBNAIL if page.index == 1 else None)


def _striped(tiff: TiffFile, page: TiffPage, flavour: Flavour) -> SlideImage:
    _check_pixels(page)
    rows_per_strip = min(page.rowsperstrip, page.imagelength)
    parts = _parts(tiff, page, -(-page.imagelength // rows_per_strip))
    grid = TileGrid(page.imagewidth, page.imagelength, page.imagewidth, page.imagelength)
    if max(size := (page.imagewidth, page.imagelength)) > 0xFFFF or prod(size) > _MOST_PIXELS:
        raise SlideUnreadable(f"Page {page.index} is too large for a label or an overview.")
    if page.compression == _JPEG:
        return _joined(tiff, page, flavour, grid, parts)
    if page.compression not in _LOSSLESS:
        raise SlideUnreadable(
            f"Page {page.index}, the {flavour.lower()}, has TIFF compression "
            f"{int(page.compression)}, which is not supported yet."
        )
    pixels = np.ascontiguousarray(page.asarray(), np.uint8).tobytes()
    if len(pixels) != 3 * page.imagewidth * page.imagelength:
        raise SlideUnreadable(f"Page {page.index} decodes to another size than it states.")
    table = FrameTable.single(len(pixels))
    built = InMemory(pixels)
    return SlideImage(flavour, grid, table, built, "RGB", EXPLICIT_VR_LITTLE_ENDIAN, False)


def _joined(
    tiff: TiffFile, page: TiffPage, flavour: Flavour, grid: TileGrid, parts: FrameTable
) -> SlideImage:
    rgb = _is_rgb(page)
    places = zip(parts.offsets.tolist(), parts.lengths.tolist(), strict=True)
    strips = [read_range(tiff, offset, length) for offset, length in places]
    joined = join_strips(strips, page.tags.valueof(_TABLES) or b"", rgb=rgb)
    _check_tile(joined, grid, page.index)
    photometric = "RGB" if rgb else "YBR_FULL_422"
    table = FrameTable.single(len(joined))
    return SlideImage(flavour, grid, table, InMemory(joined), photometric, JPEG_BASELINE, True)


# -- what the description states


def _facts(page: TiffPage) -> SlideFacts:
    """Read the first page's ImageDescription: a header line, then ``Key = Value`` between bars."""
    head, *items = page.description.split("|")
    stated: dict[str, str] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if equals:
            stated.setdefault(key.strip(), value.strip().strip("\x00"))
    software = re.match(r"Aperio Image Library v?[\w.]+", head)
    return SlideFacts(
        spacing_um=_positive(stated.get("MPP")),
        objective_power=_positive(stated.get("AppMag")),
        acquired=_acquired(stated),
        manufacturer="Aperio",
        model=stated.get("ScannerType") or None,
        serial_number=stated.get("ScanScope ID") or None,
        software=software.group() if software else None,
        barcode=stated.get("Barcode") or None,
    )


def _positive(text: str | None) -> float | None:
    """Return a stated number, with a decimal point or comma; what is no positive number is None."""
    try:
        number = float((text or "").replace(",", "."))
    except ValueError:
        return None
    return number if 0 < number < 1000 else None


def _acquired(stated: dict[str, str]) -> datetime | None:
    """Return Date (month/day/year), Time and Time Zone as one; the zone may be missing."""
    date, time, zone = (stated.get(key, "") for key in ("Date", "Time", "Time Zone"))
    offset = zone.removeprefix("GMT").replace(":", "")
    offset = offset if re.fullmatch(r"[+-]\d{4}", offset) else ""
    for pattern in ("%m/%d/%y", "%m/%d/%Y"):
        try:
            moment = datetime.strptime(
                f"{date} {time or '00:00:00'} {offset}".strip(),
                f"{pattern} %H:%M:%S{' %z' if offset else ''}",
            )
        except ValueError:
            continue
        return moment if moment.year >= _FIRST_YEAR else None
    return None
