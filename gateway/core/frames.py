"""What bytes make a frame, and where a frame lies in the tile grid."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gateway.core.errors import FrameNotFound, GatewayError

Int64s = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TileGrid:
    """The tiles of one total pixel matrix in TILED_FULL order (PS3.3 C.7.6.17.3).

    Parameters
    ----------
    matrix_columns, matrix_rows
        Size of the total pixel matrix in pixels.
    tile_columns, tile_rows
        Size of every tile in pixels; edge tiles are padded to it.
    """

    matrix_columns: int
    matrix_rows: int
    tile_columns: int
    tile_rows: int

    @property
    def across(self) -> int:
        """Number of tiles in a row of tiles."""
        return -(-self.matrix_columns // self.tile_columns)

    @property
    def down(self) -> int:
        """Number of rows of tiles."""
        return -(-self.matrix_rows // self.tile_rows)

    @property
    def count(self) -> int:
        """Number of tiles."""
        return self.across * self.down

    def frame_number(self, tile_row: int, tile_column: int) -> int:
        """Frame number, from 1, of the tile at a place counted from 0."""
        return tile_row * self.across + tile_column + 1

    def position(self, frame_number: int) -> tuple[int, int]:
        """``(tile_row, tile_column)``, from 0, of a frame number counted from 1."""
        return divmod(frame_number - 1, self.across)


@dataclass(frozen=True, slots=True)
class FrameRange:
    """One byte range of a blob: what a frame has besides its prefix.

    Parameters
    ----------
    offset, length
        In bytes, from the start of the blob.
    """

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class FrameTableHead:
    """The constant part of a stored frame table: enough to find any entry of it."""

    number_of_frames: int
    prefix: bytes

    MAGIC: ClassVar = b"SGFT"
    VERSION: ClassVar = 1
    FIXED: ClassVar = struct.Struct("<4sHHIQ")
    """Magic, version, reserved, length of the prefix, number of frames."""

    ENTRY: ClassVar = struct.Struct("<qq")
    """Offset and length of one frame's range."""

    @classmethod
    def decode(cls, data: bytes) -> FrameTableHead:
        """Read the head from the first bytes of a stored table."""
        if len(data) < cls.FIXED.size:
            raise GatewayError("A frame table is shorter than its head.")
        magic, version, _, prefix_length, number_of_frames = cls.FIXED.unpack_from(data)
        if magic != cls.MAGIC or version != cls.VERSION:
            raise GatewayError("A frame table is of an unknown kind.")
        start = cls.FIXED.size
        return cls(number_of_frames, data[start : start + prefix_length])

    @classmethod
    def size_from(cls, fixed: bytes) -> int:
        """Return the bytes of the whole head, from its first ``FIXED.size`` bytes."""
        return cls.FIXED.size + int(cls.FIXED.unpack(fixed)[3])

    @property
    def size(self) -> int:
        """Bytes of the head; entries follow."""
        return self.FIXED.size + len(self.prefix)

    def entry_offset(self, frame_number: int) -> int:
        """Where the entry of a frame, counted from 1, starts in the stored table.

        Raises
        ------
        FrameNotFound
            If the instance has no such frame.
        """
        if not 1 <= frame_number <= self.number_of_frames:
            raise FrameNotFound(
                f"There is no frame {frame_number}; the instance has {self.number_of_frames}.",
                frame_number=frame_number,
            )
        return self.size + (frame_number - 1) * self.ENTRY.size


@dataclass(frozen=True, slots=True, eq=False)
class FrameTable:
    """What bytes make each frame of an instance: a constant prefix and one byte range.

    The prefix is what the scanner stores once for all tiles of a level (JPEG tables, APP14);
    a Part 10 blob has none.

    Parameters
    ----------
    prefix
        Bytes that every frame starts with.
    offsets, lengths
        int64, shape (frames,), in bytes; item 0 is frame 1.
    """

    prefix: bytes
    offsets: Int64s
    lengths: Int64s

    def __post_init__(self) -> None:
        if not len(self) or self.offsets.min() < 0 or self.lengths.min() < 0:
            raise GatewayError("A frame table has no frames, or impossible ones.")

    @classmethod
    def single(cls, length: int) -> FrameTable:
        """Table of a blob that is one frame from its first byte to its last."""
        return cls(b"", np.zeros(1, np.int64), np.array([length], np.int64))

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def frame_lengths(self) -> Int64s:
        """Bytes of each whole frame, prefix included."""
        return self.lengths + len(self.prefix)

    def encode(self) -> bytes:
        """Return the stored form: head, then 16 bytes a frame, all little endian."""
        head = FrameTableHead.FIXED.pack(
            FrameTableHead.MAGIC, FrameTableHead.VERSION, 0, len(self.prefix), len(self)
        )
        entries = np.stack([self.offsets, self.lengths], axis=1).astype("<i8")
        return head + self.prefix + entries.tobytes()

    @classmethod
    def decode(cls, data: bytes) -> FrameTable:
        """Read a whole stored table."""
        head = FrameTableHead.decode(data)
        entries = np.frombuffer(data, "<i8", offset=head.size).reshape(-1, 2)
        if len(entries) != head.number_of_frames:
            raise GatewayError("A frame table has another length than its head says.")
        return cls(head.prefix, entries[:, 0], entries[:, 1])

    def windows(self, largest: int) -> Iterator[tuple[slice, FrameRange]]:
        """Cut the frames into runs that one read gets.

        Parameters
        ----------
        largest
            Bytes that a window should not exceed; a single larger frame is one window.

        Yields
        ------
        The frames of the run (a slice counted from 0) and the byte range that spans them.
        Frames that lie far apart, or backwards, are not read in one window, so that the bytes
        read stay close to the bytes wanted.
        """
        starts, stops = self.offsets, self.offsets + self.lengths
        gaps = starts[1:] - stops[:-1]
        first = 0
        breaks = np.flatnonzero((gaps < 0) | (gaps > 4096)) + 1
        for run_stop in [*breaks.tolist(), len(self)]:
            while first < run_stop:
                reach = int(
                    np.searchsorted(stops[first:run_stop], starts[first] + largest, "right")
                )
                stop = first + max(1, reach)
                begin = int(starts[first])
                yield slice(first, stop), FrameRange(begin, int(stops[stop - 1]) - begin)
                first = stop
