"""Draws the small pictures, such as nuclei, and prints them wherever the plan has put them."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.synthetic.arrays import Bytes, noise, ramp, to_bytes
from converters.synthetic.measures import BLOCK

REACH = 60  # half the largest stamp
MARGIN = 2 * REACH  # around a block, so that no stamp that touches the block is cut
ANGLES = 16
VARIANTS = 4


@dataclass(frozen=True)
class Stamps:
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


class Scatter:
    """Collects stamps of several kinds while the tissue is planned."""

    def __init__(self) -> None:
        self._pictures: list[Bytes] = []
        self._placed: list[NDArray[np.int64]] = []

    def add_kind(self, pictures: list[Bytes]) -> int:
        """Add the pictures of one kind; return the number of the first."""
        self._pictures += pictures
        return len(self._pictures) - len(pictures)

    def place(self, picture: NDArray[Any], column: NDArray[Any], row: NDArray[Any]) -> None:
        """Place pictures, given by their numbers, with their centres at these pixels."""
        self._placed.append(np.stack([picture, column, row]).astype(np.int64))

    def finish(self) -> Stamps:
        """Return all that has been placed, from top to bottom."""
        picture, column, row = np.concatenate(self._placed, axis=1)
        order = np.argsort(row, kind="stable")
        return Stamps(self._pictures, picture[order], column[order], row[order])


def draw_nuclei(
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
            chromatin = noise(rng, (2 * half, 2 * half), 6)
            wobble = 1 + 0.1 * noise(rng, (2 * half, 2 * half), 14)
            stretch, depth = rng.uniform(0.8, 1.1, 2), rng.uniform(0.75, 1.05)
            radius = (
                np.hypot(along / (length / 2 * stretch[0]), across / (width / 2 * stretch[1]))
                * wobble
            )
            rim = np.exp(-(((radius - 0.9) * 6) ** 2))
            stain = darkness * depth * (1 + clumps * chromatin + 0.25 * rim)
            pictures.append(to_bytes(stain * ramp(radius, 1.15, 0.85)))
    return pictures


def draw_holes(rng: np.random.Generator, diameters: list[float], floor: int) -> list[Bytes]:
    """Draw round clearings, 255 around and `floor` within."""
    pictures = []
    for diameter in diameters:
        half = math.ceil(diameter / 2) + 6
        y, x = np.mgrid[-half:half, -half:half].astype(np.float32)
        wobble = 1 + 0.08 * noise(rng, (2 * half, 2 * half), half)
        radius = np.hypot(x, y * rng.uniform(0.95, 1.15)) * wobble - diameter / 2
        pictures.append(to_bytes(floor + (255 - floor) * ramp(radius, -4, 1)))
    return pictures


def draw_red_cells() -> list[Bytes]:
    """Draw an erythrocyte, paler in the middle, with the bite of its plane in the section."""
    y, x = np.mgrid[-16:16, -16:16].astype(np.float32)
    pictures = []
    for squeeze in (1.0, 1.1, 1.3):
        radius = np.hypot(x, y * squeeze) / 13.5
        dent = 26 * np.exp(-((radius * 1.6) ** 2))
        pictures.append(to_bytes((246 - dent) * ramp(radius, 1.05, 0.85)))
    return pictures
