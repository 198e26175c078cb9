"""Writes TIFF pages as an Aperio scanner lays them out.

That is pixels, directory, values that do not fit into the directory. The big slides of the
measurements and the small ones of the tests are made with it.
"""

import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from converters.synthetic import abbreviate

Pixels = NDArray[np.uint8]

SHORT, LONG, LONG8, ASCII, UNDEFINED = 3, 4, 16, 2, 7
JPEG, LZW = 7, 5
JPEG_2000 = 33003, 33005
RGB, YCBCR = 2, 6
LIBRARY = "Aperio Image Library v11.2.1 \r\n"
DISK_BLOCK = 4096


@dataclass(frozen=True)
class Page:
    """What a TIFF page says of itself; `tile` 0 means strips of `strip_rows` rows."""

    columns: int
    rows: int
    description: str
    tables: bytes = b""
    tile: int = 0
    strip_rows: int = 16
    subfile_type: int = 0
    compression: int = JPEG
    photometric: int = RGB
    subsampling: tuple[int, int] | None = (2, 2)
    icc: bytes | None = None

    def tags(
        self, offsets: Sequence[int], counts: Sequence[int], offset_type: int
    ) -> list[tuple[int, int, Sequence[int] | bytes]]:
        """Return (code, type, values) of each tag, in ascending order of the codes."""
        side = SHORT if max(self.columns, self.rows) < 65_536 else LONG
        tags: list[tuple[int, int, Sequence[int] | bytes]] = [
            (254, LONG, [self.subfile_type]),
            (256, side, [self.columns]),
            (257, side, [self.rows]),
            (258, SHORT, [8, 8, 8]),
            (259, SHORT, [self.compression]),
            (262, SHORT, [self.photometric]),
            (270, ASCII, self.description.encode() + b"\0"),
            (277, SHORT, [3]),
            (284, SHORT, [1]),
            (32997, LONG, [1]),
        ]
        if self.tile:
            tags += [(322, SHORT, [self.tile]), (323, SHORT, [self.tile])]
            tags += [(324, offset_type, offsets), (325, LONG, counts)]
        else:
            tags += [(278, SHORT, [self.strip_rows])]
            tags += [(273, offset_type, offsets), (279, LONG, counts)]
        if self.tables:
            tags += [(347, UNDEFINED, self.tables)]
        if self.subsampling and self.compression in (JPEG, *JPEG_2000):
            tags += [(530, SHORT, self.subsampling)]
        if self.compression == LZW:
            tags += [(317, SHORT, [2])]
        if self.icc is not None:
            tags += [(34675, UNDEFINED, self.icc)]
        return sorted(tags, key=lambda tag: tag[0])


class PageFile:
    """A little endian TIFF or BigTIFF that is written from front to back."""

    def __init__(self, path: Path, *, bigtiff: bool = False) -> None:
        self._file = path.open("wb")
        self._offset = "Q" if bigtiff else "I"
        self._count = "Q" if bigtiff else "H"
        self._offset_type = LONG8 if bigtiff else LONG
        header = struct.pack("<2sHHH", b"II", 43, 8, 0) if bigtiff else b"II*"
        self._file.write(header.ljust(16, b"\0"))  # pixels start at byte 16 in both
        self._link = 8 if bigtiff else 4

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def append(self, data: bytes) -> int:
        """Append bytes; return the offset of the first."""
        offset = self._file.tell()
        self._file.write(data)
        return offset

    def append_spread(self, pieces: Iterable[bytes], stride: int) -> int:
        """Append pieces `stride` bytes apart with holes between; return the first offset."""
        first = position = math.ceil(self._file.tell() / DISK_BLOCK) * DISK_BLOCK
        for piece in pieces:
            self._file.seek(position)
            self._file.write(piece)
            position += stride
        self._file.seek(position)
        return first

    def append_image(self, page: Page, pieces: Iterable[bytes]) -> None:
        """Append tiles or strips in their order without gaps, then their page."""
        counts: list[int] = []
        offsets = []
        for piece in pieces:
            offsets.append(self.append(piece))
            counts.append(len(piece))
        self.append_page(page, offsets, counts)

    def append_page(self, page: Page, offsets: Sequence[int], counts: Sequence[int]) -> None:
        """Append the directory of a page whose tiles or strips are in the file already."""
        tags = page.tags(offsets, counts, self._offset_type)
        room = struct.calcsize("<" + self._offset)
        start = self._file.seek(self._file.tell() + self._file.tell() % 2)
        directory = struct.pack("<" + self._count, len(tags))
        values = b""
        end = start + len(directory) + len(tags) * (4 + 2 * room) + room
        for code, kind, content in tags:
            data, length = _pack(kind, content)
            if len(data) > room:
                place = struct.pack("<" + self._offset, end + len(values))
                values += data + b"\0" * (len(data) % 2)
            else:
                place = data.ljust(room, b"\0")
            directory += struct.pack("<HH" + self._offset, code, kind, length) + place
        self._file.write(directory + bytes(room) + values)
        self._file.seek(self._link)
        self._file.write(struct.pack("<" + self._offset, start))
        self._file.seek(0, 2)
        self._link = start + len(directory)


def _pack(kind: int, content: Sequence[int] | bytes) -> tuple[bytes, int]:
    """Return the bytes of a tag's values and their number."""
    if isinstance(content, bytes):
        return content, len(content)
    letter = {SHORT: "H", LONG: "I", LONG8: "Q"}[kind]
    return struct.pack(f"<{len(content)}{letter}", *content), len(content)


def describe(size_line: str, **properties: str | None) -> str:
    """Return an Aperio ImageDescription; properties that are None are left out.

    Without properties it has the usual magnification and resolution. Underscores in the names
    stand for blanks.
    """
    pairs = properties or {"AppMag": "40", "MPP": "0.2500", "Date": "01/15/26", "Time": "09:30:00"}
    return (
        LIBRARY
        + size_line
        + "".join(
            f"|{key.replace('_', ' ')} = {value}"
            for key, value in pairs.items()
            if value is not None
        )
    )


def append_thumbnail(file: PageFile, pixels: Pixels, base_size: str) -> None:
    """Append the thumbnail, which must follow the base level."""
    text = f"{LIBRARY}{base_size} -> {pixels.shape[1]}x{pixels.shape[0]} - "
    _append_strips(file, pixels, text, subfile_type=0)


def append_macro(file: PageFile, pixels: Pixels) -> None:
    """Append the macro image."""
    text = f"{LIBRARY}macro {pixels.shape[1]}x{pixels.shape[0]}"
    _append_strips(file, pixels, text, subfile_type=9)


def append_label(file: PageFile, pixels: Pixels) -> None:
    """Append the label: strips of seven rows, LZW over differences of neighbours."""
    rows, columns = pixels.shape[:2]
    differences = np.diff(pixels, axis=1, prepend=np.uint8(0))
    page = Page(
        columns,
        rows,
        f"{LIBRARY}label {columns}x{rows}",
        strip_rows=7,
        subfile_type=1,
        compression=LZW,
    )
    file.append_image(
        page,
        (bytes(imagecodecs.lzw_encode(strip.tobytes())) for strip in _strips(differences, 7)),
    )


def _append_strips(file: PageFile, pixels: Pixels, description: str, subfile_type: int) -> None:
    encoded = [encode_rgb(strip, quality=80) for strip in _strips(pixels, 16)]
    page = Page(
        pixels.shape[1], pixels.shape[0], description, encoded[0][0], subfile_type=subfile_type
    )
    file.append_image(page, (bitstream for _, bitstream in encoded))


def _strips(pixels: Pixels, strip_rows: int) -> Iterator[Pixels]:
    for row in range(0, pixels.shape[0], strip_rows):
        yield pixels[row : row + strip_rows]


def encode_rgb(pixels: Pixels, quality: int) -> tuple[bytes, bytes]:
    """Encode RGB pixels in the classic Aperio way.

    Components R, G, B with the identifiers 0, 1, 2, not subsampled, one set of tables, no JFIF or
    Adobe marker.

    Returns
    -------
    tables, bitstream
        The value of JPEGTables, and the image without tables.
    """
    jpeg = imagecodecs.jpeg8_encode(
        pixels, level=quality, colorspace="rgb", outcolorspace="rgb", subsampling="444"
    )
    tables, bitstream = abbreviate(bytes(jpeg))
    frame, scan = bytearray(bitstream[:21]), bytearray(bitstream[21:35])
    for component in range(3):
        frame[12 + 3 * component] = component  # the encoder has written the letters R, G, B
        scan[5 + 2 * component] = component
    return tables, bytes(frame + scan) + bitstream[35:]
