"""TIFF pages as images of a slide: tiled levels and striped pictures, and what is checked in them.

Levels become frame recipes: a constant prefix (JPEG tables and, for RGB components, APP14)
and one byte range for each tile. No tile is decoded. Pictures in strips are built once: JPEG
strips are joined, strips without loss are stored native.
"""

from __future__ import annotations

import re
from itertools import pairwise
from math import prod

import numpy as np
from tifffile import TiffFile, TiffPage

from converters.fingerprint import tiff_fingerprint
from converters.jpeg import frame_prefix, join_strips
from converters.jpeg_2000 import common_frame, holds_ycbcr, photometric_of
from converters.sources import SlideImage
from converters.tiff import read_range
from gateway.core.bitstreams import jpeg_frame
from gateway.core.blobs import InMemory
from gateway.core.errors import SlideUnreadable
from gateway.core.frames import FrameTable, TileGrid
from gateway.core.instances import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    Flavour,
)

JPEG_CODEC = 7
JPEG_2000_CODECS = {33003, 33005}
_UNTRANSFORMED = 33003
LOSSLESS_CODECS = {1, 5, 8, 32773, 32946}
"""None, LZW, Deflate, PackBits, Deflate by its old number."""

ICC_PROFILE = 34675

_TABLES = 347
_RGB, _YCBCR = 2, 6
_TILE_LENGTH_LIMIT = 1 << 28
_SHORTEST = 4  # bytes: SOI and EOI; no strip without loss is shorter either
_MOST_PIXELS = 1 << 26  # of a label, an overview or a thumbnail: they are held in memory
_LOOKED_INTO = 32  # tiles of a level, of its last row and of its last column
_HEAD = 4096  # bytes of a tile that hold its headers
_QUALITY = re.compile(r"Q=(?!100\b)\d")  # in a description: a setting below that without loss


def fingerprint_of(tiff: TiffFile, pages: list[TiffPage]) -> str:
    """Take the fingerprint of an open TIFF; see :mod:`converters.fingerprint`."""
    return tiff_fingerprint(
        tiff.filehandle.size, pages, lambda offset, length: read_range(tiff, offset, length)
    )


# -- the levels


def parts_of(tiff: TiffFile, page: TiffPage, expected: int) -> FrameTable:
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


def tiled_level(tiff: TiffFile, page: TiffPage) -> SlideImage:
    """Return a page with JPEG tiles as a level whose frames lie in the file.

    Raises
    ------
    SlideUnreadable
        If it is damaged, or its pixels are of a kind that is not supported.
    """
    check_pixels(page)
    grid = TileGrid(page.imagewidth, page.imagelength, page.tilewidth, page.tilelength)
    parts = parts_of(tiff, page, grid.count)
    heads = [
        read_range(tiff, int(parts.offsets[index]), min(_HEAD, int(parts.lengths[index])))
        for index in _suspects(grid)
    ]
    if page.compression in JPEG_2000_CODECS:
        return _code_streams(page, grid, parts, heads)
    if page.compression != JPEG_CODEC:
        raise SlideUnreadable(
            f"Page {page.index} has TIFF compression {int(page.compression)}; JPEG and JPEG 2000 "
            "are supported."
        )
    rgb = _is_rgb(page)
    prefix = frame_prefix(page.tags.valueof(_TABLES) or b"", rgb=rgb, tiles=heads)
    for head in heads:
        _check_tile(head, grid, page.index)
    frames = FrameTable(prefix, parts.offsets + 2, parts.lengths - 2)  # without the tile's SOI
    photometric = "RGB" if rgb else "YBR_FULL_422"
    return SlideImage(Flavour.VOLUME, grid, frames, None, photometric, JPEG_BASELINE, True)


def _code_streams(
    page: TiffPage, grid: TileGrid, parts: FrameTable, heads: list[bytes]
) -> SlideImage:
    """Return a page with JPEG 2000 tiles as a level."""
    frame = common_frame(heads, grid)
    untransformed = page.compression == _UNTRANSFORMED
    if holds_ycbcr(frame, tiff_ycbcr=not _is_rgb(page), untransformed=untransformed):
        raise SlideUnreadable(
            f"Page {page.index} is JPEG 2000 with components Y, Cb and Cr (TIFF compression "
            "33003), which no viewer of DICOM would show in the right colours. Export the slide "
            "as JPEG from the scanner's software."
        )
    # Layers that were cut off make a loss of which the code stream says nothing.
    lossy = not frame.reversible or bool(_QUALITY.search(page.description))
    syntax = JPEG_2000 if lossy else JPEG_2000_LOSSLESS
    photometric = photometric_of(frame)
    return SlideImage(Flavour.VOLUME, grid, parts, None, photometric, syntax, lossy)


def _suspects(grid: TileGrid) -> list[int]:
    """Return tiles, from 0, that are looked into: encoders cut those of the last row and column."""
    last_row = range(grid.count - grid.across, grid.count)
    last_column = range(grid.across - 1, grid.count, grid.across)
    some: set[int] = {grid.count - 1}
    for tiles in (range(grid.count), last_row, last_column):
        some.update(tiles[:: -(-len(tiles) // _LOOKED_INTO)])
    return sorted(some)


def check_pixels(page: TiffPage) -> None:
    """Refuse pixels that are not three interleaved samples of 8 bits."""
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


def check_pyramid(levels: list[SlideImage]) -> None:
    """Refuse a pyramid without levels, or with one that is not smaller than the one before."""
    if not levels:
        raise SlideUnreadable("The file has no tiled level.")
    sizes = [(level.grid.matrix_columns, level.grid.matrix_rows) for level in levels]
    for above, below in pairwise(sizes):
        if below[0] >= above[0] or below[1] >= above[1]:
            raise SlideUnreadable(f"A level of {below} pixels follows one of {above} pixels.")


# -- pictures in strips


def striped_image(tiff: TiffFile, page: TiffPage, flavour: Flavour) -> SlideImage:
    """Build a picture of one frame from a page with strips."""
    check_pixels(page)
    rows_per_strip = min(page.rowsperstrip, page.imagelength)
    parts = parts_of(tiff, page, -(-page.imagelength // rows_per_strip))
    grid = TileGrid(page.imagewidth, page.imagelength, page.imagewidth, page.imagelength)
    if max(size := (page.imagewidth, page.imagelength)) > 0xFFFF or prod(size) > _MOST_PIXELS:
        raise SlideUnreadable(f"Page {page.index} is too large for a label or an overview.")
    if page.compression == JPEG_CODEC:
        return _joined(tiff, page, flavour, grid, parts)
    if page.compression not in LOSSLESS_CODECS:
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
