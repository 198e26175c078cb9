"""Aperio SVS: a TIFF with tiled levels and, beside them, label, overview and thumbnail.

How pages become images is told in :mod:`converters.tiff.pages`, :mod:`converters.tiff.holes` and
:mod:`converters.tiff.pictures`; here is what is Aperio's own: which page is what, and what the
description states.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from tifffile import TiffFile, TiffPage

from converters.codecs.recoding import recoded
from converters.formats.svs.history import PART_OF_A_SCAN, cut_from_scan
from converters.sources import ScannedSlide, SlideFacts, SlideImage
from converters.tiff import description_of, is_tiff, opened, page_of, pages_of
from converters.tiff.holes import pyramid
from converters.tiff.pages import ICC_PROFILE, fingerprint_of
from converters.tiff.pictures import picture
from gateway.core.errors import GatewayError
from gateway.core.instances import Flavour

_LABEL, _OVERVIEW = 1, 9  # values of NewSubfileType
_PICTURE = re.compile(r"^(?:label|macro)\b", re.MULTILINE)  # in the description of a tiled page
_LONGEST = 160  # characters of a reason that enter the provenance
_PADDING = "\0 \t\r\n"
_FIRST_YEAR = 1980  # of a date that a scanner can have written


def detects(path: Path) -> bool:
    """Whether the file is a TIFF whose first description begins with ``Aperio``."""
    if not is_tiff(path):
        return False
    with opened(path) as tiff:
        return bool(tiff.pages) and description_of(page_of(tiff, 0)).startswith("Aperio")


def read(path: Path) -> ScannedSlide:
    """Read the headers of an SVS.

    Raises
    ------
    SlideUnreadable
        If it is damaged, or of a kind that is not supported; the message says which.
    """
    with opened(path) as tiff:
        pages = pages_of(tiff)
        facts, icc_profile = _facts(pages[0]), pages[0].tags.valueof(ICC_PROFILE)
        # The first page states the spacing of the base level, so it has to be that.
        levels = [pages[0], *(one for one in pages[1:] if one.is_tiled and not one.subfiletype)]
        images, remarks = pyramid(tiff, levels, ycbcr=True)
        pictures, left_out = _associated(tiff, pages, images)
        facts = replace(facts, remarks=(*facts.remarks, *remarks, *left_out))
        images += pictures
        slide = ScannedSlide(fingerprint_of(tiff, pages), facts, icc_profile, tuple(images))
    return recoded(path, slide)


def fingerprint(path: Path) -> str:
    """Take the fingerprint of an SVS.

    Raises
    ------
    SlideUnreadable
        If it is damaged.
    """
    with opened(path) as tiff:
        return fingerprint_of(tiff, pages_of(tiff))


# -- thumbnail, label and overview


def _associated(
    tiff: TiffFile, pages: list[TiffPage], levels: list[SlideImage]
) -> tuple[list[SlideImage], list[str]]:
    """Build the pictures beside the levels; also say which of them could not be read.

    A slide is whole without them, so that none of them is a reason to refuse it. A thumbnail of a
    level's size would be that level twice.
    """
    taken = {(level.grid.matrix_columns, level.grid.matrix_rows) for level in levels}
    images: dict[Flavour, SlideImage] = {}
    remarks: dict[Flavour, str] = {}
    for page in pages:
        flavour = _flavour(page)
        size = (page.imagewidth, page.imagelength)
        if flavour is None or flavour in images:
            continue
        if flavour is Flavour.THUMBNAIL and size in taken:
            continue
        try:
            images[flavour] = picture(tiff, page, flavour)
        except GatewayError as error:
            remarks[flavour] = f"The {flavour.lower()} was left out: {error.detail[:_LONGEST]}"
    return list(images.values()), [remarks[one] for one in remarks if one not in images]


def _flavour(page: TiffPage) -> Flavour | None:
    """Return what a page shows beside the levels; None if it is a level, or unknown."""
    named = {_LABEL: Flavour.LABEL, _OVERVIEW: Flavour.OVERVIEW}
    if page.is_tiled and not _PICTURE.search(description_of(page)):
        return None
    return named.get(int(page.subfiletype), Flavour.THUMBNAIL if page.index == 1 else None)


# -- what the description states


def _facts(page: TiffPage) -> SlideFacts:
    """Read the first page's ImageDescription: a header line, then ``Key = Value`` between bars."""
    head, *items = description_of(page).split("|")
    stated: dict[str, str] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if equals:
            stated.setdefault(key.strip(_PADDING), value.strip(_PADDING))
    placement = cut_from_scan(head, page.imagewidth, page.imagelength)
    software = re.match(r"Aperio Image Library v?[\w.]+", head)
    return SlideFacts(
        spacing_um=None if (mpp := _positive(stated.get("MPP"))) is None else (mpp, mpp),
        objective_power=_positive(stated.get("AppMag")),
        acquired=_acquired(stated),
        manufacturer="Aperio",
        model=stated.get("ScannerType") or None,
        serial_number=stated.get("ScanScope ID") or None,
        software=software.group() if software else None,
        barcode=stated.get("Barcode") or None,
        remarks=(PART_OF_A_SCAN,) if placement else (),
        placement=placement,
    )


def _positive(text: str | None) -> float | None:
    """Return a stated number, with a decimal point or comma; what is no positive number is None."""
    try:
        number = float((text or "").replace(",", "."))
    except ValueError:
        return None
    return number if 0 < number < 1000 else None


def _acquired(stated: dict[str, str]) -> datetime | None:
    """Return Date (month/day/year), Time and Time Zone as one; the zone may be missing."""
    date, time, zone = (stated.get(key, "") for key in ("Date", "Time", "Time Zone"))
    offset = zone.removeprefix("GMT").replace(":", "")
    offset = offset if re.fullmatch(r"[+-]\d{4}", offset) else ""
    for pattern in ("%m/%d/%y", "%m/%d/%Y"):
        try:
            moment = datetime.strptime(
                f"{date} {time or '00:00:00'} {offset}".strip(),
                f"{pattern} %H:%M:%S{' %z' if offset else ''}",
            )
        except ValueError:
            continue
        return moment if moment.year >= _FIRST_YEAR else None
    return None
