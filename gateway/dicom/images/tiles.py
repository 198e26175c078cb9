"""Frames as arrays of bytes, as large as they are needed, and pictures composed from them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import RLELossless

from gateway.core.bitstreams import states_rgb
from gateway.core.errors import Unavailable
from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_BASELINE
from gateway.core.viewports import Box
from gateway.dicom.images.pixels import MOST_PIXELS, decoded, stated_shape
from gateway.dicom.images.rasters import Raster, Samples
from gateway.dicom.images.windows import Window, full_range

Pixels = NDArray[np.uint8]
"""Shape (rows, columns) for greys, (rows, columns, 3) for R, G, B."""

_REDUCTIONS = (8, 4, 2)
_STATING_NO_SIZE = frozenset({EXPLICIT_VR_LITTLE_ENDIAN, str(RLELossless)})


@dataclass(frozen=True, slots=True)
class Decoder:
    """Decodes the frames of one image.

    Parameters
    ----------
    samples
        What the frames hold.
    transfer_syntax
        UID.
    window
        How greys are shown; None shows the full range of the stored bits.
    """

    samples: Samples
    transfer_syntax: str
    window: Window | None = None

    def pixels(self, bitstream: bytes, reduction: int = 1) -> Pixels:
        """Return a frame.

        Parameters
        ----------
        reduction
            1, 2, 4 or 8: each pixel is the mean of so many per side. It divides the frame's size.

        Raises
        ------
        Unavailable
            If the stored frame is damaged, too large, or not of the size that the header states.
        """
        samples = self.samples
        if samples.columns * samples.rows > MOST_PIXELS:
            raise Unavailable("The stored frame is too large to be decoded here.")
        try:
            if self.transfer_syntax not in _STATING_NO_SIZE:
                self._check_size(bitstream)
            found = self._decoded(bitstream, reduction)
        except Unavailable:
            raise
        except Exception as error:  # each codec has errors of its own
            raise Unavailable("The stored frame is damaged and cannot be decoded.") from error
        return np.ascontiguousarray(_reduced(found, samples.columns // found.shape[1], reduction))

    def _check_size(self, bitstream: bytes) -> None:
        samples = self.samples
        if stated_shape(bitstream) != (samples.rows, samples.columns, samples.per_pixel):
            raise Unavailable("The stored frame is of another size than its header states.")

    def _decoded(self, bitstream: bytes, reduction: int) -> Pixels:
        if self.transfer_syntax == JPEG_BASELINE and reduction > 1 and self._is_named(bitstream):
            return self._shown(_jpeg(bitstream, self.samples, reduction))
        samples = self.samples
        flat = decoded(bitstream, self.transfer_syntax, lambda: samples.photometric)
        kind = np.dtype("<u2" if samples.bits_allocated == 16 else "u1")
        shape = (samples.rows, samples.columns, samples.per_pixel)
        values = np.frombuffer(flat, kind).reshape(shape)
        return self._shown(values[:, :, 0] if samples.per_pixel == 1 else values)

    def _is_named(self, bitstream: bytes) -> bool:
        """Whether a JPEG library takes its components for what the header says."""
        return states_rgb(bitstream) is not None or self.samples.photometric != "RGB"

    def _shown(self, values: NDArray[np.generic]) -> Pixels:
        """Return values of any depth in 8 bits."""
        bits = self.samples.bits_stored
        if values.ndim == 3:
            eight = values.astype(np.uint16) >> (bits - 8) if bits > 8 else values
            return eight.astype(np.uint8, copy=False)
        if self.window is None and bits == 8:
            return values.astype(np.uint8, copy=False)
        window = self.window or full_range(bits)
        every = np.arange(1 << (8 * values.dtype.itemsize), dtype=np.float32)
        shown: Pixels = window.applied(every)[values]
        return shown


def _jpeg(bitstream: bytes, samples: Samples, reduction: int) -> Pixels:
    """Decode as much as is needed: the library leaves out the frequencies that are not."""
    with Image.open(BytesIO(bitstream), formats=["JPEG"]) as image:
        image.draft(None, (samples.columns // reduction, samples.rows // reduction))
        return np.asarray(image.convert("L" if samples.per_pixel == 1 else "RGB"))


def _reduced(pixels: Pixels, done: int, wanted: int) -> Pixels:
    """Average what the codec did not reduce.

    JPEG 2000 could, but its coarse pixels are not where the means of the fine ones are: they lie
    up to half of one off (ISO 15444-1 F.3, its low-pass filters have their centre on a pixel).
    """
    if done == wanted:
        return pixels
    return np.asarray(Image.fromarray(pixels).reduce(wanted // done))


def reduction_of(raster: Raster, most: float) -> int:
    """Return by how much frames may be reduced, at most so much, so that they still fit together.

    They do if their sizes and places are multiples of it.
    """
    sizes = [raster.grid.tile_columns, raster.grid.tile_rows]
    if raster.corners is not None and raster.corners.size:
        sizes.append(int(np.gcd.reduce(raster.corners[:, 1:], axis=None)))
    step = math.gcd(*sizes)
    return next((one for one in _REDUCTIONS if one <= most and step % one == 0), 1)


def composed(
    raster: Raster, tiles: Iterable[tuple[int, int, Pixels]], box: Box, reduction: int
) -> tuple[Pixels, Box]:
    """Put tiles together.

    Parameters
    ----------
    tiles
        ``(column, row, pixels)``: place of the top left pixel in the matrix, and the reduced tile.
    box
        What has to be covered, within the matrix.
    reduction
        As of the tiles.

    Returns
    -------
    What was put together, without what lies outside the matrix, and where the box is in it. Where
    there is no tile, colours are white and greys are black.
    """
    left, top = (math.floor(start / reduction) for start in (box.left, box.top))
    right, bottom = (math.ceil(stop / reduction) for stop in (box.right, box.bottom))
    shape = (bottom - top, right - left)
    canvas = np.full((*shape, 3), 255, np.uint8) if raster.coloured else np.zeros(shape, np.uint8)
    for column, row, pixels in tiles:
        x, y = column // reduction - left, row // reduction - top
        part = pixels[max(0, -y) : max(0, shape[0] - y), max(0, -x) : max(0, shape[1] - x)]
        x, y = max(0, x), max(0, y)
        canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
    # The last reduced pixels of a matrix are in part means of what pads its tiles.
    columns, rows = raster.grid.matrix_columns // reduction, raster.grid.matrix_rows // reduction
    canvas[:, columns - left :] = canvas[:, columns - left - 1 : columns - left]
    canvas[rows - top :] = canvas[rows - top - 1 : rows - top]
    return canvas, box.scaled(1 / reduction, 1 / reduction).moved(-left, -top)
