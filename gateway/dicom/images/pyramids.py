"""Images that show the same in other numbers of pixels: what one is where in the other."""

from __future__ import annotations

import numpy as np

from gateway.core.viewports import Box, View
from gateway.dicom.images.rasters import Raster

_ROUNDED = 1.5
"""Pixels by which a level may miss the edge of another: sizes are whole numbers."""

_TURNED = 1e-3
_STRETCHED = 0.01


def is_fine_enough(box: Box, view: View) -> bool:
    """Whether a part of an image has the pixels that a view shows; sizes of levels are rounded."""
    return box.columns >= view.width - 1 and box.rows >= view.height - 1


def place_in(image: Raster, other: Raster, box: Box) -> Box | None:
    """Return where a part of an image lies in another one, or None if that does not show it.

    Parameters
    ----------
    box
        In pixels of the image.
    """
    if image.sight != other.sight or image.coloured != other.coloured:
        return None
    place, there = image.place, other.place
    grid, size = image.grid, (other.grid.matrix_columns, other.grid.matrix_rows)
    if place is None or there is None:
        across, down = size[0] / grid.matrix_columns, size[1] / grid.matrix_rows
        return box.scaled(across, down) if abs(across / down - 1) < _STRETCHED else None
    turned = np.subtract(place.orientation.cosines, there.orientation.cosines)
    if np.abs(turned).max() > _TURNED:
        return None
    corners = np.array([[box.left, box.top], [box.right, box.bottom]])
    # Rounded by far less than is seen, so that whole pixels stay whole.
    (left, top), (right, bottom) = place.to_level(corners, there).round(6).tolist()
    outside = max(-left, -top, right - size[0], bottom - size[1])
    if outside > _ROUNDED:
        return None
    return Box(left, top, right, bottom).within(*size)
