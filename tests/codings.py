"""How the tiles of made slides are coded: as Aperio scanners do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from conformance.bench.tiff import JPEG, RGB, YCBCR, encode_rgb
from converters.synthetic import abbreviate

Pixels = NDArray[np.uint8]
Components = Literal[
    "rgb", "ycbcr", "ycbcr-420", "j2k-ict", "j2k-rct", "j2k-rgb", "j2k-ycbcr", "j2k-contradiction"
]

JP2K_YCBCR, JP2K_RGB = 33003, 33005


@dataclass(frozen=True)
class Coding:
    """One way of coding a tile.

    `encode` returns the value of JPEGTables and the tile; `decode` takes both and returns RGB. A
    subsampling of None leaves its tag out.
    """

    text: str
    encode: Callable[[Pixels], tuple[bytes, bytes]]
    decode: Callable[[bytes, bytes], Pixels]
    compression: int = JPEG
    photometric: int = RGB
    subsampling: tuple[int, int] | None = (2, 2)


def _rgb(pixels: Pixels) -> tuple[bytes, bytes]:
    return encode_rgb(pixels, 80)


def _ycbcr(subsampling: str) -> Callable[[Pixels], tuple[bytes, bytes]]:
    def encode(pixels: Pixels) -> tuple[bytes, bytes]:
        jpeg = imagecodecs.jpeg8_encode(
            pixels, level=80, colorspace="rgb", outcolorspace="ycbcr", subsampling=subsampling
        )
        return abbreviate(bytes(jpeg))

    return encode


def _from_jpeg(colorspace: str) -> Callable[[bytes, bytes], Pixels]:
    def decode(tables: bytes, tile: bytes) -> Pixels:
        pixels: Pixels = imagecodecs.jpeg8_decode(
            tile, tables=tables, colorspace=colorspace, outcolorspace="rgb"
        )
        return pixels

    return decode


def _jpeg_2000(
    *, reversible: bool, transform: bool, ycbcr: bool = False
) -> Callable[[Pixels], tuple[bytes, bytes]]:
    def encode(pixels: Pixels) -> tuple[bytes, bytes]:
        if ycbcr:
            pixels = np.asarray(Image.fromarray(pixels).convert("YCbCr"))
        stream = imagecodecs.jpeg2k_encode(
            np.ascontiguousarray(pixels), level=0 if reversible else 45, codecformat="j2k",
            reversible=reversible, mct=transform, resolutions=5,
        )  # fmt: skip
        return b"", bytes(stream)

    return encode


def _from_jpeg_2000(_: bytes, tile: bytes) -> Pixels:
    pixels: Pixels = imagecodecs.jpeg2k_decode(tile)
    return pixels


def _from_jpeg_2000_ycbcr(_: bytes, tile: bytes) -> Pixels:
    return np.asarray(Image.fromarray(imagecodecs.jpeg2k_decode(tile), "YCbCr").convert("RGB"))


_ICT = _jpeg_2000(reversible=False, transform=True)

CODINGS: dict[Components, Coding] = {
    "rgb": Coding("JPEG/RGB Q=80", _rgb, _from_jpeg("rgb")),
    "ycbcr": Coding("JPEG/YCC Q=80", _ycbcr("422"), _from_jpeg("ycbcr"), JPEG, YCBCR, (2, 1)),
    "ycbcr-420": Coding("JPEG/YCC Q=80", _ycbcr("420"), _from_jpeg("ycbcr"), JPEG, YCBCR, (2, 2)),
    "j2k-ict": Coding("J2K/KDU Q=70", _ICT, _from_jpeg_2000, JP2K_RGB),
    "j2k-rct": Coding(
        "J2K/KDU", _jpeg_2000(reversible=True, transform=True), _from_jpeg_2000, JP2K_RGB
    ),
    "j2k-rgb": Coding(
        "J2K/KDU Q=70", _jpeg_2000(reversible=False, transform=False), _from_jpeg_2000, JP2K_RGB
    ),
    "j2k-ycbcr": Coding(
        "J2K/YUV16 Q=70",
        _jpeg_2000(reversible=False, transform=False, ycbcr=True),
        _from_jpeg_2000_ycbcr,
        JP2K_YCBCR,
    ),
    "j2k-contradiction": Coding("J2K/YUV16 Q=70", _ICT, _from_jpeg_2000, JP2K_YCBCR),
}
