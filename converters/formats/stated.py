"""What files state, read without guessing: numbers, moments, XML."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from math import isfinite
from typing import cast
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from tifffile import TiffPage

from gateway.core.errors import SlideUnreadable

_FIRST_YEAR = 1980  # of a date that a scanner can have written
_UM_PER_UNIT = {2: 25_400.0, 3: 10_000.0}  # inch, centimetre (TIFF 6.0, ResolutionUnit)
_FINEST_UM, _COARSEST_UM = 0.02, 20.0
"""Spacings of base levels; 72 or 96 dots to the inch are no statement but a habit of software."""


def positive(text: str | None) -> float | None:
    """Return a stated number, with a decimal point or comma; what is no positive number is None."""
    try:
        number = float((text or "").strip().replace(",", "."))
    except ValueError:
        return None
    return number if number > 0 and isfinite(number) else None


def moment(text: str | None, *patterns: str) -> datetime | None:
    """Return a stated date and time: of ISO 8601, or of one of some patterns of ``strptime``."""
    stated = (text or "").strip()
    found: datetime | None = None
    for pattern in (None, *patterns):
        try:
            found = (
                datetime.strptime(stated, pattern) if pattern else datetime.fromisoformat(stated)
            )
        except ValueError:
            continue
        break
    return found if found and found.year >= _FIRST_YEAR else None


def resolution_um(page: TiffPage) -> tuple[float, float] | None:
    """Return row and column spacing in micrometres as the tags of a page state them.

    None if they are not there, or cannot be those of a microscope.
    """
    unit = _UM_PER_UNIT.get(int(page.tags.valueof(296) or 2))
    if unit is None:
        return None
    spacings: list[float] = []
    for tag in (283, 282):  # YResolution, XResolution
        numerator, denominator = cast(tuple[int, int], page.tags.valueof(tag) or (0, 1))
        if not numerator or not denominator:
            return None
        spacings.append(unit * denominator / numerator)
    if not all(_FINEST_UM < spacing < _COARSEST_UM for spacing in spacings):
        return None
    return spacings[0], spacings[1]


# -- XML


def xml(text: str) -> Element:
    """Parse a description.

    Raises
    ------
    SlideUnreadable
        If it is no XML, or declares entities: none does that a scanner wrote.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise SlideUnreadable("The description declares a document type; no scanner does.")
    try:
        return ElementTree.fromstring(text.strip("\x00 \r\n\t"))
    except ElementTree.ParseError as error:
        raise SlideUnreadable(f"The description is no XML ({error}).") from error


def local_name(element: Element) -> str:
    """Return the name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


def named(element: Element, name: str) -> Iterator[Element]:
    """Yield all elements of a name below one, whatever their namespace."""
    return (one for one in element.iter() if local_name(one) == name)


def text_of(element: Element | None, name: str) -> str | None:
    """Return the text of the first element of a name below one, or None."""
    found = next(named(element, name), None) if element is not None else None
    return (found.text or "").strip() or None if found is not None else None
