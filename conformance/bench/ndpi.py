"""Writes Hamamatsu slides as their scanners lay them out: one JPEG of stripes a level.

The big slides of the measurements and the small ones of the tests are made with it.
Run ``python -m conformance.bench.ndpi OUT.ndpi --bytes 9e7 [--sparse]``.
"""

import argparse
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from conformance.bench.slides import draw_scene
from gateway.core.bitstreams import jpeg_segments, restart_intervals

Pixels = NDArray[np.uint8]
Value = Sequence[int] | Sequence[float] | bytes | NDArray[np.uint32]
Tags = dict[int, tuple[int, Value]]

ASCII, SHORT, LONG, RATIONAL, SLONG, FLOAT = 2, 3, 4, 5, 9, 11
_LETTERS = {SHORT: "H", LONG: "I", RATIONAL: "I", SLONG: "i", FLOAT: "f"}
_LIBRARY = b"Hamamatsu NanoZoomer Digital Pathology\0"
_HALF = 1 << 32


@dataclass(frozen=True)
class StripedJpeg:
    """A JPEG cut at its restart markers; without an interval it has one stripe.

    `header` goes from SOI to SOS; a stripe is entropy-coded data without its marker.
    """

    columns: int
    rows: int
    interval: int
    header: bytes
    stripes: Sequence[bytes]


def encode_striped(
    pixels: Pixels, stripe: int, *, quality: int = 80, subsampling: str = "4:4:4"
) -> StripedJpeg:
    """Encode RGB pixels as a level with stripes of so many columns; 0 for none."""
    rows, columns = pixels.shape[:2]
    across = 8 if subsampling == "4:4:4" else 16
    buffer = BytesIO()
    options: dict[str, int] = {"restart_marker_blocks": stripe // across} if stripe else {}
    Image.fromarray(pixels).save(
        buffer, "JPEG", quality=quality, subsampling=subsampling, **options
    )
    jpeg = buffer.getvalue()
    own = list(jpeg_segments(jpeg))[-1].stop
    scan = jpeg[own:-2]
    stripes = restart_intervals(scan) if stripe else [scan]
    return StripedJpeg(columns, rows, stripe // across, header_of(jpeg, columns, rows), stripes)


def header_of(jpeg: bytes, columns: int, rows: int) -> bytes:
    """Return the headers in the order of the scanner; a side above 65535 is stated as 0."""
    parts: dict[int, bytes] = {}
    for segment in jpeg_segments(jpeg):
        payload = jpeg[segment.start + 4 : segment.stop]
        parts[segment.marker] = parts.get(segment.marker, b"") + payload
    frame, scan = bytearray(parts[0xC0]), bytearray(parts[0xDA])
    frame[1:5] = b"".join((side if side < 65536 else 0).to_bytes(2) for side in (rows, columns))
    for component in range(3):
        frame[6 + 3 * component] = scan[1 + 2 * component] = component
    parts |= {0xC0: bytes(frame), 0xDA: bytes(scan), 0xFE: _LIBRARY}
    order = (0xE0, 0xFE, 0xDB, 0xC4, 0xC0, 0xDD, 0xDA)
    return b"\xff\xd8" + b"".join(
        bytes((0xFF, marker)) + (len(parts[marker]) + 2).to_bytes(2) + parts[marker]
        for marker in order
        if marker in parts
    )


class NdpiWriter:
    """A classic TIFF with offsets of 64 bits that is written from front to back."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._file.write(b"II*\0".ljust(12, b"\0"))
        self._link = 4

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def place(self) -> int:
        """Where the next byte goes."""
        return self._file.tell()

    def append(self, data: bytes) -> int:
        """Append bytes; return the offset of the first."""
        offset = self._file.tell()
        self._file.write(data)
        return offset

    def skip(self, count: int) -> None:
        """Leave a hole."""
        self._file.seek(count, 1)

    def append_page(self, tags: Tags) -> None:
        """Append the values of a page that need room, then its directory."""
        entries, highs = b"", b""
        for code, (kind, value) in sorted(tags.items()):
            data, count = _packed(kind, value)
            high = 0
            if kind == LONG and count == 1:
                (number,) = value
                data, high = struct.pack("<I", int(number) % _HALF), int(number) // _HALF
            elif kind == ASCII or len(data) > 4:
                high, low = divmod(self.append(data), _HALF)
                data = struct.pack("<I", low)
            entries += struct.pack("<HHI", code, kind, count) + data.ljust(4, b"\0")
            highs += struct.pack("<I", high)
        start = self.append(struct.pack("<H", len(tags)) + entries + bytes(8) + highs)
        end = self._file.tell()
        self._file.seek(self._link)
        self._file.write(struct.pack("<Q", start))
        self._file.seek(end)
        self._link = start + 2 + len(entries)


def _packed(kind: int, value: Value) -> tuple[bytes, int]:
    """Return the bytes of a tag's values and their number."""
    if isinstance(value, np.ndarray):
        return value.astype("<u4").tobytes(), len(value)
    if isinstance(value, bytes):
        return value + b"\0", len(value) + 1
    if kind == LONG and len(value) == 1:
        return bytes(4), 1
    count = len(value) // 2 if kind == RATIONAL else len(value)
    return struct.pack(f"<{len(value)}{_LETTERS[kind]}", *value), count


def common_tags(
    columns: int, rows: int, lens: float, per_cm: tuple[int, int], offset: int, count: int
) -> Tags:
    """Return what levels, macro and map say of themselves alike."""
    return {
        256: (LONG, [columns]),
        257: (LONG, [rows]),
        258: (SHORT, [8, 8, 8]),
        259: (SHORT, [7]),
        262: (SHORT, [6]),
        271: (ASCII, b"Hamamatsu"),
        272: (ASCII, b"C9600-12"),
        273: (LONG, [offset]),
        277: (SHORT, [3]),
        278: (LONG, [rows]),
        279: (LONG, [count]),
        282: (RATIONAL, [per_cm[0], 1]),
        283: (RATIONAL, [per_cm[1], 1]),
        296: (SHORT, [3]),
        305: (ASCII, b"NDP.scan 2.5.89"),
        306: (ASCII, b"2017:02:07 13:06:43"),
        65420: (SHORT, [1]),
        65421: (FLOAT, [lens]),
        65422: (SLONG, [0]),
        65423: (SLONG, [0]),
        65442: (ASCII, b"950291"),
    }


def append_level(
    file: NdpiWriter,
    jpeg: StripedJpeg,
    *,
    lens: float,
    per_cm: tuple[int, int] = (43826, 43826),
    gap: int = 0,
    tags: Tags | None = None,
) -> None:
    """Append a level.

    Parameters
    ----------
    gap
        Bytes of a hole behind the data of each stripe.
    tags
        Tags that are added to those of every level, or replace them.
    """
    offset, ends = file.place, [len(jpeg.header)]
    file.append(jpeg.header)
    if gap:
        for number, stripe in enumerate(jpeg.stripes):
            file.append(stripe)
            file.skip(gap)
            last = number == len(jpeg.stripes) - 1
            file.append(b"\xff\xd9" if last else bytes((0xFF, 0xD0 + number % 8)))
            ends.append(file.place - offset)
    else:
        ends += _append_dense(file, jpeg.stripes, len(jpeg.header))
    count = file.place - offset
    own = common_tags(jpeg.columns, jpeg.rows, lens, per_cm, offset, count)
    own |= {530: (SHORT, [1, 1]), 65424: (SLONG, [0]), 65441: (LONG, [1]), 65444: (LONG, [80])}
    if jpeg.interval:
        starts = np.array(ends[:-1], np.int64)
        own[65426] = (LONG, (starts % _HALF).astype(np.uint32))
        if starts[-1] >= _HALF:
            own[65432] = (LONG, (starts // _HALF).astype(np.uint32))
    file.append_page(own | (tags or {}))


def _append_dense(file: NdpiWriter, stripes: Sequence[bytes], begin: int) -> list[int]:
    markers = [bytes((0xFF, 0xD0 + number)) for number in range(8)]
    for first in range(0, len(stripes), 8192):
        part = stripes[first : first + 8192]
        file.append(b"".join(stripe + markers[at % 8] for at, stripe in enumerate(part)))
    file.skip(-2)
    file.append(b"\xff\xd9")
    ends: list[int] = (np.cumsum([len(stripe) + 2 for stripe in stripes]) + begin).tolist()
    return ends


def append_macro(file: NdpiWriter, pixels: Pixels) -> None:
    """Append the picture of the whole glass."""
    jpeg = encode_striped(pixels, 0)
    data = jpeg.header + jpeg.stripes[0] + b"\xff\xd9"
    place = file.append(data)
    tags = common_tags(jpeg.columns, jpeg.rows, -1.0, (156, 156), place, len(data))
    file.append_page(tags | {65441: (LONG, [8]), 65450: (LONG, [0])})


def append_map(file: NdpiWriter, columns: int = 594, rows: int = 203) -> None:
    """Append the map of what is not empty."""
    place = file.append(bytes(columns * rows))
    tags = common_tags(columns, rows, -2.0, (78, 78), place, columns * rows)
    del tags[277]
    grey: Tags = {258: (SHORT, [8]), 259: (SHORT, [1]), 262: (SHORT, [1])}
    file.append_page(tags | grey)


def make_large_ndpi(path: Path, *, file_bytes: int, sparse: bool = False) -> None:
    """Write a bright-field slide of a given size whose levels repeat a few hundred stripes.

    Levels have the factors 1, 4, 16 and 64; stripes have 2048 columns as far as the level has
    them. The levels do not show the same picture. The same arguments give the same bytes.

    Parameters
    ----------
    file_bytes
        Size of the file, kept to within some percent.
    sparse
        Most of each stripe of the base level is a hole.
    """
    pool = encode_striped(draw_scene(2048, 2048, seed=4, noise=9), 2048, quality=85)
    gap = 300_000 if sparse else 0
    mean = sum(map(len, pool.stripes)) / len(pool.stripes) + 2
    # All lower levels together have 1/16 + 1/256 + ... of the stripes, none with holes.
    across = 16
    down = max(64, round(file_bytes / across / (mean * (1 if sparse else 16 / 15) + gap) / 64) * 64)
    with NdpiWriter(path) as file:
        for level, factor in enumerate((1, 4, 16, 64)):
            columns, rows = across * 2048 // factor, down * 8 // factor
            stripe = min(2048, columns)
            own = pool
            if stripe < 2048:
                scene = draw_scene(stripe, 512, seed=5, noise=9)
                own = encode_striped(scene, stripe, quality=85)
            jpeg = repeated(own, columns, rows, seed=level)
            resolution = 43826 // factor
            append_level(
                file,
                jpeg,
                lens=40 / factor,
                per_cm=(resolution, resolution),
                gap=0 if level else gap,
            )
        append_macro(file, draw_scene(1188, 406, seed=3))
        append_map(file)


def repeated(pool: StripedJpeg, columns: int, rows: int, *, seed: int) -> StripedJpeg:
    """Return a JPEG of another size that is made of the stripes of one, in random order."""
    stripe = pool.columns
    count = -(-columns // stripe) * -(-rows // 8)
    chosen = np.random.default_rng(seed).integers(0, len(pool.stripes), count).tolist()
    header = header_of(pool.header, columns, rows)
    return StripedJpeg(
        columns, rows, pool.interval, header, [pool.stripes[index] for index in chosen]
    )


def main() -> None:
    """Write a slide as the command line asks."""
    parser = argparse.ArgumentParser(description="Write a big Hamamatsu slide.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--bytes", type=float, required=True, help="size of the file, such as 9e7")
    parser.add_argument("--sparse", action="store_true", help="leave holes in the stripes")
    options = parser.parse_args()
    make_large_ndpi(options.path, file_bytes=int(options.bytes), sparse=options.sparse)


if __name__ == "__main__":
    main()
