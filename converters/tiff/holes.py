"""Tiles that a file lists but does not hold: Aperio software leaves them out at damaged edges.

They are made from the level above (a pixel is the mean of those that it covers there) or, where
there is none, of background. So are the tiles below one that was made from above: that software
resampled them from nothing. What is made is coded as the other tiles of the level are, so that all
that is said of the level stays true, and lies among the literals of its frame table. Nothing else
of the slide changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from io import BytesIO
from itertools import pairwise
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tifffile import TiffFile, TiffPage

from converters.sources import SlideImage
from converters.tiff import read_range
from converters.tiff.pages import UNTRANSFORMED_COLOURS, check_pyramid, tiled_level
from gateway.core.bitstreams import (
    APP0,
    APP14,
    DQT,
    jpeg_2000_frame,
    jpeg_frame,
    jpeg_segments,
)
from gateway.core.errors import SlideUnreadable
from gateway.core.frames import FrameTable, Read
from gateway.core.instances import JPEG_BASELINE
from gateway.dicom.images.pixels import decoded

MOST_HOLES = 256
"""Tiles of a slide that are made; a file that lacks more is refused."""

BACKGROUND = (255, 255, 255)
"""Glass without tissue in transmitted light."""

_MOST_PIXELS = 1 << 26  # of the level above that one tile covers: they are held in memory
_MOST_EFFORT = 1 << 30  # pixels of levels above that all missing tiles cover
_NAMED = 4  # tiles whose places are told
_PSNR = 50  # dB, of JPEG 2000 that loses something
_SAMPLING = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0"}


def _along_diagonals(place: int) -> tuple[int, int]:
    """Return diagonal and place on it: they are walked up and down in turn."""
    row, column = divmod(place, 8)
    diagonal = row + column
    return diagonal, row if diagonal % 2 else -row


_ZIGZAG = sorted(range(64), key=_along_diagonals)
"""Place by rows of each value of a table that is stored in zigzag order (ISO 10918-1 A.6)."""


def pyramid(
    tiff: TiffFile, pages: Sequence[TiffPage], *, ycbcr: bool = False
) -> tuple[list[SlideImage], tuple[str, ...]]:
    """Return tiled pages as the levels of a pyramid, and remarks on what had to be made.

    Parameters
    ----------
    pages
        From the largest.
    ycbcr
        As in :func:`~converters.tiff.pages.tiled_level`.

    Raises
    ------
    SlideUnreadable
        If a page is damaged or not supported, or if more than :data:`MOST_HOLES` tiles are missing.
    """
    read = partial(read_range, tiff)
    levels = [tiled_level(tiff, page, holes=True, ycbcr=ycbcr) for page in pages]
    check_pyramid(levels)
    missing = [_holes(level) for level in levels]
    count = sum(map(len, missing))
    if count > MOST_HOLES:
        raise SlideUnreadable(
            f"{count} tiles have no bytes; up to {MOST_HOLES} would be filled in. Export the "
            "slide again from the scanner's software, or scan it again."
        )
    for number in range(2, len(levels)):  # what the base level lacks may be there below it
        stale = _showing(levels[number - 1], missing[number - 1], levels[number])
        missing[number] = sorted(stale | set(missing[number]))
    _check_effort(levels, missing)
    complete: list[SlideImage] = []
    for level, holes in zip(levels, missing, strict=True):
        above = complete[-1] if complete else None
        complete.append(_filled(level, above, holes, read) if holes else level)
    return complete, (_remark(levels, missing),) if count else ()


def _check_effort(levels: list[SlideImage], missing: list[list[int]]) -> None:
    """Refuse to make so much that adding a slide would take minutes."""
    pixels = 0.0
    for (above, level), holes in zip(pairwise(levels), missing[1:], strict=True):
        tile = level.grid.tile_columns * level.grid.tile_rows
        across = above.grid.matrix_columns / level.grid.matrix_columns
        down = above.grid.matrix_rows / level.grid.matrix_rows
        pixels += len(holes) * tile * across * down
    if pixels > _MOST_EFFORT:
        raise SlideUnreadable(
            "Tiles have no bytes, and the levels above are too large to make them. Export the "
            "slide again from the scanner's software, or scan it again."
        )


def sparse_pyramid(tiff: TiffFile, pages: Sequence[TiffPage]) -> list[SlideImage]:
    """Return tiled pages as the levels of a pyramid whose scanner leaves out what is background.

    Any number of tiles may be missing: there is nothing to see in them, on any level.
    """
    read = partial(read_range, tiff)
    return [_on_background(tiled_level(tiff, page, holes=True), read) for page in pages]


def _on_background(level: SlideImage, read: Read) -> SlideImage:
    table = level.frames
    assert isinstance(table, FrameTable)
    missing = table.lengths == 0
    if not missing.any():
        return level
    grid = level.grid
    plain = np.full((grid.tile_rows, grid.tile_columns, 3), BACKGROUND, np.uint8)
    frame = _coder(level, table, read)(plain)
    offsets = np.where(missing, -1, table.offsets)
    lengths = np.where(missing, len(frame), table.lengths)
    return replace(level, frames=replace(table, offsets=offsets, lengths=lengths, literals=frame))


def _holes(level: SlideImage) -> list[int]:
    """Return the numbers of tiles, from 1, that have no bytes."""
    assert isinstance(level.frames, FrameTable)
    return (np.flatnonzero(level.frames.lengths == 0) + 1).tolist()


def _showing(level: SlideImage, holes: list[int], below: SlideImage) -> set[int]:
    """Return the numbers of the tiles of a lower level that show the same as some of a level.

    Where a tile is missing, the software that made the levels often spoilt those below it too.
    """
    across = below.grid.matrix_columns / level.grid.matrix_columns
    down = below.grid.matrix_rows / level.grid.matrix_rows
    found: set[int] = set()
    for row, column in map(level.grid.position, holes):
        left, right = _extent(column, level.grid.tile_columns, level.grid.matrix_columns)
        top, bottom = _extent(row, level.grid.tile_rows, level.grid.matrix_rows)
        for tile_row in _covered(top * down, bottom * down, below.grid.tile_rows):
            for tile_column in _covered(left * across, right * across, below.grid.tile_columns):
                found.add(below.grid.frame_number(tile_row, tile_column))
    return found


def _covered(begin: float, end: float, tile: int) -> range:
    """Return the tiles of which more than a fraction of a pixel lies in an interval."""
    return range(int(begin + 1) // tile, int(max(end - 1, begin)) // tile + 1)


def _remark(levels: list[SlideImage], missing: list[list[int]]) -> str:
    """Tell how many tiles were made of what, and where the first of them are."""
    from_background = len(missing[0])
    from_above = sum(map(len, missing[1:]))
    told: list[str] = []
    if from_above:
        told.append(f"{from_above} from the level above")
    if from_background:
        told.append(f"{from_background} of the base level with white background")
    places = [
        f"level {number} row {row} column {column}"
        for number, (level, holes) in enumerate(zip(levels, missing, strict=True))
        for row, column in map(level.grid.position, holes[:_NAMED])
    ]
    more = ", ..." if from_above + from_background > _NAMED else ""
    return (
        "Tiles without bytes in the file, and smaller levels where they show the same, were "
        f"filled in: {' and '.join(told)} "
        f"(counted from 0: {', '.join(places[:_NAMED])}{more})."
    )


def _filled(
    level: SlideImage, above: SlideImage | None, holes: list[int], read: Read
) -> SlideImage:
    """Return a level with its missing tiles among the literals of its frame table."""
    table = level.frames
    assert isinstance(table, FrameTable)
    if level.photometric_interpretation == UNTRANSFORMED_COLOURS:
        raise SlideUnreadable(
            "Tiles of Y, Cb and Cr as JPEG 2000 (TIFF compression 33003) have no bytes; they are "
            "not filled in. Export the slide again from the scanner's software."
        )
    encode = _coder(level, table, read)
    offsets, lengths = table.offsets.copy(), table.lengths.copy()
    literals = b""
    made: dict[bytes, int] = {}  # background is the same everywhere
    for number in holes:
        frame = encode(_tile(level, above, number, read))
        if frame not in made:
            made[frame] = len(literals)
            literals += frame
        offsets[number - 1], lengths[number - 1] = -1 - made[frame], len(frame)
    return replace(
        level, frames=replace(table, offsets=offsets, lengths=lengths, literals=literals)
    )


# -- pixels


def _tile(
    level: SlideImage, above: SlideImage | None, number: int, read: Read
) -> NDArray[np.uint8]:
    """Return the RGB pixels of a missing tile, (tile_rows, tile_columns, 3), with padding."""
    grid = level.grid
    if above is None:
        return np.full((grid.tile_rows, grid.tile_columns, 3), BACKGROUND, np.uint8)
    row, column = grid.position(number)
    left, right = _extent(column, grid.tile_columns, grid.matrix_columns)
    top, bottom = _extent(row, grid.tile_rows, grid.matrix_rows)
    across = above.grid.matrix_columns / grid.matrix_columns
    down = above.grid.matrix_rows / grid.matrix_rows
    covered = left * across, top * down, right * across, bottom * down
    reduced = np.asarray(_reduced(above, covered, (right - left, bottom - top), read))
    padding = (0, grid.tile_rows - bottom + top), (0, grid.tile_columns - right + left), (0, 0)
    return np.pad(reduced, padding, mode="edge")


def _extent(place: int, tile: int, matrix: int) -> tuple[int, int]:
    return place * tile, min((place + 1) * tile, matrix)


def _reduced(
    above: SlideImage,
    covered: tuple[float, float, float, float],
    size: tuple[int, int],
    read: Read,
) -> Image.Image:
    """Return a region of a level, left, top, right and bottom, reduced to a size."""
    grid = above.grid
    left, top = floor(covered[0]), floor(covered[1])
    right = min(ceil(covered[2]), grid.matrix_columns)
    bottom = min(ceil(covered[3]), grid.matrix_rows)
    if (right - left) * (bottom - top) > _MOST_PIXELS:
        raise SlideUnreadable("A tile has no bytes, and the level above is too large to make it.")
    region = Image.new("RGB", (right - left, bottom - top), BACKGROUND)
    for row in range(top // grid.tile_rows, ceil(bottom / grid.tile_rows)):
        for column in range(left // grid.tile_columns, ceil(right / grid.tile_columns)):
            place = column * grid.tile_columns - left, row * grid.tile_rows - top
            region.paste(_decoded(above, grid.frame_number(row, column), read), place)
    box = (covered[0] - left, covered[1] - top, covered[2] - left, covered[3] - top)
    inside = (*box[:2], min(box[2], right - left), min(box[3], bottom - top))
    return region.resize(size, Image.Resampling.BOX, box=inside)


def _decoded(level: SlideImage, number: int, read: Read) -> Image.Image:
    assert isinstance(level.frames, FrameTable)
    size = level.grid.tile_columns, level.grid.tile_rows
    frame = level.frames.bitstream(number, read)
    pixels = decoded(frame, level.transfer_syntax, lambda: level.photometric_interpretation)
    return Image.frombytes("RGB", size, pixels)


# -- bit streams


def _coder(
    level: SlideImage, table: FrameTable, read: Read
) -> Callable[[NDArray[np.uint8]], bytes]:
    """Return what codes a tile as those of a level are, without the prefix of the level."""
    sample = table.bitstream(int(np.flatnonzero(table.lengths)[0]) + 1, read)
    if level.transfer_syntax == JPEG_BASELINE:
        return _jpeg_coder(sample, rgb=level.photometric_interpretation == "RGB")
    import imagecodecs

    frame = jpeg_2000_frame(sample)

    def encode(pixels: NDArray[np.uint8]) -> bytes:
        return bytes(
            imagecodecs.jpeg2k_encode(
                pixels,
                level=0 if frame.reversible else _PSNR,
                codecformat="j2k",
                reversible=frame.reversible,
                mct=frame.component_transform,
            )
        )

    return encode


def _jpeg_coder(sample: bytes, *, rgb: bool) -> Callable[[NDArray[np.uint8]], bytes]:
    """Return a coder with the quantisation tables and the sampling of a sample, a whole frame."""
    head = jpeg_frame(sample)
    found = dict(_quantisation_tables(sample))
    try:
        tables = [found[number] for number in head.tables[: 1 if rgb else 2]]
    except KeyError as error:
        raise SlideUnreadable("A tile names a quantisation table that is not there.") from error
    sampling = "4:4:4" if rgb else _SAMPLING.get(head.sampling[0], "4:4:4")

    def encode(pixels: NDArray[np.uint8]) -> bytes:
        file = BytesIO()
        Image.fromarray(pixels).save(
            file, "JPEG", qtables=tables, subsampling=sampling, keep_rgb=rgb
        )
        stream = file.getvalue()
        segments = list(jpeg_segments(stream))
        kept = [
            stream[segment.start : segment.stop]
            for segment in segments
            if segment.marker not in (APP0, APP14)  # the prefix has what is needed
        ]
        return b"".join(kept) + stream[segments[-1].stop :]

    return encode


def _quantisation_tables(stream: bytes) -> Iterator[tuple[int, list[int]]]:
    """Yield number and values, by rows, of each table of 8 bits (ISO 10918-1 B.2.4.1)."""
    for segment in jpeg_segments(stream):
        if segment.marker != DQT:
            continue
        payload = stream[segment.start + 4 : segment.stop]
        while len(payload) >= 65 and payload[0] < 16:
            values = [0] * 64
            for place, value in zip(_ZIGZAG, payload[1:65], strict=True):
                values[place] = value
            yield payload[0], values
            payload = payload[65:]
