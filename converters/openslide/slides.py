"""Slides that only OpenSlide can read: decoded when they are added, and encoded once.

How OpenSlide is called is told in :mod:`converters.openslide.drawing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import prod
from pathlib import Path

import numpy as np

from converters.codecs.encoding import Encoder, Encoding, Pixels, jpeg, jpeg_2000
from converters.formats.stated import positive
from converters.openslide.drawing import Drawing, Opened, Rgba
from converters.sources import LossyStep, ScannedSlide, SlideFacts, SlideImage
from converters.tiff import told as told_of
from converters.tiff.pictures import native
from gateway.core.errors import SlideUnreadable
from gateway.core.frames import TileGrid
from gateway.core.geometry import Placement
from gateway.core.instances import Flavour
from gateway.core.ports import Progress
from gateway.core.storage import Scratch

_TILE = 512
_COARSEST_UM = 100.0
"""Spacing of a base level; what is stated above it is no spacing of a microscope."""

_MOST_FRAMES = 4_000_000  # of the base level: 76 x 26 mm at 0.045 um
_MOST_PIXELS = 1 << 26  # of a label or an overview: they are held in memory
_FLAVOURS = {"label": Flavour.LABEL, "macro": Flavour.OVERVIEW, "thumbnail": Flavour.THUMBNAIL}
_ESTIMATED = (
    "The ratio of the scanner's own compression was estimated from the size of all its files."
)

Properties = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Told:
    """What a format knows of a slide besides what OpenSlide says of every slide.

    Parameters
    ----------
    lossy_method
        How the scanner compressed the pixels with loss, or None if it certainly did not.
    spacing_um
        Row and column spacing of the base level, if the format knows better than OpenSlide.
    """

    manufacturer: str
    lossy_method: str | None
    spacing_um: tuple[float, float] | None = None
    model: str | None = None
    serial_number: str | None = None
    software: str | None = None
    acquired: datetime | None = None
    barcode: str | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Area:
    """The part of the scanner's canvas that becomes the slide.

    Parameters
    ----------
    left, top
        Of its first pixel, in pixels of the base level.
    levels
        OpenSlide's numbers of the levels that show exactly this part.
    sizes
        ``(columns, rows)`` of each level.
    downsamples
        Pixels of the base level to one of each level.
    """

    left: int
    top: int
    levels: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]
    downsamples: tuple[float, ...]


def read_decoded(
    path: Path,
    fingerprint: str,
    files: Sequence[Path],
    told: Callable[[Properties], Told],
) -> ScannedSlide:
    """Read what a slide says of itself; its pixels wait to be decoded.

    Parameters
    ----------
    path
        What OpenSlide is to open.
    fingerprint
        Of the slide.
    files
        All files of the slide.
    told
        Returns what the format knows, by OpenSlide's properties.

    Raises
    ------
    Unavailable
        If OpenSlide is not installed; the message says how to install it.
    SlideUnreadable
        If it cannot read the slide.
    """
    with Drawing(path) as drawing:
        slide = drawing.opened()
    with told_of(path):
        known = told(slide.properties)
        area = _area(slide)
        facts = _facts(slide, known, area)
        stored = sum(file.stat().st_size for file in files)
    ratio = max(1.0, 3 * sum(map(prod, slide.sizes)) / stored)
    encoding = jpeg() if known.lossy_method else jpeg_2000()
    levels = (LossyStep(known.lossy_method, ratio),) if known.lossy_method else ()
    pictures = (LossyStep("ISO_10918_1", ratio),)  # nearly all are JPEG, and none says it is not

    def decode(scratch: Scratch, progress: Progress | None) -> tuple[SlideImage, ...]:
        with Drawing(path, processes=2) as drawing:
            canvas = _Canvas(drawing, area, _background(slide))
            encoded = _levels(canvas, encoding, levels, scratch, progress)
            return (*encoded, *_pictures(canvas, slide, pictures))

    name = f"OpenSlide {slide.version}, {encoding.name}"
    return ScannedSlide(fingerprint, facts, slide.profile, (), decode, name)


@dataclass(frozen=True, slots=True)
class _Canvas:
    """What is drawn: a slide, the part of it that is kept, and the colour behind it."""

    drawing: Drawing
    area: _Area
    colour: tuple[int, int, int]


def _facts(slide: Opened, known: Told, area: _Area) -> SlideFacts:
    properties = slide.properties
    remarks = [*known.remarks, _ESTIMATED]
    if left_out := len(slide.sizes) - len(area.levels):
        remarks.append(
            f"{left_out} levels that show another area than the base level were left out."
        )
    placement = None
    if (area.left, area.top, *area.sizes[0]) != (0, 0, *slide.sizes[0]):
        placement = Placement.nominal(*slide.sizes[0], left=area.left, top=area.top)
        remarks.append(
            f"Of the scanner's canvas of {slide.sizes[0][0]} x {slide.sizes[0][1]} pixels only "
            f"the scanned part was kept; it begins at column {area.left} and row {area.top}. The "
            "canvas was assumed to begin in the corner of the slide, with the label to the left."
        )
    return SlideFacts(
        spacing_um=known.spacing_um or _spacing_um(properties),
        objective_power=positive(properties.get("openslide.objective-power")),
        acquired=known.acquired,
        manufacturer=known.manufacturer,
        model=known.model,
        serial_number=known.serial_number,
        software=known.software,
        barcode=known.barcode,
        remarks=tuple(remarks),
        placement=placement,
    )


def _spacing_um(properties: Properties) -> tuple[float, float] | None:
    row_um, column_um = (positive(properties.get(f"openslide.mpp-{axis}")) for axis in "yx")
    if row_um and column_um and max(row_um, column_um) < _COARSEST_UM:
        return row_um, column_um
    return None


def _area(slide: Opened) -> _Area:
    """Return the whole canvas, or what was scanned of it if OpenSlide knows that.

    Its edges are put where pixels of all levels begin: nothing is shifted by a part of a pixel,
    and all levels show exactly the same area.
    """
    if not 0 < prod(slide.sizes[0]) <= _MOST_FRAMES * _TILE**2:
        columns, rows = slide.sizes[0]
        raise SlideUnreadable(f"A slide of {columns} x {rows} pixels is larger than slides are.")
    levels = tuple(number for number in range(len(slide.sizes)) if _fits(slide, number))
    downsamples = tuple(slide.downsamples[number] for number in levels)
    sizes = tuple(slide.sizes[number] for number in levels)
    names = [f"openslide.bounds-{name}" for name in ("x", "y", "width", "height")]
    step = round(downsamples[-1])
    whole = all(abs(factor - round(factor)) < 1e-6 for factor in downsamples)
    if whole and all(name in slide.properties for name in names):
        left, top, width, height = (int(slide.properties[name]) for name in names)
        first, above = left // step * step, top // step * step
        columns = -(-(left + width - first) // step) * step
        rows = -(-(top + height - above) // step) * step
        sizes = tuple((columns // round(factor), rows // round(factor)) for factor in downsamples)
        return _Area(first, above, levels, sizes, downsamples)
    return _Area(0, 0, levels, sizes, downsamples)


def _fits(slide: Opened, level: int) -> bool:
    """Whether a level shows what the base level does, to less than a pixel of its own."""
    columns, rows = slide.sizes[level]
    if min(columns, rows) < 1:
        return False
    across, down = slide.sizes[0][0] / columns, slide.sizes[0][1] / rows
    factor = across if columns > rows else down
    misfit = slide.sizes[0][0] / factor - columns, slide.sizes[0][1] / factor - rows
    return bool(max(map(abs, misfit)) < 1 + 1 / min(columns, rows))


def _levels(
    canvas: _Canvas,
    encoding: Encoding,
    earlier: tuple[LossyStep, ...],
    scratch: Scratch,
    progress: Progress | None,
) -> list[SlideImage]:
    area = canvas.area
    grids = [TileGrid(columns, rows, _TILE, _TILE) for columns, rows in area.sizes]
    encoder = Encoder(scratch, progress, sum(grid.count for grid in grids))
    images: list[SlideImage] = []
    for level, factor, grid in zip(area.levels, area.downsamples, grids, strict=True):

        def tile(row: int, column: int, level: int = level, factor: float = factor) -> Pixels:
            place = (
                area.left + round(column * _TILE * factor),
                area.top + round(row * _TILE * factor),
            )
            return _opaque(canvas.drawing.region(place, level, (_TILE, _TILE)), canvas.colour)

        images.append(encoder.level(encoding, grid, tile, earlier))
    return images


def _pictures(
    canvas: _Canvas, slide: Opened, earlier: tuple[LossyStep, ...]
) -> Iterator[SlideImage]:
    """Yield label, overview and thumbnail; a thumbnail of a level's size would be it twice."""
    for name, flavour in _FLAVOURS.items():
        sides = (f"openslide.associated.{name}.{side}" for side in ("width", "height"))
        if 0 < prod(int(slide.properties.get(side, 0)) for side in sides) <= _MOST_PIXELS:
            picture = _opaque(canvas.drawing.picture(name), canvas.colour)
            if flavour is not Flavour.THUMBNAIL or picture.shape[1::-1] not in canvas.area.sizes:
                yield native(flavour, picture, earlier)


def _background(slide: Opened) -> tuple[int, int, int]:
    """Return the colour that the scanner states for where it scanned nothing; else white."""
    red, green, blue = bytes.fromhex(slide.properties.get("openslide.background-color", "FFFFFF"))
    return red, green, blue


def _opaque(rgba: Rgba, colour: tuple[int, int, int]) -> Pixels:
    """Return RGB pixels; what is transparent shows the background."""
    alpha = rgba[..., 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(rgba[..., :3])
    weighted = rgba[..., :3].astype(np.uint32) * alpha + np.array(colour, np.uint32) * (255 - alpha)
    opaque: Pixels = ((weighted + 127) // 255).astype(np.uint8)
    return opaque
