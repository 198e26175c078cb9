"""JPEG surgery."""

from io import BytesIO

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from converters.codecs.jpeg import join_strips
from gateway.core.bitstreams import states_rgb
from gateway.core.errors import InvalidInput

PIXELS = np.random.default_rng(5).integers(0, 256, (48, 40, 3), dtype=np.uint8)
PIXELS[:, :, 0] //= 2


def strip(pixels: NDArray[np.uint8], quality: int = 90) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(pixels, level=quality, subsampling="444"))


@pytest.mark.parametrize("rows", [[16, 16, 16], [16, 16, 9], [48]])
def test_strips_with_tables_of_their_own_are_joined(rows: list[int]) -> None:
    ends = np.cumsum(rows).tolist()
    strips = [strip(PIXELS[end - count : end]) for count, end in zip(rows, ends, strict=True)]
    joined = join_strips(strips, b"", rgb=False)
    apart = np.concatenate([np.asarray(Image.open(BytesIO(one))) for one in strips])
    assert np.array_equal(np.asarray(Image.open(BytesIO(joined))), apart)


@pytest.mark.parametrize(
    "strips",
    [
        [strip(PIXELS[:16]), strip(PIXELS[16:32], quality=20)],
        [strip(PIXELS[:16]), strip(PIXELS[16:32, :32])],
        [strip(PIXELS[:8]), strip(PIXELS[8:24])],
        [strip(PIXELS[:9]), strip(PIXELS[9:18]), strip(PIXELS[18:20])],
    ],
)
def test_strips_that_only_a_decoder_could_join_are_refused(strips: list[bytes]) -> None:
    with pytest.raises(InvalidInput):
        join_strips(strips, b"", rgb=False)


def test_what_decoders_believe_is_known() -> None:
    plain = strip(PIXELS[:16])
    assert plain[6:10] == b"JFIF"
    bare = plain[:2] + plain[20:]
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
    assert states_rgb(plain) is False
    assert states_rgb(bare) is None
    assert states_rgb(bare[:2] + adobe + b"\0" + bare[2:]) is True
    assert states_rgb(bare[:2] + adobe + b"\1" + bare[2:]) is False
    assert states_rgb(plain[:20] + adobe + b"\0" + plain[20:]) is False
