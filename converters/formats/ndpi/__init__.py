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

from converters.codecs import lossless
from converters.fingerprint import Covered, fingerprint_of
from converters.formats.ndpi.facts import facts_of
from converters.formats.ndpi.levels import Scan, scan_of
from converters.formats.ndpi.pages import NdpiFile, Page, detects, opened, pages_of
from converters.formats.ndpi.tiles import Tiled, cut, joined, stacked
from converters.sources import Choices, FocalStack, ScannedSlide, SlideImage, Tiling
from gateway.core.bitstreams import states_rgb
from gateway.core.errors import GatewayError, SlideUnreadable
from gateway.core.frames import FrameTable, TileGrid
from gateway.core.instances import JPEG_BASELINE, Flavour

__all__ = ["detects", "fingerprint", "read"]

_LENS, _FOCUS = 65421, 65424
_MACRO = -1.0  # value of the lens; -2 is a map of what is not empty, which is no picture
_OFFSETS, _COUNTS = 273, 279
_SAMPLES, _SAMPLED = 32, 1 << 14  # of a level: how many, and their bytes
_MOST_PIXELS = 1 << 26  # of the macro
_EVEN = 0.01  # by which distances of focal planes may differ, as a part of them
_STACKED = (
    "The {} focal planes of the scan, from {} to {} nm; it was assumed that these distances count "
    "upwards from the glass."
)
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
        If it is damaged, of a kind that is not supported, or needs a library that is not
        installed; the message says which.
    """
    choices = choices or Choices()
    if choices.tiling is Tiling.CROP:
        lossless.require()
    with opened(path) as file:
        pages = pages_of(file)
        planes = _planes(pages)
        middle = min(planes, key=lambda nm: (abs(nm), nm))
        scans = _levels(planes[middle])
        facts = facts_of(pages[scans[0].page], scans[0])
        luminance = 0 if facts.fluorescence else 255
        tiling, tiled = _tiled(scans, luminance, choices.tiling)
        remarks, stack = [_TILINGS[tiling]], None
        if choices.all_focal_planes and len(planes) > 1:
            stack = _stack(sorted(planes))
            others = (_levels(planes[nm]) for nm in sorted(planes))
            tiled = _stacked([_tiled(levels, luminance, tiling)[1] for levels in others])
            remarks.append(_STACKED.format(stack.count, min(planes), max(planes)))
        elif len(planes) > 1:
            remarks.append(f"Of {len(planes)} focal planes, the one at {middle} nm is here.")
        remarks += _left_out(scans, tiled)
        images = [_volume(level, stack) for level in tiled]
        if stack is None:
            images += _overviews(pages, remarks)
        return ScannedSlide(
            _fingerprint(file, pages),
            replace(facts, remarks=tuple(remarks)),
            None,
            tuple(images),
            tiling=f"{tiling.value}, focal planes" if stack else tiling.value,
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


def _planes(pages: Sequence[Page]) -> dict[int, list[Page]]:
    """Return the pages of levels by their distance from the middle focal plane in nm."""
    planes: dict[int, list[Page]] = {}
    for page in pages:
        if (page.number(_LENS) or 0) > 0:
            planes.setdefault(page.integer(_FOCUS) or 0, []).append(page)
    if not planes:
        raise SlideUnreadable("It has no level; export it again from the scanner's software.")
    return planes


def _levels(pages: Sequence[Page]) -> list[Scan]:
    """Return the levels of a focal plane, the largest first."""
    scans = sorted(map(scan_of, pages), key=lambda scan: -scan.columns)
    for above, below in pairwise(scans):
        if below.columns >= above.columns or below.rows >= above.rows:
            raise SlideUnreadable(
                f"A level of {below.columns} x {below.rows} pixels follows one of "
                f"{above.columns} x {above.rows}."
            )
    return scans


def _stack(planes_nm: Sequence[int]) -> FocalStack:
    """Return what several focal planes are, the lowest first."""
    steps = [above - below for below, above in pairwise(planes_nm)]
    if max(steps) - min(steps) > _EVEN * max(steps):
        raise SlideUnreadable(
            "Its focal planes are not at equal distances, as they have to be in one image."
        )
    return FocalStack(len(planes_nm), (planes_nm[-1] - planes_nm[0]) / len(steps) / 1000)


def _stacked(planes: Sequence[Sequence[Tiled]]) -> list[Tiled]:
    """Return the levels that all focal planes have; the base level has to be among them."""
    by_size = [{level.grid: level for level in plane} for plane in planes]
    levels = [
        stacked([plane[grid] for plane in by_size])
        for grid in by_size[0]
        if all(grid in plane for plane in by_size)
    ]
    if not levels or levels[0] is None or levels[0].grid != planes[0][0].grid:
        raise SlideUnreadable("Its focal planes differ in size or in their tables.")
    return [level for level in levels if level is not None]


def _tiled(
    scans: Sequence[Scan], luminance: int, tiling: Tiling | None
) -> tuple[Tiling, list[Tiled]]:
    """Make frames of the levels, in the way that is asked for or that is possible."""
    if tiling is not Tiling.STRIPES and lossless.available():
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


def _volume(level: Tiled, stack: FocalStack | None) -> SlideImage:
    if states_rgb(level.scan.header):
        raise SlideUnreadable("The components of its JPEG are R, G and B; no scanner writes that.")
    return SlideImage(
        Flavour.VOLUME,
        level.grid,
        level.frames,
        None,
        "YBR_FULL_422",
        JPEG_BASELINE,
        True,
        stack=stack,
    )


def _overviews(pages: Sequence[Page], remarks: list[str]) -> Iterator[SlideImage]:
    """Return the macro: the whole glass, label included; one that cannot be read is left out."""
    macro = next((page for page in pages if page.number(_LENS) == _MACRO), None)
    if macro is None:
        return
    try:
        scan = scan_of(macro)
    except GatewayError as error:
        remarks.append(f"The macro cannot be read and is left out: {error.detail}")
        return
    columns, rows = scan.columns, scan.rows
    stated = (columns, rows) == (scan.frame.columns, scan.frame.rows)
    if not stated or columns * rows > _MOST_PIXELS:
        remarks.append(
            f"The macro is not as large as it states ({columns} x {rows} pixels) and is left out."
        )
        return
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


def _left_out(scans: Sequence[Scan], tiled: Sequence[Tiled]) -> Iterator[str]:
    """Say which levels are not there, and why."""
    kept = {(level.grid.matrix_columns, level.grid.matrix_rows) for level in tiled}
    for scan in scans:
        if (scan.columns, scan.rows) not in kept:
            reason = "other stripes" if scan.stripes else "no restart markers"
            yield f"The level of {scan.columns} x {scan.rows} pixels has {reason} and is left out."


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
