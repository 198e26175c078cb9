"""The way out: frames, headers, bulk data and whole instances."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from gateway.core.errors import NotFound, Unavailable
from gateway.core.frames import CropTable, FrameTable
from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN, Instance, InstanceKey
from gateway.core.ports import Index
from gateway.core.storage import Blob, BlobStore
from gateway.dicom.json.elements import Inline
from gateway.dicom.json.walk import binary_at
from gateway.dicom.streams.crops import Cut, RecentCuts, cut_all
from gateway.dicom.streams.native import NativeForm, native_bytes
from gateway.dicom.streams.part10 import Part10, decode_beginning, decode_header
from gateway.services.documents import Document, Documents
from gateway.services.frames import FrameReader, Frames
from gateway.services.links import Links
from gateway.services.streams import WINDOW, Part10Stream, decoding, joined, whole

_REMEMBERED = 4096
_OPEN = 128
"""Instances whose frames are kept open: two files each."""


@dataclass(frozen=True, slots=True)
class BulkData:
    """The value of a binary element, where it lies.

    Parameters
    ----------
    size
        Its bytes.
    pieces
        Begins to yield those from one place up to another, about a megabyte each.
    """

    size: int
    pieces: Callable[[int, int], Iterator[bytes]]


class Retrieve:
    """Gives out instances by their UIDs.

    Rows are remembered and files of frames kept open while the epoch of the index stays the same;
    every request compares it. All else is read when asked for.
    """

    def __init__(self, index: Index, store: BlobStore, links: Links, cut: Cut) -> None:
        self._index = index
        self._store = store
        self._links = links
        self._cut = cut
        self._documents = Documents(store)
        self._cuts = RecentCuts()
        self._epoch: int | None = None
        self._instances: dict[InstanceKey, Instance] = {}
        self._readers: dict[InstanceKey, FrameReader] = {}

    def instance(self, key: InstanceKey) -> Instance:
        """Return what is known of an instance.

        Raises
        ------
        NotFound
            If there is none.
        """
        epoch = self._index.epoch()
        if epoch != self._epoch or len(self._instances) > _REMEMBERED:
            self._instances, self._readers = {}, {}
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
        if (held := self._held(instance)) is not None:
            try:
                return held.frame(frame_number)
            except Unavailable:
                pass  # opened anew, it is there again, or what is wrong is told
        return self._opened(instance).frame(frame_number)

    def frames(self, instance: Instance, frame_numbers: Sequence[int]) -> Frames:
        """Return frames in the order asked for, as :meth:`frame`, one after the other.

        All that can be refused is refused before this returns.
        """
        if (held := self._held(instance)) is not None:
            try:
                return held.frames(frame_numbers)
            except Unavailable:
                pass  # as above
        return self._opened(instance).frames(frame_numbers)

    def _held(self, instance: Instance) -> FrameReader | None:
        held = self._readers.get(instance.key)
        return held if held is not None and held.instance is instance else None

    def _opened(self, instance: Instance) -> FrameReader:
        opened = FrameReader(instance, self._store, self._links, self._cut, self._cuts)
        if len(self._readers) >= _OPEN:
            self._readers = {}
        self._readers[instance.key] = opened
        return opened

    def header(self, instance: Instance) -> Dataset:
        """Return all attributes of an instance but its pixel data."""
        return decode_header(self._store.get(instance.header))

    def samples(self, instance: Instance) -> Dataset:
        """Return the attributes that all frames share, of any number of them at once."""
        return decode_beginning(self._store.get(instance.header))[0]

    def part10(self, instance: Instance) -> Part10Stream:
        """Return an instance as a Part 10 file; linked ones stream without being written.

        Frames that have to be cut are cut first, because a file begins with where they lie.
        """
        if instance.verbatim or instance.frame_table is None:
            # Without pixel data, the header is all there is.
            return whole(
                self._links.open(instance.frames if instance.verbatim else instance.header)
            )
        table = FrameTable.decode(self._store.get(instance.pixels))
        blob: Blob = self._links.open(instance.frames)
        if isinstance(table, CropTable):
            scratch = self._store.scratch()
            table = cut_all(table, blob.read, self._cut, scratch)
            blob = scratch
        layout = Part10(self._store.get(instance.header), table, instance.transfer_syntax)
        return joined(layout, blob.view)

    def native_part10(self, instance: Instance, most_bytes: int) -> Part10Stream | None:
        """Return an image as a Part 10 file in Explicit VR Little Endian.

        Its frames are decoded one by one while it is taken; its UIDs are the same.

        Parameters
        ----------
        most_bytes
            Bytes of pixel data up to which that is done; None is returned above, and for samples
        that are not of one or two bytes.
        """
        if instance.transfer_syntax == EXPLICIT_VR_LITTLE_ENDIAN or instance.frame_table is None:
            return self.part10(instance)
        samples = self.samples(instance)
        size = native_bytes(samples, instance.number_of_frames)
        if size > most_bytes or samples.BitsAllocated not in (8, 16):
            return None
        form = NativeForm.of(
            self.header(instance), instance.number_of_frames, instance.transfer_syntax
        )
        reader = FrameReader(instance, self._store, self._links, self._cut, self._cuts)
        return decoding(form, reader.frame)

    def document(self, instance: Instance, inline: Inline | None = None) -> Document:
        """Return all attributes of an instance but its pixel data, in the DICOM JSON Model.

        Parameters
        ----------
        inline
            Which binary values are inline; None for what is ready.
        """
        if inline is None:
            return self._documents.stored(instance)
        return self._documents.made(instance, inline)

    def bulk_data(self, instance: Instance, path: str) -> BulkData:
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
        with self._store.open(instance.header) as blob:
            found = binary_at(blob.mapped(), path)
        if found is None:
            raise NotFound("The instance has no bulk data of that path.")
        offset, size = found

        def pieces(start: int, stop: int) -> Iterator[bytes]:
            with self._store.open(instance.header) as blob:
                for place in range(offset + start, offset + stop, WINDOW):
                    yield blob.read(place, min(WINDOW, offset + stop - place))

        return BulkData(size, pieces)
