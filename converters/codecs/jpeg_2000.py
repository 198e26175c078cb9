"""JPEG 2000 tiles: what their code streams hold, as their main headers tell."""

from __future__ import annotations

from collections.abc import Iterable

from PIL import Image

from gateway.core.bitstreams import Jpeg2000Frame, jpeg_2000_frame
from gateway.core.errors import InvalidInput
from gateway.core.frames import TileGrid
from gateway.core.instances import JPEG_2000
from gateway.dicom.images.pixels import decoded


def common_frame(heads: Iterable[bytes], grid: TileGrid) -> Jpeg2000Frame:
    """Return what the code streams of a level have in common.

    Parameters
    ----------
    heads
        Beginnings of code streams, main headers included.
    grid
        The level; each code stream is a whole tile of it.

    Raises
    ------
    InvalidInput
        If one is damaged, of another size than a tile, no picture of three unsigned components of
        8 bits, or differs from the others in what its components are.
    """
    frames = [jpeg_2000_frame(head) for head in heads]
    for frame in frames:
        if (frame.columns, frame.rows) != (grid.tile_columns, grid.tile_rows):
            raise InvalidInput(
                f"A tile is {frame.columns} x {frame.rows} pixels, "
                f"not {grid.tile_columns} x {grid.tile_rows}."
            )
        if frame.precisions != (8, 8, 8) or any(frame.signed):
            raise InvalidInput("A tile has other components than three unsigned ones of 8 bits.")
        if frame.high_throughput:
            raise InvalidInput("A tile is coded as High-Throughput JPEG 2000, which few can read.")
    if len({(frame.component_transform, frame.reversible, frame.sampling) for frame in frames}) > 1:
        raise InvalidInput("The tiles of a level differ in what their components are.")
    return frames[0]


def holds_ycbcr(frame: Jpeg2000Frame, *, tiff_ycbcr: bool, untransformed: bool) -> bool:
    """Whether components are Y, Cb and Cr that no decoder turns into R, G and B by itself.

    Parameters
    ----------
    frame
        See :func:`common_frame`.
    tiff_ycbcr
        Whether the TIFF calls its pixels YCbCr.
    untransformed
        Whether TIFF compression 33003 says that Y, Cb and Cr were coded as they are; 33005 says
        that the coder was given R, G and B.

    Raises
    ------
    InvalidInput
        If TIFF and code stream contradict each other, so that colours would be guessed.
    """
    if untransformed:
        if frame.component_transform:
            raise InvalidInput(
                "The TIFF says that Y, Cb and Cr were coded as they are (compression 33003), its "
                "code streams say that R, G and B were transformed."
            )
        return True
    if tiff_ycbcr and not frame.component_transform:
        raise InvalidInput(
            "The TIFF says both that R, G and B were coded (compression 33005) and that its "
            "pixels are YCbCr; its code streams do not tell which is true."
        )
    if frame.subsampled:
        raise InvalidInput("The TIFF says that R, G and B were coded, but they are subsampled.")
    return False


def photometric_of(frame: Jpeg2000Frame) -> str:
    """Return the Photometric Interpretation of coded R, G and B (PS3.3 C.7.6.3.1.2)."""
    if not frame.component_transform:
        return "RGB"
    return "YBR_RCT" if frame.reversible else "YBR_ICT"


def rgb_image(stream: bytes, *, ycbcr: bool) -> Image.Image:
    """Decode a code stream to R, G and B.

    Parameters
    ----------
    stream
        A whole code stream.
    ycbcr
        What :func:`holds_ycbcr` says. Y, Cb and Cr of full range are converted as ISO 10918-5
        (JFIF) has it, which is what scanners mean; each sample of subsampled colours is taken for
        all its pixels.

    Raises
    ------
    InvalidInput, Unavailable
        If it is damaged or too large.
    """
    frame = jpeg_2000_frame(stream)
    size = frame.columns, frame.rows
    pixels = decoded(stream, JPEG_2000, lambda: "")
    # Decoders take subsampled components for Y, Cb and Cr by themselves, others never.
    if ycbcr and not frame.subsampled:
        return Image.frombytes("YCbCr", size, pixels).convert("RGB")
    return Image.frombytes("RGB", size, pixels)
