"""Paints blocks of the planned tissue: amounts of two stains first, colours last."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from converters.synthetic.arrays import Bytes, ramp, to_bytes
from converters.synthetic.encoding import encode, encode_tiles
from converters.synthetic.fabric import Fibres, patch
from converters.synthetic.measures import BLOCK, CELL, GLASS
from converters.synthetic.stamps import MARGIN, Stamps
from converters.synthetic.tissue import Tissue

MOST_EOSIN = 200  # what is above is blood


@dataclass(frozen=True)
class Block:
    """A painted block: the bit streams of 4 x 4 tiles, of a tile of level 1, and level 2."""

    tiles: list[bytes]
    quarter: bytes
    sixteenth: Bytes


def _stain_table() -> NDArray[np.uint32]:
    """Return the colour of each amount of haematoxylin (high byte) and eosin (low byte).

    Light is absorbed exponentially, each stain with its own colour. Above MOST_EOSIN it is
    haemoglobin, which is more orange. The bytes of an entry are red, green, blue and nothing.
    """
    haematoxylin, eosin = np.mgrid[:256, :256].astype(np.float32) / 255
    blood = ramp(eosin, 0.80, 0.90)
    colour = np.zeros((256, 256, 4), np.uint8)
    for channel, (blue, pink, red) in enumerate([(1.2, 0.33, 0.22), (1.62, 1.15, 0.98),
                                                 (0.72, 0.52, 0.82)]):  # fmt: skip
        density = haematoxylin * blue + eosin * pink * (1 - blood) + red * eosin * blood
        colour[..., channel] = to_bytes(GLASS * np.exp(-density))
    return colour.view("<u4").ravel()


def _gland_tables() -> tuple[Bytes, Bytes, Bytes]:
    """Return the share of stroma, and a gland's own stains, at each value of the gland map."""
    depth = np.arange(256) - 64
    inside = ramp(depth, -3, 3)
    lumen = ramp(depth, 84, 96)
    membrane = np.exp(-((depth / 4.0) ** 2))
    apical = np.exp(-(((depth - 86) / 6.0) ** 2))
    eosin = (84 + 40 * membrane + 22 * apical) * (1 - lumen) + 5 * lumen
    haematoxylin = (26 - 6 * apical) * (1 - lumen) + 2 * lumen
    return (
        to_bytes(255 * (1 - inside)),
        to_bytes(eosin * inside),
        to_bytes(haematoxylin * inside),
    )


_COLOURS = _stain_table()
_OUTSIDE_GLAND, _GLAND_EOSIN, _GLAND_HAEMATOXYLIN = _gland_tables()
_SURFACE = to_bytes(255 * ramp(np.arange(256), 124, 132))


def _weigh(values: Bytes, weights: Bytes, shift: int = 8) -> Bytes:
    """Return values * weights / 2**shift, at most 255."""
    product = np.multiply(values, weights, dtype=np.uint16)
    product >>= shift
    return np.minimum(product, 255).astype(np.uint8)


def paint_tiles(tissue: Tissue, fibres: Fibres, block_row: int, block_column: int) -> Block:
    """Paint one block and encode it for all three levels."""
    pixels = _paint_block(tissue, fibres, block_row, block_column)
    if pixels is None:
        return _GLASS_BLOCK
    return _encode_block(pixels)


def _encode_block(pixels: Bytes) -> Block:
    quarter = Image.fromarray(pixels).reduce(4)
    return Block(
        encode_tiles(pixels), encode(np.asarray(quarter))[1], np.asarray(quarter.reduce(4))
    )


_GLASS_BLOCK = _encode_block(np.full((BLOCK, BLOCK, 3), GLASS, np.uint8))


def _paint_block(tissue: Tissue, fibres: Fibres, block_row: int, block_column: int) -> Bytes | None:
    """Paint BLOCK x BLOCK RGB pixels; None where there is only glass."""
    side = BLOCK // CELL
    left, top = block_column * side, block_row * side
    box = (left, top, left + side, top + side)

    def magnify(image: Image.Image, how: Image.Resampling) -> Bytes:
        return np.asarray(image.resize((BLOCK, BLOCK), how, box=box))

    edge = np.asarray(tissue.edge.crop(box))
    if edge.max() < 100:
        return None
    top, left = block_row * BLOCK, block_column * BLOCK
    collagen = patch(fibres.collagen, top, left)
    grain = patch(fibres.grain, top, left)

    def stamp(stamps: Stamps, blank: int, ink: np.ufunc) -> Bytes:
        plane = np.full((BLOCK + 2 * MARGIN,) * 2, blank, np.uint8)
        stamps.print_on(plane, top, left, ink)
        return plane[MARGIN:-MARGIN, MARGIN:-MARGIN]

    eosin = np.minimum(
        _weigh(magnify(tissue.eosin, Image.Resampling.BILINEAR), collagen, 7), MOST_EOSIN
    )
    haematoxylin = magnify(tissue.haematoxylin, Image.Resampling.BILINEAR)
    if np.asarray(tissue.gland.crop(box)).max() > 40:
        depth = magnify(tissue.gland, Image.Resampling.BICUBIC)
        outside = np.take(_OUTSIDE_GLAND, depth)
        eosin = _weigh(eosin, outside) + _weigh(np.take(_GLAND_EOSIN, depth), grain, 7)
        haematoxylin = _weigh(haematoxylin, outside) + np.take(_GLAND_HAEMATOXYLIN, depth)
    clear = stamp(tissue.clearings, 255, np.minimum)
    if edge.min() < 140:
        depth = magnify(tissue.edge, Image.Resampling.BICUBIC) + (collagen >> 5)
        clear = np.minimum(clear, np.take(_SURFACE, depth))
    nuclei = _weigh(stamp(tissue.nuclei, 0, np.maximum), clear)
    eosin = _weigh(eosin, clear)
    eosin -= _weigh(eosin, nuclei, 9)
    eosin = np.maximum(eosin, stamp(tissue.red_cells, 0, np.maximum))
    haematoxylin = np.maximum(_weigh(haematoxylin, clear), nuclei)
    stains = np.left_shift(haematoxylin, 8, dtype=np.uint16) | eosin
    colours = np.take(_COLOURS, stains, mode="clip").view(np.uint8).reshape(BLOCK, BLOCK, 4)
    pixels = np.empty((BLOCK, BLOCK, 3), np.uint8)
    for channel in range(3):  # several times as fast as one copy of all three
        pixels[..., channel] = colours[..., channel]
    return pixels
