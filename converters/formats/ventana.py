"""Ventana BIF and TIFF: the first page's packet of XML is the scanner's.

In a BIF tiles overlap by what the base level's own packet says, so that no grid of tiles is the
slide: OpenSlide puts them together, and they are decoded. Without that packet tiles are copied.
"""

from __future__ import annotations

from pathlib import Path

from tifffile import TiffFile, TiffPage

from converters.formats.stated import local_name, moment, named, positive, xml
from converters.openslide.slides import Properties, Told, read_decoded
from converters.sources import ScannedSlide, SlideFacts
from converters.tiff import opened, page_of, pages_of
from converters.tiff.layout import Layout, fingerprint, glance, read_layout
from gateway.core.errors import SlideUnreadable
from gateway.core.instances import Flavour

__all__ = ["detects", "fingerprint", "read"]

_XMP = 700
_PICTURES = {
    "Label Image": Flavour.OVERVIEW,  # of the whole glass, the label included
    "Label_Image": Flavour.OVERVIEW,
    "Thumbnail": Flavour.THUMBNAIL,
}


def detects(path: Path) -> bool:
    """Whether the packet of XML of the first page is a scanner's of Ventana."""
    return b"<iScan" in glance(path).xmp


def read(path: Path) -> ScannedSlide:
    """Read a Ventana slide; see :func:`converters.tiff.layout.read_layout`."""
    with opened(path) as tiff:
        overlapping = bool(_levels(tiff)[0].tags.valueof(_XMP))
    if overlapping:
        return read_decoded(path, fingerprint(path), [path], _told)
    return read_layout(path, _described)


def _levels(tiff: TiffFile) -> list[TiffPage]:
    levels = [page for page in pages_of(tiff) if "level=" in page.description]
    if not levels or "level=0" not in levels[0].description:
        raise SlideUnreadable("The first level of the file does not say that it is level 0.")
    return levels


def _described(tiff: TiffFile) -> Layout:
    packet = page_of(tiff, 0).tags.valueof(_XMP)
    document = xml(packet.decode(errors="replace") if isinstance(packet, bytes) else str(packet))
    root = document if local_name(document) == "iScan" else next(named(document, "iScan"), None)
    stated = {f"ventana.{name}": value for name, value in root.items()} if root is not None else {}
    told = _told(stated)
    spacing_um = positive(stated.get("ventana.ScanRes"))
    pictures = {
        _PICTURES[page.description]: page
        for page in pages_of(tiff)
        if page.description in _PICTURES
    }
    facts = SlideFacts(
        spacing_um=(spacing_um, spacing_um) if spacing_um else None,
        objective_power=positive(stated.get("ventana.Magnification")),
        acquired=told.acquired,
        manufacturer=told.manufacturer,
        model=told.model,
        serial_number=told.serial_number,
        software=told.software,
        barcode=told.barcode,
    )
    return Layout(facts, _levels(tiff), pictures)


def _told(properties: Properties) -> Told:
    def stated(*names: str) -> str | None:
        values = (properties.get(f"ventana.{name}", "").strip() for name in names)
        return next((value for value in values if value), None)

    return Told(
        manufacturer="Ventana",
        lossy_method="ISO_10918_1",
        model=stated("ScannerModel"),
        serial_number=stated("UnitNumber"),
        software=stated("BuildVersion"),
        acquired=moment(stated("ScanDate"), "%m/%d/%Y %I:%M:%S %p"),
        barcode=stated("Barcode2D", "Barcode1D"),
        remarks=("Tiles overlap and were put together where the scanner says they belong.",),
    )
