"""Tiles cut out of JPEGs without loss, by libjpeg-turbo.

The library is optional: it is no part of a bare machine, nor of a wheel.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from ctypes import CDLL
from functools import cache
from typing import Any

from gateway.core.bitstreams import jpeg_frame
from gateway.core.errors import InvalidInput, SlideUnreadable, Unavailable
from gateway.core.frames import Crop

HOW_TO_INSTALL = (
    "Install libjpeg-turbo with its binding: pip install 'slidegate[formats]' and "
    "apt-get install libturbojpeg0."
)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # numbers of options of mallopt
_KEPT_BYTES = 32 << 20


@cache
def _library() -> Any | None:  # the binding has no types
    _keep_memory()
    # The binding only warns of damage that the library went over; such tiles are not served.
    warnings.filterwarnings("error", module="turbojpeg")
    try:
        from turbojpeg import TurboJPEG

        return TurboJPEG()
    except (ImportError, OSError, RuntimeError):
        return None


def _keep_memory() -> None:
    """Let the allocator keep what a block takes for the next one.

    The library asks for megabytes of coefficients for each block. The allocator of glibc fetches
    them from the system and gives them back each time, which takes as long as cutting does.
    """
    with suppress(AttributeError, OSError):
        set_option = CDLL(None).mallopt
        set_option(_MMAP_THRESHOLD, _KEPT_BYTES)
        set_option(_TRIM_THRESHOLD, 2 * _KEPT_BYTES)


def available() -> bool:
    """Whether this machine can cut."""
    return _library() is not None


def require() -> Any:
    """Return the library.

    Raises
    ------
    Unavailable
        If it is not installed; the message says how to install it.
    """
    library = _library()
    if library is None:
        raise Unavailable(f"These frames are cut when they are asked for. {HOW_TO_INSTALL}")
    return library


def cut(block: bytes, crop: Crop) -> list[bytes]:
    """Cut a block into its tiles; see :meth:`gateway.core.ports.SlideLibrary.cut`.

    The block is read once. What of a tile lies beyond the block is filled with blank blocks of
    coefficients; so the size of the block has to be stated in whole MCUs.

    Raises
    ------
    Unavailable
        If the library is not installed.
    SlideUnreadable
        If the block is damaged.
    """
    library = require()
    columns, rows = crop.grid.tile_columns, crop.grid.tile_rows
    try:
        frame = jpeg_frame(block)
        places = [
            (left, top, min(columns, frame.columns - left), min(rows, frame.rows - top))
            for top in range(0, crop.down * rows, rows)
            for left in range(0, crop.across * columns, columns)
        ]
        tiles: list[bytes] = library.crop_multiple(block, places, copynone=True)
        for index, (_, _, wide, high) in enumerate(places):
            if (wide, high) != (columns, rows):
                (tiles[index],) = library.crop_multiple(
                    tiles[index],
                    [(0, 0, columns, rows)],
                    background_luminance=crop.background / 255,
                    copynone=True,
                )
    except (ArithmeticError, InvalidInput, OSError, UserWarning, ValueError) as error:
        raise SlideUnreadable(f"A part of the slide cannot be cut: {error}.") from error
    return tiles
