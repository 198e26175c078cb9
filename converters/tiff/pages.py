"""Tiled TIFF pages as levels of a slide, and what is checked in pages.

Levels become frame recipes: a constant prefix (JPEG tables and, for RGB components, APP14)
and one byte range for each tile. No tile is decoded.
"""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
from tifffile import TiffFile, TiffPage

from converters.codecs.jpeg import check_complete, frame_prefix
from converters.codecs.jpeg_2000 import common_frame, holds_ycbcr, photometric_of
from converters.fingerprint import tiff_fingerprint
from converters.sources import SlideImage
from converters.tiff import description_of, read_range
from gateway.core.bitstreams import jpeg_frame, jpeg_segments
from gateway.core.errors import SlideUnreadable
from gateway.core.frames import FrameTable, TileGrid
from gateway.core.instances import JPEG_2000, JPEG_2000_LOSSLESS, JPEG_BASELINE, Flavour

JPEG_CODEC = 7
JPEG_2000_CODECS = {33003, 33005}
UNTRANSFORMED_CODEC = 33003
"""JPEG 2000 of Y, Cb and Cr as they are; 33005 is of R, G and B."""

UNTRANSFORMED_COLOURS = "YBR_FULL"
"""Photometric Interpretation of what it holds."""

LOSSLESS_CODECS = {1, 5, 8, 32773, 32946}
"""None, LZW, Deflate, PackBits, Deflate by its old number."""

JPEG_TABLES, ICC_PROFILE = 347, 34675

_RGB, _YCBCR = 2, 6
_TILE_LENGTH_LIMIT = 1 << 28
_SHORTEST = 4  # bytes: SOI and EOI; no strip without loss is shorter either
_LOOKED_INTO = 32  # tiles of a level, of its last row and of its last column
_HEAD = 4096  # bytes of a tile that hold its headers
_QUALITY = re.compile(r"Q=(?!100\b)\d")  # in a description: a setting below that without loss


def fingerprint_of(tiff: TiffFile, pages: list[TiffPage]) -> str:
    """Take the fingerprint of an open TIFF; see :mod:`converters.fingerprint`."""
    return tiff_fingerprint(
        tiff.filehandle.size, pages, lambda offset, length: read_range(tiff, offset, length)
    )


# -- the levels


def parts_of(tiff: TiffFile, page: TiffPage, expected: int, *, holes: bool = False) -> FrameTable:
    """Return where the tiles or strips of a page lie, all of them inside the file.

    With `holes`, some may have no bytes: their lengths are 0 then.
    """
    if len(page.dataoffsets) != expected or len(page.databytecounts) != expected:
        raise SlideUnreadable(
            f"Page {page.index} lists {len(page.dataoffsets)} tiles or strips, not {expected}."
        )
    offsets = np.asarray(page.dataoffsets, np.int64)
    lengths = np.asarray(page.databytecounts, np.int64)
    there = lengths > 0
    if (empty := expected - int(there.sum())) and not (holes and there.any()):
        raise SlideUnreadable(
            f"{empty} of {expected} tiles or strips of page {page.index} have no bytes; "
            "export the slide again from the scanner's software."
        )
    impossible = (offsets < 8) | (lengths < _SHORTEST) | (lengths > _TILE_LENGTH_LIMIT)
    if (impossible & there).any():
        raise SlideUnreadable(f"Page {page.index} has impossible tile offsets or lengths.")
    if outside := int((there & (offsets > tiff.filehandle.size - lengths)).sum()):
        raise SlideUnreadable(
            f"{outside} of {expected} tiles or strips of page {page.index} lie past the end of "
            "the file: it is truncated; copy it again from the scanner."
        )
    return FrameTable(b"", np.where(there, offsets, 0), lengths)


def tiled_level(
    tiff: TiffFile, page: TiffPage, *, holes: bool = False, ycbcr: bool = False
) -> SlideImage:
    """Return a page with JPEG or JPEG 2000 tiles as a level whose frames lie in the file.

    Parameters
    ----------
    holes
        Whether tiles may be missing, with a length of 0 in the frame table, for the caller to
        make them; see :mod:`converters.tiff.holes`.
    ycbcr
        Whether colours may be :data:`UNTRANSFORMED_COLOURS`, which no viewer shows, for the
        caller to convert them; see :mod:`converters.codecs.recoding`.

    Raises
    ------
    SlideUnreadable
        If it is damaged, or its pixels are of a kind that is not supported.
    """
    check_pixels(page)
    check_tiled(page)
    grid = TileGrid(page.imagewidth, page.imagelength, page.tilewidth, page.tilelength)
    parts = parts_of(tiff, page, grid.count, holes=holes)
    there = parts.lengths > 0
    suspects = [index for index in _suspects(grid) if there[index]] or [int(there.argmax())]
    heads = [
        read_range(tiff, int(parts.offsets[index]), min(_HEAD, int(parts.lengths[index])))
        for index in suspects
    ]
    if page.compression in JPEG_2000_CODECS:
        return _code_streams(page, grid, parts, heads, ycbcr=ycbcr)
    if page.compression != JPEG_CODEC:
        raise SlideUnreadable(
            f"Page {page.index} has TIFF compression {int(page.compression)}; JPEG and JPEG 2000 "
            "are supported."
        )
    rgb = is_rgb(page)
    prefix = frame_prefix(page.tags.valueof(JPEG_TABLES) or b"", rgb=rgb, tiles=heads)
    for head in heads:
        check_tile(head, grid, page.index)
    for header in {head[2 : list(jpeg_segments(head))[-1].stop] for head in heads}:
        check_complete(prefix + header)
    frames = FrameTable(prefix, parts.offsets + 2 * there, parts.lengths - 2 * there)  # no SOI
    photometric = "RGB" if rgb else "YBR_FULL_422"
    return SlideImage(Flavour.VOLUME, grid, frames, None, photometric, JPEG_BASELINE, True)


def _code_streams(
    page: TiffPage, grid: TileGrid, parts: FrameTable, heads: list[bytes], *, ycbcr: bool
) -> SlideImage:
    """Return a page with JPEG 2000 tiles as a level."""
    frame = common_frame(heads, grid)
    untransformed = page.compression == UNTRANSFORMED_CODEC
    as_they_are = holds_ycbcr(frame, tiff_ycbcr=not is_rgb(page), untransformed=untransformed)
    if as_they_are and not ycbcr:
        raise SlideUnreadable(
            f"Page {page.index} is JPEG 2000 with components Y, Cb and Cr (TIFF compression "
            "33003), which no viewer of DICOM would show in the right colours."
        )
    # Layers that were cut off make a loss of which the code stream says nothing.
    lossy = not frame.reversible or bool(_QUALITY.search(description_of(page)))
    syntax = JPEG_2000 if lossy else JPEG_2000_LOSSLESS
    photometric = UNTRANSFORMED_COLOURS if as_they_are else photometric_of(frame)
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


def check_tiled(page: TiffPage) -> None:
    """Refuse a level that is not cut into tiles."""
    if not page.is_tiled:
        raise SlideUnreadable(f"Page {page.index}, a level, has no tiles.")


def is_rgb(page: TiffPage) -> bool:
    """Whether the stored components are R, G, B; the sub-sampling tag of an RGB page lies."""
    if page.photometric not in (_RGB, _YCBCR):
        raise SlideUnreadable(
            f"Page {page.index} has TIFF photometric interpretation {int(page.photometric)}; "
            "RGB and YCbCr are supported."
        )
    return bool(page.photometric == _RGB)


def check_tile(tile: bytes, grid: TileGrid, page: int) -> None:
    """Refuse a JPEG that is not as large as a tile, or that not all viewers decode."""
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
