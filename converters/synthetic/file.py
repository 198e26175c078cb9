"""Writes the pages of the slide in the order and with the words of an Aperio scanner."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from converters.synthetic.arrays import Bytes
from converters.synthetic.encoding import QUALITY, encode, encode_tiles
from converters.synthetic.label import draw_label, draw_macro
from converters.synthetic.measures import BLOCK, GLASS, TILE
from converters.synthetic.painting import Block


class Levels:
    """The pyramid while it is written: takes painted blocks, gives tiles of each level."""

    def __init__(self, columns: int, rows: int) -> None:
        self.sizes = [(columns // factor, rows // factor) for factor in (1, 4, 16)]
        self.quarter_tiles: list[bytes] = []
        width, height = (math.ceil(size / TILE) * TILE for size in self.sizes[2])
        self.sixteenth: Bytes = np.full((height, width, 3), GLASS, np.uint8)

    def base_tiles(
        self, blocks: Iterator[Block], progress: Callable[[int, int], None] | None
    ) -> Iterator[bytes]:
        """Yield the tiles of the base level from left to right, row after row of blocks."""
        columns, rows = self.sizes[0]
        tile_columns, tile_rows = math.ceil(columns / TILE), math.ceil(rows / TILE)
        across, down = math.ceil(columns / BLOCK), math.ceil(rows / BLOCK)
        for block_row in range(down):
            strip: list[Block] = []
            for block_column in range(across):
                strip.append(next(blocks))
                self._take(strip[-1], block_row, block_column)
                if progress is not None:
                    progress(block_row * across + block_column + 1, across * down)
            for line in range(min(4, tile_rows - 4 * block_row)):
                tiles = [tile for block in strip for tile in block.tiles[4 * line : 4 * line + 4]]
                yield from tiles[:tile_columns]

    def _take(self, block: Block, block_row: int, block_column: int) -> None:
        self.quarter_tiles.append(block.quarter)
        side = BLOCK // 16
        part = self.sixteenth[block_row * side :, block_column * side :][:side, :side]
        part[...] = block.sixteenth[: part.shape[0], : part.shape[1]]

    def overview(self) -> Image.Image:
        """Return level 2 as an image; complete when all base tiles have been taken."""
        columns, rows = self.sizes[2]
        return Image.fromarray(self.sixteenth[:rows, :columns])


def write_pages(
    file: tifffile.TiffWriter, levels: Levels, base_tiles: Iterator[bytes], seed: int
) -> None:
    """Write all pages in the order of a scanner."""
    columns, rows = levels.sizes[0]
    base = f"Aperio Image Library v12.0.15 \r\n{columns}x{rows} [0,0 {columns}x{rows}] "
    base += f"({TILE}x{TILE}) JPEG/YCC Q={QUALITY}"
    properties = _properties(columns, rows, seed)
    _write_tiled(file, levels.sizes[0], base_tiles, base + properties)

    overview = levels.overview()
    thumbnail = overview.copy()
    thumbnail.thumbnail((1024, 768))
    name = f"Aperio Image Library v12.0.15 \r\n{columns}x{rows} -> "
    _write_striped(
        file, thumbnail, name + f"{thumbnail.width}x{thumbnail.height} - " + properties, 0
    )
    for size, tiles in zip(
        levels.sizes[1:], (levels.quarter_tiles, encode_tiles(levels.sixteenth)), strict=True
    ):
        text = f"{size[0]}x{size[1]} ({TILE}x{TILE}) JPEG/YCC Q={QUALITY}"
        _write_tiled(file, size, iter(tiles), name + text + properties)
    label = draw_label(seed)
    file.write(
        np.asarray(label), photometric="rgb", compression="lzw", predictor=True, rowsperstrip=7,
        subfiletype=1, description=f"Aperio Image Library v12.0.15 \r\nlabel {_size(label)}",
        metadata=None, software=False,
    )  # fmt: skip
    macro = draw_macro(label, overview)
    _write_striped(file, macro, f"Aperio Image Library v12.0.15 \r\nmacro {_size(macro)}", 9)


def _size(image: Image.Image) -> str:
    return f"{image.width}x{image.height}"


def _properties(columns: int, rows: int, seed: int) -> str:
    """Return what Aperio says after the size line of the image description."""
    pairs = {
        "AppMag": "40", "StripeWidth": "2040", "ScanScope ID": "SYNTHETIC",
        "Filename": f"synthetic-{seed}", "Date": "01/15/26", "Time": "09:30:00",
        "Time Zone": "GMT+00:00", "User": "synthetic", "Parmset": "SYNTHETIC",
        "MPP": "0.2500", "Left": "32.500000", "Top": "18.500000", "LineCameraSkew": "0.000000",
        "LineAreaXOffset": "0.000000", "LineAreaYOffset": "0.000000",
        "Focus Offset": "0.000000", "ImageID": str(1000 + seed),
        "OriginalWidth": str(columns), "OriginalHeight": str(rows), "Filtered": "5",
    }  # fmt: skip
    return "".join(f"|{key} = {value}" for key, value in pairs.items())


def _write_tiled(
    file: tifffile.TiffWriter, size: tuple[int, int], tiles: Iterator[bytes], description: str
) -> None:
    """Write a level; `size` is columns and rows."""
    file.write(
        tiles, shape=(size[1], size[0], 3), dtype=np.uint8, tile=(TILE, TILE),
        **_jpeg_page(description, 0),
    )  # fmt: skip


def _write_striped(
    file: tifffile.TiffWriter, image: Image.Image, description: str, subfile_type: int
) -> None:
    """Write an associated image in strips of 16 rows."""
    pixels = np.asarray(image)
    strips = (encode(pixels[row : row + 16])[1] for row in range(0, image.height, 16))
    file.write(
        strips, shape=pixels.shape, dtype=np.uint8, rowsperstrip=16,
        **_jpeg_page(description, subfile_type),
    )  # fmt: skip


def _jpeg_page(description: str, subfile_type: int) -> dict[str, Any]:
    """Return the arguments that all JPEG pages have in common."""
    return {
        "photometric": "ycbcr", "subsampling": (2, 1), "compression": "jpeg",
        "jpegtables": encode(np.zeros((16, 16, 3), np.uint8))[0], "subfiletype": subfile_type,
        "description": description, "metadata": None, "software": False,
    }  # fmt: skip
