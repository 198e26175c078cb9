"""Draws a slide that looks like stained tissue and belongs to nobody.

The demonstration needs a slide on the first run, without a download and without a patient. This
module draws one: a section in the manner of a bowel wall in haematoxylin and eosin, scanned at
0.25 micrometres per pixel, stored as an Aperio SVS with all that such a file has: tiled levels,
thumbnail, label and macro.

The picture is made in two steps. Maps of one value per 16 x 16 pixels say where tissue, glands and
layers are, and tables say where each nucleus lies (`_plan_tissue`). Blocks of 1024 x 1024 pixels
are then painted from them as amounts of the two stains, and only the last step turns stain into
colour (`_paint_block`). A block depends on nothing but its place, so blocks are painted in
parallel, and the same seed gives the same bytes.
"""

import itertools
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

TILE = 256
QUALITY = 78
GLASS = 243
CELL = 16  # pixels of the slide per value of a map
BLOCK = 1024  # one tile of level 1, 4 x 4 tiles of level 0
REACH = 60  # half the largest stamp
MARGIN = 2 * REACH  # around a block, so that no stamp that touches the block is cut
PERIOD = 1440  # pixels after which a texture repeats; no multiple of BLOCK
ANGLES = 16
VARIANTS = 4
WORKERS = min(8, os.cpu_count() or 1)  # each needs about 25 MB
MOST_EOSIN = 200  # what is above is blood


def draw_slide(
    path: Path,
    *,
    columns: int = 20_480,
    rows: int = 15_360,
    seed: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw a synthetic Aperio SVS in haematoxylin and eosin.

    Three tiled levels (factors 1, 4 and 16, sizes rounded down), a thumbnail, a label and a macro
    image. The pixels are JPEG, Y'CbCr 4:2:2, in tiles of 256 x 256 without their own tables.

    Parameters
    ----------
    path
        The file to write; an existing file is replaced.
    columns, rows
        Size of the base level in pixels of 0.25 micrometres, at least 64 each.
    seed
        Chooses the slide: the same seed and size give the same bytes.
    progress
        Called with the blocks painted so far and the blocks in all.

    Raises
    ------
    ValueError
        If the slide is smaller than 64 x 64 pixels.
    """
    if min(columns, rows) < 64:
        raise ValueError(f"a slide of {columns} x {rows} pixels is too small: 64 x 64 at least")
    rng = np.random.default_rng(seed)
    fibres = _weave_fibres(rng)
    tissue = _plan_tissue(rng, columns, rows, fibres.angle)
    levels = _Levels(columns, rows)
    with (
        tifffile.TiffWriter(path, byteorder="<") as file,
        ThreadPoolExecutor(WORKERS) as pool,
    ):
        painted = pool.map(
            lambda place: _paint_tiles(tissue, fibres, *place),
            itertools.product(range(tissue.block_rows), range(tissue.block_columns)),
        )
        _write_pages(file, levels, levels.base_tiles(painted, progress), seed)


# ------------------------------------------------------------------------------- bit streams


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


def _encode(pixels: Bytes) -> tuple[bytes, bytes]:
    """Return tables and bit stream of RGB pixels as Y'CbCr 4:2:2."""
    jpeg = imagecodecs.jpeg8_encode(
        pixels, level=QUALITY, colorspace="rgb", outcolorspace="ycbcr", subsampling="422"
    )
    return abbreviate(bytes(jpeg))


def _encode_tiles(pixels: Bytes) -> list[bytes]:
    """Return the bit streams of all tiles of an array that is a whole number of tiles."""
    return [
        _encode(pixels[row : row + TILE, column : column + TILE])[1]
        for row in range(0, pixels.shape[0], TILE)
        for column in range(0, pixels.shape[1], TILE)
    ]


# --------------------------------------------------------------------------------- the fabric


@dataclass(frozen=True)
class _Fibres:
    """Textures that repeat after `PERIOD` pixels; 128 leaves the stain as it is."""

    collagen: Bytes
    grain: Bytes
    angle: Floats  # direction of the collagen in radians, PERIOD x PERIOD


def _weave_fibres(rng: np.random.Generator) -> _Fibres:
    """Make wavy collagen and fine grain out of filtered white noise."""
    v = np.fft.fftfreq(PERIOD)[:, None].astype(np.float32)
    u = np.fft.rfftfreq(PERIOD)[None, :].astype(np.float32)
    radius = np.hypot(u, v)

    def spectrum() -> NDArray[np.complex64]:
        white = rng.standard_normal((PERIOD, PERIOD), dtype=np.float32)
        return np.asarray(np.fft.rfft2(white), dtype=np.complex64)

    def picture(amplitudes: NDArray[Any]) -> Floats:
        field = np.fft.irfft2(amplitudes, s=(PERIOD, PERIOD)).astype(np.float32)
        return np.asarray(field / field.std(), dtype=np.float32)

    def strands(direction: float) -> Floats:
        along = u * math.cos(direction) + v * math.sin(direction)
        across = v * math.cos(direction) - u * math.sin(direction)
        strand = picture(noise * np.exp(-((along * 170) ** 2) - (across * 9) ** 2))
        share = np.cos(angle - np.float32(direction)) ** 2
        return np.asarray(strand * (share * share * share), dtype=np.float32)

    angle = 0.5 * np.pi * picture(spectrum() * np.exp(-((radius * 420) ** 2)))
    noise = spectrum() * (1 - np.exp(-((radius * 90) ** 2)))
    with ThreadPoolExecutor(WORKERS) as pool:
        fibres = sum(pool.map(strands, np.arange(6) * math.pi / 6), np.float32(0))
    fibres /= fibres.std()
    grain = picture(spectrum() * np.exp(-((radius * 7) ** 2)) * (1 - np.exp(-((radius * 60) ** 2))))
    collagen = 124 * np.tanh(1.1 + 0.5 * fibres) / np.tanh(1.1)
    return _Fibres(_to_bytes(collagen + 8 * grain), _to_bytes(128 + 17 * grain), angle)


def _patch(texture: Bytes, row: int, column: int) -> Bytes:
    """Return BLOCK x BLOCK pixels of a texture that repeats, from any place of the slide."""
    index = np.arange(BLOCK)
    lines = texture[(row + index) % PERIOD]
    return np.asarray(np.take(lines, (column + index) % PERIOD, axis=1))


def _to_bytes(values: NDArray[Any]) -> Bytes:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def _noise(rng: np.random.Generator, shape: tuple[int, int], pitch: float) -> Floats:
    """Return smooth noise, mostly in -1..1, with hills about `pitch` values wide."""
    total = np.zeros(shape, np.float32)
    for octave in range(3):
        grid = [math.ceil(size * 2**octave / pitch) + 3 for size in shape]
        image = Image.fromarray(rng.uniform(-1, 1, grid).astype(np.float32))
        scale = 2**octave / pitch
        box = (1, 1, 1 + shape[1] * scale, 1 + shape[0] * scale)
        smooth = image.resize((shape[1], shape[0]), Image.Resampling.BICUBIC, box=box)
        total += np.asarray(smooth) / 2**octave
    return total


def _ramp(values: NDArray[Any], low: float | NDArray[Any], high: float | NDArray[Any]) -> Floats:
    """Return 0 below `low`, 1 above `high`, and a straight line between."""
    return np.clip((values - low) / (high - low), 0, 1).astype(np.float32)


# --------------------------------------------------------------------------------- the stamps


@dataclass(frozen=True)
class _Stamps:
    """Small pictures and where they go."""

    pictures: list[Bytes]
    picture: NDArray[np.int64]  # which picture, (n,)
    column: NDArray[np.int64]  # centre, pixels of the base level, (n,)
    row: NDArray[np.int64]

    def print_on(self, plane: Bytes, top: int, left: int, ink: np.ufunc) -> None:
        """Combine the stamps with a plane that starts `MARGIN` above and left of the place."""
        first, last = np.searchsorted(self.row, (top - REACH, top + BLOCK + REACH))
        near = np.arange(first, last)
        column = self.column[near]
        near = near[(column > left - REACH) & (column < left + BLOCK + REACH)]
        for index, x, y in zip(
            self.picture[near].tolist(),
            (self.column[near] - left).tolist(),
            (self.row[near] - top).tolist(),
            strict=True,
        ):
            picture = self.pictures[index]
            size = picture.shape[0]
            x, y = x + MARGIN - size // 2, y + MARGIN - size // 2
            target = plane[y : y + size, x : x + size]
            ink(target, picture, out=target)


class _Scatter:
    """Collects stamps of several kinds while the tissue is planned."""

    def __init__(self) -> None:
        self._pictures: list[Bytes] = []
        self._placed: list[NDArray[np.int64]] = []

    def add_kind(self, pictures: list[Bytes]) -> int:
        """Add the pictures of one kind; return the number of the first."""
        self._pictures += pictures
        return len(self._pictures) - len(pictures)

    def place(self, picture: NDArray[Any], column: NDArray[Any], row: NDArray[Any]) -> None:
        self._placed.append(np.stack([picture, column, row]).astype(np.int64))

    def finish(self) -> _Stamps:
        picture, column, row = np.concatenate(self._placed, axis=1)
        order = np.argsort(row, kind="stable")
        return _Stamps(self._pictures, picture[order], column[order], row[order])


def _nuclei(
    rng: np.random.Generator, length: float, width: float, darkness: float, clumps: float
) -> list[Bytes]:
    """Draw nuclei in ANGLES directions and VARIANTS shapes; length and width in pixels."""
    half = math.ceil(length / 2) + 3
    y, x = np.mgrid[-half:half, -half:half].astype(np.float32)
    pictures = []
    for angle in np.arange(ANGLES) * np.pi / ANGLES:
        along = x * np.cos(angle) + y * np.sin(angle)
        across = -x * np.sin(angle) + y * np.cos(angle)
        for _ in range(VARIANTS):
            chromatin = _noise(rng, (2 * half, 2 * half), 6)
            wobble = 1 + 0.1 * _noise(rng, (2 * half, 2 * half), 14)
            stretch, depth = rng.uniform(0.8, 1.1, 2), rng.uniform(0.75, 1.05)
            radius = (
                np.hypot(along / (length / 2 * stretch[0]), across / (width / 2 * stretch[1]))
                * wobble
            )
            rim = np.exp(-(((radius - 0.9) * 6) ** 2))
            stain = darkness * depth * (1 + clumps * chromatin + 0.25 * rim)
            pictures.append(_to_bytes(stain * _ramp(radius, 1.15, 0.85)))
    return pictures


def _holes(rng: np.random.Generator, diameters: list[float], floor: int) -> list[Bytes]:
    """Draw round clearings, 255 around and `floor` within."""
    pictures = []
    for diameter in diameters:
        half = math.ceil(diameter / 2) + 6
        y, x = np.mgrid[-half:half, -half:half].astype(np.float32)
        wobble = 1 + 0.08 * _noise(rng, (2 * half, 2 * half), half)
        radius = np.hypot(x, y * rng.uniform(0.95, 1.15)) * wobble - diameter / 2
        pictures.append(_to_bytes(floor + (255 - floor) * _ramp(radius, -4, 1)))
    return pictures


def _red_cells() -> list[Bytes]:
    """Draw an erythrocyte, paler in the middle, with the bite of its plane in the section."""
    y, x = np.mgrid[-16:16, -16:16].astype(np.float32)
    pictures = []
    for squeeze in (1.0, 1.1, 1.3):
        radius = np.hypot(x, y * squeeze) / 13.5
        dent = 26 * np.exp(-((radius * 1.6) ** 2))
        pictures.append(_to_bytes((246 - dent) * _ramp(radius, 1.05, 0.85)))
    return pictures


# --------------------------------------------------------------------------------- the tissue


@dataclass(frozen=True)
class _Tissue:
    """All that there is to paint; the images have one value per CELL x CELL pixels."""

    block_columns: int
    block_rows: int
    edge: Image.Image  # 128 at the border of the tissue, one per pixel inwards
    gland: Image.Image  # 64 at the border of a gland, one per pixel inwards, 0 far outside
    eosin: Image.Image
    haematoxylin: Image.Image
    nuclei: _Stamps
    clearings: _Stamps
    red_cells: _Stamps


@dataclass(frozen=True)
class _Layers:
    """Where the layers of the bowel wall are: maps of depths in pixels, and weights 0..1."""

    depth: Floats
    mucosa: Floats
    muscle: Floats
    follicle: Floats
    fat: Floats


def _plan_tissue(rng: np.random.Generator, columns: int, rows: int, angle: Floats) -> _Tissue:
    """Decide where everything is."""
    block_columns, block_rows = math.ceil(columns / BLOCK), math.ceil(rows / BLOCK)
    shape = (block_rows * BLOCK // CELL, block_columns * BLOCK // CELL)
    layers = _plan_layers(rng, shape, columns, rows)
    gland = np.full(shape, -64, np.float32)
    nuclei, clearings, red_cells = _Scatter(), _Scatter(), _Scatter()
    _place_glands(rng, layers, gland, nuclei, clearings)
    _place_stroma(rng, layers, gland, nuclei, angle)
    _place_vessels_and_fat(rng, layers, gland, clearings, red_cells)
    mottle = _noise(rng, shape, 60)
    loose = (1 - layers.mucosa) * (1 - layers.muscle)
    eosin = (74 * layers.mucosa + 112 * layers.muscle + 62 * loose + 12 * mottle) * (
        1 - 0.35 * layers.follicle
    )
    haematoxylin = 12 * layers.mucosa + 7 * layers.muscle + 4 * loose + 40 * layers.follicle

    def image(values: Floats) -> Image.Image:
        return Image.fromarray(_to_bytes(np.minimum(values, 239)))  # 16 left for roughness

    return _Tissue(
        block_columns, block_rows,
        image(layers.depth + 128), image(gland + 64), image(eosin), image(haematoxylin),
        nuclei.finish(), clearings.finish(), red_cells.finish(),
    )  # fmt: skip


def _plan_layers(
    rng: np.random.Generator, shape: tuple[int, int], columns: int, rows: int
) -> _Layers:
    """Lay out three pieces of tissue, and the layers by their depth under the surface."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32) * CELL
    depth = np.full(shape, -1e4, np.float32)
    pieces = [(0.34, 0.55, 0.27, 0.35), (0.80, 0.36, 0.14, 0.25), (0.80, 0.82, 0.10, 0.09)]
    for centre_x, centre_y, radius_x, radius_y in pieces:
        dx = (x - centre_x * columns) / (radius_x * columns)
        dy = (y - centre_y * rows) / (radius_y * rows)
        around = np.arctan2(dy, dx)
        outline = np.ones(shape, np.float32)
        for wave in range(2, 6):
            outline += 0.22 / wave * np.cos(wave * around + rng.uniform(0, 2 * np.pi))
        size = min(radius_x * columns, radius_y * rows)
        depth = np.maximum(depth, (outline - np.hypot(dx, dy)) * size)
    scale = min(1.0, min(columns, rows) / 8000)
    depth += scale * (200 * _noise(rng, shape, 50) + 45 * _noise(rng, shape, 7))
    bottom = 1750 + 420 * _noise(rng, shape, 130)
    mucosa = _ramp(depth, bottom + 60, bottom - 60)
    floor = bottom + 750 + 350 * _noise(rng, shape, 90)
    muscle = _ramp(depth, floor - 50, floor + 50)
    patches = _noise(rng, shape, 45)
    near_bottom = np.exp(-(((depth - bottom) / 330) ** 2))
    follicle = _ramp(patches * near_bottom, 0.55, 0.68)
    fat = _ramp(_noise(rng, shape, 55), 0.25, 0.4) * (1 - mucosa) * (1 - muscle) * (1 - follicle)
    cleft = np.abs(_noise(rng, shape, 110)) * 2600 - 30 + 60 * _noise(rng, shape, 60)
    torn = _ramp(_noise(rng, shape, 80), 0.1, 0.3) * (1 - mucosa)
    depth = np.where(torn > 0.5, np.minimum(depth, np.maximum(cleft, -60)), depth)
    return _Layers(depth, mucosa, muscle, follicle, fat)


def _spread(
    rng: np.random.Generator, shape: tuple[int, int], pitch: float, jitter: float
) -> tuple[Floats, Floats]:
    """Return columns and rows of points all over the slide, about `pitch` pixels apart."""
    height, width = shape[0] * CELL, shape[1] * CELL
    y, x = np.mgrid[0 : height : pitch * 0.87, 0:width:pitch].astype(np.float32)
    x[1::2] += pitch / 2
    x, y = (axis.ravel() + jitter * pitch * rng.uniform(-1, 1, axis.size) for axis in (x, y))
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    return x[inside].astype(np.float32), y[inside].astype(np.float32)


def _at(values: NDArray[Any], column: NDArray[Any], row: NDArray[Any]) -> NDArray[Any]:
    """Read a map at points of the slide, each the nearest value."""
    y = np.clip(row.astype(int) // CELL, 0, values.shape[0] - 1)
    x = np.clip(column.astype(int) // CELL, 0, values.shape[1] - 1)
    return np.asarray(values[y, x])


def _turned(rng: np.random.Generator, first: int, angle: NDArray[Any]) -> NDArray[Any]:
    """Return the pictures of a kind of nucleus that lie in these directions, in radians."""
    turn = np.rint(angle / np.pi * ANGLES).astype(int) % ANGLES
    return np.asarray(first + turn * VARIANTS + rng.integers(0, VARIANTS, turn.shape))


def _place_glands(
    rng: np.random.Generator, layers: _Layers, gland: Floats, nuclei: _Scatter, holes: _Scatter
) -> None:
    """Put crypts into the mucosa: a ring of nuclei at the base, goblets, a lumen."""
    kind = nuclei.add_kind(_nuclei(rng, 36, 21, 150, 0.20))
    goblet = holes.add_kind(_holes(rng, [30, 36, 40, 46], 70))
    columns, rows = _spread(rng, gland.shape, 350, 0.13)
    depth, mucosa = _at(layers.depth, columns, rows), _at(layers.mucosa, columns, rows)
    follicle = _at(layers.follicle, columns, rows)
    wanted = (depth > 190) & (mucosa > 0.9) & (follicle < 0.2)
    wanted &= rng.uniform(size=wanted.shape) > 0.06
    for column, row in zip(columns[wanted].tolist(), rows[wanted].tolist(), strict=True):
        size, turn = rng.uniform(115, 155), rng.uniform(0, np.pi)
        waves = rng.uniform(-1, 1, (4, 2)) * np.array([[0.20], [0.09], [0.05], [0.03]])

        def radius(
            angle: NDArray[Any], size: float = size, waves: NDArray[Any] = waves
        ) -> NDArray[Any]:
            orders = np.arange(2, 6).reshape(-1, *[1] * angle.ndim) * angle
            shares = waves.reshape(4, 2, *[1] * angle.ndim)
            outline = shares[:, 0] * np.cos(orders) + shares[:, 1] * np.sin(orders)
            return np.asarray(size * (1 + outline.sum(axis=0)))

        _dig_gland(gland, column, row, radius)
        around = np.arange(0, 2 * np.pi, 21 / size) + turn
        around += rng.uniform(-0.03, 0.03, around.shape)
        reach = radius(around) - rng.normal(27, 5, around.shape)
        nuclei.place(
            _turned(rng, kind, around + rng.normal(0, 0.15, around.shape)),
            column + reach * np.cos(around), row + reach * np.sin(around),
        )  # fmt: skip
        around = np.arange(0, 2 * np.pi, 44 / size) + turn
        around = around[rng.uniform(size=around.shape) < 0.75]
        reach = radius(around) - rng.normal(68, 5, around.shape)
        holes.place(
            goblet + rng.integers(0, 4, around.shape),
            column + reach * np.cos(around), row + reach * np.sin(around),
        )  # fmt: skip


def _dig_gland(
    gland: Floats, column: float, row: float, radius: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    """Raise the gland map to the depth under the outline of one gland."""
    reach = 300
    top, left = max(0, int(row - reach) // CELL), max(0, int(column - reach) // CELL)
    part = gland[top : int(row + reach) // CELL, left : int(column + reach) // CELL]
    y, x = np.mgrid[: part.shape[0], : part.shape[1]].astype(np.float32)
    dx, dy = (left + x + 0.5) * CELL - column, (top + y + 0.5) * CELL - row
    np.maximum(part, radius(np.arctan2(dy, dx)) - np.hypot(dx, dy), out=part)


def _place_stroma(
    rng: np.random.Generator, layers: _Layers, gland: Floats, nuclei: _Scatter, angle: Floats
) -> None:
    """Scatter lymphocytes, plasma cells and fibroblasts outside the glands."""
    lymphocyte = nuclei.add_kind(_nuclei(rng, 21, 20, 195, 0.12))
    plump = nuclei.add_kind(_nuclei(rng, 29, 20, 150, 0.22))
    spindle = nuclei.add_kind(_nuclei(rng, 50, 11, 165, 0.12))
    column, row = _spread(rng, gland.shape, 27, 0.30)
    depth = _at(layers.depth, column, row)
    inside = (depth > 14) & (_at(gland, column, row) < -10)
    column, row, depth = column[inside], row[inside], depth[inside]
    mucosa, muscle, follicle = (
        _at(part, column, row) for part in (layers.mucosa, layers.muscle, layers.follicle)
    )
    chance = np.maximum(0.035 + 0.22 * mucosa + 0.06 * muscle, 0.92 * follicle)
    chosen = rng.uniform(size=chance.shape) < chance
    column, row, depth = column[chosen], row[chosen], depth[chosen]
    mucosa, follicle = mucosa[chosen], follicle[chosen]
    free = rng.uniform(0, np.pi, column.shape)
    along = angle[row.astype(int) % PERIOD, column.astype(int) % PERIOD]
    dice = rng.uniform(size=column.shape)
    round_share = np.maximum(0.62 * mucosa, 0.97 * follicle)
    picture = np.where(
        dice < round_share * 0.62,
        _turned(rng, lymphocyte, free),
        np.where(
            dice < round_share,
            _turned(rng, plump, free),
            _turned(rng, spindle, along + rng.normal(0, 0.12, along.shape)),
        ),
    )
    nuclei.place(picture, column, row)


def _place_vessels_and_fat(
    rng: np.random.Generator, layers: _Layers, gland: Floats, holes: _Scatter, red_cells: _Scatter
) -> None:
    """Put fat cells and venules under the mucosa, and capillaries into it."""
    fat = holes.add_kind(_holes(rng, [84, 92, 100, 106], 0))
    lumen = holes.add_kind(_holes(rng, [34, 44, 64, 84], 10))
    red = red_cells.add_kind(_red_cells())
    column, row = _spread(rng, layers.fat.shape, 108, 0.08)
    chosen = (_at(layers.fat, column, row) > 0.5) & (_at(layers.depth, column, row) > 80)
    column, row = column[chosen], row[chosen]
    holes.place(fat + rng.integers(0, 4, column.shape), column, row)

    column, row = _spread(rng, layers.fat.shape, 800, 0.45)
    inside = (_at(layers.depth, column, row) > 120) & (_at(layers.fat, column, row) < 0.5)
    inside &= _at(gland, column, row) < -20
    deep = _at(layers.mucosa, column, row) < 0.5
    for x, y, large in zip(column[inside], row[inside], deep[inside], strict=True):
        count = int(rng.integers(8, 22)) if large else int(rng.integers(2, 5))
        step = 16.0 if large else 12.0
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.3, count))
        xs, ys = x + np.cumsum(step * np.cos(heading)), y + np.cumsum(step * np.sin(heading))
        width = rng.integers(2, 4, count) if large else rng.integers(0, 2, count)
        holes.place(lumen + width, xs, ys)
        packed = np.repeat(np.arange(count), 3 if large else 1)
        spread = rng.normal(0, 16 if large else 5, (2, packed.size))
        red_cells.place(
            red + rng.integers(0, 3, packed.shape), xs[packed] + spread[0], ys[packed] + spread[1]
        )
    nowhere = np.zeros(0)
    red_cells.place(nowhere, nowhere, nowhere)
    holes.place(nowhere, nowhere, nowhere)


# ------------------------------------------------------------------------------- the painting


@dataclass(frozen=True)
class _Block:
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
    blood = _ramp(eosin, 0.80, 0.90)
    colour = np.zeros((256, 256, 4), np.uint8)
    for channel, (blue, pink, red) in enumerate([(1.2, 0.33, 0.22), (1.62, 1.15, 0.98),
                                                 (0.72, 0.52, 0.82)]):  # fmt: skip
        density = haematoxylin * blue + eosin * pink * (1 - blood) + red * eosin * blood
        colour[..., channel] = _to_bytes(GLASS * np.exp(-density))
    return colour.view("<u4").ravel()


def _gland_tables() -> tuple[Bytes, Bytes, Bytes]:
    """Return the share of stroma, and a gland's own stains, at each value of the gland map."""
    depth = np.arange(256) - 64
    inside = _ramp(depth, -3, 3)
    lumen = _ramp(depth, 84, 96)
    membrane = np.exp(-((depth / 4.0) ** 2))
    apical = np.exp(-(((depth - 86) / 6.0) ** 2))
    eosin = (84 + 40 * membrane + 22 * apical) * (1 - lumen) + 5 * lumen
    haematoxylin = (26 - 6 * apical) * (1 - lumen) + 2 * lumen
    return (
        _to_bytes(255 * (1 - inside)),
        _to_bytes(eosin * inside),
        _to_bytes(haematoxylin * inside),
    )


_COLOURS = _stain_table()
_OUTSIDE_GLAND, _GLAND_EOSIN, _GLAND_HAEMATOXYLIN = _gland_tables()
_SURFACE = _to_bytes(255 * _ramp(np.arange(256), 124, 132))


def _weigh(values: Bytes, weights: Bytes, shift: int = 8) -> Bytes:
    """Return values * weights / 2**shift, at most 255."""
    product = np.multiply(values, weights, dtype=np.uint16)
    product >>= shift
    return np.minimum(product, 255).astype(np.uint8)


def _paint_tiles(tissue: _Tissue, fibres: _Fibres, block_row: int, block_column: int) -> _Block:
    """Paint one block and encode it for all three levels."""
    pixels = _paint_block(tissue, fibres, block_row, block_column)
    if pixels is None:
        return _GLASS_BLOCK
    return _encode_block(pixels)


def _encode_block(pixels: Bytes) -> _Block:
    quarter = Image.fromarray(pixels).reduce(4)
    return _Block(
        _encode_tiles(pixels), _encode(np.asarray(quarter))[1], np.asarray(quarter.reduce(4))
    )


_GLASS_BLOCK = _encode_block(np.full((BLOCK, BLOCK, 3), GLASS, np.uint8))


def _paint_block(
    tissue: _Tissue, fibres: _Fibres, block_row: int, block_column: int
) -> Bytes | None:
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
    collagen = _patch(fibres.collagen, top, left)
    grain = _patch(fibres.grain, top, left)

    def stamp(stamps: _Stamps, blank: int, ink: np.ufunc) -> Bytes:
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


# ----------------------------------------------------------------------------------- the file


class _Levels:
    """The pyramid while it is written: takes painted blocks, gives tiles of each level."""

    def __init__(self, columns: int, rows: int) -> None:
        self.sizes = [(columns // factor, rows // factor) for factor in (1, 4, 16)]
        self.quarter_tiles: list[bytes] = []
        width, height = (math.ceil(size / TILE) * TILE for size in self.sizes[2])
        self.sixteenth: Bytes = np.full((height, width, 3), GLASS, np.uint8)

    def base_tiles(
        self, blocks: Iterator[_Block], progress: Callable[[int, int], None] | None
    ) -> Iterator[bytes]:
        """Yield the tiles of the base level from left to right, row after row of blocks."""
        columns, rows = self.sizes[0]
        tile_columns, tile_rows = math.ceil(columns / TILE), math.ceil(rows / TILE)
        across, down = math.ceil(columns / BLOCK), math.ceil(rows / BLOCK)
        for block_row in range(down):
            strip: list[_Block] = []
            for block_column in range(across):
                strip.append(next(blocks))
                self._take(strip[-1], block_row, block_column)
                if progress is not None:
                    progress(block_row * across + block_column + 1, across * down)
            for line in range(min(4, tile_rows - 4 * block_row)):
                tiles = [tile for block in strip for tile in block.tiles[4 * line : 4 * line + 4]]
                yield from tiles[:tile_columns]

    def _take(self, block: _Block, block_row: int, block_column: int) -> None:
        self.quarter_tiles.append(block.quarter)
        side = BLOCK // 16
        part = self.sixteenth[block_row * side :, block_column * side :][:side, :side]
        part[...] = block.sixteenth[: part.shape[0], : part.shape[1]]

    def overview(self) -> Image.Image:
        """Return level 2 as an image; complete when all base tiles have been taken."""
        columns, rows = self.sizes[2]
        return Image.fromarray(self.sixteenth[:rows, :columns])


def _write_pages(
    file: tifffile.TiffWriter, levels: _Levels, base_tiles: Iterator[bytes], seed: int
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
        levels.sizes[1:], (levels.quarter_tiles, _encode_tiles(levels.sixteenth)), strict=True
    ):
        text = f"{size[0]}x{size[1]} ({TILE}x{TILE}) JPEG/YCC Q={QUALITY}"
        _write_tiled(file, size, iter(tiles), name + text + properties)
    label = _draw_label(seed)
    file.write(
        np.asarray(label), photometric="rgb", compression="lzw", predictor=True, rowsperstrip=7,
        subfiletype=1, description=f"Aperio Image Library v12.0.15 \r\nlabel {_size(label)}",
        metadata=None, software=False,
    )  # fmt: skip
    macro = _draw_macro(label, overview)
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
    strips = (_encode(pixels[row : row + 16])[1] for row in range(0, image.height, 16))
    file.write(
        strips, shape=pixels.shape, dtype=np.uint8, rowsperstrip=16,
        **_jpeg_page(description, subfile_type),
    )  # fmt: skip


def _jpeg_page(description: str, subfile_type: int) -> dict[str, Any]:
    """Return the arguments that all JPEG pages have in common."""
    return {
        "photometric": "ycbcr", "subsampling": (2, 1), "compression": "jpeg",
        "jpegtables": _encode(np.zeros((16, 16, 3), np.uint8))[0], "subfiletype": subfile_type,
        "description": description, "metadata": None, "software": False,
    }  # fmt: skip


def _draw_label(seed: int) -> Image.Image:
    """Draw a paper label that cannot be taken for a patient's."""
    label = Image.new("RGB", (387, 463), (248, 247, 242))
    draw = ImageDraw.Draw(label)
    draw.rectangle((8, 8, 378, 454), outline=(60, 60, 60), width=3)
    lines = [
        ("SYNTHETIC", 52, 45), ("NOT A PATIENT", 36, 115),
        (f"S-{seed:05d}", 48, 195), ("H & E", 36, 265),
    ]  # fmt: skip
    for text, size, top in lines:
        draw.text((193, top), text, (25, 25, 30), ImageFont.load_default(size), anchor="ma")
    bars = np.random.default_rng(seed).integers(2, 7, 64)
    position = 40
    for index, width in enumerate(bars.tolist()):
        if index % 2 == 0 and position + width < 347:
            draw.rectangle((position, 340, position + width - 1, 420), (25, 25, 30))
        position += width
    return label


def _draw_macro(label: Image.Image, overview: Image.Image) -> Image.Image:
    """Draw the whole slide: label at the left, cover slip, tissue (larger than to scale)."""
    macro = Image.new("RGB", (1280, 431), (206, 209, 208))
    draw = ImageDraw.Draw(macro)
    draw.rectangle((6, 8, 1273, 422), (228, 231, 229), outline=(176, 182, 181), width=2)
    macro.paste(label.resize((330, 395), Image.Resampling.BICUBIC), (16, 18))
    draw.rectangle((420, 22, 1190, 408), (233, 235, 232), outline=(196, 201, 199), width=2)
    tissue = overview.copy()
    tissue.thumbnail((480, 320))
    place = (805 - tissue.width // 2, 215 - tissue.height // 2)
    pixels = np.asarray(tissue).astype(np.float32) / GLASS * np.array([233, 235, 232])
    macro.paste(Image.fromarray(_to_bytes(pixels)), place)
    return macro
