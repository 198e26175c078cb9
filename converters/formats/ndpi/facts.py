"""What an NDPI states of itself."""

from __future__ import annotations

import re
from datetime import datetime

from converters.formats.ndpi.levels import Scan
from converters.formats.ndpi.pages import Page
from converters.sources import Fluorescence, SlideFacts
from gateway.core.geometry import Placement, View

_MAKE, _MODEL, _SOFTWARE, _DATE = 271, 272, 305, 306
_X_RESOLUTION, _Y_RESOLUTION, _UNIT = 282, 283, 296
_LENS, _X_OFFSET, _Y_OFFSET = 65421, 65422, 65423
_FILTER_SET, _SERIAL, _PROPERTIES, _WAVELENGTH, _BARCODE = 65434, 65442, 65449, 65451, 65468
_UM = {2: 25_400.0, 3: 10_000.0}  # of inch and centimetre
_FIRST_YEAR = 1980
_GLASS_MM = (26.0, 76.0)  # of a slide (ISO 8037-1), whose macro image has the same size
_FARTHEST_NM = 200_000_000


def facts_of(page: Page, base: Scan) -> SlideFacts:
    """Read the facts from the page of the base level."""
    lens = page.number(_LENS)
    return SlideFacts(
        spacing_um=_spacing_um(page),
        objective_power=lens if lens and 0 < lens < 1000 else None,
        acquired=_acquired(page.text(_DATE)),
        manufacturer=page.text(_MAKE) or "Hamamatsu",
        model=page.text(_MODEL),
        serial_number=page.text(_SERIAL),
        software=page.text(_SOFTWARE),
        barcode=page.text(_BARCODE),
        placement=_placement(page, base),
        fluorescence=_fluorescence(page),
    )


def _spacing_um(page: Page) -> tuple[float, float] | None:
    unit = _UM.get(page.integer(_UNIT) or 2)  # inches if nothing is stated
    rows, columns = page.number(_Y_RESOLUTION), page.number(_X_RESOLUTION)
    if unit is None or not rows or not columns:
        return None
    spacing = (unit / rows, unit / columns)
    return spacing if all(0 < one < 1000 for one in spacing) else None


def _acquired(text: str | None) -> datetime | None:
    try:
        moment = datetime.strptime(text or "", "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    return moment if moment.year >= _FIRST_YEAR else None


def _placement(page: Page, base: Scan) -> Placement | None:
    """Return where the centre lies: so far from that of the glass, label to the left, in nm.

    X counts to the right and Y downwards, as columns and rows do.
    """
    right, down = page.integer(_X_OFFSET), page.integer(_Y_OFFSET)
    if right is None or down is None or max(abs(right), abs(down)) > _FARTHEST_NM:
        return None
    high, long = _GLASS_MM
    point_mm = (high / 2 - down / 1e6, long / 2 - right / 1e6)
    return Placement(View.LABEL_LEFT.value, (base.columns / 2, base.rows / 2), point_mm)


def _fluorescence(page: Page) -> Fluorescence | None:
    filter_set, emission_nm = page.text(_FILTER_SET), _wavelength_nm(page.number(_WAVELENGTH))
    if not (filter_set or emission_nm) or "bright" in (filter_set or "").lower():
        return None
    stated = _properties(page.text(_PROPERTIES) or "")
    return Fluorescence(
        filter_set,
        _wavelength_nm(stated.get("ExcitationWaveLength")),
        emission_nm or _wavelength_nm(stated.get("EmissionWaveLength")),
    )


def _wavelength_nm(value: float | str | None) -> float | None:
    try:
        number = float(value or 0)
    except ValueError:
        return None
    return number if 100 <= number <= 3000 else None


def _properties(text: str) -> dict[str, str]:
    """Read lines ``key=value``; those of sections begin with a semicolon."""
    found: dict[str, str] = {}
    for line in re.split(r"[\r\n]+", text):
        key, equals, value = line.lstrip(";").partition("=")
        if equals:
            found.setdefault(key.strip(), value.strip())
    return found
