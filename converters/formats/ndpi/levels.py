"""The levels of an NDPI: each is one JPEG, usually cut into stripes by restart markers.

A stripe is a restart interval: some MCUs wide and one MCU high, so it can be joined with others
to another JPEG without being decoded. Where stripes begin stands in a table of the file
(McuStarts); where that is missing or wrong, the markers are looked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from converters.codecs.jpeg import check_complete
from converters.formats.ndpi.pages import Int64s, NdpiFile, Page
from gateway.core.bitstreams import DRI, JpegFrame, jpeg_frame, jpeg_segments
from gateway.core.errors import SlideUnreadable

_JPEG, _JPEG_XR = 7, 22610
_WIDTH, _HEIGHT, _COMPRESSION, _OFFSETS, _COUNTS = 256, 257, 259, 273, 279
_STARTS, _STARTS_HIGH = 65426, 65432
_LONGEST_HEADER = 1 << 16
_MOST_SIDE = 1 << 22
_WINDOW = 1 << 24  # bytes of a strip that are searched for markers at once
_LOOKED_AT = 128  # stripes of a level before which there must be a marker
_MOST_STRIPES = 1 << 24
_SHORTEST = 4  # bytes of a stripe and the marker behind it
_BLOCK = 512  # bytes that no coded block of 8 x 8 samples exceeds
_EOI = b"\xff\xd9"


@dataclass(frozen=True, slots=True, eq=False)
class Stripes:
    """The restart intervals of a level.

    Parameters
    ----------
    columns, rows
        Size of each in pixels.
    across, down
        Number of them in each direction.
    offsets, lengths
        int64, shape (across x down,): where they lie in the file, row after row, without markers.
    """

    columns: int
    rows: int
    across: int
    down: int
    offsets: Int64s
    lengths: Int64s


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """A JPEG that is one strip of the file.

    Parameters
    ----------
    page
        Index of its page, from 0.
    columns, rows
        Size in pixels.
    header
        From SOI up to the SOS segment, which is included.
    frame
        What its frame header says; a size of 0 says that it is too large to be said there.
    interval
        MCUs of a restart interval, or 0.
    offset, length
        Where the whole strip lies in the file, in bytes.
    stripes
        Its restart intervals, or None if it has none that divide it evenly.
    """

    page: int
    columns: int
    rows: int
    header: bytes
    frame: JpegFrame
    interval: int
    offset: int
    length: int
    stripes: Stripes | None


def scan_of(page: Page) -> Scan:
    """Read the headers of a page's JPEG, and where its stripes are.

    Raises
    ------
    SlideUnreadable
        If it is no JPEG, of another kind than scanners write, or damaged.
    """
    offset, length = _strip(page)
    start = page.file.read(offset, min(length, _LONGEST_HEADER))
    segments = list(jpeg_segments(start))
    header = start[: segments[-1].stop]
    frame = jpeg_frame(header)
    if frame.baseline:
        check_complete(header)
    components = header[segments[-1].start + 4]
    if not frame.baseline or frame.precision != 8 or not len(frame.sampling) == components == 3:
        raise SlideUnreadable(f"Page {page.index} is no baseline JPEG of three components.")
    if length < len(header) + 4 or page.file.read(offset + length - 2, 2) != _EOI:
        raise SlideUnreadable(
            f"The JPEG of page {page.index} has no end: it is truncated; copy it again."
        )
    size = _size(page, frame)
    intervals = [header[one.start + 4 : one.stop] for one in segments if one.marker == DRI]
    interval = int.from_bytes(intervals[-1]) if intervals else 0
    grid = _stripe_grid(frame, size, interval)
    stripes = _stripes(page, grid, offset, len(header), length) if grid else None
    if grid and stripes and int(stripes.lengths.max()) > _BLOCK * grid.blocks(frame):
        raise SlideUnreadable(
            f"A stripe of page {page.index} has more bytes than its pixels can take."
        )
    return Scan(page.index, *size, header, frame, interval, offset, length, stripes)


def _strip(page: Page) -> tuple[int, int]:
    compression = page.integer(_COMPRESSION)
    if compression != _JPEG:
        kind = "JPEG XR" if compression == _JPEG_XR else f"TIFF compression {compression}"
        raise SlideUnreadable(f"Page {page.index} is {kind}; JPEG is supported.")
    entry = page.entries.get(_OFFSETS)
    offset, length = page.integer(_OFFSETS), page.integer(_COUNTS)
    if entry is None or entry.count != 1 or offset is None or length is None:
        raise SlideUnreadable(f"Page {page.index} is not one strip, as it is in an NDPI.")
    if offset < 12 or length < 4 or offset > page.file.size - length:
        raise SlideUnreadable(
            f"The strip of page {page.index} lies past the end of the file: it is truncated; "
            "copy it again from the scanner."
        )
    return offset, length


def _size(page: Page, frame: JpegFrame) -> tuple[int, int]:
    """Return columns and rows: the JPEG is believed, unless it cannot say how large it is."""
    sides = []
    for code, own in ((_WIDTH, frame.columns), (_HEIGHT, frame.rows)):
        stated = page.integer(code) or 0
        sides.append(stated if not own or stated > 0xFFFF else own)
    if not 0 < min(sides) <= max(sides) <= _MOST_SIDE:
        raise SlideUnreadable(f"Page {page.index} has {sides[0]} x {sides[1]} pixels.")
    return sides[0], sides[1]


@dataclass(frozen=True, slots=True)
class _Grid:
    columns: int
    rows: int
    across: int
    down: int

    def blocks(self, frame: JpegFrame) -> int:
        """Return the number of blocks of a stripe."""
        mcu_columns, mcu_rows = frame.mcu
        of_mcu = sum(wide * high for wide, high in frame.sampling)
        return self.columns // mcu_columns * (self.rows // mcu_rows) * of_mcu


def _stripe_grid(frame: JpegFrame, size: tuple[int, int], interval: int) -> _Grid | None:
    """Return how restart intervals of so many MCUs lie in an image, or None if not side by side."""
    mcu_columns, mcu_rows = frame.mcu
    across = -(-size[0] // mcu_columns)
    down = -(-size[1] // mcu_rows)
    if not interval:
        return None
    if across % interval == 0:
        return _Grid(interval * mcu_columns, mcu_rows, across // interval, down)
    if interval % across == 0:
        high = interval // across
        return _Grid(across * mcu_columns, high * mcu_rows, 1, -(-down // high))
    return None


def _stripes(page: Page, grid: _Grid, offset: int, begin: int, length: int) -> Stripes | None:
    count = grid.across * grid.down
    if count > min(_MOST_STRIPES, length // _SHORTEST):
        raise SlideUnreadable(f"Page {page.index} states {count} stripes in {length} bytes.")
    starts = _stated_starts(page, count, begin, length)
    if starts is None or not _marked(page.file, offset, starts):
        starts = _found_starts(page, offset, begin, length, count)
    stops = np.append(starts[1:] - 2, length - 2)
    return Stripes(grid.columns, grid.rows, grid.across, grid.down, starts + offset, stops - starts)


def _stated_starts(page: Page, count: int, begin: int, length: int) -> Int64s | None:
    """Return the table of the file, counted from the strip, or None if it cannot be true."""
    entry, low = page.entries.get(_STARTS), page.numbers(_STARTS)
    if entry is None or low is None or len(low) != count or low.dtype.kind not in "iu":
        return None
    starts = low.astype(np.int64)
    high = page.numbers(_STARTS_HIGH)
    if high is not None:
        if len(high) != count or high.dtype.kind not in "iu":
            return None
        starts += high.astype(np.int64) << 32
    if starts[0] != begin or starts[-1] > length - _SHORTEST or (np.diff(starts) < _SHORTEST).any():
        return None
    return starts


def _marked(file: NdpiFile, offset: int, starts: Int64s) -> bool:
    """Whether the right marker stands before each stripe that is looked at."""
    chosen = np.unique(np.linspace(1, len(starts) - 1, _LOOKED_AT).astype(int))
    return all(
        file.read(offset + int(starts[index]) - 2, 2) == _restart(int(index) - 1)
        for index in chosen
        if index
    )


def _restart(number: int) -> bytes:
    return bytes((0xFF, 0xD0 + number % 8))


def _found_starts(page: Page, offset: int, begin: int, length: int, count: int) -> Int64s:
    """Look for the markers."""
    parts = [np.array([begin], np.int64)]
    found = 1
    for places, numbers in _markers(page.file, offset + begin, offset + length - 2):
        expected = np.arange(found - 1, found - 1 + len(numbers)) % 8
        found += len(places)
        if found > count or not np.array_equal(numbers, expected):
            raise SlideUnreadable(
                f"The restart markers of page {page.index} are not those of {count} stripes: "
                "the file is damaged; export it again."
            )
        parts.append(places - offset + 2)
    if found < count:
        raise SlideUnreadable(
            f"Page {page.index} has {found} stripes, not {count}: the file is damaged; "
            "export it again."
        )
    starts = np.concatenate(parts)
    if (np.diff(starts, append=length) < _SHORTEST).any():
        raise SlideUnreadable(f"A stripe of page {page.index} has no bytes.")
    return starts


def _markers(file: NdpiFile, begin: int, end: int) -> Iterator[tuple[Int64s, Int64s]]:
    """Yield where restart markers lie in the file, and their numbers, window by window."""
    for place in range(begin, end - 1, _WINDOW):
        window = np.frombuffer(file.read(place, min(_WINDOW + 1, end - place)), np.uint8)
        hits = np.flatnonzero((window[:-1] == 0xFF) & (window[1:] & 0xF8 == 0xD0))
        yield hits.astype(np.int64) + place, (window[hits + 1] & 7).astype(np.int64)
