"""Frames of every transfer syntax as native pixels."""

from __future__ import annotations

import struct
from contextlib import suppress
from io import BytesIO

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.pixels.encoders.base import RLELosslessEncoder

from gateway.core.errors import Unavailable
from gateway.core.instances import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
)
from gateway.dicom.images.pixels import MEDIA_TYPES, decoded
from tests.codings import CODINGS, Components

JPEG_LOSSLESS, JPEG_LS, RLE, HTJ2K = (
    f"1.2.840.10008.1.2.{end}" for end in ("4.70", "4.80", "5", "4.201")
)

PIXELS = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
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


@pytest.mark.req("REQ-FRM-04")
@pytest.mark.parametrize("components", ["j2k-ict", "j2k-rct", "j2k-rgb"])
@pytest.mark.parametrize("syntax", [JPEG_2000, JPEG_2000_LOSSLESS])
def test_jpeg_2000_is_decoded_to_rgb(components: Components, syntax: str) -> None:
    stream = CODINGS[components].encode(PIXELS)[1]
    wanted = imagecodecs.jpeg2k_decode(stream)
    assert decoded(stream, syntax, unasked) == wanted.tobytes()
    assert components != "j2k-rct" or np.array_equal(wanted, PIXELS)


def test_native_pixels_stay_as_they_are() -> None:
    assert decoded(b"pixels", EXPLICIT_VR_LITTLE_ENDIAN, unasked) == b"pixels"


@pytest.mark.parametrize("pixels", [COLOURS, GREYS, DEEP], ids=["colours", "greys", "16 bits"])
@pytest.mark.parametrize("transfer_syntax", [JPEG_LS, JPEG_2000_LOSSLESS, JPEG_2000, HTJ2K, RLE])
def test_what_was_compressed_without_loss_comes_back(
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.generic]], transfer_syntax: str
) -> None:
    bitstream = {
        JPEG_LS: imagecodecs.jpegls_encode,
        JPEG_2000: lambda one: imagecodecs.jpeg2k_encode(one, codecformat="j2k", reversible=True),
        JPEG_2000_LOSSLESS: lambda one: imagecodecs.jpeg2k_encode(
            one, codecformat="j2k", reversible=True
        ),
        HTJ2K: lambda one: imagecodecs.htj2k_encode(one, reversible=True),
        RLE: rle,
    }[transfer_syntax](pixels)
    assert transfer_syntax in MEDIA_TYPES
    assert decoded(bytes(bitstream), transfer_syntax, unasked) == pixels.tobytes()


def test_samples_of_four_bytes_come_back() -> None:
    pixels = DEEP.astype("<u4") * 70_001
    planes = [(pixels >> shift).astype("u1").tobytes() for shift in (24, 16, 8, 0)]
    literal = [
        b"".join(
            bytes([len(run) - 1]) + run
            for run in (plane[at : at + 128] for at in range(0, len(plane), 128))
        )
        for plane in planes
    ]
    padded = [one + bytes(len(one) % 2) for one in literal]
    starts = [64 + sum(map(len, padded[:number])) for number in range(4)]
    head = struct.pack("<16L", 4, *starts, *[0] * 11)
    assert decoded(head + b"".join(padded), RLE, unasked) == pixels.tobytes()


@pytest.mark.parametrize("pixels", [COLOURS, GREYS, DEEP], ids=["colours", "greys", "16 bits"])
def test_lossless_jpeg_comes_back(
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.generic]],
) -> None:
    if pixels.ndim == 3:
        stream = imagecodecs.jpeg8_encode(
            pixels, lossless=True, predictor=1, colorspace="RGB", outcolorspace="RGB"
        )
    else:
        stream = imagecodecs.ljpeg_encode(pixels)
    assert decoded(bytes(stream), JPEG_LOSSLESS, unasked) == pixels.tobytes()


def test_a_grey_jpeg_stays_grey() -> None:
    buffer = BytesIO()
    Image.fromarray(GREYS).save(buffer, "JPEG")
    assert len(decoded(buffer.getvalue(), JPEG_BASELINE, lambda: "MONOCHROME2")) == GREYS.size


def unnamed(pixels: NDArray[np.uint8]) -> bytearray:
    """Return a JPEG of R, G and B that does not say so."""
    named = imagecodecs.jpeg8_encode(pixels, level=95, colorspace="RGB", outcolorspace="RGB")
    start = named.index(b"\xff\xee")  # APP14
    bare = bytearray(named[:start] + named[start + 2 + named[start + 3] :])
    frame, scan = bare.index(b"\xff\xc0") + 10, bare.index(b"\xff\xda") + 5
    for number in range(3):
        bare[frame + 3 * number] = bare[scan + 2 * number] = number + 1
    return bare


def test_colours_that_the_bit_stream_does_not_name_are_those_of_the_header() -> None:
    flat = np.full((16, 16, 3), (200, 90, 30), np.uint8)
    told = np.frombuffer(decoded(bytes(unnamed(flat)), JPEG_BASELINE, lambda: "RGB"), np.uint8)
    assert np.abs(told.reshape(flat.shape).astype(int) - flat).max() < 4


def encoded(syntax: str) -> bytes:
    """Return a bit stream of a transfer syntax."""
    file = BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG")
    high_throughput = imagecodecs.htj2k_encode(PIXELS, reversible=True)
    encoders: dict[str, bytes | bytearray] = {
        JPEG_BASELINE: file.getvalue(),
        JPEG_LOSSLESS: imagecodecs.ljpeg_encode(GREYS),
        JPEG_LOSSLESS[:-2] + "57": imagecodecs.ljpeg_encode(GREYS),
        JPEG_LS: imagecodecs.jpegls_encode(GREYS),
        JPEG_LS[:-1] + "1": imagecodecs.jpegls_encode(GREYS),
        RLE: rle(COLOURS),
        **dict.fromkeys(("1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203"), high_throughput),
        HTJ2K: high_throughput,
    }
    return bytes(encoders.get(syntax) or CODINGS["j2k-ict"].encode(PIXELS)[1])


COMPRESSED = [one for one in MEDIA_TYPES if one != EXPLICIT_VR_LITTLE_ENDIAN]


@pytest.mark.parametrize("syntax", COMPRESSED)
def test_a_damaged_frame_is_told_not_shown_in_part(syntax: str) -> None:
    stream = encoded(syntax)
    assert decoded(stream, syntax, unasked)
    other = encoded(JPEG_2000 if syntax == JPEG_BASELINE else JPEG_BASELINE)
    for broken in (stream[: len(stream) // 2], stream[:20], b"", b"nothing", other):
        with pytest.raises(Unavailable, match="damaged"):
            decoded(broken, syntax, unasked)


def test_a_jpeg_of_unnamed_components_that_states_a_giant_size_is_not_decoded() -> None:
    stream = unnamed(np.zeros((16, 16, 3), np.uint8))
    place = stream.index(b"\xff\xc0") + 5
    stream[place : place + 4] = (9000).to_bytes(2) + (9000).to_bytes(2)
    with pytest.raises(Unavailable, match="too large"):
        decoded(bytes(stream), JPEG_BASELINE, lambda: "RGB")


def test_a_jpeg_of_unnamed_components_that_is_cut_off_is_told() -> None:
    stream = unnamed(COLOURS)
    with pytest.raises(Unavailable, match="damaged"):
        decoded(bytes(stream[: len(stream) // 2]), JPEG_BASELINE, lambda: "RGB")


def test_a_lossless_jpeg_of_fewer_pixels_than_it_states_ends_no_process() -> None:
    stream = bytearray(encoded(JPEG_LOSSLESS))
    place = stream.index(b"\xff\xc3") + 5
    stream[place : place + 2] = (60_000).to_bytes(2)
    assert len(decoded(bytes(stream), JPEG_LOSSLESS, unasked)) % 60_000 == 0


def test_damaged_bit_streams_of_high_throughput_end() -> None:
    stream = encoded(HTJ2K)
    for seed in range(200):
        damaged = bytearray(stream)
        for place, value in np.random.default_rng(seed).integers(0, 256, (4, 2)).tolist():
            damaged[16 + place * 7 % (len(stream) - 16)] = value
        with suppress(Unavailable):
            decoded(bytes(damaged), HTJ2K, unasked)


def test_a_small_bit_stream_of_many_components_is_not_decoded() -> None:
    stream = bytearray(encoded(JPEG_2000))
    stream[8:16] = (4000).to_bytes(4) + (4000).to_bytes(4)
    stream[40:42] = (100).to_bytes(2)
    with pytest.raises(Unavailable, match="too large"):
        decoded(bytes(stream), JPEG_2000, unasked)


@pytest.mark.parametrize("syntax", COMPRESSED)
def test_a_frame_that_states_a_giant_size_is_not_decoded(syntax: str) -> None:
    stream = bytearray(encoded(syntax))
    if stream.startswith(b"\xff\x4f"):
        stream[8:16] = (9000).to_bytes(4) + (9000).to_bytes(4)
    elif syntax != RLE:  # it states none
        marker = next(one for one in (b"\xff\xc0", b"\xff\xc3", b"\xff\xf7") if one in stream)
        place = stream.index(marker) + 5
        stream[place : place + 4] = (9000).to_bytes(2) + (9000).to_bytes(2)
    else:
        stream[:4] = b"\xff" * 4
    with pytest.raises(Unavailable, match="damaged" if syntax == RLE else "too large"):
        decoded(bytes(stream), syntax, unasked)
