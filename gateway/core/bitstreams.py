"""Pure walks over compressed bit streams: JPEG segments and restart intervals (ISO 10918-1 B)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.core.errors import InvalidInput

EOI, SOS, DHT, DRI, APP0, APP14 = 0xD9, 0xDA, 0xC4, 0xDD, 0xE0, 0xEE
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
    baseline
        Whether it is the baseline sequential process.
    """

    rows: int
    columns: int
    precision: int
    sampling: tuple[tuple[int, int], ...]
    identifiers: bytes
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
