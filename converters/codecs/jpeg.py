"""JPEG surgery: tables joined to tiles, strips joined to images. Nothing is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.bitstreams import (
    DHT,
    DQT,
    DRI,
    SOF_BASELINE,
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


def check_complete(header: bytes) -> None:
    """Refuse a JPEG whose tables are not all there: no decoder shows it.

    Parameters
    ----------
    header
        From SOI up to SOS, which is included; the baseline process.

    Raises
    ------
    InvalidInput
        If it names a table that it does not have.
    """
    _Tables.of(header)


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


def _headers_of(strip: bytes, rows: int, restart: bytes, columns: int | None = None) -> bytes:
    """Return the strip's segments with another size and with DRI in front of SOS."""
    parts: list[bytes] = []
    for segment in jpeg_segments(strip):
        part = strip[segment.start : segment.stop]
        if 0xC0 <= segment.marker <= 0xC3:
            across = part[7:9] if columns is None else columns.to_bytes(2)
            part = part[:5] + rows.to_bytes(2) + across + part[9:]
        elif segment.marker == DRI:
            continue
        elif segment.marker == SOS:
            part = restart + part
        parts.append(part)
    return b"".join(parts)


def sized_header(header: bytes, columns: int, rows: int, interval: int) -> bytes:
    """Return the headers of a JPEG, SOI to SOS, for an image of another size.

    Parameters
    ----------
    columns, rows
        The new size in pixels, 65535 at most.
    interval
        MCUs of a restart interval; 0 for none.
    """
    restart = bytes((0xFF, DRI, 0, 4)) + interval.to_bytes(2) if interval else b""
    return SOI_MARKER + _headers_of(header, rows, restart, columns)


def blank_interval(header: bytes, mcus: int, luminance: int) -> bytes:
    """Return a restart interval without a picture, coded with the JPEG's own tables.

    Parameters
    ----------
    header
        From SOI up to SOS, which is included; the sequential process with Huffman codes.
    mcus
        Length of the interval.
    luminance
        0 or 255: black or white, if the components are Y, Cb and Cr.

    Raises
    ------
    InvalidInput
        If the JPEG lacks a table that this needs.
    """
    tables = _Tables.of(header)
    first, later = "", ""
    for number, (blocks, quantiser, dc, ac) in enumerate(tables.components):
        level = _dc_level(luminance, quantiser) if number == 0 else 0
        repeated = _code(dc, 0) + _code(ac, _END_OF_BLOCK)
        first += _difference(dc, level) + _code(ac, _END_OF_BLOCK) + repeated * (blocks - 1)
        later += repeated * blocks
    bits = first + later * (mcus - 1)
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\x00")


_END_OF_BLOCK = 0
_Codes = dict[int, str]


@dataclass(frozen=True, slots=True)
class _Tables:
    """For each component of the scan: its blocks in an MCU, quantiser of DC, DC and AC codes."""

    components: tuple[tuple[int, int, _Codes, _Codes], ...]

    @classmethod
    def of(cls, header: bytes) -> _Tables:
        quantisers: dict[int, int] = {}
        codes: dict[int, _Codes] = {}
        frame: dict[int, tuple[int, int]] = {}
        scan: list[tuple[int, int]] = []
        for segment in jpeg_segments(header):
            payload = header[segment.start + 4 : segment.stop]
            if segment.marker == DQT:
                quantisers |= _dc_quantisers(payload)
            elif segment.marker == DHT:
                codes |= _huffman_codes(payload)
            elif segment.marker == SOF_BASELINE:
                parts = (payload[at : at + 3] for at in range(6, len(payload) - 2, 3))
                frame = {part[0]: ((part[1] >> 4) * (part[1] & 15), part[2]) for part in parts}
            elif segment.marker == SOS and payload:
                scan = [(payload[at], payload[at + 1]) for at in range(1, 2 * payload[0], 2)]
        try:
            return cls(
                tuple(
                    (
                        frame[identifier][0],
                        quantisers[frame[identifier][1]],
                        codes[tables >> 4],
                        codes[0x10 | tables & 15],
                    )
                    for identifier, tables in scan
                )
            )
        except KeyError as error:
            raise InvalidInput("A JPEG lacks a table that its scan names.") from error


def _dc_quantisers(payload: bytes) -> dict[int, int]:
    found: dict[int, int] = {}
    place = 0
    while place < len(payload):
        wide = payload[place] >> 4 != 0
        found[payload[place] & 15] = int.from_bytes(payload[place + 1 : place + 2 + wide])
        place += 1 + 64 * (1 + wide)
    return found


def _huffman_codes(payload: bytes) -> dict[int, _Codes]:
    """Return the codes of each table by its class and number (ISO 10918-1 C.2)."""
    found: dict[int, _Codes] = {}
    place = 0
    while place + 17 <= len(payload):
        codes: _Codes = {}
        code, symbol = 0, place + 17
        for length, count in enumerate(payload[place + 1 : place + 17], 1):
            for value in payload[symbol : symbol + count]:
                codes[value] = f"{code:0{length}b}"
                code += 1
            symbol += count
            code <<= 1
        found[payload[place]] = codes
        place = symbol
    return found


def _dc_level(luminance: int, quantiser: int) -> int:
    """Return the quantised DC coefficient that decodes to black or to white."""
    if quantiser < 1:
        raise InvalidInput("A JPEG has a quantiser of 0.")
    return -(-(8 * 127) // quantiser) if luminance else -(-(8 * 128) // quantiser) * -1


def _difference(codes: _Codes, value: int) -> str:
    """Return the code of a DC difference (ISO 10918-1 F.1.2.1)."""
    size = abs(value).bit_length()
    if not size:
        return _code(codes, 0)
    return _code(codes, size) + f"{value if value > 0 else value + (1 << size) - 1:0{size}b}"


def _code(codes: _Codes, symbol: int) -> str:
    if symbol not in codes:
        raise InvalidInput("A JPEG's Huffman tables cannot code a blank block.")
    return codes[symbol]
