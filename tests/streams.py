"""DICOM streams of every layout that the standard knows, made byte by byte, and broken ones."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from itertools import accumulate

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_BASELINE

IMPLICIT = "1.2.840.10008.1.2"
ITEM = b"\xfe\xff\x00\xe0"
SEQUENCE_END = b"\xfe\xff\xdd\xe0" + bytes(4)


def bitstream(number: int, length: int) -> bytes:
    """Return what begins and ends as a JPEG does, and is none."""
    return b"\xff\xd8" + bytes([number % 251 + 1]) * (length - 4) + b"\xff\xd9"


def small_dataset(number_of_frames: int = 1, **changes: object) -> Dataset:
    """Return the few attributes that a reader needs; frames are two by three pixels."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    dataset.SOPInstanceUID = "2.25.1"
    dataset.PatientName = "山田^太郎"
    dataset.NumberOfFrames = number_of_frames
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 2, 3, 3
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.PhotometricInterpretation = "RGB"
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    return dataset


def header_of(dataset: Dataset, transfer_syntax: str = JPEG_BASELINE) -> bytes:
    """Return preamble, file meta information and data set."""
    dataset.file_meta = meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.ImplementationClassUID = UID("2.25.2")
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """Return an element with a length of four bytes; `length` lies about it."""
    stated = (len(value) if length is None else length).to_bytes(4, "little")
    place = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
    return place + (vr + b"\0\0" if vr else b"") + stated + value


def item(value: bytes) -> bytes:
    """Return an item, its value padded to even length."""
    value += bytes(len(value) % 2)
    return ITEM + len(value).to_bytes(4, "little") + value


def offsets_of(frames: Sequence[Sequence[bytes]]) -> list[int]:
    """Return where each frame's first item starts, from the first of all."""
    sizes = [sum(len(item(one)) for one in frame) for frame in frames]
    return [0, *accumulate(sizes)][:-1]


def words(values: Sequence[int], size: int) -> bytes:
    """Return numbers of some bytes each, little endian."""
    return b"".join(value.to_bytes(size, "little") for value in values)


def encapsulated(frames: Sequence[Sequence[bytes]], basic: bytes = b"") -> bytes:
    """Return the element Pixel Data: a Basic Offset Table and the fragments of each frame."""
    value = item(basic) + b"".join(item(one) for frame in frames for one in frame)
    return element(0x7FE00010, b"OB", value + SEQUENCE_END, 0xFFFFFFFF)


def extended(frames: Sequence[Sequence[bytes]], lengths: Sequence[int] | None = None) -> bytes:
    """Return the elements of the Extended Offset Table."""
    stated = [len(frame[0]) for frame in frames] if lengths is None else lengths
    return element(0x7FE00001, b"OV", words(offsets_of(frames), 8)) + element(
        0x7FE00002, b"OV", words(stated, 8)
    )


def native(value: bytes, transfer_syntax: str = EXPLICIT_VR_LITTLE_ENDIAN) -> bytes:
    """Return the element Pixel Data with uncompressed pixels."""
    return element(0x7FE00010, b"" if transfer_syntax == IMPLICIT else b"OB", value)
