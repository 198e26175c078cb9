"""Part 10 streams (PS3.10 7) read: their header, and where their frames lie.

Pixels are never decoded and never read as a whole. Whatever the bytes are, what is raised is
one of our errors, within bounded time and memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from pydicom.charset import python_encoding
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
)

from gateway.core.errors import InvalidDataset, UnsupportedTransferSyntax
from gateway.core.frames import FrameTable
from gateway.core.storage import Buffer
from gateway.dicom.streams.elements import UNDEFINED, Element, ElementWalk, Window, truncated
from gateway.dicom.streams.fragments import (
    MOST_FRAGMENTS,
    ExtendedTable,
    find_fragments,
    frames_of,
)

MOST_HEADER_BYTES = 256 << 20
"""A header is held in memory; one of half a million frames with a position each has 150 MB."""

_PREAMBLE = 132
_PIECE = 1 << 20
_LONG_SEQUENCE = 1 << 16
_WIDTH, _ITEM_WIDTH = 1 << 16, 1 << 12
"""Bytes read at once: of the header, and around the heads of fragments."""

_TRANSFER_SYNTAX, _CHARACTER_SET = 0x00020010, 0x00080005
_OFFSETS, _LENGTHS = 0x7FE00001, 0x7FE00002
_PIXEL_DATA = (0x7FE00008, 0x7FE00009, 0x7FE00010)
"""Pixel Data as float, as double float, and as integers."""

_NATIVE = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian})
_MARKED = frozenset(JPEGTransferSyntaxes + JPEGLSTransferSyntaxes + JPEG2000TransferSyntaxes)
_UNREADABLE = frozenset(
    {
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        "1.2.840.10008.1.2.4.95",  # JPIP Referenced Deflate
        "1.2.840.10008.1.2.4.205",  # JPIP HTJ2K Referenced Deflate
    }
)


@dataclass(frozen=True, slots=True)
class ReadPart10:
    """What a Part 10 stream holds.

    Parameters
    ----------
    header
        All bytes before the pixel data and its extended offset tables; the whole stream where
        there are no pixel data.
    dataset
        The header decoded, with ``file_meta``.
    transfer_syntax
        UID of the syntax of data set and frames.
    frames
        Where the frames lie in the stream, without padding; None without pixel data, and if frames
        are not whole bytes.
    wrong_offsets
        Whether an offset table of the stream says something else than the fragments do:
        ``frames`` are right, but other readers may not find them.
    rewritable
        Whether header and frames make the object again. They do not where frames are not whole
        bytes, as of binary segmentations, and where samples are floating point.
    """

    header: bytes
    dataset: Dataset
    transfer_syntax: str
    frames: FrameTable | None
    wrong_offsets: bool = False
    rewritable: bool = True


def read_part10(read: Callable[[int, int], Buffer], size: int) -> ReadPart10:
    """Read the header of a stream and find its frames.

    Parameters
    ----------
    read
        Returns the bytes at ``(offset, length)``; they are not used any more when it is called
        again.
    size
        Bytes of the whole stream.

    Raises
    ------
    InvalidDataset
        If the stream is no Part 10 stream, damaged, cut off or contradicts itself.
    UnsupportedTransferSyntax
        If it is big endian, deflated, or of an unknown syntax.
    """
    window = Window(read, size, _WIDTH)
    transfer_syntax, start = file_meta(window)
    walk = ElementWalk(window, size, implicit=transfer_syntax == ImplicitVRLittleEndian)
    tags: set[int] = set()
    group: list[Element] = []
    found: list[Element] = []
    for element in walk.elements(start):
        if element.tag >> 16 == 0x7FE0:
            group.append(element)
            if element.tag in _PIXEL_DATA:
                break
        elif group:
            break
        else:
            _check_header_element(window, element, tags)
            found.append(element)
    if group and group[-1].tag not in _PIXEL_DATA:
        raise InvalidDataset("The stream has an offset table and no pixel data.")
    end = group[0].start if group else size
    if end > MOST_HEADER_BYTES:
        raise InvalidDataset(f"The header is larger than {MOST_HEADER_BYTES >> 20} MiB.")
    header = b"".join(bytes(read(at, min(_PIECE, end - at))) for at in range(0, end, _PIECE))
    dataset = _decoded(header, found)
    if not group:
        return ReadPart10(header, dataset, transfer_syntax, None)
    frames, wrong_offsets, stop = _frames(window, dataset, transfer_syntax, group)
    _check_tail(walk, stop)
    rewritable = frames is not None and group[-1].tag == _PIXEL_DATA[-1]
    return ReadPart10(header, dataset, transfer_syntax, frames, wrong_offsets, rewritable)


def file_meta(window: Window) -> tuple[str, int]:
    """Return the transfer syntax of a stream, and where its data set starts.

    Raises
    ------
    InvalidDataset
        If the stream is no Part 10 stream.
    UnsupportedTransferSyntax
        If it is big endian, deflated, or of an unknown syntax.
    """
    if window.size < _PREAMBLE or window.at(128, 4) != b"DICM":
        raise InvalidDataset(
            "This is no DICOM file: the letters DICM are not at their place (PS3.10 7.1)."
        )
    walk = ElementWalk(window, window.size, implicit=False)
    transfer_syntax, place = "", _PREAMBLE
    while place + 8 <= window.size and window.at(place, 2) == b"\x02\x00":
        element = next(walk.elements(place))
        if element.tag == _TRANSFER_SYNTAX:
            transfer_syntax = _text(window, element).strip("\0 ")
        place = walk.after(element)
    if not transfer_syntax:
        raise InvalidDataset("The file meta information states no transfer syntax (PS3.10 7.1).")
    if UID(transfer_syntax).type != "Transfer Syntax" or transfer_syntax in _UNREADABLE:
        raise UnsupportedTransferSyntax(
            f"Objects in the transfer syntax {_printable(transfer_syntax)} are not taken. Send "
            "them in Explicit VR Little Endian or in a compressed syntax."
        )
    return transfer_syntax, place


def _check_header_element(window: Window, element: Element, tags: set[int]) -> None:
    if element.value > MOST_HEADER_BYTES:
        raise InvalidDataset(f"The header is larger than {MOST_HEADER_BYTES >> 20} MiB.")
    if element.tag in tags:
        raise InvalidDataset(f"The element {element.tag:08X} stands twice in the data set.")
    tags.add(element.tag)
    if element.tag == _CHARACTER_SET:
        for term in _text(window, element).rstrip("\0 ").split("\\"):
            if term.strip() not in python_encoding:
                raise InvalidDataset(
                    f"The Specific Character Set {_printable(term)} is none of the standard's "
                    "(PS3.3 C.12.1.1.2): names could not be read."
                )


def _text(window: Window, element: Element) -> str:
    """Return the value of a short element as text, as much of it as is plausible."""
    return window.at(element.value, min(element.length, 256)).decode("ascii", "replace")


def _printable(text: str) -> str:
    """Return foreign text as it may stand in a message."""
    return repr(text[:64])


def _decoded(header: bytes, elements: list[Element]) -> Dataset:
    """Decode a header; long sequences are not read before they are asked for.

    The library does so itself if a sequence states its length, and builds it at once if not: an
    item for each frame takes some kilobytes.
    """
    long: list[RawDataElement] = []
    kept, place = [], 0
    stops = [*(element.start for element in elements[1:]), len(header)]
    for element, stop in zip(elements, stops, strict=False):
        unstated = element.vr == b"SQ" and element.length == UNDEFINED
        if unstated and stop - element.start > _LONG_SEQUENCE:
            value = header[element.value : stop - 8]  # without its delimiter
            implicit = element.value == element.start + 8
            vr = None if implicit else "SQ"
            tag = BaseTag(element.tag)
            long.append(RawDataElement(tag, vr, len(value), value, 0, implicit, True))
            kept.append(header[place : element.start])
            place = stop
    try:
        dataset = dcmread(BytesIO(b"".join([*kept, header[place:]]) if kept else header))
        for raw in long:
            dataset[raw.tag] = raw
        same = set(dataset.keys()) == {element.tag for element in elements}
    except Exception as error:  # whatever a library stumbles over, the object is not readable
        raise InvalidDataset("The data set of the DICOM object cannot be read.") from error
    if not same:
        raise InvalidDataset("The data set can be read in two ways; its encoding is damaged.")
    return dataset


def _frames(
    window: Window, dataset: Dataset, transfer_syntax: str, group: list[Element]
) -> tuple[FrameTable | None, bool, int]:
    """Return where frames lie, whether offset tables are wrong, and where the pixel data end."""
    pixel_data = group[-1]
    number_of_frames = _positive(dataset, "NumberOfFrames", MOST_FRAGMENTS, absent=1)
    frame_size = _native_frame_size(dataset)
    encapsulated = transfer_syntax not in _NATIVE
    if encapsulated != (pixel_data.length == UNDEFINED):
        raise InvalidDataset(
            f"The pixel data are {'not ' if encapsulated else ''}encapsulated, against the "
            "transfer syntax of the object (PS3.5 A)."
        )
    if encapsulated:
        items = Window(window.read, window.size, _ITEM_WIDTH)
        fragments = find_fragments(items, pixel_data.value, marked=transfer_syntax in _MARKED)
        table, wrong = frames_of(fragments, number_of_frames, _extended_table(window, group))
        return table, wrong, fragments.stop
    stop = pixel_data.value + pixel_data.length
    if stop > window.size:
        raise truncated()
    wanted = -(-number_of_frames * frame_size // 8)
    if pixel_data.length - wanted not in (0, 1):
        raise InvalidDataset(
            f"The pixel data have {pixel_data.length} bytes; by number and size of the frames they "
            f"have {wanted}."
        )
    size, left = divmod(frame_size, 8)
    if left:
        return None, False, stop
    offsets = pixel_data.value + size * np.arange(number_of_frames, dtype=np.int64)
    table = FrameTable(b"", offsets, np.full(number_of_frames, size, np.int64))
    return table, False, stop


def _native_frame_size(dataset: Dataset) -> int:
    """Return the bits of one frame, if it is not compressed."""
    samples = _positive(dataset, "SamplesPerPixel", 1 << 16)
    bits = _positive(dataset, "BitsAllocated", 1 << 16)
    rows, columns = (_positive(dataset, keyword, 1 << 16) for keyword in ("Rows", "Columns"))
    size = rows * columns * samples * bits
    # Two of three samples are shared by two pixels (PS3.3 C.7.6.3.1.2).
    shared = _value(dataset, "PhotometricInterpretation") == "YBR_FULL_422"
    return size // 3 * 2 if shared else size


def _positive(dataset: Dataset, keyword: str, most: int, *, absent: int = 0) -> int:
    value = _value(dataset, keyword)
    try:
        number = absent if value is None else int(str(value))
    except ValueError as error:
        raise InvalidDataset(f"The value of {keyword} is no number.") from error
    if number == 0:
        raise InvalidDataset(f"{keyword} is missing, or 0.")
    if not 0 < number <= most:
        raise InvalidDataset(f"{keyword} is {number}, which cannot be.")
    return number


def _value(dataset: Dataset, keyword: str) -> object:
    try:
        return dataset.get(keyword)
    except Exception as error:  # the library decodes values only now
        raise InvalidDataset(f"The value of {keyword} cannot be read.") from error


def _extended_table(window: Window, group: list[Element]) -> ExtendedTable | None:
    values = {
        element.tag: window.at(element.value, min(element.length, 8 * MOST_FRAGMENTS + 1))
        for element in group[:-1]
    }
    if _OFFSETS not in values:
        return None
    return ExtendedTable(values[_OFFSETS], values.get(_LENGTHS, b""))


def _check_tail(walk: ElementWalk, place: int) -> None:
    """Walk what follows the pixel data: padding, digital signatures."""
    for element in walk.elements(place):
        if element.tag <= _PIXEL_DATA[-1]:
            raise InvalidDataset(
                f"The element {element.tag:08X} follows the pixel data; elements must be in order."
            )
