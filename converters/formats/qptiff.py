"""Akoya (PerkinElmer) QPTIFF: each page's description is XML that says what the page is.

Bright-field slides are pages of three samples; fluorescence has a page for each channel and is
refused.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from xml.etree.ElementTree import Element

from tifffile import TiffFile, TiffPage

from converters.formats.stated import moment, positive, resolution_um, text_of, xml
from converters.sources import ScannedSlide, SlideFacts
from converters.tiff import pages_of
from converters.tiff.layout import Layout, fingerprint, glance, read_layout
from gateway.core.errors import SlideUnreadable
from gateway.core.instances import Flavour

__all__ = ["detects", "fingerprint", "read"]

_ROOT = "PerkinElmer-QPI-ImageDescription"
_PICTURES = {
    "Label": Flavour.LABEL,
    "Overview": Flavour.OVERVIEW,
    "Thumbnail": Flavour.THUMBNAIL,
}


def detects(path: Path) -> bool:
    """Whether the first description is Akoya's XML."""
    return _ROOT in glance(path).description[:4096]


def read(path: Path) -> ScannedSlide:
    """Read a QPTIFF; see :func:`converters.tiff.layout.read_layout`."""
    return read_layout(path, _described)


def _described(tiff: TiffFile) -> Layout:
    kinds: dict[str, list[TiffPage]] = defaultdict(list)
    pages = pages_of(tiff)
    for page in pages:
        if _ROOT in page.description:
            kinds[text_of(xml(page.description), "ImageType") or ""].append(page)
    full = kinds["FullResolution"]
    if not full:
        raise SlideUnreadable("No page of the file says that it is of full resolution.")
    if len(full) > 1:
        raise SlideUnreadable(
            f"The file has {len(full)} channels, each a page; bright field is supported."
        )
    levels = full + [page for page in kinds["ReducedResolution"] if page.is_tiled]
    pictures = {flavour: kinds[kind][0] for kind, flavour in _PICTURES.items() if kinds[kind]}
    return Layout(_facts(xml(full[0].description), full[0]), levels, pictures)


def _facts(document: Element, page: TiffPage) -> SlideFacts:
    objective = (text_of(document, "Objective") or "").lower().rstrip("x ")
    return SlideFacts(
        spacing_um=resolution_um(page),
        objective_power=positive(objective),
        acquired=moment(text_of(document, "DateTime"), "%Y:%m:%d %H:%M:%S"),
        manufacturer="Akoya",
        model=text_of(document, "InstrumentType"),
        serial_number=None,
        software=text_of(document, "AcquisitionSoftware"),
        barcode=text_of(document, "Barcode"),
    )
