"""Plans the tissue: where layers and glands are, and where each nucleus lies."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from converters.synthetic.arrays import Floats, noise, ramp, to_bytes
from converters.synthetic.measures import BLOCK, CELL, PERIOD
from converters.synthetic.stamps import (
    ANGLES,
    VARIANTS,
    Scatter,
    Stamps,
    draw_holes,
    draw_nuclei,
    draw_red_cells,
)


@dataclass(frozen=True)
class Tissue:
    """All that there is to paint; the images have one value per CELL x CELL pixels."""

    block_columns: int
    block_rows: int
    edge: Image.Image  # 128 at the border of the tissue, one per pixel inwards
    gland: Image.Image  # 64 at the border of a gland, one per pixel inwards, 0 far outside
    eosin: Image.Image
    haematoxylin: Image.Image
    nuclei: Stamps
    clearings: Stamps
    red_cells: Stamps


@dataclass(frozen=True)
class _Layers:
    """Where the layers of the bowel wall are: maps of depths in pixels, and weights 0..1."""

    depth: Floats
    mucosa: Floats
    muscle: Floats
    follicle: Floats
    fat: Floats


def plan_tissue(rng: np.random.Generator, columns: int, rows: int, angle: Floats) -> Tissue:
    """Decide where everything is."""
    block_columns, block_rows = math.ceil(columns / BLOCK), math.ceil(rows / BLOCK)
    shape = (block_rows * BLOCK // CELL, block_columns * BLOCK // CELL)
    layers = _plan_layers(rng, shape, columns, rows)
    gland = np.full(shape, -64, np.float32)
    nuclei, clearings, red_cells = Scatter(), Scatter(), Scatter()
    _place_glands(rng, layers, gland, nuclei, clearings)
    _place_stroma(rng, layers, gland, nuclei, angle)
    _place_vessels_and_fat(rng, layers, gland, clearings, red_cells)
    mottle = noise(rng, shape, 60)
    loose = (1 - layers.mucosa) * (1 - layers.muscle)
    eosin = (74 * layers.mucosa + 112 * layers.muscle + 62 * loose + 12 * mottle) * (
        1 - 0.35 * layers.follicle
    )
    haematoxylin = 12 * layers.mucosa + 7 * layers.muscle + 4 * loose + 40 * layers.follicle

    def image(values: Floats) -> Image.Image:
        return Image.fromarray(to_bytes(np.minimum(values, 239)))  # 16 left for roughness

    return Tissue(
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
    depth += scale * (200 * noise(rng, shape, 50) + 45 * noise(rng, shape, 7))
    bottom = 1750 + 420 * noise(rng, shape, 130)
    mucosa = ramp(depth, bottom + 60, bottom - 60)
    floor = bottom + 750 + 350 * noise(rng, shape, 90)
    muscle = ramp(depth, floor - 50, floor + 50)
    patches = noise(rng, shape, 45)
    near_bottom = np.exp(-(((depth - bottom) / 330) ** 2))
    follicle = ramp(patches * near_bottom, 0.55, 0.68)
    fat = ramp(noise(rng, shape, 55), 0.25, 0.4) * (1 - mucosa) * (1 - muscle) * (1 - follicle)
    cleft = np.abs(noise(rng, shape, 110)) * 2600 - 30 + 60 * noise(rng, shape, 60)
    torn = ramp(noise(rng, shape, 80), 0.1, 0.3) * (1 - mucosa)
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
    rng: np.random.Generator, layers: _Layers, gland: Floats, nuclei: Scatter, holes: Scatter
) -> None:
    """Put crypts into the mucosa: a ring of nuclei at the base, goblets, a lumen."""
    kind = nuclei.add_kind(draw_nuclei(rng, 36, 21, 150, 0.20))
    goblet = holes.add_kind(draw_holes(rng, [30, 36, 40, 46], 70))
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
    rng: np.random.Generator, layers: _Layers, gland: Floats, nuclei: Scatter, angle: Floats
) -> None:
    """Scatter lymphocytes, plasma cells and fibroblasts outside the glands."""
    lymphocyte = nuclei.add_kind(draw_nuclei(rng, 21, 20, 195, 0.12))
    plump = nuclei.add_kind(draw_nuclei(rng, 29, 20, 150, 0.22))
    spindle = nuclei.add_kind(draw_nuclei(rng, 50, 11, 165, 0.12))
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
    rng: np.random.Generator, layers: _Layers, gland: Floats, holes: Scatter, red_cells: Scatter
) -> None:
    """Put fat cells and venules under the mucosa, and capillaries into it."""
    fat = holes.add_kind(draw_holes(rng, [84, 92, 100, 106], 0))
    lumen = holes.add_kind(draw_holes(rng, [34, 44, 64, 84], 10))
    red = red_cells.add_kind(draw_red_cells())
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
