"""Frames of every transfer syntax as native pixels."""

from __future__ import annotations

from io import BytesIO

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom.pixels.encoders.base import RLELosslessEncoder

from gateway.core.errors import Unavailable
from gateway.core.instances import JPEG_2000, JPEG_2000_LOSSLESS, JPEG_BASELINE
from gateway.dicom.pixels import MEDIA_TYPES, decoded

JPEG_LOSSLESS, JPEG_LS, RLE = (f"1.2.840.10008.1.2.{end}" for end in ("4.70", "4.80", "5"))

RANDOM = np.random.default_rng(7)
COLOURS = RANDOM.integers(0, 256, (24, 16, 3), np.uint8)
GREYS = RANDOM.integers(0, 256, (24, 16), np.uint8)
DEEP = RANDOM.integers(0, 1 << 16, (24, 16), np.uint16)


def rle(pixels: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    bits = 8 * pixels.itemsize
    return RLELosslessEncoder.encode(
        pixels,
        rows=pixels.shape[0],
        columns=pixels.shape[1],
        samples_per_pixel=pixels.shape[2] if pixels.ndim == 3 else 1,
        bits_allocated=bits,
        bits_stored=bits,
        pixel_representation=0,
        photometric_interpretation="RGB" if pixels.ndim == 3 else "MONOCHROME2",
        planar_configuration=0,
        number_of_frames=1,
    )


def unasked() -> str:
    raise AssertionError("the bit stream says what its colours are")


@pytest.mark.parametrize("pixels", [COLOURS, GREYS, DEEP], ids=["colours", "greys", "16 bits"])
@pytest.mark.parametrize("transfer_syntax", [JPEG_LS, JPEG_2000_LOSSLESS, JPEG_2000, RLE])
def test_what_was_compressed_without_loss_comes_back(
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.generic]], transfer_syntax: str
) -> None:
    bitstream = {
        JPEG_LS: imagecodecs.jpegls_encode,
        JPEG_2000: lambda one: imagecodecs.jpeg2k_encode(one, codecformat="j2k", reversible=True),
        JPEG_2000_LOSSLESS: lambda one: imagecodecs.jpeg2k_encode(
            one, codecformat="j2k", reversible=True
        ),
        RLE: rle,
    }[transfer_syntax](pixels)
    assert transfer_syntax in MEDIA_TYPES
    assert decoded(bytes(bitstream), transfer_syntax, unasked) == pixels.tobytes()


@pytest.mark.parametrize("pixels", [GREYS, DEEP], ids=["greys", "16 bits"])
def test_lossless_jpeg_comes_back(
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.generic]],
) -> None:
    bitstream = bytes(imagecodecs.ljpeg_encode(pixels))
    assert decoded(bitstream, JPEG_LOSSLESS, unasked) == pixels.tobytes()


def test_a_grey_jpeg_stays_grey() -> None:
    buffer = BytesIO()
    Image.fromarray(GREYS).save(buffer, "JPEG")
    assert len(decoded(buffer.getvalue(), JPEG_BASELINE, lambda: "MONOCHROME2")) == GREYS.size


def test_colours_that_the_bit_stream_does_not_name_are_those_of_the_header() -> None:
    flat = np.full((16, 16, 3), (200, 90, 30), np.uint8)
    named = imagecodecs.jpeg8_encode(flat, level=95, colorspace="RGB", outcolorspace="RGB")
    start = named.index(b"\xff\xee")  # APP14
    bare = bytearray(named[:start] + named[start + 2 + named[start + 3] :])
    frame, scan = bare.index(b"\xff\xc0") + 10, bare.index(b"\xff\xda") + 5
    for number in range(3):
        bare[frame + 3 * number] = bare[scan + 2 * number] = number + 1
    told = np.frombuffer(decoded(bytes(bare), JPEG_BASELINE, lambda: "RGB"), np.uint8)
    assert np.abs(told.reshape(flat.shape).astype(int) - flat).max() < 4


@pytest.mark.parametrize("transfer_syntax", sorted(set(MEDIA_TYPES) - {"1.2.840.10008.1.2.1"}))
@pytest.mark.parametrize(
    "bitstream",
    [
        b"",
        b"no picture",
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xf7\0\x0b\x08\xff\xff\xff\xff\1\1\x11\0\xff\xda",
        b"\xff\x4f\xff\x51\0\x29\0\0\x7f\xff\xff\xff\x7f\xff\xff\xff" + bytes(60),
        b"\xff\xff\xff\xff" + bytes(60),
    ],
)
def test_a_damaged_frame_is_said(bitstream: bytes, transfer_syntax: str) -> None:
    with pytest.raises(Unavailable):
        decoded(bitstream, transfer_syntax, lambda: "RGB")
