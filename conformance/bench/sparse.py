"""An image whose frames each say where they lie (TILED_SPARSE), as large as scanners make them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import pack

from pydicom import dcmread
from pydicom.dataset import Dataset

from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN, derive_uid
from gateway.dicom.streams.part10 import encode_header

_TILE = 8
"""Rows and columns of a frame: it is the header that is large."""

_ACROSS = 640
_FRAME = bytes(range(_TILE * _TILE * 3))
_COLUMN, _ROW, _POSITIONS = 0x0048021E, 0x0048021F, 0x0048021A
_PER_FRAME, _PIXEL_DATA = 0x52009230, 0x7FE00010


def write_sparse(path: Path, level: Path, frames: int) -> None:
    """Write an image with many frames of 8 x 8 pixels.

    Parameters
    ----------
    level
        A level that slidegate converted; all else is said as there.
    """
    dataset = dcmread(level, stop_before_pixels=True)
    _describe(dataset, frames)
    with path.open("wb") as file:
        file.write(encode_header(dataset, EXPLICIT_VR_LITTLE_ENDIAN))
        items = b"".join(_items(frames, float(_spacing(dataset)[0])))
        file.write(_element(_PER_FRAME, b"SQ", items))
        file.write(_element(_PIXEL_DATA, b"OB", _FRAME * frames))


def _spacing(dataset: Dataset) -> list[float]:
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    return list(measures.PixelSpacing)


def _describe(dataset: Dataset, frames: int) -> None:
    row_mm, column_mm = map(float, _spacing(dataset))
    for keyword in ("LossyImageCompressionMethod", "LossyImageCompressionRatio"):
        if keyword in dataset:
            delattr(dataset, keyword)
    dataset.SOPInstanceUID = derive_uid("bench", "sparse", frames)
    dataset.SeriesInstanceUID = derive_uid("bench", "sparse series", frames)
    dataset.LossyImageCompression = "00"
    dataset.PhotometricInterpretation = "RGB"
    dataset.Rows = dataset.Columns = _TILE
    dataset.NumberOfFrames = frames
    dataset.TotalPixelMatrixColumns = _ACROSS * _TILE
    dataset.TotalPixelMatrixRows = -(-frames // _ACROSS) * _TILE
    dataset.ImagedVolumeWidth = dataset.TotalPixelMatrixColumns * column_mm
    dataset.ImagedVolumeHeight = dataset.TotalPixelMatrixRows * row_mm
    dataset.DimensionOrganizationType = "TILED_SPARSE"
    organisation = Dataset()
    organisation.DimensionOrganizationUID = derive_uid("bench", "dimensions")
    dataset.DimensionOrganizationSequence = [organisation]
    indices = []
    for pointer in (_COLUMN, _ROW):
        index = Dataset()
        index.DimensionOrganizationUID = organisation.DimensionOrganizationUID
        index.DimensionIndexPointer, index.FunctionalGroupPointer = pointer, _POSITIONS
        indices.append(index)
    dataset.DimensionIndexSequence = indices


def _items(frames: int, spacing_mm: float) -> Iterator[bytes]:
    """Yield the functional groups of each frame: index, position, optical path."""
    path = _element(0x00480207, b"SQ", _item(_element(0x00480106, b"SH", b"1 ")))
    depth = _element(0x0040074A, b"DS", b"0 ")
    for number in range(frames):
        row, column = divmod(number, _ACROSS)
        index = _element(0x00209157, b"UL", pack("<II", column + 1, row + 1))
        position = (
            _element(0x0040072A, b"DS", _decimal(20 - column * _TILE * spacing_mm))
            + _element(0x0040073A, b"DS", _decimal(40 - row * _TILE * spacing_mm))
            + depth
            + _element(_COLUMN, b"SL", pack("<i", column * _TILE + 1))
            + _element(_ROW, b"SL", pack("<i", row * _TILE + 1))
        )
        yield _item(
            _element(0x00209111, b"SQ", _item(index))
            + _element(_POSITIONS, b"SQ", _item(position))
            + path
        )


def _decimal(value: float) -> bytes:
    text = f"{value:.6f}".encode()
    return text + b" " * (len(text) % 2)


def _element(tag: int, vr: bytes, value: bytes) -> bytes:
    head = pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    long = vr in (b"SQ", b"OB")
    return head + (pack("<HI", 0, len(value)) if long else pack("<H", len(value))) + value


def _item(value: bytes) -> bytes:
    return pack("<HHI", 0xFFFE, 0xE000, len(value)) + value
