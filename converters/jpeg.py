"""JPEG surgery: tables joined to tiles, strips joined to images. Nothing is decoded."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.bitstreams import (
    DRI,
    SOS,
    JpegFrame,
    jpeg_frame,
    jpeg_segments,
    restart_intervals,
    states_rgb,
)
from gateway.core.errors import InvalidInput

SOI_MARKER, EOI_MARKER = b"\xff\xd8", b"\xff\xd9"
ADOBE_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
"""APP14 with transform 0: the components are R, G and B, not Y, Cb and Cr."""


def frame_prefix(tables: bytes, *, rgb: bool, tiles: Sequence[bytes]) -> bytes:
    """Return what every tile of a level needs before its own segments to stand alone.

    Parameters
    ----------
    tables
        TIFF tag JPEGTables (``SOI tables EOI``), or empty.
    rgb
        Whether the components are R, G, B: decoders must be told so.
    tiles
        Tiles of the level, their headers at least; if they or the tables say what the components
        are, nothing needs to be added.

    Raises
    ------
    InvalidInput
        If tiles or tables are damaged, or say that the components are others than ``rgb`` does.

    Returns
    -------
    ``SOI``, tables and APP14; a whole frame is this and the tile without its SOI.
    """
    shared = b""
    if tables:
        shared = b"".join(tables[part.start : part.stop] for part in jpeg_segments(tables))
    stated = {states_rgb(tile) for tile in tiles}
    if None in stated and tables:
        stated = (stated - {None}) | {states_rgb(tables)}
    if (not rgb) in stated:
        raise InvalidInput("The TIFF and its JPEG tiles disagree about what the components are.")
    return SOI_MARKER + shared + (ADOBE_RGB if rgb and None in stated else b"")


def join_strips(strips: Sequence[bytes], tables: bytes, *, rgb: bool) -> bytes:
    """Join strips, each a JPEG of the full width, to one JPEG, with restart markers between.

    Every strip starts with fresh predictors, as a restart interval does; so its entropy-coded
    data are a restart interval of the image that all strips make.

    Parameters
    ----------
    strips
        From top to bottom; all but the last of the same height.
    tables
        TIFF tag JPEGTables, or empty if each strip has its own.
    rgb
        Whether the components are R, G, B.

    Raises
    ------
    InvalidInput
        If the strips cannot be joined without decoding them.
    """
    heads = [jpeg_frame(strip) for strip in strips]
    if len(strips) == 1:
        return frame_prefix(tables, rgb=rgb, tiles=strips) + strips[0][2:]
    if len({_headers_of(strip, rows=0, restart=b"") for strip in strips}) != 1:
        raise InvalidInput("The strips differ in their tables or components.")
    interval = _strip_interval(heads)
    intervals: list[bytes] = []
    for strip in strips:
        head_stop = list(jpeg_segments(strip))[-1].stop
        stop = strip.rfind(EOI_MARKER)
        own = restart_intervals(strip[head_stop : stop if stop > head_stop else len(strip)])
        if len(own) != 1:
            raise InvalidInput("The strips have restart intervals of their own.")
        intervals += own
    scan = b"".join(
        part + (bytes((0xFF, 0xD0 + number % 8)) if number < len(intervals) - 1 else b"")
        for number, part in enumerate(intervals)
    )
    first = strips[0]
    rows = sum(head.rows for head in heads)
    restart = bytes((0xFF, DRI, 0, 4)) + interval.to_bytes(2)
    prefix = frame_prefix(tables, rgb=rgb, tiles=strips)
    return prefix + _headers_of(first, rows, restart) + scan + EOI_MARKER


def _strip_interval(heads: Sequence[JpegFrame]) -> int:
    """Return the number of MCUs of each strip but the last."""
    first = heads[0]
    across, down = first.mcu
    heights = {head.rows for head in heads[:-1]}
    if len(heights) != 1 or first.rows % down or heads[-1].rows > first.rows:
        raise InvalidInput("The strips differ in more than the height of the last.")
    interval = -(-first.columns // across) * (first.rows // down)
    if interval > 0xFFFF:
        raise InvalidInput("The strips are too large for a restart interval.")
    return interval


def _headers_of(strip: bytes, rows: int, restart: bytes) -> bytes:
    """Return the strip's segments with another height and with DRI in front of SOS."""
    parts: list[bytes] = []
    for segment in jpeg_segments(strip):
        part = strip[segment.start : segment.stop]
        if 0xC0 <= segment.marker <= 0xC3:
            part = part[:5] + rows.to_bytes(2) + part[7:]
        elif segment.marker == DRI:
            continue
        elif segment.marker == SOS:
            part = restart + part
        parts.append(part)
    return b"".join(parts)
