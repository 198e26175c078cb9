"""Leica SCN: a BigTIFF whose first description says which page is which view of the slide.

The collection is the slide as the scanner sees it, in nanometres. One bright-field view of a part
of it is the pyramid; the view of all of it is the overview. Several views of parts would have to be
drawn into one picture: OpenSlide does that, and they are decoded.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

from tifffile import TiffFile

from converters.formats.stated import local_name, moment, named, positive, text_of, xml
from converters.openslide.slides import Properties, Told, read_decoded
from converters.sources import ScannedSlide, SlideFacts
from converters.tiff import page_of
from converters.tiff.layout import Layout, fingerprint, glance, read_layout
from gateway.core.errors import SlideUnreadable
from gateway.core.geometry import Placement
from gateway.core.instances import Flavour

__all__ = ["detects", "fingerprint", "read"]

_NAMESPACE = re.compile(r"http://www\.leica-microsystems\.com/scn/2010/(03/10|10/01)")
_ASSUMED = (
    "The collection of views was assumed to begin in the corner of the slide, with the label to "
    "the left."
)


def detects(path: Path) -> bool:
    """Whether the first description is Leica's XML."""
    description = glance(path).description[:4096]
    return "<scn" in description and bool(_NAMESPACE.search(description))


def read(path: Path) -> ScannedSlide:
    """Read a Leica SCN; see :func:`converters.tiff.layout.read_layout`."""
    views = _Views.of(xml(glance(path).description))
    if len(views.parts) > 1:
        return read_decoded(path, fingerprint(path), [path], lambda told: _told(views, told))
    return read_layout(path, lambda tiff: _described(tiff, views))


@dataclass(frozen=True, slots=True)
class _Views:
    """The collection: views of parts in bright field, and of the whole."""

    collection: Element
    parts: tuple[Element, ...]
    whole: Element | None

    @classmethod
    def of(cls, document: Element) -> _Views:
        collection = next(named(document, "collection"), None)
        if collection is None:
            raise SlideUnreadable("The XML of the file names no collection of views.")
        images = [one for one in collection if local_name(one) == "image"]
        size = _nanometres(collection, "sizeX"), _nanometres(collection, "sizeY")
        wholes = [one for one in images if _extent(one) == (0, 0, *size)]
        parts = [one for one in images if one not in wholes]
        bright = [one for one in parts if text_of(one, "illuminationSource") == "brightfield"]
        if not bright:
            raise SlideUnreadable("The file has no view in bright field; others are not supported.")
        return cls(collection, tuple(bright), wholes[0] if wholes else None)


def _extent(image: Element) -> tuple[float, float, float, float]:
    view = next(named(image, "view"), None)
    if view is None:
        raise SlideUnreadable("A view does not say where it lies.")
    left, top, width, height = (
        _nanometres(view, name) for name in ("offsetX", "offsetY", "sizeX", "sizeY")
    )
    return left, top, width, height


def _nanometres(element: Element, name: str) -> float:
    try:
        return float(element.get(name, ""))
    except ValueError as error:
        raise SlideUnreadable(f"The XML does not state {name} of a view.") from error


def _pages(image: Element) -> list[int]:
    """Return the numbers of a view's pages from the largest: of its first focal plane."""
    levels: list[tuple[float, int]] = []
    for one in named(image, "dimension"):
        number = one.get("ifd", "")
        if one.get("z", "0") == "0" and one.get("c", "0") == "0" and number.isdigit():
            levels.append((-(positive(one.get("sizeX")) or 0), int(number)))
    if not levels:
        raise SlideUnreadable("The XML names no page of a view.")
    return [number for _, number in sorted(levels)]


def _described(tiff: TiffFile, views: _Views) -> Layout:
    (part,) = views.parts
    planes = {one.get("z", "0") for one in named(part, "dimension")}
    numbers = _pages(part)
    if max(numbers) >= len(tiff.pages):
        raise SlideUnreadable(f"The XML names page {max(numbers)}, which is not there.")
    levels = [page_of(tiff, number) for number in numbers]
    base = levels[0]
    left, top, width, height = _extent(part)
    spacing_um = height / base.imagelength / 1000, width / base.imagewidth / 1000
    placement = Placement.nominal(
        round(_nanometres(views.collection, "sizeX") / 1000 / spacing_um[1]),
        round(_nanometres(views.collection, "sizeY") / 1000 / spacing_um[0]),
        left=round(left / 1000 / spacing_um[1]),
        top=round(top / 1000 / spacing_um[0]),
    )
    remarks = [_ASSUMED]
    if len(planes) > 1:
        remarks.append(f"Of {len(planes)} focal planes the first was kept.")
    device = next(named(part, "device"), None)
    pictures = {}
    if views.whole is not None:
        pictures[Flavour.OVERVIEW] = page_of(tiff, _pages(views.whole)[0])
    facts = SlideFacts(
        spacing_um=spacing_um,
        objective_power=positive(text_of(part, "objective")),
        acquired=moment(text_of(part, "creationDate")),
        manufacturer="Leica",
        model=device.get("model") if device is not None else None,
        serial_number=None,
        software=device.get("version") if device is not None else None,
        barcode=_barcode(views.collection),
        remarks=tuple(remarks),
        placement=placement,
    )
    return Layout(facts, levels, pictures)


def _spacing_um(image: Element) -> float:
    """Return what the width of a view and its number of columns make the spacing."""
    columns = max(positive(one.get("sizeX")) or 0 for one in named(image, "dimension"))
    if not columns:
        raise SlideUnreadable("The XML does not state how many pixels a view has.")
    return _extent(image)[2] / columns / 1000


def _told(views: _Views, _properties: Properties) -> Told:
    device = next(named(views.parts[0], "device"), None)
    finest = min(map(_spacing_um, views.parts))  # OpenSlide draws all views as the finest
    return Told(
        manufacturer="Leica",
        lossy_method="ISO_10918_1",
        spacing_um=(finest, finest),
        model=device.get("model") if device is not None else None,
        software=device.get("version") if device is not None else None,
        acquired=moment(text_of(views.parts[0], "creationDate")),
        barcode=_barcode(views.collection),
        remarks=(f"{len(views.parts)} views were drawn into one picture.",),
    )


def _barcode(collection: Element) -> str | None:
    """Return the barcode: an element in base 64, or in the older form an attribute as it is."""
    stated = text_of(collection, "barcode")
    if stated is None:
        return collection.get("barcode") or None
    try:
        return binascii.a2b_base64(stated, strict_mode=True).decode() or None
    except (binascii.Error, UnicodeDecodeError):
        return None
