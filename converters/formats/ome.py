"""OME-TIFF: a TIFF whose first description is OME-XML, which says what each picture is.

The largest picture is the slide; its levels lie below its page (SubIFDs). Pictures that are called
label, macro, overview or thumbnail are these. Channels apart, samples of 16 bits and several focal
planes or times are refused: they would not be bright field.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

from tifffile import TiffFile, TiffPage

from converters.formats.stated import moment, named, positive, text_of, xml
from converters.sources import ScannedSlide, SlideFacts
from converters.tiff import page_of
from converters.tiff.layout import Layout, fingerprint, glance, pages_below, read_layout
from gateway.core.errors import SlideUnreadable
from gateway.core.instances import Flavour

__all__ = ["detects", "fingerprint", "read"]

_FLAVOURS = {
    "label": Flavour.LABEL,
    "macro": Flavour.OVERVIEW,
    "overview": Flavour.OVERVIEW,
    "thumbnail": Flavour.THUMBNAIL,
}
_UM = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}
_MOST_UM = 1000.0


def detects(path: Path) -> bool:
    """Whether the file is a TIFF whose first description is OME-XML."""
    description = glance(path).description
    return "<OME" in description[:4096] and description.rstrip("\x00 \r\n").endswith("OME>")


def read(path: Path) -> ScannedSlide:
    """Read an OME-TIFF; see :func:`converters.tiff.layout.read_layout`."""
    return read_layout(path, _described)


def _described(tiff: TiffFile) -> Layout:
    document = xml(page_of(tiff, 0).description)
    images = [image for image in named(document, "Image") if _pixels(image) is not None]
    if not images:
        raise SlideUnreadable("The OME-XML names no picture.")
    pictures = {image: flavour for image in images if (flavour := _flavour(image))}
    slides = sorted((one for one in images if one not in pictures), key=_size, reverse=True)
    if not slides:
        raise SlideUnreadable("The OME-XML names no picture that is the slide.")
    slide = slides[0]
    _check(slide)
    base = _page(tiff, slide, images)
    below = [page for page in pages_below(base) if page.is_tiled]
    remarks = tuple(
        f"The picture {number} of {len(images)} in the file was left out."
        for number, image in enumerate(images, 1)
        if image in slides[1:]
    )
    return Layout(
        _facts(document, slide, remarks),
        [base, *sorted(below, key=lambda page: page.imagewidth, reverse=True)],
        {flavour: _page(tiff, image, images) for image, flavour in pictures.items()},
    )


def _pixels(image: Element) -> Element | None:
    return next(named(image, "Pixels"), None)


def _of_pixels(image: Element, attribute: str) -> str:
    pixels = _pixels(image)
    return (pixels.get(attribute) or "") if pixels is not None else ""


def _size(image: Element) -> float:
    return (positive(_of_pixels(image, "SizeX")) or 0) * (positive(_of_pixels(image, "SizeY")) or 0)


def _flavour(image: Element) -> Flavour | None:
    words = (image.get("Name") or "").lower().replace("_", " ").split()
    found = (_FLAVOURS[word] for word in words if word in _FLAVOURS)
    return next(found, None) if len(words) <= 2 else None


def _check(slide: Element) -> None:
    """Refuse what is not one bright-field picture of three interleaved samples."""
    kind = _of_pixels(slide, "Type")
    if kind != "uint8":
        raise SlideUnreadable(f"The pixels are of type {kind}; uint8 is supported.")
    planes = {name: _of_pixels(slide, f"Size{name}") or "1" for name in "ZTC"}
    if planes["Z"] != "1" or planes["T"] != "1":
        raise SlideUnreadable(
            f"The picture has {planes['Z']} focal planes and {planes['T']} times; one is supported."
        )
    samples = [channel.get("SamplesPerPixel") or "1" for channel in named(slide, "Channel")]
    if planes["C"] != "3" or samples not in (["3"], []):
        raise SlideUnreadable(
            f"The picture has {len(samples) or planes['C']} channels; bright field, which is one "
            "channel of three interleaved samples, is supported."
        )


def _page(tiff: TiffFile, image: Element, images: list[Element]) -> TiffPage:
    """Return the page of a picture: the one it names, else that of its place in the list."""
    data = next(named(image, "TiffData"), None)
    stated = data.get("IFD") if data is not None else None
    if stated is None and len(images) > 1 and image is not images[0]:
        raise SlideUnreadable("The OME-XML does not say which page is which picture.")
    number = int(stated) if stated and stated.isdigit() else 0
    if number >= len(tiff.pages):
        raise SlideUnreadable(f"The OME-XML names page {number}, which is not there.")
    return page_of(tiff, number)


def _facts(document: Element, slide: Element, remarks: tuple[str, ...]) -> SlideFacts:
    scope = next(named(document, "Microscope"), None)
    scanner = scope.attrib if scope is not None else {}
    rows, columns = _spacing_um(slide, "Y"), _spacing_um(slide, "X")
    return SlideFacts(
        spacing_um=(rows, columns) if rows and columns else None,
        objective_power=_power(document, slide),
        acquired=moment(text_of(slide, "AcquisitionDate")),
        manufacturer=scanner.get("Manufacturer", ""),
        model=scanner.get("Model"),
        serial_number=scanner.get("SerialNumber"),
        software=None,  # the creator is what wrote the file, not the scanner
        barcode=None,
        remarks=remarks,
    )


def _spacing_um(slide: Element, axis: str) -> float | None:
    unit = _UM.get(_of_pixels(slide, f"PhysicalSize{axis}Unit") or "um")
    size = positive(_of_pixels(slide, f"PhysicalSize{axis}"))
    return size * unit if size and unit and size * unit < _MOST_UM else None


def _power(document: Element, slide: Element) -> float | None:
    """Return the magnification of the objective that the picture names."""
    settings = next(named(slide, "ObjectiveSettings"), None)
    name = settings.get("ID") if settings is not None else None
    for objective in named(document, "Objective"):
        if name is not None and objective.get("ID") == name:
            return positive(objective.get("NominalMagnification"))
    return None
