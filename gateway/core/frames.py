"""What bytes make a frame, and where a frame lies in the tile grid.

A frame is a constant prefix and pieces: byte ranges of a blob, each followed by a constant joint.
Most frames have one piece and no joint (Part 10, tiled TIFF). A frame of a striped file (NDPI) has
a piece for each stripe and restart markers as joints. Where frames are smaller than what can be
read in one piece, a :class:`CropTable` says which of them lie in which larger bit stream.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gateway.core.errors import FrameNotFound, GatewayError

Int64s = NDArray[np.int64]

Read = Callable[[int, int], bytes]
"""Returns the bytes at ``(offset, length)``."""

Entry = list[tuple[int, int]]
"""Offset and length of each piece of a frame or block, as a stored frame table has them."""


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
class Crop:
    """How frames lie in larger bit streams, the blocks, that are cut without being decoded.

    Blocks lie side by side and below each other as tiles do. Tiles that reach over the edge of a
    block are padded by whoever cuts.

    Parameters
    ----------
    grid
        The tiles that are cut out.
    across, down
        Tiles of a block in each direction; in the last blocks some may lie outside the grid.
    background
        Luminance of what is padded, 0 to 255.
    """

    grid: TileGrid
    across: int
    down: int
    background: int = 255

    @property
    def blocks_across(self) -> int:
        """Number of blocks in a row of blocks."""
        return -(-self.grid.across // self.across)

    @property
    def blocks_down(self) -> int:
        """Number of rows of blocks."""
        return -(-self.grid.down // self.down)

    def place(self, frame_number: int) -> tuple[int, int]:
        """Return the block of a frame, counted from 1, and its place in it, counted from 0."""
        tile_row, tile_column = self.grid.position(frame_number)
        row, row_inside = divmod(tile_row, self.down)
        column, column_inside = divmod(tile_column, self.across)
        return row * self.blocks_across + column + 1, row_inside * self.across + column_inside


@dataclass(frozen=True, slots=True)
class FrameTableHead:
    """The constant part of a stored frame table: enough to find any entry of it.

    Parameters
    ----------
    count
        Number of entries: frames, or blocks if there is a crop.
    pieces
        Byte ranges of each entry.
    prefix
        Bytes that every entry's bit stream starts with.
    joints
        What follows each piece; empty if nothing does.
    crop
        How frames are cut out of the entries' bit streams, or None if they are the frames.
    """

    count: int
    pieces: int
    prefix: bytes
    joints: tuple[bytes, ...] = ()
    crop: Crop | None = None
    size: int = field(init=False, compare=False)
    """Bytes of the head; entries follow, then literals."""

    MAGIC: ClassVar = b"SGFT"
    VERSION: ClassVar = 2
    FIXED: ClassVar = struct.Struct("<4sHHIIQ7I")
    """Magic, version, pieces, lengths of prefix and joints, count, and the crop or zeros."""

    ENTRY: ClassVar = struct.Struct("<qq")
    """Offset and length of one piece; a negative offset counts, from -1 down, in the literals."""

    def __post_init__(self) -> None:
        joints = sum(4 + len(joint) for joint in self.joints)
        object.__setattr__(self, "size", self.FIXED.size + len(self.prefix) + joints)

    @classmethod
    def decode(cls, data: bytes) -> FrameTableHead:
        """Read the head from the first bytes of a stored table."""
        if len(data) < cls.FIXED.size:
            raise GatewayError("A frame table is shorter than its head.")
        magic, version, pieces, prefix_length, joints_length, count, *crop = cls.FIXED.unpack_from(
            data
        )
        if magic != cls.MAGIC or version != cls.VERSION:
            raise GatewayError("A frame table is of an unknown kind.")
        start = cls.FIXED.size
        stop = start + prefix_length
        joints = _split(data[stop : stop + joints_length])
        cropped = Crop(TileGrid(*crop[:4]), *crop[4:]) if any(crop) else None
        return cls(count, pieces, data[start:stop], joints, cropped)

    def encode(self) -> bytes:
        """Return the stored form of the head."""
        joints = b"".join(len(joint).to_bytes(4, "little") + joint for joint in self.joints)
        crop = (0,) * 7
        if self.crop:
            grid = self.crop.grid
            size = (grid.matrix_columns, grid.matrix_rows, grid.tile_columns, grid.tile_rows)
            crop = (*size, self.crop.across, self.crop.down, self.crop.background)
        lengths = (len(self.prefix), len(joints))
        fixed = self.FIXED.pack(self.MAGIC, self.VERSION, self.pieces, *lengths, self.count, *crop)
        return fixed + self.prefix + joints

    @classmethod
    def size_from(cls, fixed: bytes) -> int:
        """Return the bytes of the whole head, from its first ``FIXED.size`` bytes."""
        _, _, _, prefix_length, joints_length, *_ = cls.FIXED.unpack(fixed)
        return cls.FIXED.size + int(prefix_length) + int(joints_length)

    @property
    def entry_size(self) -> int:
        """Bytes of an entry."""
        return self.pieces * self.ENTRY.size

    @property
    def plain(self) -> bool:
        """Whether each entry is one range after the prefix: so are nearly all."""
        return self.pieces == 1 and not self.joints

    @property
    def number_of_frames(self) -> int:
        """Number of frames."""
        return self.crop.grid.count if self.crop else self.count

    def place(self, frame_number: int) -> tuple[int, int]:
        """Return the entry of a frame, both counted from 1, and its place in it, from 0.

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
        return self.crop.place(frame_number) if self.crop else (frame_number, 0)

    def entry(self, number: int, table: Read) -> Entry:
        """Return the pieces of one entry, counted from 1.

        Parameters
        ----------
        table
            Returns the bytes of the stored table at ``(offset, length)``.
        """
        size = self.entry_size
        return list(self.ENTRY.iter_unpack(table(self.size + (number - 1) * size, size)))

    def entries(self, numbers: Sequence[int], table: Read) -> list[Entry]:
        """Return several entries, as :meth:`entry` each; those near each other are one read."""
        first, last = min(numbers), max(numbers)
        if last - first >= 4 * len(numbers):
            return [self.entry(number, table) for number in numbers]
        size = self.entry_size
        begin = self.size + (first - 1) * size
        block = table(begin, (last - first + 1) * size)

        def near(offset: int, length: int) -> bytes:
            return block[offset - begin : offset - begin + length]

        return [self.entry(number, near) for number in numbers]

    def length(self, entry: Entry) -> int:
        """Return the bytes of the bit stream of an entry; see :meth:`bitstream`."""
        pieces = sum(length for _, length in entry)
        return len(self.prefix) + pieces + sum(map(len, self.joints))

    def bitstream(self, pieces: Entry, table: Read, source: Read) -> bytes:
        """Return the bit stream of one entry.

        Parameters
        ----------
        pieces
            The entry.
        table, source
            Return the bytes of the stored table and of what it points into at
            ``(offset, length)``.
        """
        if self.plain:
            offset, length = pieces[0]
            if offset >= 0:
                return self.prefix + source(offset, length)
        literals = self.size + self.count * self.entry_size

        def literal(place: int, length: int) -> bytes:
            return table(literals + place, length)

        return _joined(self.prefix, pieces, self.joints, source, literal)


def _joined(
    prefix: bytes,
    pieces: Sequence[tuple[int, int]],
    joints: tuple[bytes, ...],
    source: Read,
    literal: Read,
) -> bytes:
    at_once = _at_once(pieces, source)
    parts = [prefix]
    for index, (offset, length) in enumerate(pieces):
        if length:
            inside = offset >= 0
            parts.append(at_once(offset, length) if inside else literal(-1 - offset, length))
        if joints:
            parts.append(joints[index])
    return b"".join(parts)


def _at_once(pieces: Sequence[tuple[int, int]], source: Read) -> Read:
    """Return what reads the pieces: from one read of them all if they lie close together."""
    inside = [(offset, offset + length) for offset, length in pieces if length and offset >= 0]
    wanted = sum(stop - start for start, stop in inside)
    first = min((start for start, _ in inside), default=0)
    last = max((stop for _, stop in inside), default=0)
    if len(inside) < 2 or last - first > 2 * wanted:
        return source
    whole = source(first, last - first)
    return lambda offset, length: whole[offset - first : offset - first + length]


def _split(joints: bytes) -> tuple[bytes, ...]:
    found: list[bytes] = []
    place = 0
    while place < len(joints):
        stop = place + 4 + int.from_bytes(joints[place : place + 4], "little")
        found.append(joints[place + 4 : stop])
        place = stop
    return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class FrameTable:
    """What bytes make each frame of an instance.

    Parameters
    ----------
    prefix
        Bytes that every frame starts with: what the scanner stores once for all tiles of a level
        (JPEG tables, APP14). A Part 10 blob has none.
    offsets, lengths
        int64, shape (frames,) or (frames, pieces), in bytes; item 0 is frame 1. A length of 0 is
        a piece that the frame does not have. A negative offset is a place in the literals: -1 is
        their first byte, -2 the second.
    joints
        What follows each piece: as many as pieces, or none.
    literals
        Bytes of pieces that the source does not hold, such as padding.
    """

    prefix: bytes
    offsets: Int64s
    lengths: Int64s
    joints: tuple[bytes, ...] = ()
    literals: bytes = b""

    def __post_init__(self) -> None:
        if not len(self) or self.lengths.min() < 0:
            raise GatewayError("A frame table has no frames, or impossible ones.")
        if self.offsets.shape != self.lengths.shape or len(self.joints) not in (0, self.pieces):
            raise GatewayError("A frame table has more offsets, lengths or joints than the other.")
        beyond = np.where(self.offsets < 0, -1 - self.offsets + self.lengths, 0)
        if int(beyond.max()) > len(self.literals):
            raise GatewayError("A frame table points past its literals.")

    @classmethod
    def single(cls, length: int) -> FrameTable:
        """Table of a blob that is one frame from its first byte to its last."""
        return cls(b"", np.zeros(1, np.int64), np.array([length], np.int64))

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def pieces(self) -> int:
        """Byte ranges of each frame."""
        return 1 if self.offsets.ndim == 1 else int(self.offsets.shape[1])

    @property
    def ranges(self) -> tuple[Int64s, Int64s]:
        """Offsets and lengths in the shape (frames, pieces)."""
        shape = (len(self), self.pieces)
        return self.offsets.reshape(shape), self.lengths.reshape(shape)

    @property
    def frame_lengths(self) -> Int64s:
        """Bytes of each whole frame."""
        constant = len(self.prefix) + sum(map(len, self.joints))
        total: Int64s = self.ranges[1].sum(axis=1) + constant
        return total

    @property
    def stored_bytes(self) -> int:
        """Bytes of all frames together."""
        return int(self.frame_lengths.sum())

    def bitstream(self, frame_number: int, source: Read) -> bytes:
        """Return the bytes of a frame, counted from 1."""
        offsets, lengths = (side[frame_number - 1].tolist() for side in self.ranges)
        pieces = list(zip(offsets, lengths, strict=True))

        def literal(place: int, length: int) -> bytes:
            return self.literals[place : place + length]

        return _joined(self.prefix, pieces, self.joints, source, literal)

    def encode(self, crop: Crop | None = None) -> bytes:
        """Return the stored form: head, then 16 bytes a piece, all little endian; literals."""
        head = FrameTableHead(len(self), self.pieces, self.prefix, self.joints, crop)
        entries = np.stack([self.offsets, self.lengths], axis=-1).astype("<i8")
        return head.encode() + entries.tobytes() + self.literals

    @classmethod
    def decode(cls, data: bytes) -> FrameTable | CropTable:
        """Read a whole stored table."""
        head = FrameTableHead.decode(data)
        count = head.count * head.pieces
        if len(data) < head.size + count * FrameTableHead.ENTRY.size:
            raise GatewayError("A frame table has another length than its head says.")
        entries = np.frombuffer(data, "<i8", 2 * count, head.size)
        shape = (head.count, head.pieces) if head.pieces > 1 else (head.count,)
        offsets, lengths = entries[::2].reshape(shape), entries[1::2].reshape(shape)
        literals = data[head.size + head.count * head.entry_size :]
        table = cls(head.prefix, offsets, lengths, head.joints, literals)
        return CropTable(table, head.crop) if head.crop else table

    def windows(self, largest: int, first: int = 0) -> Iterator[tuple[slice, FrameRange]]:
        """Cut the frames into runs that one read gets.

        Parameters
        ----------
        largest
            Bytes that a window should not exceed, unless frames interleave; a single larger frame
            is one window, and may have to be read piece by piece.
        first
            The frame, from 0, with which they begin.

        Yields
        ------
        The frames of the run (a slice counted from 0) and the byte range that spans them. The
        bytes read stay close to the bytes wanted: frames that lie far apart or backwards are not
        read in one window, while frames whose pieces interleave are. Literals are no part of it.
        """
        offsets, lengths = self.ranges
        real = (offsets >= 0) & (lengths > 0)
        starts = np.where(real, offsets, np.iinfo(np.int64).max).min(axis=1)
        stops = np.where(real, offsets + lengths, -1).max(axis=1)
        wanted = np.where(real, lengths, 0).sum(axis=1)
        most = largest if self.pieces == 1 else max(largest, _INTERLEAVED)
        while first < len(self):
            ahead = slice(first, first + _AHEAD)
            begin = np.minimum.accumulate(starts[ahead])
            span = np.maximum.accumulate(stops[ahead]) - begin
            spare = span - np.cumsum(wanted[ahead])
            count = np.arange(1, len(span) + 1)
            fits = (span <= most) & (spare <= _SPARE * count) & (begin == begin[0])
            # The last frame up to which a read pays; interleaved ones pay only together.
            ends = np.flatnonzero(fits)
            whole = (spare <= _BETWEEN * self.pieces * count)[ends] & (span[ends] >= largest)
            if self.pieces > 1 and whole.any():
                ends = ends[whole][:1]  # as few rows of tiles as are enough: a cache holds them
            reach = int(ends[-1]) + 1 if ends.size else 1
            stop = first + reach
            here = max(int(span[reach - 1]), 0)
            yield slice(first, stop), FrameRange(int(begin[reach - 1]) if here else 0, here)
            first = stop


_AHEAD = 1024
"""Frames that are looked at to find a window."""

_INTERLEAVED = 1 << 26
"""Bytes of a window of frames whose pieces interleave: it has to hold a whole row of tiles."""

_BETWEEN = 16
"""Bytes that may lie between pieces of frames that are all there."""

_SPARE = 4096
"""Bytes a frame that a window may read in vain."""


@dataclass(frozen=True, slots=True, eq=False)
class CropTable:
    """Frames that are cut out of larger bit streams when they are asked for.

    Parameters
    ----------
    blocks
        What bytes make each block; blocks in the order of :class:`Crop`.
    crop
        How frames lie in the blocks.
    """

    blocks: FrameTable
    crop: Crop

    def __post_init__(self) -> None:
        if len(self.blocks) != self.crop.blocks_across * self.crop.blocks_down:
            raise GatewayError("A crop has another number of blocks than its grid needs.")

    def __len__(self) -> int:
        return self.crop.grid.count

    @property
    def stored_bytes(self) -> int:
        """Bytes of all blocks together; cut, the frames have nearly as many."""
        return self.blocks.stored_bytes

    def encode(self) -> bytes:
        """Return the stored form; :meth:`FrameTable.decode` reads it."""
        return self.blocks.encode(self.crop)
