"""Writes big Aperio slides for measurements, as fast as the disk takes them.

`make_large_svs` repeats a few hundred encoded tiles, so that a slide of gigabytes takes seconds.
The writer of TIFF pages below is what the slides of the tests are made with too; it lays a file
out as an Aperio scanner does: pixels, directory, values that do not fit into the directory.

Run ``python -m conformance.bench.slides OUT.svs --bytes 3e9 --tiles 40000 [--sparse]``.
"""

import argparse
import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from converters.synthetic import abbreviate

Pixels = NDArray[np.uint8]

SHORT, LONG, LONG8, ASCII, UNDEFINED = 3, 4, 16, 2, 7
JPEG, LZW = 7, 5
RGB, YCBCR = 2, 6
LIBRARY = "Aperio Image Library v11.2.1 \r\n"
DISTINCT_TILES = 256
DISK_BLOCK = 4096


def make_large_svs(
    path: Path, *, file_bytes: int, tiles: int, tile: int = 256, sparse: bool = False
) -> None:
    """Write a BigTIFF SVS of a given size whose levels repeat a few hundred textured tiles.

    Levels have the factors 1, 4, 16 and 64 as far as they hold a tile; they do not show the same
    picture. Thumbnail, label and macro are there. The same arguments give the same bytes.

    Parameters
    ----------
    path
        The file to write; an existing file is replaced.
    file_bytes
        Size of the file, kept to within some percent.
    tiles
        Number of tiles of the base level; rounded up to a whole grid, as square as may be.
    tile
        Columns and rows of a tile.
    sparse
        Spread small tiles over the file: each is followed by a hole that its byte count includes,
        so that the file takes one disk block for a tile of 256 x 256 pixels.

    Raises
    ------
    ValueError
        If tiles of that size cannot be compressed to so many or so few bytes.
    """
    tile_columns = math.ceil(math.sqrt(tiles))
    tile_rows = math.ceil(tiles / tile_columns)
    columns, rows = tile_columns * tile - tile // 3, tile_rows * tile - tile // 5
    factors = [factor for factor in (1, 4, 16, 64) if factor == 1 or columns // factor >= tile]
    sizes = [(columns // factor, rows // factor) for factor in factors]
    share = file_bytes // sum(math.ceil(w / tile) * math.ceil(h / tile) for w, h in sizes)
    stride = share - share % DISK_BLOCK if sparse else 0
    tables, pool = _encode_pool(tile, tile * tile // 18 if sparse else share)
    if sparse and stride < max(map(len, pool)):
        raise ValueError(f"{file_bytes} bytes leave no holes between {tiles} tiles")
    thumbnail = draw_scene(400, max(1, 400 * rows // columns), seed=1)
    with PageFile(path, bigtiff=True) as file:
        for number, (width, height) in enumerate(sizes):
            text = f"{columns}x{rows} [0,0 {columns}x{rows}] ({tile}x{tile}) "
            text += f"-> {width}x{height} JPEG/RGB" if number else "JPEG/RGB"
            page = Page(width, height, describe(text), tables, tile=tile)
            offsets, counts = _append_repeated(file, page, pool, stride, seed=number)
            file.append_page(page, offsets, counts)
            if not number:
                append_thumbnail(file, thumbnail, f"{columns}x{rows}")
        append_label(file, draw_scene(387, 463, seed=2))
        append_macro(file, draw_scene(1280, 431, seed=3))


def _append_repeated(
    file: "PageFile", page: "Page", pool: list[bytes], stride: int, seed: int
) -> tuple[list[int], list[int]]:
    """Append the tiles of a level, one row of tiles at a time; return offsets and byte counts."""
    rng = np.random.default_rng(seed)
    across, down = math.ceil(page.columns / page.tile), math.ceil(page.rows / page.tile)
    offsets: list[int] = []
    counts: list[int] = []
    for _ in range(down):
        row = [pool[index] for index in rng.integers(0, len(pool), across).tolist()]
        if stride:
            start = file.append_spread(row, stride)
            counts += [stride] * across
        else:
            start = file.append(b"".join(row))
            counts += map(len, row)
        offsets += (start + np.cumsum([0, *counts[-across:-1]])).tolist()
    return offsets, counts


def _encode_pool(tile: int, mean_bytes: int) -> tuple[bytes, list[bytes]]:
    """Return JPEG tables and distinct tiles of `mean_bytes` on the average."""

    def encode(seed: int, strength: float) -> tuple[bytes, bytes]:
        pixels = draw_scene(tile, tile, seed=seed, noise=100 * strength**2)
        return encode_rgb(pixels, quality=round(3 + 94 * strength))

    def mean(strength: float) -> float:
        return sum(len(encode(seed, strength)[1]) for seed in range(6)) / 6

    if not mean(0) <= mean_bytes <= mean(1):
        raise ValueError(
            f"tiles of {tile} x {tile} pixels take {mean(0):.0f} to {mean(1):.0f} bytes, "
            f"not {mean_bytes}"
        )
    low, high = 0.0, 1.0
    for _ in range(9):
        middle = (low + high) / 2
        low, high = (middle, high) if mean(middle) < mean_bytes else (low, middle)
    with ThreadPoolExecutor() as pool:
        encoded = list(pool.map(lambda seed: encode(seed, low), range(DISTINCT_TILES)))
    return encoded[0][0], [bitstream for _, bitstream in encoded]


# ----------------------------------------------------------------------------------- pictures


def draw_scene(columns: int, rows: int, *, seed: int, noise: float = 6.0) -> Pixels:
    """Draw gradients, shapes and noise, so that any shift or swap changes the pixels.

    Parameters
    ----------
    columns, rows
        Size of the picture in pixels.
    seed
        Chooses the shapes and the noise.
    noise
        Standard deviation of the noise in grey levels.

    Returns
    -------
    ndarray
        RGB, (rows, columns, 3), uint8.
    """
    rng = np.random.default_rng(seed)
    down = np.linspace(70, 240, rows, dtype=np.float32)[:, None]
    right = np.linspace(80, 250, columns, dtype=np.float32)[None, :]
    scene = np.stack([down + 0 * right, (down + right) / 2, right + 0 * down], axis=2)
    image = Image.fromarray(scene.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = int(rng.integers(0, columns)), int(rng.integers(0, rows))
        size = int(rng.integers(3, max(4, min(columns, rows) // 4)))
        red, green, blue = rng.integers(40, 255, 3).tolist()
        draw.ellipse((x - size, y - size, x + size, y + size // 2), fill=(red, green, blue))
    grain = rng.standard_normal((rows, columns, 3), dtype=np.float32) * np.float32(noise)
    return np.asarray(np.clip(np.asarray(image) + grain, 0, 255), dtype=np.uint8)


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


# -------------------------------------------------------------------------------------- pages


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
    subsampling: tuple[int, int] = (2, 2)
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
            (270, ASCII, self.description.encode("ascii") + b"\0"),
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
        if self.compression == JPEG:
            tags += [(347, UNDEFINED, self.tables), (530, SHORT, self.subsampling)]
        else:
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


def main() -> None:
    """Write a slide as the command line asks."""
    parser = argparse.ArgumentParser(description="Write a big Aperio slide.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--bytes", type=float, required=True, help="size of the file, such as 3e9")
    parser.add_argument("--tiles", type=int, default=40_000, help="tiles of the base level")
    parser.add_argument("--tile", type=int, default=256, help="columns and rows of a tile")
    parser.add_argument("--sparse", action="store_true", help="leave holes between the tiles")
    options = parser.parse_args()
    make_large_svs(
        options.path,
        file_bytes=int(options.bytes),
        tiles=options.tiles,
        tile=options.tile,
        sparse=options.sparse,
    )


if __name__ == "__main__":
    main()
