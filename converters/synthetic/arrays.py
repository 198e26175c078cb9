"""Arithmetic on arrays of values and pixels that every step of the drawing uses."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


def to_bytes(values: NDArray[Any]) -> Bytes:
    """Round to the nearest of 0..255."""
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def noise(rng: np.random.Generator, shape: tuple[int, int], pitch: float) -> Floats:
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


def ramp(values: NDArray[Any], low: float | NDArray[Any], high: float | NDArray[Any]) -> Floats:
    """Return 0 below `low`, 1 above `high`, and a straight line between."""
    return np.clip((values - low) / (high - low), 0, 1).astype(np.float32)
