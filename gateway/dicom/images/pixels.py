"""One frame in another form than the stored one."""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import (
    HTJ2K,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from gateway.core.bitstreams import jpeg_segments, states_rgb
from gateway.core.errors import Unavailable
from gateway.core.instances import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
)

MEDIA_TYPES: dict[str, str] = {
    EXPLICIT_VR_LITTLE_ENDIAN: "application/octet-stream",
    JPEG_BASELINE: "image/jpeg",
    JPEGLossless: "image/jpeg",
    JPEGLosslessSV1: "image/jpeg",
    JPEGLSLossless: "image/jls",
    JPEGLSNearLossless: "image/jls",
    JPEG_2000_LOSSLESS: "image/jp2",
    JPEG_2000: "image/jp2",
    RLELossless: "image/dicom-rle",
    HTJ2KLossless: "image/jphc",
    HTJ2KLosslessRPCL: "image/jphc",
    HTJ2K: "image/jphc",
}
"""Media type of single frames by transfer syntax (PS3.18 8.7.3.3): all that can be served."""

LOSSLESS = frozenset(
    map(
        str,
        (
            JPEGLossless,
            JPEGLosslessSV1,
            JPEGLSLossless,
            JPEG_2000_LOSSLESS,
            RLELossless,
            HTJ2KLossless,
            HTJ2KLosslessRPCL,
        ),
    )
)
"""Compressed syntaxes in which nothing is ever lost."""

MOST_PIXELS = 1 << 26
"""Pixels of a frame that is decoded; a small bit stream can state any size."""

_LOSSLESS_FRAME = 0xC3
_FRAME_HEADERS = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), 0xF7)
"""Markers of JPEG's frame headers, and of JPEG-LS's."""


def decoded(bitstream: bytes, transfer_syntax: str, photometric: Callable[[], str]) -> bytes:
    """Return a frame as native pixels: rows from the top, the samples of each pixel together.

    Samples of colours are R, G and B, of one byte or, little endian, two.

    Parameters
    ----------
    photometric
        Tells the Photometric Interpretation of the image; asked only where the bit stream does
        not say what its colours are.

    Raises
    ------
    Unavailable
        If the stored frame is damaged, or too large to be decoded.
    """
    if transfer_syntax == EXPLICIT_VR_LITTLE_ENDIAN:
        return bitstream
    try:
        if transfer_syntax == JPEG_BASELINE:
            return _jpeg(bitstream, photometric)
        return _DECODERS[transfer_syntax](bitstream)
    except Unavailable:
        raise
    except Exception as error:  # each codec has errors of its own
        raise Unavailable("The stored frame is damaged and cannot be decoded.") from error


def _jpeg(bitstream: bytes, photometric: Callable[[], str]) -> bytes:
    _check_size(bitstream)
    if states_rgb(bitstream) is None and photometric() == "RGB":
        return _jpeg8(bitstream, 3)
    with Image.open(BytesIO(bitstream), formats=["JPEG"]) as image:
        return (image if image.mode == "L" else image.convert("RGB")).tobytes()


def _lossless_jpeg(bitstream: bytes) -> bytes:
    _check_size(bitstream)
    if all(segment.marker != _LOSSLESS_FRAME for segment in jpeg_segments(bitstream)):
        raise ValueError("of another process")
    return _jpeg8(bitstream, stated_shape(bitstream)[2])


def _jpeg8(bitstream: bytes, components: int) -> bytes:
    """Decode a JPEG of any process; its components stay what they are."""
    if not bitstream.rstrip(b"\0").endswith(b"\xff\xd9"):  # the decoder fills in what is missing
        raise ValueError("cut off")
    colours = {"colorspace": "RGB", "outcolorspace": "RGB"} if components == 3 else {}
    return _octets(_codec("jpeg8_decode")(bitstream, **colours))


def _codec(name: str) -> Callable[..., NDArray[np.generic]]:
    import imagecodecs  # most never need it

    codec: Callable[..., NDArray[np.generic]] = getattr(imagecodecs, name)
    return codec


def _jpeg_2000(bitstream: bytes) -> bytes:
    """Decode JPEG 2000, with high throughput too: of that, OpenJPH waits for ever for damage."""
    _check_size(bitstream)
    return _octets(_codec("jpeg2k_decode")(bitstream))


def _jpeg_ls(bitstream: bytes) -> bytes:
    _check_size(bitstream)
    return _octets(_codec("jpegls_decode")(bitstream))


def _check_size(bitstream: bytes) -> None:
    rows, columns, components = stated_shape(bitstream)
    if rows * columns > MOST_PIXELS or components > 4:
        raise Unavailable("The stored frame is too large to be decoded here.")


def stated_shape(bitstream: bytes) -> tuple[int, int, int]:
    """Return rows, columns and components that a JPEG, JPEG-LS or JPEG 2000 bit stream states."""
    if bitstream.startswith(b"\xff\x4f"):  # JPEG 2000: SIZ follows at once (ISO 15444-1 A.5.1)
        right, bottom, left, top = struct.unpack_from(">4I", bitstream, 8)
        return bottom - top, right - left, *struct.unpack_from(">H", bitstream, 40)
    for segment in jpeg_segments(bitstream):
        if segment.marker in _FRAME_HEADERS:
            rows, columns, components = struct.unpack_from(">HHB", bitstream, segment.start + 5)
            return rows, columns, components
    raise ValueError("no frame header")


def _octets(pixels: NDArray[np.generic]) -> bytes:
    return pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()


_SEGMENTS = {1: (1, "u1"), 2: (1, "<u2"), 3: (3, "u1"), 4: (1, "<u4"), 6: (3, "<u2")}
"""Samples of a pixel, and their kind, by the number of segments."""


def _rle(bitstream: bytes) -> bytes:
    """Undo the segments: one for each byte of each sample, the highest first (PS3.5 G)."""
    (segments,) = struct.unpack_from("<I", bitstream)
    samples, kind = _SEGMENTS[segments]
    planes = np.frombuffer(_codec("dicomrle_decode")(bitstream, kind), kind)
    return planes.reshape(samples, -1).T.tobytes()


_DECODERS: dict[str, Callable[[bytes], bytes]] = {
    JPEGLossless: _lossless_jpeg,
    JPEGLosslessSV1: _lossless_jpeg,
    JPEGLSLossless: _jpeg_ls,
    JPEGLSNearLossless: _jpeg_ls,
    JPEG_2000_LOSSLESS: _jpeg_2000,
    JPEG_2000: _jpeg_2000,
    RLELossless: _rle,
    HTJ2KLossless: _jpeg_2000,
    HTJ2KLosslessRPCL: _jpeg_2000,
    HTJ2K: _jpeg_2000,
}
