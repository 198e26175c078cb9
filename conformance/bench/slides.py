"""Writes big Aperio slides for measurements, as fast as the disk takes them.

`make_large_svs` repeats a few hundred encoded tiles, so that a slide of gigabytes takes seconds.

Run ``python -m conformance.bench.slides OUT.svs --bytes 3e9 --tiles 40000 [--sparse]``.
"""

import argparse
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from conformance.bench.tiff import (
    DISK_BLOCK,
    Page,
    PageFile,
    Pixels,
    append_label,
    append_macro,
    append_thumbnail,
    describe,
    encode_rgb,
)

DISTINCT_TILES = 256


def make_large_svs(
    path: Path, *, file_bytes: int, tiles: int, tile: int = 256, sparse: bool = False
) -> None:
    """Write a BigTIFF SVS of a given size whose levels repeat a few hundred textured tiles.

    Levels have the factors 1, 4, 16 and 64 as far as they hold a tile; they do not show the same
    picture. Thumbnail, label and macro are there. The same arguments give the same bytes.

    Parameters
    ----------
    path
        The file to write; an existing file is replaced.
    file_bytes
        Size of the file, kept to within some percent.
    tiles
        Number of tiles of the base level; rounded up to a whole grid, as square as may be.
    tile
        Columns and rows of a tile.
    sparse
        Spread small tiles over the file: each is followed by a hole that its byte count includes,
        so that the file takes one disk block for a tile of 256 x 256 pixels.

    Raises
    ------
    ValueError
        If tiles of that size cannot be compressed to so many or so few bytes.
    """
    tile_columns = math.ceil(math.sqrt(tiles))
    tile_rows = math.ceil(tiles / tile_columns)
    columns, rows = tile_columns * tile - tile // 3, tile_rows * tile - tile // 5
    factors = [factor for factor in (1, 4, 16, 64) if factor == 1 or columns // factor >= tile]
    sizes = [(columns // factor, rows // factor) for factor in factors]
    share = file_bytes // sum(math.ceil(w / tile) * math.ceil(h / tile) for w, h in sizes)
    stride = share - share % DISK_BLOCK if sparse else 0
    tables, pool = _encode_pool(tile, tile * tile // 18 if sparse else share)
    if sparse and stride < max(map(len, pool)):
        raise ValueError(f"{file_bytes} bytes leave no holes between {tiles} tiles")
    thumbnail = draw_scene(400, max(1, 400 * rows // columns), seed=1)
    with PageFile(path, bigtiff=True) as file:
        for number, (width, height) in enumerate(sizes):
            text = f"{columns}x{rows} [0,0 {columns}x{rows}] ({tile}x{tile}) "
            text += f"-> {width}x{height} JPEG/RGB" if number else "JPEG/RGB"
            page = Page(width, height, describe(text), tables, tile=tile)
            offsets, counts = _append_repeated(file, page, pool, stride, seed=number)
            file.append_page(page, offsets, counts)
            if not number:
                append_thumbnail(file, thumbnail, f"{columns}x{rows}")
        append_label(file, draw_scene(387, 463, seed=2))
        append_macro(file, draw_scene(1280, 431, seed=3))


def _append_repeated(
    file: PageFile, page: Page, pool: list[bytes], stride: int, seed: int
) -> tuple[list[int], list[int]]:
    """Append the tiles of a level, one row of tiles at a time; return offsets and byte counts."""
    rng = np.random.default_rng(seed)
    across, down = math.ceil(page.columns / page.tile), math.ceil(page.rows / page.tile)
    offsets: list[int] = []
    counts: list[int] = []
    for _ in range(down):
        row = [pool[index] for index in rng.integers(0, len(pool), across).tolist()]
        if stride:
            start = file.append_spread(row, stride)
            counts += [stride] * across
        else:
            start = file.append(b"".join(row))
            counts += map(len, row)
        offsets += (start + np.cumsum([0, *counts[-across:-1]])).tolist()
    return offsets, counts


def _encode_pool(tile: int, mean_bytes: int) -> tuple[bytes, list[bytes]]:
    """Return JPEG tables and distinct tiles of `mean_bytes` on the average."""

    def encode(seed: int, strength: float) -> tuple[bytes, bytes]:
        pixels = draw_scene(tile, tile, seed=seed, noise=100 * strength**2)
        return encode_rgb(pixels, quality=round(3 + 94 * strength))

    def mean(strength: float) -> float:
        return sum(len(encode(seed, strength)[1]) for seed in range(6)) / 6

    if not mean(0) <= mean_bytes <= mean(1):
        raise ValueError(
            f"tiles of {tile} x {tile} pixels take {mean(0):.0f} to {mean(1):.0f} bytes, "
            f"not {mean_bytes}"
        )
    low, high = 0.0, 1.0
    for _ in range(9):
        middle = (low + high) / 2
        low, high = (middle, high) if mean(middle) < mean_bytes else (low, middle)
    with ThreadPoolExecutor() as pool:
        encoded = list(pool.map(lambda seed: encode(seed, low), range(DISTINCT_TILES)))
    return encoded[0][0], [bitstream for _, bitstream in encoded]


def draw_scene(columns: int, rows: int, *, seed: int, noise: float = 6.0) -> Pixels:
    """Draw gradients, shapes and noise, so that any shift or swap changes the pixels.

    Parameters
    ----------
    columns, rows
        Size of the picture in pixels.
    seed
        Chooses the shapes and the noise.
    noise
        Standard deviation of the noise in grey levels.

    Returns
    -------
    ndarray
        RGB, (rows, columns, 3), uint8.
    """
    rng = np.random.default_rng(seed)
    down = np.linspace(70, 240, rows, dtype=np.float32)[:, None]
    right = np.linspace(80, 250, columns, dtype=np.float32)[None, :]
    scene = np.stack([down + 0 * right, (down + right) / 2, right + 0 * down], axis=2)
    image = Image.fromarray(scene.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = int(rng.integers(0, columns)), int(rng.integers(0, rows))
        size = int(rng.integers(3, max(4, min(columns, rows) // 4)))
        red, green, blue = rng.integers(40, 255, 3).tolist()
        draw.ellipse((x - size, y - size, x + size, y + size // 2), fill=(red, green, blue))
    grain = rng.standard_normal((rows, columns, 3), dtype=np.float32) * np.float32(noise)
    return np.asarray(np.clip(np.asarray(image) + grain, 0, 255), dtype=np.uint8)


def main() -> None:
    """Write a slide as the command line asks."""
    parser = argparse.ArgumentParser(description="Write a big Aperio slide.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--bytes", type=float, required=True, help="size of the file, such as 3e9")
    parser.add_argument("--tiles", type=int, default=40_000, help="tiles of the base level")
    parser.add_argument("--tile", type=int, default=256, help="columns and rows of a tile")
    parser.add_argument("--sparse", action="store_true", help="leave holes between the tiles")
    options = parser.parse_args()
    make_large_svs(
        options.path,
        file_bytes=int(options.bytes),
        tiles=options.tiles,
        tile=options.tile,
        sparse=options.sparse,
    )


if __name__ == "__main__":
    main()
