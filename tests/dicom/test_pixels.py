"""Frames as native pixels."""

from io import BytesIO

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from gateway.core.errors import Unavailable
from gateway.core.instances import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
)
from gateway.dicom.pixels import MEDIA_TYPES, decoded
from tests.codings import CODINGS, Components

PIXELS = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.mark.req("REQ-FRM-04")
@pytest.mark.parametrize("components", ["j2k-ict", "j2k-rct", "j2k-rgb"])
@pytest.mark.parametrize("syntax", [JPEG_2000, JPEG_2000_LOSSLESS])
def test_jpeg_2000_is_decoded_to_rgb(components: Components, syntax: str) -> None:
    stream = CODINGS[components].encode(PIXELS)[1]
    wanted = imagecodecs.jpeg2k_decode(stream)
    assert decoded(stream, syntax) == wanted.tobytes()
    assert components != "j2k-rct" or np.array_equal(wanted, PIXELS)


def test_native_pixels_stay_as_they_are() -> None:
    assert decoded(b"pixels", EXPLICIT_VR_LITTLE_ENDIAN) == b"pixels"


@pytest.mark.parametrize("syntax", [one for one in MEDIA_TYPES if one != EXPLICIT_VR_LITTLE_ENDIAN])
def test_a_damaged_frame_is_told_not_shown_in_part(syntax: str) -> None:
    file = BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG")
    stream = file.getvalue()
    if syntax != JPEG_BASELINE:
        stream = CODINGS["j2k-ict"].encode(PIXELS)[1]
    for broken in (stream[: len(stream) // 2], stream[:20], b"", b"nothing"):
        with pytest.raises(Unavailable, match="damaged"):
            decoded(broken, syntax)
    other = JPEG_2000 if syntax == JPEG_BASELINE else JPEG_BASELINE
    with pytest.raises(Unavailable, match="damaged"):
        decoded(stream, other)


def test_a_frame_that_states_a_giant_size_is_not_decoded() -> None:
    stream = bytearray(CODINGS["j2k-ict"].encode(PIXELS)[1])
    stream[8:16] = (9000).to_bytes(4) + (9000).to_bytes(4)
    with pytest.raises(Unavailable, match="too large"):
        decoded(bytes(stream), JPEG_2000)
