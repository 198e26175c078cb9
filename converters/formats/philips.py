"""Philips TIFF: XML in the first description, levels padded to whole tiles, pictures in the XML.

A level's page is as large as its tiles; how large the level is follows from the base level and
from the pixel spacing that the XML gives each level. Tiles without bytes are background.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from xml.etree.ElementTree import Element

from tifffile import TiffFile, TiffPage

from converters.formats.stated import moment, positive, xml
from converters.sources import ScannedSlide, SlideFacts, SlideImage
from converters.tiff import page_of, pages_of
from converters.tiff.layout import Layout, fingerprint, glance, read_layout
from gateway.core.bitstreams import jpeg_frame
from gateway.core.blobs import InMemory
from gateway.core.errors import GatewayError, SlideUnreadable
from gateway.core.frames import FrameTable, TileGrid
from gateway.core.instances import JPEG_BASELINE, Flavour

__all__ = ["detects", "fingerprint", "read"]

_FLAVOURS = {"LABELIMAGE": Flavour.LABEL, "MACROIMAGE": Flavour.OVERVIEW}
_NAMES = {"Label": Flavour.LABEL, "Macro": Flavour.OVERVIEW}
_MM_TO_UM = 1000.0


def detects(path: Path) -> bool:
    """Whether Philips' software wrote the file, with the XML that says so."""
    seen = glance(path)
    return seen.software.startswith("Philips") and "DPUfsImport" in seen.description[:4096]


def read(path: Path) -> ScannedSlide:
    """Read a Philips TIFF; see :func:`converters.tiff.layout.read_layout`."""
    return read_layout(path, _described)


def _described(tiff: TiffFile) -> Layout:
    document = xml(page_of(tiff, 0).description)
    pages = pages_of(tiff)
    levels = [page for page in pages if page.is_tiled and not _picture(page)]
    scans = _objects(document, "PIM_DP_SCANNED_IMAGES")
    images = {_value(scan, "PIM_DP_IMAGE_TYPE"): scan for scan in scans}
    slide = images.get("WSI")
    if slide is None or not levels:
        raise SlideUnreadable("The XML of the file names no slide.")
    spacings = [
        _spacing_mm(one) for one in _objects(slide, "PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE")
    ]
    own = _spacing_mm(slide) or next(iter(spacings), None)
    built, remarks = _pictures(images)
    striped = {flavour: page for page in pages if (flavour := _picture(page))}
    taken = {picture.flavour for picture in built}
    return Layout(
        _facts(document, own, remarks),
        levels,
        {flavour: page for flavour, page in striped.items() if flavour not in taken},
        tuple(built),
        _sizes(levels, spacings),
        sparse=True,
    )


def _picture(page: TiffPage) -> Flavour | None:
    return _NAMES.get(page.description.partition(" ")[0])


def _sizes(
    levels: list[TiffPage], spacings: list[tuple[float, float] | None]
) -> list[tuple[int, int]]:
    """Return how many columns and rows of each level show something.

    Each level is a whole number of times smaller than the base level.
    """
    base = levels[0]
    if len(spacings) != len(levels) or not spacings[0] or None in spacings:
        raise SlideUnreadable("The XML does not give the pixel spacing of each level.")
    factors = [
        round((one[0] / spacings[0][0] + one[1] / spacings[0][1]) / 2) for one in spacings if one
    ]
    if any(after <= before for before, after in pairwise(factors)):
        raise SlideUnreadable("The XML gives a level no larger spacing than the one before has.")
    return [
        (max(1, base.imagewidth // factor), max(1, base.imagelength // factor))
        for factor in factors
    ]


# -- the XML: objects with attributes that may be lists of objects


def _attributes(element: Element) -> Iterator[Element]:
    return (child for child in element if child.tag == "Attribute")


def _value(element: Element, name: str) -> str | None:
    """Return an attribute's text without its quotation marks; None if it is not there."""
    for child in _attributes(element):
        if child.get("Name") == name:
            return (child.text or "").strip().strip('"').strip() or None
    return None


def _objects(element: Element, name: str) -> list[Element]:
    for child in _attributes(element):
        if child.get("Name") == name:
            return [one for array in child for one in array if one.tag == "DataObject"]
    return []


def _spacing_mm(element: Element) -> tuple[float, float] | None:
    """Return ``(row spacing, column spacing)``, as DICOM's Pixel Spacing has them."""
    numbers = [positive(part) for part in _parts(element, "DICOM_PIXEL_SPACING")]
    if len(numbers) != 2 or not numbers[0] or not numbers[1]:
        return None
    return numbers[0], numbers[1]


def _parts(element: Element, name: str) -> list[str]:
    return (_value(element, name) or "").replace('"', " ").split()


def _facts(
    document: Element, spacing_mm: tuple[float, float] | None, remarks: list[str]
) -> SlideFacts:
    stated = _value(document, "DICOM_ACQUISITION_DATETIME")
    barcode = _value(document, "PIM_DP_UFS_BARCODE")
    if barcode is None:
        scans = _objects(document, "PIM_DP_SCANNED_IMAGES")
        barcode = next((one for scan in scans if (one := _value(scan, "PIM_DP_UFS_BARCODE"))), None)
    spacing_um = (spacing_mm[0] * _MM_TO_UM, spacing_mm[1] * _MM_TO_UM) if spacing_mm else None
    return SlideFacts(
        spacing_um=spacing_um,
        objective_power=None,
        acquired=moment(stated, "%Y%m%d%H%M%S.%f", "%Y%m%d%H%M%S"),
        manufacturer=_value(document, "DICOM_MANUFACTURER") or "Philips",
        model=_value(document, "DICOM_MANUFACTURERS_MODEL_NAME"),
        serial_number=_value(document, "DICOM_DEVICE_SERIAL_NUMBER"),
        software=" ".join(_parts(document, "DICOM_SOFTWARE_VERSIONS")) or None,
        barcode=_unpacked(barcode),
        remarks=tuple(remarks),
    )


def _unpacked(barcode: str | None) -> str | None:
    """Return the text of a barcode, which is in base 64."""
    try:
        return binascii.a2b_base64(barcode or "", strict_mode=True).decode() or None
    except (binascii.Error, UnicodeDecodeError):
        return None  # what it stands for is not known


def _pictures(images: dict[str | None, Element]) -> tuple[list[SlideImage], list[str]]:
    built: list[SlideImage] = []
    remarks: list[str] = []
    for name, flavour in _FLAVOURS.items():
        stated = _value(images[name], "PIM_DP_IMAGE_DATA") if name in images else None
        if stated is None:
            continue
        try:
            built.append(_jpeg_picture(binascii.a2b_base64(stated), flavour))
        except (GatewayError, binascii.Error):
            remarks.append(
                f"The {flavour.lower()} was left out: it is no JPEG of three components."
            )
    return built, remarks


def _jpeg_picture(stream: bytes, flavour: Flavour) -> SlideImage:
    head = jpeg_frame(stream)
    if not head.baseline or head.precision != 8 or len(head.sampling) != 3:
        raise SlideUnreadable("It is no baseline JPEG of three components.")
    grid = TileGrid(head.columns, head.rows, head.columns, head.rows)
    table = FrameTable.single(len(stream))
    return SlideImage(
        flavour, grid, table, InMemory(stream), "YBR_FULL_422", JPEG_BASELINE, lossy=True
    )
