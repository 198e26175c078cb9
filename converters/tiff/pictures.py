"""Label, overview and thumbnail of a TIFF: pictures of one frame, built once.

JPEG strips are joined without being decoded. What cannot be joined, or is no JPEG, is decoded and
stored native.
"""

from __future__ import annotations

from contextlib import suppress
from math import prod

import numpy as np
from PIL import Image
from tifffile import TiffFile, TiffPage

from converters.codecs.jpeg import frame_prefix, join_strips
from converters.codecs.jpeg_2000 import holds_ycbcr, rgb_image
from converters.sources import LossyStep, SlideImage
from converters.tiff import read_range
from converters.tiff.pages import (
    JPEG_2000_CODECS,
    JPEG_CODEC,
    JPEG_TABLES,
    LOSSLESS_CODECS,
    UNTRANSFORMED_CODEC,
    check_pixels,
    check_tile,
    is_rgb,
    parts_of,
)
from gateway.core.bitstreams import jpeg_2000_frame, jpeg_frame
from gateway.core.blobs import InMemory
from gateway.core.errors import InvalidInput, SlideUnreadable
from gateway.core.frames import FrameTable, TileGrid
from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_BASELINE, Flavour
from gateway.dicom.images.pixels import decoded

_MOST_PIXELS = 1 << 26  # they are held in memory
_LONGEST_SIDE = 0xFFFF


def picture(tiff: TiffFile, page: TiffPage, flavour: Flavour) -> SlideImage:
    """Build a picture of one frame from the strips or tiles of a page.

    Raises
    ------
    SlideUnreadable, InvalidInput, Unavailable
        If it is damaged, too large, or its pixels are of a kind that is not supported.
    """
    check_pixels(page)
    size = page.imagewidth, page.imagelength
    if max(size) > _LONGEST_SIDE or prod(size) > _MOST_PIXELS:
        raise SlideUnreadable(f"Page {page.index} is larger than a label or an overview may be.")
    if page.is_tiled:
        parts = TileGrid(*size, page.tilewidth, page.tilelength)
    else:
        parts = TileGrid(*size, page.imagewidth, min(page.rowsperstrip, page.imagelength))
    table = parts_of(tiff, page, parts.count)
    if page.compression in LOSSLESS_CODECS:
        return native(flavour, _without_loss(page))
    places = zip(table.offsets.tolist(), table.lengths.tolist(), strict=True)
    streams = [read_range(tiff, offset, length) for offset, length in places]
    if page.compression == JPEG_CODEC and not page.is_tiled:
        with suppress(InvalidInput):
            return _joined(page, flavour, streams)
    image = Image.new("RGB", size)
    for number, stream in enumerate(streams, 1):
        row, column = parts.position(number)
        image.paste(_decoded(page, stream), (column * parts.tile_columns, row * parts.tile_rows))
    method = "ISO_10918_1" if page.compression == JPEG_CODEC else "ISO_15444_1"
    ratio = 3 * prod(size) / sum(map(len, streams))
    return native(flavour, np.asarray(image), (LossyStep(method, ratio),))


def _without_loss(page: TiffPage) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    try:
        pixels = np.ascontiguousarray(page.asarray(), np.uint8)
    except Exception as error:  # whatever the decoder stumbles over
        raise SlideUnreadable(f"Page {page.index} cannot be decoded ({error}).") from error
    if pixels.shape != (page.imagelength, page.imagewidth, 3):
        raise SlideUnreadable(f"Page {page.index} decodes to another size than it states.")
    return pixels


def native(
    flavour: Flavour,
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
    earlier: tuple[LossyStep, ...] = (),
) -> SlideImage:
    """Return a picture of one frame that is kept as it was decoded.

    Parameters
    ----------
    pixels
        R, G and B of 8 bits, shape (rows, columns, 3).
    earlier
        Compressions with loss that they went through.
    """
    rows, columns, _ = pixels.shape
    content = pixels.tobytes()
    return SlideImage(
        flavour=flavour,
        grid=TileGrid(columns, rows, columns, rows),
        frames=FrameTable.single(len(content)),
        built=InMemory(content),
        photometric_interpretation="RGB",
        transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN,
        lossy=False,
        earlier=earlier,
    )


def _joined(page: TiffPage, flavour: Flavour, strips: list[bytes]) -> SlideImage:
    rgb = is_rgb(page)
    joined = join_strips(strips, page.tags.valueof(JPEG_TABLES) or b"", rgb=rgb)
    grid = TileGrid(page.imagewidth, page.imagelength, page.imagewidth, page.imagelength)
    check_tile(joined, grid, page.index)
    photometric = "RGB" if rgb else "YBR_FULL_422"
    table = FrameTable.single(len(joined))
    return SlideImage(flavour, grid, table, InMemory(joined), photometric, JPEG_BASELINE, True)


def _decoded(page: TiffPage, stream: bytes) -> Image.Image:
    """Return a strip or a tile as R, G and B."""
    rgb = is_rgb(page)
    if page.compression == JPEG_CODEC:
        head = jpeg_frame(stream)
        tables = page.tags.valueof(JPEG_TABLES) or b""
        whole = frame_prefix(tables, rgb=rgb, tiles=[stream]) + stream[2:]
        photometric = "RGB" if rgb else "YBR_FULL_422"
        pixels = decoded(whole, JPEG_BASELINE, lambda: photometric)
        return Image.frombytes("RGB", (head.columns, head.rows), pixels)
    if page.compression not in JPEG_2000_CODECS:
        raise SlideUnreadable(
            f"Page {page.index} has TIFF compression {int(page.compression)}; that is not read."
        )
    untransformed = page.compression == UNTRANSFORMED_CODEC
    ycbcr = holds_ycbcr(jpeg_2000_frame(stream), tiff_ycbcr=not rgb, untransformed=untransformed)
    return rgb_image(stream, ycbcr=ycbcr)
