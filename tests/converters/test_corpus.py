"""Deliberately broken files of scanners: each gets the verdict that it must get, and says why."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from converters.convert import convert
from gateway.core.errors import GatewayError, SlideUnreadable, SpacingUnknown
from gateway.dicom.images.icc import srgb_profile
from gateway.store.files import FileStore
from tests.factories import make_svs, patch_tag, tag_values, truncate
from tests.ndpi import make_ndpi
from tests.scanners import (
    make_generic,
    make_leica,
    make_mirax,
    make_ome,
    make_philips,
    make_qptiff,
    make_ventana,
    make_vms,
)

Make = Callable[[Path], object]
Break = Callable[[Path], object]

READ = None
"""Verdict of what is odd and harmless; one in words is found in what the headers tell."""

_SECONDS = 20

_MADE: dict[str, tuple[str, Make]] = {
    "svs": ("slide.svs", partial(make_svs, icc=srgb_profile())),
    "bigtiff": ("slide.svs", partial(make_svs, bigtiff=True)),
    "j2k": ("slide.svs", partial(make_svs, components="j2k-ict")),
    "ndpi": (
        "slide.ndpi",
        partial(make_ndpi, columns=1024, rows=512, stripe=512, factors=(1, 2), plain=()),
    ),
    "generic": ("slide.tif", make_generic),
    "ome": ("slide.ome.tif", make_ome),
    "philips": ("slide.tiff", make_philips),
    "leica": ("slide.scn", make_leica),
    "qptiff": ("slide.qptiff", make_qptiff),
    "ventana": ("slide.bif", partial(make_ventana, overlapping=False)),
    "vms": ("slide.vms", make_vms),
    "mirax": ("slide.mrxs", make_mirax),
}


@dataclass(frozen=True)
class Case:
    """A broken file: what was made, what is broken in it, and what has to come of it.

    `verdict` is READ, a word of what the headers tell if it is taken, or the error that refuses it.
    """

    kind: str
    name: str
    broken: Break
    verdict: str | type[GatewayError] | None
    says: str = ""


# -- ways to break a file


def put(place: int, value: bytes) -> Break:
    """Overwrite bytes; a place below 0 counts from the end."""

    def broken(path: Path) -> None:
        data = bytearray(path.read_bytes())
        start = place % len(data)
        data[start : start + len(value)] = value
        path.write_bytes(data)

    return broken


def swap(old: bytes, new: bytes, count: int = -1) -> Break:
    """Replace bytes that must be there by as many others."""

    def broken(path: Path) -> None:
        data = path.read_bytes()
        assert old in data
        assert len(old) == len(new)
        path.write_bytes(data.replace(old, new, count))

    return broken


def tag(page: int, code: int, value: int | list[int]) -> Break:
    """Overwrite a tag of a page."""
    return lambda path: patch_tag(path, page, code, value)


def first_value(page: int, code: int, value: int) -> Break:
    """Overwrite the first of the values of a tag."""

    def broken(path: Path) -> None:
        patch_tag(path, page, code, [value, *tag_values(path, page, code)[1:]])

    return broken


def in_first_tile(old: bytes, new: bytes) -> Break:
    """Replace bytes in the first tile of the base level."""

    def broken(path: Path) -> None:
        data = bytearray(path.read_bytes())
        offset = tag_values(path, 0, 324)[0]
        place = data.index(old, offset)
        data[place : place + len(new)] = new
        path.write_bytes(data)

    return broken


def cut(part: float) -> Break:
    """Cut the file off."""
    return lambda path: truncate(path, int(path.stat().st_size * part))


def beside(name: str, broken: Break) -> Break:
    """Break another file of the slide."""
    return lambda path: broken(path.parent / name)


def without(path: Path) -> None:
    """Take a file away."""
    path.unlink()


def odd(**options: object) -> Break:
    """Write the slide anew with odd metadata."""
    return lambda path: make_svs(path, **options)  # type: ignore[arg-type]


SOF = b"\xff\xc0\x00\x11\x08\x00\xf0\x00\xf0"

CASES = [
    # headers
    Case("svs", "nothing in it", lambda path: path.write_bytes(b""), SlideUnreadable, "is empty"),
    Case("svs", "another signature", put(0, b"IX"), SlideUnreadable, "no slide of a known"),
    Case("svs", "first page past the end", put(4, b"\xf0\xff\xff\x7f"), SlideUnreadable),
    Case("svs", "first page in the header", put(4, bytes(4)), SlideUnreadable),
    Case("bigtiff", "offsets of 3 bytes", put(4, b"\3"), SlideUnreadable),
    Case("svs", "cut in the middle", cut(0.5), SlideUnreadable),
    Case("svs", "without its last bytes", cut(0.999), SlideUnreadable),
    Case("ndpi", "cut in the middle", cut(0.5), SlideUnreadable),
    Case("ndpi", "first page past the end", put(4, b"\0" * 7 + b"\1"), SlideUnreadable),
    Case("generic", "cut in the middle", cut(0.5), SlideUnreadable),
    # offsets
    Case("svs", "tile past the end", first_value(0, 324, 2**31), SlideUnreadable, "past the end"),
    Case("svs", "tile in the header", first_value(0, 324, 4), SlideUnreadable),
    Case("svs", "tile of 1 byte", first_value(0, 325, 1), SlideUnreadable),
    Case("svs", "tile of 2 GiB", first_value(0, 325, 2**31), SlideUnreadable, "impossible"),
    Case("svs", "lower tile without bytes", first_value(2, 325, 0), "filled in"),
    Case("svs", "base tile without bytes", first_value(0, 325, 0), "white background"),
    Case("svs", "level without bytes", tag(2, 325, [0, 0]), SlideUnreadable),
    Case("ndpi", "strip past the end", tag(0, 273, 2**31), SlideUnreadable, "past the end"),
    Case("ndpi", "strip without bytes", tag(0, 279, 0), SlideUnreadable),
    Case("ndpi", "strip one byte short", swap(b"\xff\xd9", b"\xff\xd8", 1), SlideUnreadable),
    # tables and bit streams
    Case("svs", "no quantisation table", swap(b"\xff\xdb\0C\0", b"\xff\xfe\0C\0"), SlideUnreadable),
    Case(
        "svs", "no Huffman table", swap(b"\xff\xc4", b"\xff\xfe"), SlideUnreadable, "lacks a table"
    ),
    Case(
        "ndpi", "no Huffman table", swap(b"\xff\xc4", b"\xff\xfe"), SlideUnreadable, "lacks a table"
    ),
    Case("svs", "tile of other size", in_first_tile(SOF, SOF[:5] + b"\0\xe8"), SlideUnreadable),
    Case("svs", "progressive tile", in_first_tile(SOF, b"\xff\xc2"), SlideUnreadable, "baseline"),
    Case("svs", "12 bits", in_first_tile(SOF, SOF[:4] + b"\x0c"), SlideUnreadable),
    Case(
        "j2k", "code stream of other size", in_first_tile(b"\xff\x51", b"\xff\x50"), SlideUnreadable
    ),
    Case("ndpi", "no table of stripes", swap(b"\x92\xff\4\0", b"\x91\xff\4\0"), READ),
    Case(
        "ndpi", "restart marker twice", swap(b"\xff\xd1", b"\xff\xd0"), SlideUnreadable, "damaged"
    ),
    Case(
        "ndpi", "restart interval of 0", swap(b"\xff\xdd\0\4\0", b"\xff\xfe\0\4\0"), SlideUnreadable
    ),
    # tags
    Case("svs", "no columns", tag(0, 256, 0), SlideUnreadable),
    Case("svs", "no tiles in the base level", tag(0, 322, 0), SlideUnreadable, "no tiles"),
    Case("svs", "base level called reduced", tag(0, 254, 1), READ),
    Case("qptiff", "no tiles in the base level", tag(0, 322, 0), SlideUnreadable),
    Case("ventana", "no level 0", swap(b"level=0", b"lavel=0"), SlideUnreadable, "level 0"),
    Case("svs", "more tiles than offsets", tag(0, 256, 60_000), SlideUnreadable),
    Case("svs", "level larger than the base", tag(2, 256, 1200), SlideUnreadable),
    Case("svs", "CMYK", tag(0, 262, 5), SlideUnreadable, "cannot be read: .*photometric"),
    Case("svs", "4 samples", tag(0, 277, 4), SlideUnreadable),
    Case("svs", "unknown compression", tag(0, 259, 34_999), SlideUnreadable, "compression"),
    Case("svs", "JPEG called JPEG 2000", tag(0, 259, 33_005), SlideUnreadable),
    Case("j2k", "JPEG 2000 called JPEG", tag(0, 259, 7), SlideUnreadable),
    Case("ndpi", "JPEG XR", tag(0, 259, 22_610), SlideUnreadable, "JPEG XR"),
    Case(
        "generic",
        "JPEG beside LZW",
        tag(1, 259, 5),
        SlideUnreadable,
        "others are compressed without loss",
    ),
    Case("qptiff", "no columns", tag(0, 256, 0), SlideUnreadable),
    # metadata
    Case("svs", "no spacing", odd(mpp=None), SpacingUnknown),
    Case("svs", "spacing in words", odd(mpp="much"), SpacingUnknown),
    Case("svs", "spacing with a comma", odd(mpp="0,4990"), READ),
    Case("svs", "date that cannot be", odd(date="99/99/99"), READ),
    Case("svs", "keys without values", odd(extra_description="|A|= |||B="), READ),
    Case("svs", "profile that is none", odd(icc=b"none"), "sRGB"),
    Case("svs", "text in no character set", swap(b"CPAPERIOCS", b"\xff\xfe\x80\x81IOCS\0\0"), READ),
    Case("ome", "broken XML", swap(b"</Pixels>", b"</Pixelz>"), SlideUnreadable),
    Case("ome", "XML without its end", swap(b"</OME>", b"</OMF>"), SpacingUnknown),
    Case("ome", "page that is not there", swap(b'IFD="0"', b'IFD="7"'), SlideUnreadable, "page 7"),
    Case("ome", "floating point", swap(b'"uint8"', b'"float"'), SlideUnreadable, "float"),
    Case("ome", "no spacing", swap(b"PhysicalSizeX=", b"PhysicalSizeW="), SpacingUnknown),
    Case("philips", "broken XML", swap(b"</Array>", b"</Arrax>"), SlideUnreadable),
    Case("philips", "no spacing", swap(b"PIXEL_SPACING", b"PIXEL_NOTHING"), SlideUnreadable),
    Case("philips", "label that is none", swap(b"/9j/", b"AAAA"), "label"),
    Case("leica", "broken XML", swap(b"</scn>", b"</scm>"), SlideUnreadable),
    Case("leica", "page that is not there", swap(b'ifd="1"', b'ifd="9"'), SlideUnreadable),
    Case("leica", "fluorescence", swap(b"brightfield", b"fluorescent"), SlideUnreadable),
    Case("ventana", "broken XML", swap(b"/>\0", b">>\0"), SlideUnreadable),
    # slides of several files
    Case("vms", "an image that is missing", beside("slide-1.jpg", without), SlideUnreadable),
    Case("vms", "an image cut off", beside("slide-0.jpg", cut(0.3)), SlideUnreadable),
    Case("vms", "no list of images", swap(b"ImageFile", b"ImageFool"), SlideUnreadable),
    Case("mirax", "no index", beside("slide/Index.dat", without), SlideUnreadable),
    Case("mirax", "index cut off", beside("slide/Index.dat", cut(0.5)), SlideUnreadable),
    Case("mirax", "data cut off", beside("slide/Data0000.dat", cut(0.3)), SlideUnreadable),
    Case("mirax", "no description", beside("slide/Slidedat.ini", without), SlideUnreadable),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}: {case.name}")
def test_each_broken_file_gets_its_verdict_and_is_told_why(case: Case, tmp_path: Path) -> None:
    name, make = _MADE[case.kind]
    path, out = tmp_path / name, tmp_path / "out"
    make(path)
    case.broken(path)
    begun = time.monotonic()
    if isinstance(case.verdict, type):
        with pytest.raises(case.verdict) as refused:
            list(convert(path, FileStore(out)))
        assert type(refused.value) is case.verdict
        assert re.search(case.says, refused.value.detail)
        assert not list(out.glob("*"))  # nothing of it is left
    else:
        written = list(convert(path, FileStore(out)))
        assert written
        assert (case.verdict or "") in written[0].provenance
    assert time.monotonic() - begun < _SECONDS


def test_the_corpus_is_large_enough() -> None:
    assert len(CASES) >= 30
    assert len({(case.kind, case.name) for case in CASES}) == len(CASES)
    assert {case.kind for case in CASES} == set(_MADE)
