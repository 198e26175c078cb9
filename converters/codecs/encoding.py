"""Frames whose pixels had to be decoded: encoded once, when the slide is added.

Encoders give the same bytes for the same pixels only in the same version. So what encoded a slide
has a name with the version in it, and the name is part of the slide's UIDs.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.sources import LossyStep, SlideImage
from gateway.core.frames import FrameTable, TileGrid
from gateway.core.instances import (
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    Flavour,
)
from gateway.core.ports import Progress
from gateway.core.storage import Scratch

Pixels = NDArray[np.uint8]
"""RGB, shape (rows, columns, 3)."""

_THREADS = 2
_AT_ONCE = 64
"""Tiles that are decoded, encoded and then written in their order: what is held in memory."""

_QUALITY = 90
"""Of JPEG: the second loss stays well below the first, which scanners make with 70 to 85."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How frames are encoded.

    Parameters
    ----------
    name
        What encodes, with its version and its settings.
    transfer_syntax
        UID of what comes out.
    photometric_interpretation
        Of the components in it.
    lossy
        Whether it loses something.
    encode
        Makes the bit stream of RGB pixels; threads may call it at once.
    """

    name: str
    transfer_syntax: str
    photometric_interpretation: str
    lossy: bool
    encode: Callable[[Pixels], bytes]


def jpeg() -> Encoding:
    """Return JPEG Baseline for pixels that a scanner has compressed with loss already.

    Colours are not sub-sampled: stains differ in their colours, and most sources are sub-sampled,
    where doing so again would blur them once more. YBR_FULL_422 is nevertheless what they are
    called (PS3.3 C.8.12.4.1.5).
    """
    import imagecodecs

    def encode(pixels: Pixels) -> bytes:
        coded = imagecodecs.jpeg8_encode(
            pixels, level=_QUALITY, colorspace="rgb", outcolorspace="ycbcr", subsampling="444"
        )
        return bytes(coded)

    name = f"{imagecodecs.jpeg8_version()} JPEG quality {_QUALITY} 4:4:4"
    return Encoding(name, JPEG_BASELINE, "YBR_FULL_422", True, encode)


def jpeg_2000() -> Encoding:
    """Return reversible JPEG 2000, for pixels that must not lose anything."""
    import imagecodecs

    def encode(pixels: Pixels) -> bytes:
        return bytes(
            imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True, mct=True)
        )

    name = f"{imagecodecs.jpeg2k_version()} JPEG 2000 reversible"
    return Encoding(name, JPEG_2000_LOSSLESS, "YBR_RCT", False, encode)


class Encoder:
    """Encodes the images of a slide into one scratch blob.

    Parameters
    ----------
    scratch
        An empty blob.
    progress
        Is told the tiles that are done.
    tiles
        Number of all tiles that there will be.
    """

    def __init__(self, scratch: Scratch, progress: Progress | None, tiles: int) -> None:
        self._scratch = scratch
        self._progress = progress
        self._tiles = tiles
        self._done = 0
        self._size = 0

    def level(
        self,
        encoding: Encoding,
        grid: TileGrid,
        tile: Callable[[int, int], Pixels],
        earlier: tuple[LossyStep, ...] = (),
    ) -> SlideImage:
        """Encode a level of the pyramid.

        Parameters
        ----------
        tile
            Returns the whole tile at ``(tile_row, tile_column)``, from 0, padded at the edges;
            threads call it at once.
        earlier
            Compressions with loss that the pixels went through already.
        """

        def encoded(number: int) -> bytes:
            return encoding.encode(tile(*grid.position(number)))

        lengths: list[int] = []
        start = self._size
        with ThreadPoolExecutor(_THREADS) as pool:
            for first in range(1, grid.count + 1, _AT_ONCE):
                for frame in pool.map(encoded, range(first, min(first + _AT_ONCE, grid.count + 1))):
                    self._scratch.append(frame)
                    lengths.append(len(frame))
                    self._advance()
        sizes = np.array(lengths, np.int64)
        self._size += int(sizes.sum())
        return SlideImage(
            flavour=Flavour.VOLUME,
            grid=grid,
            frames=FrameTable(b"", start + np.cumsum(sizes) - sizes, sizes),
            built=self._scratch,
            photometric_interpretation=encoding.photometric_interpretation,
            transfer_syntax=encoding.transfer_syntax,
            lossy=encoding.lossy,
            earlier=earlier,
        )

    def _advance(self) -> None:
        self._done += 1
        if self._progress:
            self._progress(min(self._done, self._tiles), self._tiles)
