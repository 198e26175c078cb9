"""The way out: frames, headers, bulk data and whole instances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from gateway.core.errors import NotFound
from gateway.core.frames import FrameTable, FrameTableHead
from gateway.core.instances import Instance, InstanceKey
from gateway.core.ports import Blob, BlobStore, Index
from gateway.dicom.json_model import element_at
from gateway.dicom.part10 import Part10, decode_header
from gateway.services.links import Links

_REMEMBERED = 4096


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
        Bytes of each.
    bitstreams
        The frames as stored, without padding.
    """

    sizes: list[int]
    bitstreams: Iterator[bytes]


class Retrieve:
    """Gives out instances by their UIDs.

    Rows and frame table heads are remembered, because they never change while the epoch of the
    index stays the same; all else is read when asked for.
    """

    def __init__(self, index: Index, store: BlobStore, links: Links) -> None:
        self._index = index
        self._store = store
        self._links = links
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
        with self._store.open(instance.frame_table) as table:
            head = self._head(instance.frame_table, table)
            offset, length = _entry(head, table, frame_number)
        with self._links.open(instance.frames) as blob:
            return head.prefix + blob.read(offset, length)

    def frames(self, instance: Instance, frame_numbers: Sequence[int]) -> Frames:
        """Return frames in the order asked for, as :meth:`frame`, one after the other.

        All that can be refused is refused before this returns.
        """
        with self._store.open(instance.frame_table) as table:
            head = self._head(instance.frame_table, table)
            entries = [_entry(head, table, number) for number in frame_numbers]
        sizes = [len(head.prefix) + length for _, length in entries]
        return Frames(sizes, _started(self._frames(instance, head.prefix, entries)))

    def _frames(
        self, instance: Instance, prefix: bytes, entries: Sequence[tuple[int, int]]
    ) -> Iterator[bytes]:
        with self._links.open(instance.frames) as blob:
            for offset, length in entries:
                yield prefix + blob.read(offset, length)

    def _head(self, name: str, table: Blob) -> FrameTableHead:
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
        """Return an instance as a Part 10 file; linked ones stream without being written."""
        table = FrameTable.decode(self._store.get(instance.frame_table))
        layout = Part10(self._store.get(instance.header), table, instance.transfer_syntax)
        return Part10Stream(layout.size, _started(self._pieces(instance, layout)))

    def _pieces(self, instance: Instance, layout: Part10) -> Iterator[bytes]:
        with self._links.open(instance.frames) as blob:
            for buffers in layout.chunks(blob.view):
                yield b"".join(buffers)

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


def _entry(head: FrameTableHead, table: Blob, frame_number: int) -> tuple[int, int]:
    entry = table.read(head.entry_offset(frame_number), FrameTableHead.ENTRY.size)
    offset, length = FrameTableHead.ENTRY.unpack(entry)
    return offset, length


def _started(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Take the first piece now, so that what goes wrong at the start is raised here."""
    first = next(pieces, None)

    def rest() -> Iterator[bytes]:
        if first is not None:
            yield first
            yield from pieces

    return rest()
