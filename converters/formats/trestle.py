"""Trestle: a TIFF of JPEG tiles, with what else there is in the description.

Where neighbours do not overlap, tiles are copied. Where they do, no grid of tiles is the slide:
OpenSlide draws them over each other, and they are decoded.
"""

from __future__ import annotations

from pathlib import Path

from tifffile import TiffFile, TiffPage

from converters.formats.stated import positive
from converters.openslide.slides import Properties, Told, read_decoded
from converters.sources import ScannedSlide, SlideFacts
from converters.tiff import page_of, pages_of
from converters.tiff.layout import Layout, fingerprint, glance, read_layout

__all__ = ["detects", "fingerprint", "read"]


def detects(path: Path) -> bool:
    """Whether Trestle's software wrote the file."""
    seen = glance(path)
    return seen.software.startswith("MedScan") and seen.tiled


def read(path: Path) -> ScannedSlide:
    """Read a Trestle TIFF; see :func:`converters.tiff.layout.read_layout`."""
    overlaps = _stated(glance(path).description).get("OverlapsXY", "").split()
    if any(positive(overlap) for overlap in overlaps):
        return read_decoded(path, fingerprint(path), [path], _told)
    return read_layout(path, _described)


def _stated(description: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in description.split(";"))
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def _described(tiff: TiffFile) -> Layout:
    base = page_of(tiff, 0)
    facts = SlideFacts(
        spacing_um=_spacing_um(base),
        objective_power=positive(_stated(base.description).get("Objective Power")),
        acquired=None,
        manufacturer="Trestle",
        model=None,
        serial_number=None,
        software=str(base.tags.valueof(305) or "") or None,
        barcode=None,
    )
    return Layout(facts, [page for page in pages_of(tiff) if page.is_tiled])


def _spacing_um(page: TiffPage) -> tuple[float, float] | None:
    """Return row and column spacing: the tags of resolution hold micrometres, against TIFF."""
    numbers: list[float] = []
    for tag in (283, 282):  # YResolution, XResolution
        numerator, denominator = page.tags.valueof(tag) or (0, 1)
        numbers.append(numerator / denominator if denominator else 0)
    return (numbers[0], numbers[1]) if all(0 < number < 100 for number in numbers) else None


def _told(properties: Properties) -> Told:
    return Told(
        manufacturer="Trestle",
        lossy_method="ISO_10918_1",
        software=properties.get("tiff.Software"),
        remarks=("Tiles overlap and were drawn over each other.",),
    )
