"""Pure walks over compressed bit streams: JPEG (ISO 10918-1 B), JPEG 2000 (ISO 15444-1 A)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.core.errors import InvalidInput

EOI, SOS, DQT, DHT, DRI, APP0, APP14 = 0xD9, 0xDA, 0xDB, 0xC4, 0xDD, 0xE0, 0xEE
SOF_BASELINE = 0xC0
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {DHT, 0xC8, 0xCC}


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker segment.

    Parameters
    ----------
    marker
        Second byte of the marker, such as 0xDA of SOS.
    start, stop
        Where the segment lies in the bit stream, marker included, in bytes.
    """

    marker: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class JpegFrame:
    """What a JPEG's frame header says (ISO 10918-1 B.2.2).

    Parameters
    ----------
    rows, columns
        Size in pixels.
    precision
        Bits of a sample.
    sampling
        Horizontal and vertical sampling factor of each component.
    identifiers
        Identifier of each component.
    tables
        Number of the quantisation table of each component.
    baseline
        Whether it is the baseline sequential process.
    """

    rows: int
    columns: int
    precision: int
    sampling: tuple[tuple[int, int], ...]
    identifiers: bytes
    tables: bytes
    baseline: bool

    @property
    def mcu(self) -> tuple[int, int]:
        """Columns and rows of a minimum coded unit in pixels."""
        if len(self.sampling) == 1:
            return 8, 8
        return 8 * max(h for h, _ in self.sampling), 8 * max(v for _, v in self.sampling)

    @property
    def subsampled(self) -> bool:
        """Whether any component has fewer samples than another."""
        return len(set(self.sampling)) > 1


def jpeg_segments(stream: bytes) -> Iterator[Segment]:
    """Walk the marker segments from SOI up to the first SOS (included), or to EOI.

    Raises
    ------
    InvalidInput
        If the bytes are no JPEG or end before SOS.
    """
    if stream[:2] != b"\xff\xd8":
        raise InvalidInput("A JPEG bit stream does not begin with SOI.")
    place = 2
    while place + 2 <= len(stream):
        marker = stream[place + 1]
        if stream[place] != 0xFF:
            break
        if marker == 0xFF:
            place += 1
            continue
        if marker == EOI:
            return
        length = int.from_bytes(stream[place + 2 : place + 4])
        stop = place + 2 + length
        if length < 2 or stop > len(stream):
            break
        yield Segment(marker, place, stop)
        if marker == SOS:
            return
        place = stop
    raise InvalidInput("A JPEG bit stream ends inside its headers.")


def jpeg_frame(stream: bytes) -> JpegFrame:
    """Read the frame header of a JPEG bit stream.

    Raises
    ------
    InvalidInput
        If there is none, or it is damaged.
    """
    for segment in jpeg_segments(stream):
        if segment.marker in _FRAME_HEADERS:
            return _frame_header(stream[segment.start + 4 : segment.stop], segment.marker)
    raise InvalidInput("A JPEG bit stream has no frame header.")


def _frame_header(payload: bytes, marker: int) -> JpegFrame:
    count = payload[5] if len(payload) > 5 else 0
    if count == 0 or len(payload) < 6 + 3 * count:
        raise InvalidInput("A JPEG frame header is too short.")
    factors = [payload[7 + 3 * component] for component in range(count)]
    if any(
        factor >> 4 not in (1, 2, 3, 4) or factor & 15 not in (1, 2, 3, 4) for factor in factors
    ):
        raise InvalidInput("A JPEG frame header has impossible sampling factors.")
    return JpegFrame(
        rows=int.from_bytes(payload[1:3]),
        columns=int.from_bytes(payload[3:5]),
        precision=payload[0],
        sampling=tuple((factor >> 4, factor & 15) for factor in factors),
        identifiers=payload[6 : 6 + 3 * count : 3],
        tables=payload[8 : 6 + 3 * count : 3],
        baseline=marker == SOF_BASELINE,
    )


def states_rgb(stream: bytes) -> bool | None:
    """Whether a JPEG, or its tables alone, says that its components are R, G and B.

    Decoders believe a JFIF marker, then an Adobe marker, then the identifiers ``R G B``; None is
    said by none of them.

    Raises
    ------
    InvalidInput
        If the bytes are no JPEG or end before SOS.
    """
    adobe: bool | None = None
    named: bool | None = None
    for segment in jpeg_segments(stream):
        payload = stream[segment.start + 4 : segment.stop]
        if segment.marker == APP0 and payload.startswith(b"JFIF\0"):
            return False
        if segment.marker == APP14 and payload.startswith(b"Adobe") and len(payload) >= 12:
            adobe = payload[11] == 0
        if segment.marker in _FRAME_HEADERS:
            named = _frame_header(payload, segment.marker).identifiers == b"RGB" or None
    return named if adobe is None else adobe


def restart_intervals(scan: bytes) -> list[bytes]:
    """Cut entropy-coded data at its RST markers, which are left out.

    Parameters
    ----------
    scan
        What lies between the SOS segment and EOI.
    """
    intervals, begin, place = [], 0, scan.find(b"\xff")
    while 0 <= place < len(scan) - 1:
        if 0xD0 <= scan[place + 1] <= 0xD7:
            intervals.append(scan[begin:place])
            begin = place + 2
        place = scan.find(b"\xff", place + 2)
    intervals.append(scan[begin:])
    return intervals


# -- JPEG 2000 (ISO 15444-1 A)

SOT, SIZ, COD, COC, QCD, QCC = 0x90, 0x51, 0x52, 0x53, 0x5C, 0x5D
_SIZ = struct.Struct(">H8IH")
_HIGH_THROUGHPUT = 0x4000  # of Rsiz, ISO 15444-15 A
_MOST_COMPONENTS, _MOST_BITS = 16384, 38
_MOST_DECOMPOSITIONS = 32


@dataclass(frozen=True, slots=True)
class Jpeg2000Frame:
    """What the main header of a JPEG 2000 code stream says; a tile of it may say otherwise.

    Parameters
    ----------
    rows, columns
        Size of the image in pixels.
    tile_rows, tile_columns
        Size of its tiles in pixels, as stated; a single tile may be larger than the image.
    precisions, signed
        Bits of a sample, and whether it has a sign, of each component.
    sampling
        Columns and rows of pixels to a sample of each component: (1, 1) is not subsampled.
    layers, decompositions
        Quality layers, and wavelet levels (the most that a component has).
    component_transform
        Whether the first three components were transformed (RCT if reversible, else ICT), so
        that a decoder undoes it.
    reversible
        Whether wavelet and quantisation of all components lose nothing. Layers may have been cut
        off nevertheless; no header says so.
    high_throughput
        Whether it is coded as ISO 15444-15 has it (HTJ2K).
    header_bytes
        Length of the main header, SOC included.
    """

    rows: int
    columns: int
    tile_rows: int
    tile_columns: int
    precisions: tuple[int, ...]
    signed: tuple[bool, ...]
    sampling: tuple[tuple[int, int], ...]
    layers: int
    decompositions: int
    component_transform: bool
    reversible: bool
    high_throughput: bool
    header_bytes: int

    @property
    def subsampled(self) -> bool:
        """Whether any component has fewer samples than there are pixels."""
        return any(steps != (1, 1) for steps in self.sampling)

    @property
    def tiles(self) -> int:
        """Number of its tiles, as from the image's own corner."""
        return -(-self.columns // self.tile_columns) * -(-self.rows // self.tile_rows)


def jpeg_2000_segments(stream: bytes) -> Iterator[Segment]:
    """Walk the marker segments of a code stream's main header, from SIZ up to the first SOT.

    Raises
    ------
    InvalidInput
        If the bytes are no JPEG 2000 code stream or end before SOT. A JP2 file is none: its boxes
        have no place in DICOM (PS3.5 A.4.4).
    """
    if stream[:4] != b"\xff\x4f\xff\x51":
        raise InvalidInput("A JPEG 2000 code stream does not begin with SOC and SIZ.")
    place = 2
    while place + 2 <= len(stream) and stream[place] == 0xFF:
        marker = stream[place + 1]
        if marker == SOT:
            return
        length = int.from_bytes(stream[place + 2 : place + 4])
        stop = place + 2 + length
        if length < 2 or stop > len(stream):
            break
        yield Segment(marker, place, stop)
        place = stop
    raise InvalidInput("A JPEG 2000 code stream ends inside its main header.")


def jpeg_2000_frame(stream: bytes) -> Jpeg2000Frame:
    """Read the main header of a JPEG 2000 code stream.

    Parameters
    ----------
    stream
        The code stream; its first bytes do, as long as the first SOT is among them.

    Raises
    ------
    InvalidInput
        If it is damaged, or lacks what it must state.
    """
    found: dict[int, list[bytes]] = {}
    stop = 2
    for segment in jpeg_2000_segments(stream):
        found.setdefault(segment.marker, []).append(stream[segment.start + 4 : segment.stop])
        stop = segment.stop
    for marker, name in ((SIZ, "SIZ"), (COD, "COD"), (QCD, "QCD")):
        if len(found.get(marker, ())) != 1:
            raise InvalidInput(f"A JPEG 2000 main header has not exactly one {name}.")
    kind, size, tile, components = _jpeg_2000_size(found[SIZ][0])
    layers, transform, styles = _coding_styles(found[COD][0], found.get(COC, []), len(components))
    exact = _exact(found[QCD][0], found.get(QCC, []), len(components))
    if transform and len(components) < 3:
        raise InvalidInput("A JPEG 2000 code stream transforms components that it does not have.")
    return Jpeg2000Frame(
        rows=size[1],
        columns=size[0],
        tile_rows=tile[1],
        tile_columns=tile[0],
        precisions=tuple((depth & 0x7F) + 1 for depth, _, _ in components),
        signed=tuple(depth >= 0x80 for depth, _, _ in components),
        sampling=tuple((across, down) for _, across, down in components),
        layers=layers,
        decompositions=max(levels for levels, _ in styles),
        component_transform=transform,
        reversible=exact and all(reversible for _, reversible in styles),
        high_throughput=bool(kind & _HIGH_THROUGHPUT),
        header_bytes=stop,
    )


def _jpeg_2000_size(
    payload: bytes,
) -> tuple[int, tuple[int, int], tuple[int, int], list[tuple[int, int, int]]]:
    """Return Rsiz, columns and rows of image and tile, and depth and steps of each component."""
    if len(payload) < _SIZ.size:
        raise InvalidInput("SIZ of a JPEG 2000 code stream is too short.")
    kind, right, bottom, left, top, across, down, tile_left, tile_top, count = _SIZ.unpack_from(
        payload
    )
    for begin, end, step, origin in (
        (left, right, across, tile_left),
        (top, bottom, down, tile_top),
    ):
        if not (begin < end and step and origin <= begin < origin + step):
            raise InvalidInput("A JPEG 2000 code stream states an impossible size.")
    if not 1 <= count <= _MOST_COMPONENTS or len(payload) < _SIZ.size + 3 * count:
        raise InvalidInput("SIZ of a JPEG 2000 code stream describes another number of components.")
    table = payload[_SIZ.size : _SIZ.size + 3 * count]
    components = list(zip(table[::3], table[1::3], table[2::3], strict=True))
    for depth, step_across, step_down in components:
        if (depth & 0x7F) >= _MOST_BITS or not step_across or not step_down:
            raise InvalidInput("A JPEG 2000 code stream has an impossible component.")
    return kind, (right - left, bottom - top), (across, down), components


def _coding_styles(
    default: bytes, own: list[bytes], count: int
) -> tuple[int, bool, list[tuple[int, bool]]]:
    """Return layers, whether components are transformed, and the style of each component."""
    if len(default) < 10 or default[4] > 1:
        raise InvalidInput("COD of a JPEG 2000 code stream is too short or of another part of it.")
    styles = [_coding_style(default[5:10])] * count
    for payload in own:
        component, rest = _of_component(payload, count)
        styles[component] = _coding_style(rest[1:6])
    return int.from_bytes(default[2:4]), bool(default[4]), styles


def _coding_style(parameters: bytes) -> tuple[int, bool]:
    """Return wavelet levels, and whether the wavelet is the reversible one (A.6.1)."""
    if len(parameters) < 5 or parameters[0] > _MOST_DECOMPOSITIONS or parameters[4] > 1:
        raise InvalidInput("A JPEG 2000 code stream has an impossible coding style.")
    return parameters[0], parameters[4] == 1


def _exact(default: bytes, own: list[bytes], count: int) -> bool:
    """Whether no component is quantised (A.6.4)."""
    quantised = [_quantised(default)] * count
    for payload in own:
        component, rest = _of_component(payload, count)
        quantised[component] = _quantised(rest)
    return not any(quantised)


def _quantised(payload: bytes) -> bool:
    if len(payload) < 2 or payload[0] & 0x1F > 2:
        raise InvalidInput("A JPEG 2000 code stream has an impossible quantisation.")
    return bool(payload[0] & 0x1F)


def _of_component(payload: bytes, count: int) -> tuple[int, bytes]:
    """Return which component COC or QCC is about, and the rest of it."""
    width = 1 if count < 257 else 2
    component = int.from_bytes(payload[:width])
    if len(payload) < width or component >= count:
        raise InvalidInput("A JPEG 2000 code stream describes a component that it does not have.")
    return component, payload[width:]
