"""Hamamatsu NDPI: one JPEG a level, cut into stripes by restart markers; no tiles.

Stripes become frames without being decoded: joined to frames as wide as they are, or, where
libjpeg-turbo is installed, as square tiles that are cut losslessly. Which of the two is decided
when a slide is read; it is part of the identity of its instances.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from converters import lossless
from converters.fingerprint import Covered, fingerprint_of
from converters.ndpi.facts import facts_of
from converters.ndpi.levels import Scan, scan_of
from converters.ndpi.pages import NdpiFile, Page, detects, opened, pages_of
from converters.ndpi.tiles import Tiled, cut, joined
from converters.sources import Choices, ScannedSlide, SlideFacts, SlideImage, Tiling
from gateway.core.bitstreams import states_rgb
from gateway.core.errors import SlideUnreadable
from gateway.core.frames import FrameTable, TileGrid
from gateway.core.instances import JPEG_BASELINE, Flavour

__all__ = ["detects", "fingerprint", "read"]

_LENS, _FOCUS = 65421, 65424
_MACRO = -1.0  # value of the lens; -2 is a map of what is not empty, which is no picture
_OFFSETS, _COUNTS = 273, 279
_SAMPLES, _SAMPLED = 32, 1 << 14  # of a level: how many, and their bytes
_MOST_PIXELS = 1 << 26  # of the macro
_TILINGS = {
    Tiling.STRIPES: "Frames are stripes of the scanner joined at their restart markers; "
    "no pixel was decoded.",
    Tiling.CROP: "Frames are cut out of the scanner's stripes without loss (libjpeg-turbo).",
}


def read(path: Path, choices: Choices | None = None) -> ScannedSlide:
    """Read the headers of an NDPI.

    Raises
    ------
    SlideUnreadable
        If it is damaged, or of a kind that is not supported; the message says which.
    Unavailable
        If a library that it needs is not installed.
    """
    with opened(path) as file:
        pages = pages_of(file)
        scans = _levels(pages)
        facts = facts_of(pages[scans[0].page], scans[0])
        luminance = 0 if facts.fluorescence else 255
        chosen, tiled = _tiled(scans, luminance, (choices or Choices()).tiling)
        images = [_volume(level) for level in tiled]
        images += _overviews(pages)
        remarks = [_TILINGS[chosen], *_left_out(scans, tiled), *_focus_remarks(pages, scans[0])]
        return ScannedSlide(
            _fingerprint(file, pages),
            _remarked(facts, remarks),
            None,
            tuple(images),
            tiling=chosen.value,
        )


def fingerprint(path: Path) -> str:
    """Take the fingerprint of an NDPI.

    Raises
    ------
    SlideUnreadable
        If it is damaged.
    """
    with opened(path) as file:
        return _fingerprint(file, pages_of(file))


def _levels(pages: Sequence[Page]) -> list[Scan]:
    """Return the levels of one focal plane, the middle one, the largest first."""
    levels = [page for page in pages if (page.number(_LENS) or 0) > 0]
    if not levels:
        raise SlideUnreadable("It has no level; export it again from the scanner's software.")
    nearest = min((_focus(page) for page in levels), key=lambda nm: (abs(nm), nm))
    scans = [scan_of(page) for page in levels if _focus(page) == nearest]
    scans.sort(key=lambda scan: -scan.columns)
    for above, below in pairwise(scans):
        if below.columns >= above.columns or below.rows >= above.rows:
            raise SlideUnreadable(
                f"A level of {below.columns} x {below.rows} pixels follows one of "
                f"{above.columns} x {above.rows}."
            )
    return scans


def _focus(page: Page) -> int:
    """Return the distance from the middle focal plane in nm."""
    return page.integer(_FOCUS) or 0


def _tiled(
    scans: Sequence[Scan], luminance: int, tiling: Tiling | None
) -> tuple[Tiling, list[Tiled]]:
    """Make frames of the levels, in the way that is asked for or that is possible."""
    if tiling is not Tiling.STRIPES:
        if tiling is Tiling.CROP:
            lossless.require()
        if lossless.available():
            tiled = list(cut(scans, luminance))
            if tiled and tiled[0].scan is scans[0]:
                return Tiling.CROP, tiled
    tiled = joined(scans, luminance)
    if tiling is Tiling.CROP or not tiled or tiled[0].scan is not scans[0]:
        missing = "" if lossless.available() else f" {lossless.HOW_TO_INSTALL}"
        raise SlideUnreadable(
            f"Its largest level has no restart markers at which it could be cut.{missing}"
        )
    return Tiling.STRIPES, tiled


def _volume(level: Tiled) -> SlideImage:
    if states_rgb(level.scan.header):
        raise SlideUnreadable("The components of its JPEG are R, G and B; no scanner writes that.")
    return SlideImage(
        Flavour.VOLUME, level.grid, level.frames, None, "YBR_FULL_422", JPEG_BASELINE, True
    )


def _overviews(pages: Sequence[Page]) -> Iterator[SlideImage]:
    """Return the macro: the whole glass, label included, as one JPEG of the file."""
    for page in pages:
        if page.number(_LENS) == _MACRO:
            scan = scan_of(page)
            columns, rows = scan.columns, scan.rows
            if (columns, rows) != (scan.frame.columns, scan.frame.rows) or (
                columns * rows > _MOST_PIXELS
            ):
                raise SlideUnreadable(f"Page {page.index} is no picture of the whole slide.")
            place = (np.array([scan.offset], np.int64), np.array([scan.length], np.int64))
            yield SlideImage(
                Flavour.OVERVIEW,
                TileGrid(columns, rows, columns, rows),
                FrameTable(b"", *place),
                None,
                "YBR_FULL_422",
                JPEG_BASELINE,
                True,
            )
            return


def _left_out(scans: Sequence[Scan], tiled: Sequence[Tiled]) -> Iterator[str]:
    """Say which levels are not there, and why."""
    kept = {level.scan.page for level in tiled}
    for scan in scans:
        if scan.page not in kept:
            reason = "other stripes" if scan.stripes else "no restart markers"
            yield f"The level of {scan.columns} x {scan.rows} pixels has {reason} and is left out."


def _focus_remarks(pages: Sequence[Page], base: Scan) -> Iterator[str]:
    """Say which of several focal planes is there."""
    planes = {_focus(page) for page in pages if (page.number(_LENS) or 0) > 0}
    if len(planes) > 1:
        yield f"Of {len(planes)} focal planes, the one at {_focus(pages[base.page])} nm is here."


def _remarked(facts: SlideFacts, remarks: Sequence[str]) -> SlideFacts:
    return replace(facts, remarks=(*facts.remarks, *remarks))


# -- the fingerprint


def _fingerprint(file: NdpiFile, pages: Sequence[Page]) -> str:
    seen: dict[tuple[int, int], int] = {}
    covered = [_covered(page, seen) for page in pages]
    if sum(seen.values()) > file.size:
        raise SlideUnreadable("Its tags are larger than the file.")
    return fingerprint_of(file.size, covered, file.read)


def _covered(page: Page, seen: dict[tuple[int, int], int]) -> Covered:
    """Cover all tags, values that pages share once; parts of levels, all of other pictures."""
    tags = []
    for code, entry in page.entries.items():
        place = (entry.offset, entry.size)
        tags.append(
            (code, entry.kind, entry.count, entry.offset, 0 if place in seen else entry.size)
        )
        seen[place] = entry.size
    offset, length = page.integer(_OFFSETS) or 0, page.integer(_COUNTS) or 0
    if (page.number(_LENS) or 0) <= 0 or length <= _SAMPLES * _SAMPLED:
        place = (offset, length)
        samples = [] if place in seen else [place]
        seen[place] = length
        return Covered(tags, samples)
    starts = np.linspace(offset, offset + length - _SAMPLED, _SAMPLES).astype(np.int64).tolist()
    return Covered(tags, [(start, _SAMPLED) for start in starts])
