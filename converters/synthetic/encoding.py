"""Turns pixels into the JPEG bit streams of a TIFF file, which share their tables."""

import imagecodecs

from converters.synthetic.arrays import Bytes
from converters.synthetic.measures import TILE

QUALITY = 78


def abbreviate(jpeg: bytes) -> tuple[bytes, bytes]:
    """Part a JPEG image into its tables and a bit stream without them, as TIFF stores tiles.

    Parameters
    ----------
    jpeg
        A baseline JPEG image with one scan.

    Returns
    -------
    tables, bitstream
        The JPEGTables value (SOI, DQT and DHT segments, EOI), and the image with its frame and
        scan alone: application segments (JFIF, Adobe) are dropped.
    """
    tables, frame = bytearray(), bytearray()
    position = 2
    while (marker := jpeg[position + 1]) != 0xDA:
        end = position + 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
        if marker in (0xDB, 0xC4):
            tables += jpeg[position:end]
        elif marker == 0xC0:
            frame += jpeg[position:end]
        position = end
    return b"\xff\xd8" + tables + b"\xff\xd9", b"\xff\xd8" + frame + jpeg[position:]


def encode(pixels: Bytes) -> tuple[bytes, bytes]:
    """Return tables and bit stream of RGB pixels as Y'CbCr 4:2:2."""
    jpeg = imagecodecs.jpeg8_encode(
        pixels, level=QUALITY, colorspace="rgb", outcolorspace="ycbcr", subsampling="422"
    )
    return abbreviate(bytes(jpeg))


def encode_tiles(pixels: Bytes) -> list[bytes]:
    """Return the bit streams of all tiles of an array that is a whole number of tiles."""
    return [
        encode(pixels[row : row + TILE, column : column + TILE])[1]
        for row in range(0, pixels.shape[0], TILE)
        for column in range(0, pixels.shape[1], TILE)
    ]
