"""Fragments of encapsulated pixel data (PS3.5 A.4), and the frames that they make.

The fragments themselves are what is believed: they are walked from the first to the last. An
offset table is only asked which fragments make a frame, where that is not plain, and is compared
with the fragments.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.core.errors import InvalidDataset
from gateway.core.frames import FrameTable, Int64s
from gateway.dicom.streams.elements import ITEM, SEQUENCE_END, Window, item_head, truncated

MOST_FRAGMENTS = 1 << 22
"""Fragments of one instance: four million."""

_MOST_PIECES = (1 << 16) - 1
_FIRST_BYTES = (b"\xff\xd8", b"\xff\x4f")
"""What JPEG, JPEG-LS and JPEG 2000 bit streams begin with."""

_PADDED_END = b"\xff\xd9\x00"
"""How they end when a byte was added to make their length even."""


@dataclass(frozen=True, slots=True, eq=False)
class Fragments:
    """What lies in encapsulated pixel data.

    Parameters
    ----------
    basic
        Value of the Basic Offset Table; None if it is longer than any table would be.
    offsets, lengths
        int64, shape (fragments,): where each fragment's bytes lie, from the start of the stream.
    opens, padded
        bool, shape (fragments,): whether it begins as a bit stream does, and ends with one and a
        byte of padding.
    stop
        Where the pixel data end.
    """

    basic: bytes | None
    offsets: Int64s
    lengths: Int64s
    opens: NDArray[np.bool_]
    padded: NDArray[np.bool_]
    stop: int


@dataclass(frozen=True, slots=True)
class ExtendedTable:
    """Values of Extended Offset Table and Extended Offset Table Lengths (PS3.3 C.7.6.3.1.8)."""

    offsets: bytes
    lengths: bytes


def find_fragments(window: Window, place: int, *, marked: bool) -> Fragments:
    """Walk the items from the Basic Offset Table to the sequence's end.

    Parameters
    ----------
    place
        Where the value of Pixel Data starts.
    marked
        Whether bit streams begin and end with markers, as those of JPEG do; else nothing tells
        their padding from them.

    Raises
    ------
    InvalidDataset
        If something is no fragment, the stream ends before, or there are too many.
    """
    tag, length = item_head(window.at(place, 8))
    if tag != ITEM or place + 8 + length > window.size:
        raise InvalidDataset("The encapsulated pixel data do not begin with an offset table.")
    basic = window.at(place + 8, length) if length <= 4 * MOST_FRAGMENTS else None
    place += 8 + length
    offsets, lengths, opens, padded = array("q"), array("q"), bytearray(), bytearray()
    while True:
        tag, length = item_head(window.at(place, 8))
        place += 8
        if tag == SEQUENCE_END:
            break
        if tag != ITEM:
            raise InvalidDataset("The pixel data contain something that is no fragment.")
        if place + length > window.size:
            raise truncated()
        if len(offsets) == MOST_FRAGMENTS:
            raise InvalidDataset(f"The pixel data have more than {MOST_FRAGMENTS} fragments.")
        offsets.append(place)
        lengths.append(length)
        opens.append(marked and length > 2 and window.at(place, 2) in _FIRST_BYTES)
        place += length
        padded.append(marked and length > 2 and window.at(place - 3, 3) == _PADDED_END)
    return Fragments(
        basic,
        np.frombuffer(offsets, np.int64),
        np.frombuffer(lengths, np.int64),
        np.frombuffer(opens, np.bool_),
        np.frombuffer(padded, np.bool_),
        place,
    )


def frames_of(
    fragments: Fragments, number_of_frames: int, extended: ExtendedTable | None
) -> tuple[FrameTable, bool]:
    """Return where the frames lie, without padding, and whether an offset table is wrong.

    Raises
    ------
    InvalidDataset
        If the fragments do not make that many frames, or a frame is empty.
    """
    starts = fragments.offsets - 8
    starts -= starts[0] if len(starts) else 0
    basic = _table(fragments.basic, "<u4", number_of_frames)
    offsets = _table(extended.offsets if extended else b"", "<u8", number_of_frames)
    firsts = _first_fragments(fragments, number_of_frames, starts, (basic, offsets))
    ends = np.append(firsts[1:], len(starts)) - 1
    # The padding of a frame is in its last fragment.
    lengths = fragments.lengths.copy()
    lengths[ends] -= fragments.padded[ends]
    wrong = _is_wrong(fragments.basic, basic, starts[firsts]) or (
        extended is not None and _is_wrong(extended.offsets, offsets, starts[firsts])
    )
    if extended is not None and len(firsts) == len(starts):
        stated = _table(extended.lengths, "<u8", number_of_frames)
        if stated is None or not np.isin(fragments.lengths - stated, (0, 1)).all():
            wrong = True
        else:
            lengths = np.minimum(lengths, stated)
    if np.add.reduceat(lengths, firsts).min() <= 0:
        raise InvalidDataset("A frame of the pixel data is empty.")
    return _frame_table(fragments.offsets, lengths, firsts), wrong


def _table(value: bytes | None, item: str, number_of_frames: int) -> Int64s | None:
    """Return the entries of an offset table; None if it has not one for each frame."""
    if value is None or len(value) != np.dtype(item).itemsize * number_of_frames:
        return None
    return np.frombuffer(value, item).astype(np.int64)


def _is_wrong(value: bytes | None, entries: Int64s | None, starts: Int64s) -> bool:
    if value == b"":
        return False
    return entries is None or not np.array_equal(entries, starts)


def _first_fragments(
    fragments: Fragments,
    number_of_frames: int,
    starts: Int64s,
    tables: tuple[Int64s | None, ...],
) -> Int64s:
    """Return the first fragment, counted from 0, of each frame."""
    count = len(starts)
    if count == number_of_frames:
        return np.arange(count)
    if count < number_of_frames:
        raise InvalidDataset(
            f"The pixel data have {count} fragments and Number of Frames says {number_of_frames}: "
            "frames are missing."
        )
    if number_of_frames == 1:
        return np.zeros(1, np.int64)
    for entries in tables:
        if entries is not None and entries[0] == 0 and (np.diff(entries) > 0).all():
            found = np.searchsorted(starts, entries)
            if found[-1] < count and np.array_equal(starts[found], entries):
                return found
    found = np.flatnonzero(fragments.opens)
    if len(found) == number_of_frames and found[0] == 0:
        return found
    raise InvalidDataset(
        f"The pixel data have {count} fragments for {number_of_frames} frames, and no offset table "
        "that is right says which make a frame."
    )


def _frame_table(offsets: Int64s, lengths: Int64s, firsts: Int64s) -> FrameTable:
    if len(firsts) == len(offsets):
        return FrameTable(b"", offsets, lengths)
    counts = np.diff(np.append(firsts, len(offsets)))
    pieces = int(counts.max())
    if pieces > _MOST_PIECES or pieces * len(firsts) > 2 * MOST_FRAGMENTS:
        raise InvalidDataset(f"A frame of the pixel data consists of {pieces} fragments.")
    shape = (len(firsts), pieces)
    within = np.arange(pieces) < counts[:, None]
    piece_offsets, piece_lengths = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    piece_offsets[within], piece_lengths[within] = offsets, lengths
    return FrameTable(b"", piece_offsets, piece_lengths)
