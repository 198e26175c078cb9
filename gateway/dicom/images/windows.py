"""Greys as they are shown: the VOI LUT functions (PS3.3 C.11.2.1.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

SHAPES = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass(frozen=True, slots=True)
class Window:
    """Which values become black and which white.

    Parameters
    ----------
    center, width
        In stored values; the width is at least 1, or above 0 if it is not LINEAR.
    shape
        LINEAR, LINEAR_EXACT or SIGMOID.
    """

    center: float
    width: float
    shape: str = "LINEAR"

    def applied(self, values: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return greys from 0 to 255."""
        if self.shape == "SIGMOID":
            exponent = np.clip(-4 * (values - self.center) / self.width, -80, 80)
            greys = 1 / (1 + np.exp(exponent))
        elif self.shape == "LINEAR" and self.width > 1:
            greys = (values - (self.center - 0.5)) / (self.width - 1) + 0.5
        elif self.shape == "LINEAR":
            greys = (values > self.center - 0.5).astype(np.float32)
        else:
            greys = (values - self.center) / self.width + 0.5
        shown: NDArray[np.uint8] = np.rint(np.clip(greys, 0, 1) * 255).astype(np.uint8)
        return shown


def full_range(bits: int) -> Window:
    """Return the window that shows every value that so many bits can have."""
    return Window(2 ** (bits - 1), 2**bits)


def window_of(dataset: Dataset, shared: Dataset) -> Window | None:
    """Return the first window that a header states for all frames, or None.

    Parameters
    ----------
    shared
        The item of Shared Functional Groups Sequence.
    """
    groups = shared.get("FrameVOILUTSequence")
    stated = groups[0] if groups else dataset
    center, width = (_first(stated.get(f"Window{word}")) for word in ("Center", "Width"))
    shape = str(stated.get("VOILUTFunction") or "LINEAR")
    if center is None or width is None or shape not in SHAPES:
        return None
    return Window(center, width, shape) if width > 0 else None


def _first(value: object) -> float | None:
    if isinstance(value, MultiValue):
        value = value[0] if len(value) else None
    return None if value is None or value == "" else float(str(value))
