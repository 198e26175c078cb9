"""Instances whose frames are given without compression, in Explicit VR Little Endian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from gateway.core.errors import Unavailable
from gateway.core.frames import FrameTable
from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_BASELINE
from gateway.dicom.images.pixels import decoded
from gateway.dicom.streams.part10 import Part10, encode_header

_CONVERTED = frozenset({"YBR_FULL_422", "YBR_PARTIAL_420", "YBR_PARTIAL_422", "YBR_ICT", "YBR_RCT"})
"""What a decoder makes R, G and B of, whatever coded it (PS3.3 C.7.6.3.1.2)."""


def native_bytes(header: Dataset, number_of_frames: int) -> int:
    """Return the bytes of all frames of an image without compression."""
    return _frame_bytes(header) * number_of_frames


def _frame_bytes(header: Dataset) -> int:
    pixels = int(header.Rows) * int(header.Columns)
    return pixels * int(header.SamplesPerPixel) * (int(header.BitsAllocated) // 8)


@dataclass(frozen=True, slots=True)
class NativeForm:
    """An instance as it is without compression: the same UIDs, for nothing is lost by it.

    Parameters
    ----------
    layout
        The Part 10 file; its source are the decoded frames one after the other.
    frame_bytes
        Bytes of each decoded frame.
    transfer_syntax, photometric
        Of the stored frames.
    """

    layout: Part10
    frame_bytes: int
    transfer_syntax: str
    photometric: str

    @classmethod
    def of(cls, header: Dataset, number_of_frames: int, transfer_syntax: str) -> NativeForm:
        """Lay out an instance.

        Parameters
        ----------
        header
            All attributes but the pixel data; it is changed.
        transfer_syntax
            Of the stored frames.
        """
        size = _frame_bytes(header)
        photometric = str(header.PhotometricInterpretation)
        if int(header.SamplesPerPixel) > 1:
            header.PlanarConfiguration = 0
            if photometric in _CONVERTED or transfer_syntax == JPEG_BASELINE:
                header.PhotometricInterpretation = "RGB"
        places = size * np.arange(number_of_frames, dtype=np.int64)
        table = FrameTable(b"", places, np.full(number_of_frames, size, np.int64))
        head = encode_header(header, EXPLICIT_VR_LITTLE_ENDIAN)
        layout = Part10(head, table, EXPLICIT_VR_LITTLE_ENDIAN)
        return cls(layout, size, transfer_syntax, photometric)

    def decoded(self, bitstream: bytes) -> bytes:
        """Return a stored frame decoded.

        Raises
        ------
        Unavailable
            If it is damaged, or is not of the size that the header says.
        """
        pixels = decoded(bitstream, self.transfer_syntax, lambda: self.photometric)
        if len(pixels) != self.frame_bytes:
            raise Unavailable("A stored frame is not of the size that its header says.")
        return pixels
