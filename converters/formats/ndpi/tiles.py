"""How the levels of an NDPI become frames: stripes joined, or tiles cut out when asked for.

Either way all levels of a slide have frames of one size, and no pixel is coded again. Joined,
a frame is as wide as the stripes are, which needs no codec. Cut, it is square, which needs one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import lcm

import numpy as np

from converters.codecs.jpeg import EOI_MARKER, blank_interval, sized_header
from converters.formats.ndpi.levels import Scan, Stripes
from gateway.core.frames import Crop, CropTable, FrameTable, TileGrid

_CUT = 512
"""Columns and rows of a tile that is cut."""

_FRAME_PIXELS = 1 << 20
"""Of joined stripes, about as many as four usual tiles have: frames as wide as stripes of 2048
columns then have 512 rows, and viewers do not read much more than they show."""

_LEAST_ROWS, _MOST_ROWS = 64, 512
_WIDEST = 1 << 14
_MOST_PIECES, _MOST_STRIPES = 1 << 12, 1 << 24  # of a frame, and of a level with its blank ones
_LARGEST_SIDE = 0xFFFF  # of a JPEG
_MOST_BLOCK_PIXELS = 1 << 26  # of a level that has to be cut in one piece


@dataclass(frozen=True, slots=True, eq=False)
class Tiled:
    """A level as frames."""

    scan: Scan
    grid: TileGrid
    frames: FrameTable | CropTable


def joined(scans: Sequence[Scan], luminance: int) -> list[Tiled]:
    """Join stripes to frames, for those levels whose stripes fit into one size of frames.

    Parameters
    ----------
    scans
        The base level first.
    luminance
        0 or 255: what fills frames beyond the stripes.

    Returns
    -------
    The levels that can be joined; none if the base level cannot.
    """
    if not scans or scans[0].stripes is None:
        return []
    columns = rows = 1
    fitting: list[tuple[Scan, Stripes]] = []
    for scan in scans:
        stripes = scan.stripes
        if stripes is None:
            continue
        wide, high = lcm(columns, stripes.columns), lcm(rows, stripes.rows)
        if fitting and (wide > max(_WIDEST, columns) or high > max(_MOST_ROWS, rows)):
            continue
        columns, rows = wide, high
        fitting.append((scan, stripes))
    wanted = min(max(_FRAME_PIXELS // columns, _LEAST_ROWS), _MOST_ROWS)
    rows *= max(1, wanted // _LEAST_ROWS * _LEAST_ROWS // rows)
    return [
        Tiled(
            scan,
            TileGrid(scan.columns, scan.rows, columns, rows),
            _joined_table(scan, stripes, columns, rows, luminance),
        )
        for scan, stripes in fitting
        if _feasible(stripes, columns, rows)
    ]


def cut(scans: Iterable[Scan], luminance: int) -> Iterator[Tiled]:
    """Say how square tiles lie in blocks of joined stripes, or in whole levels without stripes."""
    for scan in scans:
        stripes = scan.stripes
        size = _whole_size(scan) if stripes is None else _block_size(stripes)
        if size is None or (stripes and not _feasible(stripes, *size)):
            continue
        columns, rows = size
        grid = TileGrid(scan.columns, scan.rows, _CUT, _CUT)
        crop = Crop(grid, -(-columns // _CUT), -(-rows // _CUT), luminance)
        if stripes is None:
            blocks = _whole_table(scan, columns, rows)
        else:
            blocks = _joined_table(scan, stripes, columns, rows, luminance)
        yield Tiled(scan, grid, CropTable(blocks, crop))


def stacked(planes: Sequence[Tiled]) -> Tiled | None:
    """Put a level of several focal planes together: all frames of one, then those of the next.

    Returns
    -------
    The level, or None if its planes do not have frames of the same kind and tables.
    """
    first = planes[0]
    tables = [_table(plane) for plane in planes]
    if (
        len(
            {
                (plane.grid, one.prefix, one.joints, one.literals)
                for plane, one in zip(planes, tables, strict=True)
            }
        )
        != 1
    ):
        return None
    whole = FrameTable(
        tables[0].prefix,
        np.concatenate([one.offsets for one in tables]),
        np.concatenate([one.lengths for one in tables]),
        tables[0].joints,
        tables[0].literals,
    )
    if isinstance(first.frames, FrameTable):
        return replace(first, frames=whole)
    crop, grid = first.frames.crop, first.grid
    if grid.down % crop.down:  # a block would hold tiles of two planes
        return None
    high = replace(grid, matrix_rows=len(planes) * grid.down * grid.tile_rows)
    return replace(first, frames=CropTable(whole, replace(crop, grid=high)))


def _table(level: Tiled) -> FrameTable:
    return level.frames if isinstance(level.frames, FrameTable) else level.frames.blocks


def _feasible(stripes: Stripes, columns: int, rows: int) -> bool:
    """Whether JPEGs of that size can be joined without tables as large as pictures."""
    wide, high = columns // stripes.columns, rows // stripes.rows
    count = -(-stripes.across // wide) * -(-stripes.down // high) * wide * high
    small = wide * high <= _MOST_PIECES and count <= _MOST_STRIPES
    return small and max(columns, rows) <= _LARGEST_SIDE


def _block_size(stripes: Stripes) -> tuple[int, int] | None:
    """Return columns and rows of blocks that no tile crosses, or None if they are too large."""
    whole = stripes.across * stripes.columns
    columns, rows = lcm(stripes.columns, _CUT), lcm(stripes.rows, _CUT)
    if columns > _WIDEST and whole <= _LARGEST_SIDE:
        columns = whole
    return (min(columns, whole), rows) if rows <= _WIDEST else None


def _whole_size(scan: Scan) -> tuple[int, int] | None:
    """Return the size of a level in whole MCUs, or None if it is too large to be one block."""
    mcu_columns, mcu_rows = scan.frame.mcu
    columns = -(-scan.columns // mcu_columns) * mcu_columns
    rows = -(-scan.rows // mcu_rows) * mcu_rows
    too_large = max(columns, rows) > _LARGEST_SIDE or columns * rows > _MOST_BLOCK_PIXELS
    return None if too_large else (columns, rows)


def _whole_table(scan: Scan, columns: int, rows: int) -> FrameTable:
    """Return a table of one block: the JPEG with its size in whole MCUs."""
    header = sized_header(scan.header, columns, rows, scan.interval)
    begin = len(scan.header)
    offsets, lengths = (np.array([n], np.int64) for n in (scan.offset + begin, scan.length - begin))
    return FrameTable(header, offsets, lengths)


def _joined_table(
    scan: Scan, stripes: Stripes, columns: int, rows: int, luminance: int
) -> FrameTable:
    """Join stripes to JPEGs of a size that is a multiple of theirs; blank ones fill the last."""
    wide, high = columns // stripes.columns, rows // stripes.rows
    across, down = -(-stripes.across // wide), -(-stripes.down // high)
    pieces = wide * high
    literals = b""
    if (across * wide, down * high) != (stripes.across, stripes.down):
        literals = blank_interval(scan.header, scan.interval, luminance)
    tables = []
    for values, missing in ((stripes.offsets, -1), (stripes.lengths, len(literals))):
        whole = np.full((down * high, across * wide), missing, np.int64)
        whole[: stripes.down, : stripes.across] = values.reshape(stripes.down, stripes.across)
        cells = whole.reshape(down, high, across, wide).swapaxes(1, 2)
        tables.append(cells.reshape(down * across, pieces) if pieces > 1 else whole.ravel())
    restarts = [bytes((0xFF, 0xD0 + number % 8)) for number in range(pieces - 1)]
    header = sized_header(scan.header, columns, rows, scan.interval)
    offsets, lengths = tables
    return FrameTable(header, offsets, lengths, (*restarts, EOI_MARKER), literals)
