"""Pyramidal TIFF without a scanner's name: what libvips and others write.

The first page is the base level; smaller versions of it follow in the chain of pages, or lie below
it (SubIFDs). It is a slide only if it is tiled. What it states is in the tags of TIFF alone.
"""

from __future__ import annotations

from pathlib import Path

from tifffile import TiffFile, TiffPage

from converters.formats.stated import resolution_um
from converters.sources import ScannedSlide, SlideFacts
from converters.tiff import pages_of
from converters.tiff.layout import Layout, fingerprint, glance, pages_below, read_layout

__all__ = ["detects", "fingerprint", "read"]

_MAKE, _MODEL = 271, 272
_NDPI = 65420
_SAME_SHAPE = 0.02
"""By how much a smaller version may be wider or higher: sizes are whole numbers."""


def detects(path: Path) -> bool:
    """Whether the file is a TIFF whose first page has tiles; ask for all others before."""
    seen = glance(path)
    return seen.tiled and _NDPI not in seen.tags


def read(path: Path) -> ScannedSlide:
    """Read a pyramidal TIFF; see :func:`converters.tiff.layout.read_layout`."""
    return read_layout(path, _described)


def _described(tiff: TiffFile) -> Layout:
    base, *others = pages_of(tiff)
    levels, left_out = [base], 0
    for page in [*pages_below(base), *others]:
        if page.is_tiled and _reduces(page, base) and page.imagewidth < levels[-1].imagewidth:
            levels.append(page)
        else:
            left_out += 1
    remarks = (f"{left_out} pages that are no level of the pyramid were left out.",)
    return Layout(
        SlideFacts(
            spacing_um=resolution_um(base),
            objective_power=None,
            acquired=None,
            manufacturer=_text(base, _MAKE) or "",
            model=_text(base, _MODEL),
            serial_number=None,
            software=None,  # the tag names what wrote the file, not the scanner
            barcode=None,
            remarks=remarks if left_out else (),
        ),
        levels,
    )


def _reduces(page: TiffPage, base: TiffPage) -> bool:
    """Whether a page is the base level again, smaller."""
    across, down = base.imagewidth / page.imagewidth, base.imagelength / page.imagelength
    slack = _SAME_SHAPE + 1 / min(page.imagewidth, page.imagelength)
    return across > 1 and abs(across / down - 1) < slack


def _text(page: TiffPage, tag: int) -> str | None:
    return str(page.tags.valueof(tag) or "").strip() or None
