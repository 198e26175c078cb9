"""One frame in another form than the stored one."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from gateway.core.errors import Unavailable
from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_BASELINE

MEDIA_TYPES = {
    EXPLICIT_VR_LITTLE_ENDIAN: "application/octet-stream",
    JPEG_BASELINE: "image/jpeg",
}
"""Media type of single frames by transfer syntax (PS3.18 8.7.3.3)."""


def decoded(bitstream: bytes, transfer_syntax: str) -> bytes:
    """Return a frame as native pixels: rows from the top, R, G, B bytes of each pixel.

    Raises
    ------
    Unavailable
        If the stored frame is damaged.
    """
    if transfer_syntax == EXPLICIT_VR_LITTLE_ENDIAN:
        return bitstream
    try:
        with Image.open(BytesIO(bitstream), formats=["JPEG"]) as image:
            return image.convert("RGB").tobytes()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Unavailable("The stored frame is damaged and cannot be decoded.") from error
