"""Weaves the textures that lie over the whole slide: collagen and grain."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.synthetic.arrays import Bytes, Floats, to_bytes
from converters.synthetic.measures import BLOCK, PERIOD, WORKERS


@dataclass(frozen=True)
class Fibres:
    """Textures that repeat after `PERIOD` pixels; 128 leaves the stain as it is."""

    collagen: Bytes
    grain: Bytes
    angle: Floats  # direction of the collagen in radians, PERIOD x PERIOD


def weave_fibres(rng: np.random.Generator) -> Fibres:
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
    return Fibres(to_bytes(collagen + 8 * grain), to_bytes(128 + 17 * grain), angle)


def patch(texture: Bytes, row: int, column: int) -> Bytes:
    """Return BLOCK x BLOCK pixels of a texture that repeats, from any place of the slide."""
    index = np.arange(BLOCK)
    lines = texture[(row + index) % PERIOD]
    return np.asarray(np.take(lines, (column + index) % PERIOD, axis=1))
