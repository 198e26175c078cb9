"""Small good files that the fuzz run begins with, by target; the same in every run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import imagecodecs
from PIL import Image

from conformance.bench.objects import annotations_of, report_of
from conformance.bench.slides import draw_scene
from conformance.bench.tiff import (
    RGB,
    YCBCR,
    Page,
    PageFile,
    append_label,
    append_macro,
    append_thumbnail,
    describe,
    encode_rgb,
)
from conformance.soak.slides import SLIDES
from converters.convert import convert
from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN
from gateway.store.files import FileStore
from tests import streams
from tests.dicom.gate.samples import as_received, images_of

_EOI = b"\xff\xd9"
_TILE = 16


def seeds_of(target: str, scratch: Path) -> list[bytes]:
    """Return the seeds of a target.

    Parameters
    ----------
    target
        A name of :data:`conformance.soak.targets.TARGETS`.
    scratch
        A path that may be written.
    """
    if target in SLIDES:
        scratch.mkdir()
        return [SLIDES[target](scratch).seed]
    return _SEEDS[target](scratch)


def _svs(scratch: Path) -> list[bytes]:
    """Return levels alone in all kinds, and all that a slide can have."""
    kinds = [(False, RGB), (False, YCBCR), (True, RGB)]
    slides = [
        _slide(scratch, bigtiff, photometric, associated=False) for bigtiff, photometric in kinds
    ]
    return [*slides, _slide(scratch, False, RGB, associated=True)]


def _slide(path: Path, bigtiff: bool, photometric: int, *, associated: bool) -> bytes:
    text = describe("40x40 JPEG/RGB Q=1", AppMag="20", MPP="0.5", Date="12/29/09", Time="09:59:15")
    tables, tile = encode_rgb(draw_scene(_TILE, _TILE, seed=0), 1)
    with PageFile(path, bigtiff=bigtiff) as file:
        for size in (40, 20):
            page = Page(size, size, text, tables, tile=_TILE, photometric=photometric)
            file.append_image(page, [tile] * (-(-size // _TILE)) ** 2)
            if associated and size == 40:
                append_thumbnail(file, draw_scene(10, 10, seed=1), "40x40")
        if associated:
            append_label(file, draw_scene(9, 8, seed=2))
            append_macro(file, draw_scene(18, 20, seed=3))
    return path.read_bytes()


def _jpeg(_: Path) -> list[bytes]:
    """Return JPEGs of every kind, and tables with the strips that they belong to."""
    pixels = draw_scene(16, 16, seed=0)
    tables, strip = encode_rgb(pixels, 1)
    found = [tables + strip + strip]
    for subsampling in ("444", "422", "420"):
        found.append(
            bytes(
                imagecodecs.jpeg8_encode(
                    pixels,
                    level=1,
                    colorspace="rgb",
                    outcolorspace="ycbcr",
                    subsampling=subsampling,
                )
            )
        )
    restarts = b"".join(b"\xff" + bytes([0xD0 + number % 8]) + b"\1" for number in range(9))
    return [*found, strip.removesuffix(_EOI) + restarts + _EOI]


def _cut(_: Path) -> list[bytes]:
    """Return blocks of all kinds of subsampling."""
    picture = Image.fromarray(draw_scene(96, 64, seed=0))
    found: list[bytes] = []
    for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        stream = BytesIO()
        options = {"quality": 20, "subsampling": subsampling, "restart_marker_blocks": 2}
        picture.save(stream, "JPEG", **options)
        found.append(stream.getvalue())
    return found


def _jpeg_2000(_: Path) -> list[bytes]:
    """Return code streams with and without loss, in one tile and in several."""
    picture = Image.fromarray(draw_scene(32, 32, seed=0))
    kinds: list[dict[str, object]] = [{"irreversible": True}, {"tile_size": (16, 16)}, {"mct": 0}]
    found: list[bytes] = []
    for kind in kinds:
        stream = BytesIO()
        picture.save(stream, "JPEG2000", no_jp2=True, **kind)
        found.append(stream.getvalue())
    return found


def _part10(_: Path) -> list[bytes]:
    return list(_part10_streams())


def _part10_streams() -> Iterator[bytes]:
    """Yield streams of all layouts."""
    frames = [[streams.bitstream(number, 8)] for number in range(3)]
    header = streams.header_of(streams.small_dataset(3))
    basic = streams.words(streams.offsets_of(frames), 4)
    yield header
    yield header + streams.encapsulated(frames)
    yield header + streams.encapsulated(frames, basic)
    yield header + streams.extended(frames) + streams.encapsulated(frames)
    yield header + streams.encapsulated([frames[0] * 2, *frames[1:]], basic)
    for syntax in (streams.IMPLICIT, EXPLICIT_VR_LITTLE_ENDIAN):
        header = streams.header_of(streams.small_dataset(3), syntax)
        yield header + streams.native(bytes(54), syntax)
        implicit = syntax == streams.IMPLICIT
        code = streams.element(0x00080119, b"" if implicit else b"UC", b"1234")
        sequence = streams.item(code) + streams.SEQUENCE_END
        nested = streams.element(0x00400555, b"" if implicit else b"SQ", sequence, 0xFFFFFFFF)
        yield header + nested + streams.native(bytes(54), syntax)


def _gate(scratch: Path) -> list[bytes]:
    """Return the images of a small slide, annotations and a report."""
    slide, folder = scratch.with_suffix(".svs"), scratch.with_suffix(".dicom")
    slide.write_bytes(_slide(scratch, False, RGB, associated=True))
    list(convert(slide, FileStore(folder)))
    images = images_of(folder)
    base = images["VOLUME 0"].dataset
    others = (annotations_of(base), report_of(base))
    samples = [*images.values(), *map(as_received, others)]
    return [sample.encoded() for sample in samples]


def _incoming(_: Path) -> list[bytes]:
    """Return bodies in several framings."""
    part = b"--fuzz\r\nContent-Type: application/dicom\r\n\r\nDICM\r\n--fuz\r\n"
    plain = part + part + b"--fuzz--"
    return [
        plain,
        b"preamble\r\n" + plain + b"\r\nepilogue",
        plain.replace(b"\r\n", b"\n"),
        b'\r\n--fuzz \t\r\nA: b;\r\n c="d;\\"e"\r\n\r\n\r\n--fuzz\r\n\r\n\r\n--fuzz-- \r\n',
    ]


_SEEDS: dict[str, Callable[[Path], list[bytes]]] = {
    "converters.formats.svs": _svs,
    "jpeg": _jpeg,
    "jpeg2000": _jpeg_2000,
    "cut": _cut,
    "part10": _part10,
    "gate": _gate,
    "incoming": _incoming,
}
