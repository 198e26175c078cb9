"""The way out: frames, headers, bulk data and whole instances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from pydicom.dataset import Dataset

from gateway.core.errors import NotFound
from gateway.core.frames import CropTable, FrameTable, FrameTableHead
from gateway.core.instances import Instance, InstanceKey
from gateway.core.ports import Index
from gateway.core.storage import Blob, BlobStore
from gateway.dicom.crops import Cut, RecentCuts, cut_all
from gateway.dicom.json_model import element_at
from gateway.dicom.part10 import Part10, decode_header
from gateway.services.links import Links

_REMEMBERED = 4096
_WINDOW = 1 << 20


@dataclass(frozen=True, slots=True)
class Part10Stream:
    """A Part 10 file that comes in pieces.

    Parameters
    ----------
    size
        Bytes of the whole.
    pieces
        Its bytes, about a megabyte each.
    """

    size: int
    pieces: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Frames:
    """Several frames, one after the other.

    Parameters
    ----------
    sizes
        Bytes of each; None if that is not known before they are cut.
    bitstreams
        The frames as stored, without padding.
    """

    sizes: list[int] | None
    bitstreams: Iterator[bytes]


class Retrieve:
    """Gives out instances by their UIDs.

    Rows and frame table heads are remembered, because they never change while the epoch of the
    index stays the same; all else is read when asked for.
    """

    def __init__(self, index: Index, store: BlobStore, links: Links, cut: Cut) -> None:
        self._index = index
        self._store = store
        self._links = links
        self._cut = cut
        self._cuts = RecentCuts()
        self._epoch: int | None = None
        self._instances: dict[InstanceKey, Instance] = {}
        self._heads: dict[str, FrameTableHead] = {}

    def instance(self, key: InstanceKey) -> Instance:
        """Return what is known of an instance.

        Raises
        ------
        NotFound
            If there is none.
        """
        epoch = self._index.epoch()
        if epoch != self._epoch or len(self._instances) > _REMEMBERED:
            self._instances = {}
            self._epoch = epoch
        known = self._instances
        if (instance := known.get(key)) is None:
            instance = known[key] = self._index.instance(key)
        return instance

    def instances(
        self, study: str, series: str | None = None, instance: str | None = None
    ) -> list[Instance]:
        """Return the instances of a study, series or instance.

        Raises
        ------
        NotFound
            If there is none.
        """
        return self._index.instances(study, series, instance)

    def frame(self, instance: Instance, frame_number: int) -> bytes:
        """Return the stored bytes of one frame, without padding.

        Parameters
        ----------
        frame_number
            Counted from 1.

        Raises
        ------
        FrameNotFound
            If there is no such frame.
        Unavailable
            If its bytes cannot be read now.
        """
        with self._store.open(instance.pixels) as table:
            head = self._head(instance, table)
            place = head.place(frame_number)
            with self._links.open(instance.frames) as blob:
                return self._bitstream(instance, head, place, table, blob)

    def frames(self, instance: Instance, frame_numbers: Sequence[int]) -> Frames:
        """Return frames in the order asked for, as :meth:`frame`, one after the other.

        All that can be refused is refused before this returns.
        """
        with self._store.open(instance.pixels) as table:
            head = self._head(instance, table)
            places = [head.place(number) for number in frame_numbers]
            sizes = None if head.crop else [head.length(number, table.read) for number, _ in places]
        return Frames(sizes, _started(self._frames(instance, head, places)))

    def _frames(
        self, instance: Instance, head: FrameTableHead, places: Sequence[tuple[int, int]]
    ) -> Iterator[bytes]:
        with (
            self._store.open(instance.pixels) as table,
            self._links.open(instance.frames) as blob,
        ):
            for place in places:
                yield self._bitstream(instance, head, place, table, blob)

    def _bitstream(
        self,
        instance: Instance,
        head: FrameTableHead,
        place: tuple[int, int],
        table: Blob,
        blob: Blob,
    ) -> bytes:
        number, inside = place
        if (crop := head.crop) is None:
            return head.bitstream(number, table.read, blob.read)

        def cut() -> list[bytes]:
            return self._cut(head.bitstream(number, table.read, blob.read), crop)

        return self._cuts.tiles((instance.pixels, number), cut)[inside]

    def _head(self, instance: Instance, table: Blob) -> FrameTableHead:
        name = instance.pixels
        if (head := self._heads.get(name)) is None:
            fixed = table.read(0, FrameTableHead.FIXED.size)
            head = FrameTableHead.decode(table.read(0, FrameTableHead.size_from(fixed)))
            if len(self._heads) > _REMEMBERED:
                self._heads = {}
            self._heads[name] = head
        return head

    def header(self, instance: Instance) -> Dataset:
        """Return all attributes of an instance but its pixel data."""
        return decode_header(self._store.get(instance.header))

    def part10(self, instance: Instance) -> Part10Stream:
        """Return an instance as a Part 10 file; linked ones stream without being written.

        Frames that have to be cut are cut first, because a file begins with where they lie.
        """
        if instance.verbatim or instance.frame_table is None:
            # Without pixel data, the header is all there is.
            whole = self._links.open(instance.frames if instance.verbatim else instance.header)
            return Part10Stream(whole.size, _started(_whole(whole)))
        table = FrameTable.decode(self._store.get(instance.pixels))
        with ExitStack() as stack:
            blob: Blob = stack.enter_context(self._links.open(instance.frames))
            if isinstance(table, CropTable):
                scratch = stack.enter_context(self._store.scratch())
                table = cut_all(table, blob.read, self._cut, scratch)
                blob = scratch
            layout = Part10(self._store.get(instance.header), table, instance.transfer_syntax)
            held = stack.pop_all()
        return Part10Stream(layout.size, _started(_pieces(held, layout, blob)))

    def bulk_data(self, instance: Instance, path: str) -> bytes:
        """Return the value of one binary element of an instance.

        Parameters
        ----------
        path
            Tags and item numbers from 0, as in ``00480105/0/00282000``.

        Raises
        ------
        NotFound
            If the instance has no such binary element.
        """
        value = element_at(self.header(instance), path)
        if value is None:
            raise NotFound("The instance has no bulk data of that path.")
        return value


def _pieces(held: ExitStack, layout: Part10, blob: Blob) -> Iterator[bytes]:
    with held:
        for buffers in layout.chunks(blob.view):
            yield b"".join(buffers)


def _whole(blob: Blob) -> Iterator[bytes]:
    with blob:
        size = blob.size
        for offset in range(0, size, _WINDOW):
            yield blob.read(offset, min(_WINDOW, size - offset))


def _started(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Take the first piece now, so that what goes wrong at the start is raised here."""
    first = next(pieces, None)

    def rest() -> Iterator[bytes]:
        if first is not None:
            yield first
            yield from pieces

    return rest()
