"""Slides with the structure of real ones, small and quick to make, and broken ones."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from conformance.bench.slides import draw_scene, make_large_svs
from conformance.bench.tiff import (
    Page,
    PageFile,
    append_label,
    append_macro,
    append_thumbnail,
    describe,
)
from tests.codings import CODINGS, Coding, Components

__all__ = [
    "LevelTruth",
    "SvsTruth",
    "make_large_svs",
    "make_plain_tiff",
    "make_svs",
    "patch_tag",
    "tag_values",
    "truncate",
]

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class LevelTruth:
    """What a tiled level holds.

    `tiles` are the encoded tiles and `decoded` the same as RGB, (tile, tile, 3) uint8 with the
    padding; both from left to right, row after row. `tables` is the value of JPEGTables.
    """

    columns: int
    rows: int
    tile: int
    tables: bytes
    tiles: list[bytes]
    decoded: list[Pixels]

    @property
    def tile_columns(self) -> int:
        return math.ceil(self.columns / self.tile)

    @property
    def tile_rows(self) -> int:
        return math.ceil(self.rows / self.tile)

    @property
    def pixels(self) -> Pixels:
        """The whole level without padding, (rows, columns, 3)."""
        grid = np.stack(self.decoded).reshape(
            self.tile_rows, self.tile_columns, self.tile, self.tile, 3
        )
        whole = grid.swapaxes(1, 2).reshape(
            self.tile_rows * self.tile, self.tile_columns * self.tile, 3
        )
        return whole[: self.rows, : self.columns]


@dataclass(frozen=True)
class SvsTruth:
    """What an SVS file holds: the base level first; associated images are RGB before encoding."""

    path: Path
    description: str
    levels: tuple[LevelTruth, ...]
    thumbnail: Pixels | None
    label: Pixels | None
    macro: Pixels | None


def make_svs(
    path: Path,
    *,
    columns: int = 1000,
    rows: int = 700,
    tile: int = 240,
    downsamples: Sequence[int] = (4,),
    components: Components | Coding = "rgb",
    mpp: str | None = "0.4990",
    app_mag: str | None = "20",
    date: str | None = "12/29/09",
    time: str | None = "09:59:15",
    thumbnail: bool = True,
    label: bool = True,
    macro: bool = True,
    icc: bytes | None = None,
    bigtiff: bool = False,
    seed: int = 0,
    extra_description: str = "",
    picture: Pixels | None = None,
    history: str | None = None,
) -> SvsTruth:
    """Write a small Aperio SVS and tell what is in it.

    "rgb" is the classic file: components R, G, B without a marker that says so, and a subsampling
    tag that is wrong. "ycbcr" is Y'CbCr 4:2:2; the others are in tests.codings.
    `extra_description` is appended as it is.
    `picture` is what the base level shows, (rows, columns, 3), and decides about the size; the
    thumbnail then is its seventh. `history` stands before the coding in the base description.
    """
    if picture is not None:
        rows, columns = picture.shape[:2]
    coded = components if isinstance(components, Coding) else CODINGS[components]
    sizes = [(columns // factor, rows // factor) for factor in (1, *downsamples)]
    scene = Image.fromarray(draw_scene(columns, rows, seed=seed) if picture is None else picture)
    levels = tuple(
        _encode_level(np.asarray(scene.resize(size, Image.Resampling.BOX)), tile, coded)
        for size in sizes
    )
    history = history or f"{columns}x{rows} [0,100 {columns}x{rows}] ({tile}x{tile})"
    properties = {
        "AppMag": app_mag,
        "StripeWidth": "2040",
        "ScanScope_ID": "CPAPERIOCS",
        "Filename": "CMU-1",
        "Date": date,
        "Time": time,
        "MPP": mpp,
        "Left": "25.691574",
        "Top": "23.449873",
        "OriginalWidth": str(columns),
        "OriginalHeight": str(rows),
    }
    base_text = describe(f"{history} {coded.text}", **properties) + extra_description
    small = draw_scene(300, 210, seed=seed + 1) if thumbnail else None
    if thumbnail and picture is not None:
        small = np.asarray(scene.resize((columns // 7, rows // 7), Image.Resampling.BOX))
    paper = draw_scene(97, 115, seed=seed + 2) if label else None
    glass = draw_scene(320, 107, seed=seed + 3) if macro else None
    with PageFile(path, bigtiff=bigtiff) as file:
        for number, level in enumerate(levels):
            lower = describe(
                f"{history} -> {level.columns}x{level.rows} {coded.text}", **properties
            )
            page = Page(
                level.columns,
                level.rows,
                lower if number else base_text,
                level.tables,
                tile=tile,
                compression=coded.compression,
                photometric=coded.photometric,
                subsampling=coded.subsampling,
                icc=None if number else icc,
            )
            file.append_image(page, level.tiles)
            if number == 0 and small is not None:
                append_thumbnail(file, small, f"{columns}x{rows}")
        if paper is not None:
            append_label(file, paper)
        if glass is not None:
            append_macro(file, glass)
    return SvsTruth(path, base_text, levels, small, paper, glass)


def truncate(path: Path, keep_bytes: int) -> None:
    """Cut a file off after so many bytes."""
    with path.open("r+b") as file:
        file.truncate(keep_bytes)


def patch_tag(path: Path, page: int, tag_code: int, new_values: int | Sequence[int]) -> None:
    """Overwrite the values of a tag, such as 324 TileOffsets or 325 TileByteCounts."""
    with tifffile.TiffFile(path, mode="r+") as file:
        tag = file.pages[page].tags[tag_code]  # type: ignore[union-attr]
        tag.overwrite(new_values)


def tag_values(path: Path, page: int, tag_code: int) -> list[int]:
    """Read the values of a numeric tag."""
    with tifffile.TiffFile(path) as file:
        return list(np.atleast_1d(file.pages[page].tags[tag_code].value).tolist())  # type: ignore[union-attr]


def make_plain_tiff(path: Path) -> None:
    """Write a TIFF that is no slide: one uncompressed picture in strips."""
    tifffile.imwrite(path, draw_scene(120, 80, seed=9), photometric="rgb")


def _encode_level(pixels: Pixels, tile: int, coding: Coding) -> LevelTruth:
    rows, columns = pixels.shape[:2]
    padded = np.pad(pixels, ((0, -rows % tile), (0, -columns % tile), (0, 0)), mode="edge")
    squares = [
        np.ascontiguousarray(padded[row : row + tile, column : column + tile])
        for row in range(0, rows, tile)
        for column in range(0, columns, tile)
    ]
    encoded = [coding.encode(square) for square in squares]
    tables, tiles = encoded[0][0], [bitstream for _, bitstream in encoded]
    decoded = [coding.decode(tables, bitstream) for bitstream in tiles]
    return LevelTruth(columns, rows, tile, tables, tiles, decoded)
