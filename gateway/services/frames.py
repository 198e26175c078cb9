"""Frames of one instance, kept open: what a viewer asks for a hundred times a second."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from gateway.core.frames import Entry, FrameTableHead
from gateway.core.instances import Instance
from gateway.core.storage import Blob, BlobStore
from gateway.dicom.streams.crops import Cut, RecentCuts
from gateway.services.links import Links

_RUN, _GAP = 1 << 18, 4096
"""Bytes that one read may get of several frames, and bytes between two of them."""


@dataclass(frozen=True, slots=True)
class Frames:
    """Several frames, one after the other.

    Parameters
    ----------
    sizes
        Bytes of each.
    bitstreams
        The frames as stored, without padding.
    """

    sizes: list[int]
    bitstreams: Iterator[bytes]


class FrameReader:
    """An instance whose frame table and frames are open; any thread may read.

    The files are closed when nobody has the reader any more.

    Parameters
    ----------
    cuts
        Remembers what was cut.

    Raises
    ------
    NotFound
        If the instance has no frames.
    Unavailable
        If its bytes cannot be read now.
    """

    def __init__(
        self, instance: Instance, store: BlobStore, links: Links, cut: Cut, cuts: RecentCuts
    ) -> None:
        self.instance = instance
        self._store = store
        self._cut = cut
        self._cuts = cuts
        self._table = store.open(instance.pixels)
        fixed = self._table.read(0, FrameTableHead.FIXED.size)
        self._head = FrameTableHead.decode(self._table.read(0, FrameTableHead.size_from(fixed)))
        self._blob = links.open(instance.frames)

    def frame(self, frame_number: int) -> bytes:
        """Return one frame; see :meth:`gateway.services.retrieve.Retrieve.frame`."""
        return self._bitstream(self._head.place(frame_number))

    def frames(self, frame_numbers: Sequence[int]) -> Frames:
        """Return frames in that order; see :meth:`gateway.services.retrieve.Retrieve.frames`."""
        places = [self._head.place(number) for number in frame_numbers]
        if self._head.crop:
            return self._all_cut(places)
        head, table = self._head, self._table
        entries = head.entries([number for number, _ in places], table.read)
        sizes = [head.length(entry) for entry in entries]
        return Frames(sizes, started(self._in_turn(entries)))

    def _in_turn(self, entries: Sequence[Entry]) -> Iterator[bytes]:
        """Yield bit streams; those that lie side by side are read at once."""
        head, table, blob = self._head, self._table, self._blob
        for run in _runs(entries) if head.plain else ([entry] for entry in entries):
            if len(run) == 1:
                yield head.bitstream(run[0], table.read, blob.read)
                continue
            begin = run[0][0][0]
            stop = sum(run[-1][0])
            view = memoryview(blob.read(begin, stop - begin))
            for ((offset, length),) in run:
                yield b"".join((head.prefix, view[offset - begin : offset - begin + length]))

    def _bitstream(self, place: tuple[int, int]) -> bytes:
        number, inside = place
        head, table, blob = self._head, self._table, self._blob
        if (crop := head.crop) is None:
            return head.bitstream(head.entry(number, table.read), table.read, blob.read)

        def cut() -> list[bytes]:
            block = head.bitstream(head.entry(number, table.read), table.read, blob.read)
            return self._cut(block, crop)

        return self._cuts.tiles((self.instance.pixels, number), cut)[inside]

    def _all_cut(self, places: Sequence[tuple[int, int]]) -> Frames:
        """Cut all before the first leaves: an answer of known length cannot end early unnoticed."""
        sizes: list[int] = []
        with ExitStack() as stack:
            scratch = stack.enter_context(self._store.scratch())
            for place in places:
                frame = self._bitstream(place)
                scratch.append(frame)
                sizes.append(len(frame))
            held = stack.pop_all()
        return Frames(sizes, started(_scratched(held, scratch, sizes)))


def _runs(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Yield entries of one piece in their order, together what one read gets."""
    run: list[Entry] = []
    begin = end = 0
    for entry in entries:
        ((offset, length),) = entry
        beside = begin >= 0 and end <= offset <= end + _GAP and offset + length - begin <= _RUN
        if run and not beside:
            yield run
            run = []
        if not run:
            begin = offset
        run.append(entry)
        end = offset + length
    if run:
        yield run


def _scratched(held: ExitStack, blob: Blob, sizes: Sequence[int]) -> Iterator[bytes]:
    with held:
        place = 0
        for size in sizes:
            yield blob.read(place, size)
            place += size


def started(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Take the first piece now, so that what goes wrong at the start is raised here."""
    first = next(pieces, None)

    def rest() -> Iterator[bytes]:
        if first is not None:
            yield first
            yield from pieces

    return rest()
