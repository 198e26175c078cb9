"""Part 10 streams (PS3.10 7) out of a header and frames: the one writer.

Conversion, retrieval of linked instances and materialising all write through :class:`Part10`,
so their bytes are the same. Pixels are never decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import dcmread, read_partial
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

from gateway.core.errors import Unavailable
from gateway.core.frames import FrameTable, Int64s
from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN, derive_uid
from gateway.core.storage import Buffer

IMPLEMENTATION_CLASS_UID = derive_uid("slidegate", "implementation class")
IMPLEMENTATION_VERSION_NAME = "SLIDEGATE_1"
"""Both are constant over releases: equal input gives equal bytes."""

_PER_FRAME = 0x52009230
_WINDOW = 1 << 20
"""Bytes of the source that are read at once."""

_FAR = 1 << 27
"""Bytes of a window above which its pieces are read one by one."""

_PIXEL_DATA = b"\xe0\x7f\x10\x00OB\x00\x00"
_NATIVE_PIXEL_DATA = b"\xe0\x7f\x10\x00OW\x00\x00"
"""OW is right for samples of any size (PS3.5 8.1.1, A.2)."""

_EXTENDED_OFFSETS = b"\xe0\x7f\x01\x00OV\x00\x00"
_EXTENDED_LENGTHS = b"\xe0\x7f\x02\x00OV\x00\x00"
_UNDEFINED_LENGTH = b"\xff\xff\xff\xff"
_ITEM = b"\xfe\xff\x00\xe0"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"


def encode_header(dataset: Dataset, transfer_syntax: str) -> bytes:
    """Return preamble, file meta information and data set, without the pixel data.

    Parameters
    ----------
    dataset
        Attributes of the instance; it must not hold Pixel Data.
    transfer_syntax
        UID of the syntax that the frames are stored in.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    dataset.file_meta = meta
    # Somebody else's preamble may be the head of a TIFF, which says where in his stream pixels are.
    dataset.preamble = bytes(128)
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def decode_header(header: bytes) -> Dataset:
    """Return the data set of a header that :func:`encode_header` made."""
    return dcmread(BytesIO(header))


def decode_beginning(header: bytes) -> tuple[Dataset, int]:
    """Return the attributes before those of single frames, and where these begin.

    A data set of hundreds of thousands of items is read in a minute and some gigabytes.
    """
    stream = BytesIO(header)
    dataset = read_partial(stream, lambda tag, _vr, _length: tag >= _PER_FRAME)
    return dataset, stream.tell()


class Part10:
    """One instance as a Part 10 stream, laid out before a byte of it is written.

    Parameters
    ----------
    header
        All bytes before the pixel data.
    frames
        What bytes of a source make each frame.
    transfer_syntax
        UID; Explicit VR Little Endian frames are native, all others encapsulated with one
        fragment a frame (PS3.5 A.4). The Basic Offset Table is filled while every offset is
        below 4 GiB; above, it is empty and the Extended Offset Table says where frames are
        (PS3.3 C.7.6.3.1.8).

    Attributes
    ----------
    size : int
        Bytes of the whole stream.
    frame_table : FrameTable
        Where the frames lie in the stream itself, without padding.
    """

    def __init__(self, header: bytes, frames: FrameTable, transfer_syntax: str) -> None:
        self._source = frames
        self._encapsulated = transfer_syntax != EXPLICIT_VR_LITTLE_ENDIAN
        lengths = self._lengths = frames.frame_lengths
        if self._encapsulated:
            self._padded = lengths + (lengths & 1)
            starts = np.cumsum(self._padded + len(_ITEM) + 4) - (self._padded + len(_ITEM) + 4)
            self._head = header + _encapsulated_head(starts, lengths)
            self._tail = _SEQUENCE_END
            first = len(self._head) + len(_ITEM) + 4
        else:
            self._padded = lengths
            starts = np.cumsum(lengths) - lengths
            total = int(lengths.sum())
            self._head = header + _NATIVE_PIXEL_DATA + (total + total % 2).to_bytes(4, "little")
            self._tail = b"\x00" * (total % 2)
            first = len(self._head)
        self.frame_table = FrameTable(b"", starts + first, lengths)
        last = int(self.frame_table.offsets[-1] + self._padded[-1])
        self.size = last + len(self._tail)

    def chunks(
        self, read: Callable[[int, int], Buffer], window: int = _WINDOW, start: int = 0
    ) -> Iterator[list[Buffer]]:
        """Yield the stream as lists of buffers.

        Parameters
        ----------
        read
            Returns the bytes of the source at ``(offset, length)``. What it returned last is
            not used any more when the next list is asked for.
        window
            Bytes of the source that are read at once, and so about the bytes of a list.
        start
            The byte of the stream with which they begin; what lies before is not read.

        Raises
        ------
        Unavailable
            Before the end, if the source gave less than the frame table says.
        """
        item = len(_ITEM) + 4 if self._encapsulated else 0
        items = self.frame_table.offsets - item
        first = max(0, int(np.searchsorted(items, start, side="right")) - 1)
        begin = int(items[first])
        if start < len(self._head):
            yield [self._head[start:]]
        for frames, reach in self._source.windows(window, first):
            if reach.length > _FAR:  # a frame whose pieces are spread over the file
                buffers = self._pieced(frames, lambda *place: bytes(read(*place)))
            else:
                view = memoryview(read(reach.offset, reach.length) if reach.length else b"")
                buffers = self._window(frames, reach.offset, view)
            size = sum(map(len, buffers))
            if size != int(self._padded[frames].sum()) + item * (frames.stop - frames.start):
                raise Unavailable("The frames are not as long as their table says.")
            yield buffers if begin >= start else [b"".join(buffers)[start - begin :]]
            begin += size
        yield [self._tail[max(0, start - begin) :]]

    def _window(self, frames: slice, begin: int, view: memoryview) -> list[Buffer]:
        source = self._source
        if source.pieces > 1 or source.joints or source.literals:
            return self._pieced(frames, lambda at, count: view[at - begin : at - begin + count])
        prefix = source.prefix
        starts = (source.offsets[frames] - begin).ravel().tolist()
        lengths = source.lengths[frames].ravel().tolist()
        if not self._encapsulated:
            pieces = zip(starts, lengths, strict=True)
            return [part for start, length in pieces for part in (prefix, view[start:][:length])]
        buffers: list[Buffer] = []
        padding = b""
        padded = self._padded[frames].tolist()
        for start, length, even in zip(starts, lengths, padded, strict=True):
            buffers.append(padding + _ITEM + even.to_bytes(4, "little") + prefix)
            buffers.append(view[start : start + length])
            padding = b"\x00" if even != length + len(prefix) else b""
        buffers.append(padding)
        return buffers

    def _pieced(self, frames: slice, piece: Callable[[int, int], Buffer]) -> list[Buffer]:
        """Return frames of several pieces, as :meth:`_window` does those of one."""
        offsets, lengths = (side[frames].tolist() for side in self._source.ranges)
        literals, joints = memoryview(self._source.literals), self._source.joints
        buffers: list[Buffer] = []
        sizes = zip(self._padded[frames].tolist(), self._lengths[frames].tolist(), strict=True)
        for places, counts, (even, size) in zip(offsets, lengths, sizes, strict=True):
            if self._encapsulated:
                buffers.append(_ITEM + even.to_bytes(4, "little"))
            buffers.append(self._source.prefix)
            for index, (place, count) in enumerate(zip(places, counts, strict=True)):
                if count and place >= 0:
                    buffers.append(piece(place, count))
                elif count:
                    buffers.append(literals[-1 - place :][:count])
                if joints:
                    buffers.append(joints[index])
            buffers.append(bytes(even - size))
        return buffers


def _encapsulated_head(starts: Int64s, lengths: Int64s) -> bytes:
    """Offset tables and the start of Pixel Data; offsets count from the first frame's item."""
    pixel_data = _PIXEL_DATA + _UNDEFINED_LENGTH + _ITEM
    if int(starts[-1]) < 1 << 32:
        basic = starts.astype("<u4").tobytes()
        return pixel_data + len(basic).to_bytes(4, "little") + basic
    extended = b"".join(
        tag + (8 * len(values)).to_bytes(4, "little") + values.astype("<u8").tobytes()
        for tag, values in ((_EXTENDED_OFFSETS, starts), (_EXTENDED_LENGTHS, lengths))
    )
    return extended + pixel_data + bytes(4)
