"""One frame in another form than the stored one."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from gateway.core.errors import Unavailable
from gateway.core.instances import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
)

MEDIA_TYPES = {
    EXPLICIT_VR_LITTLE_ENDIAN: "application/octet-stream",
    JPEG_BASELINE: "image/jpeg",
    JPEG_2000_LOSSLESS: "image/jp2",
    JPEG_2000: "image/jp2",
}
"""Media type of single frames by transfer syntax (PS3.18 8.7.3.3)."""

_CODECS = {JPEG_BASELINE: "JPEG", JPEG_2000_LOSSLESS: "JPEG2000", JPEG_2000: "JPEG2000"}
_MOST_PIXELS = 1 << 26  # of a frame that is decoded: it is held in memory


def decoded(bitstream: bytes, transfer_syntax: str) -> bytes:
    """Return a frame as native pixels: rows from the top, R, G, B bytes of each pixel.

    Raises
    ------
    Unavailable
        If the stored frame is damaged, or too large to be decoded.
    """
    if transfer_syntax == EXPLICIT_VR_LITTLE_ENDIAN:
        return bitstream
    try:
        with Image.open(BytesIO(bitstream), formats=[_CODECS[transfer_syntax]]) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise Unavailable("The stored frame is too large to be decoded here.")
            return image.convert("RGB").tobytes()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Unavailable("The stored frame is damaged and cannot be decoded.") from error
