"""What is printed on the glass is where the headers say, on every level.

A slide with dots at known millimetres is scanned, converted, and read back by others: headers by
pydicom and highdicom, pixels by OpenSlide and wsidicom. What the scanner sees is computed here, by
hand, and not by the code that is tested.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import openslide
import pydicom
import pytest
from highdicom.spatial import ReferenceToImageTransformer
from numpy.typing import NDArray
from pydicom import Dataset
from wsidicom import WsiDicom
from wsidicom.geometry import PointMm
from wsidicom.metadata import ImageCoordinateSystem

from converters.plan import plan_slide
from converters.sources import format_of
from converters.worklist.placement import placement_from
from gateway.core.geometry import Placement, View
from gateway.core.instances import Signature
from gateway.dicom.geometry import read_matrix
from gateway.dicom.streams.part10 import Part10
from gateway.store.files import FileStore
from tests.factories import make_svs

Points = NDArray[np.float64]
Pixels = NDArray[np.uint8]

FARTHEST = 0.25  # pixels of the level, in each direction; half a pixel is what is promised
COLUMNS, ROWS = 1537, 1129  # with the downsamples below, no level is a whole fraction of the base
DOWNSAMPLES = (3, 16)
POWERS_OF_TWO = (4, 16)  # wsidicom opens no others
DOT = 9  # pixels of the base level: standard deviation
REACH = 5 * DOT
PRINTED = np.array([[0.031, 0.053], [0.962, 0.041], [0.507, 0.493], [0.04, 0.947], [0.957, 0.955]])
"""Where the dots are, in fractions of the scanned area: near all corners, and in the middle."""


@dataclass(frozen=True)
class Scan:
    """How a scanner looks at the glass: `corner_mm` is that of the first pixel."""

    corner_mm: tuple[float, float]
    cosines: tuple[float, ...]
    spacing_mm: tuple[float, float] = (0.000499, 0.000499)  # of rows, of columns
    columns: int = COLUMNS
    rows: int = ROWS
    downsamples: tuple[int, ...] = DOWNSAMPLES

    @property
    def steps(self) -> Points:
        """Where the next column and the next row are, in mm."""
        along = np.array(self.cosines).reshape(2, 3)[:, :2]
        return along * [[self.spacing_mm[1]], [self.spacing_mm[0]]]

    @property
    def printed_mm(self) -> Points:
        """The dots on the glass."""
        return np.array(self.corner_mm) + PRINTED * [self.columns, self.rows] @ self.steps

    @property
    def first_pixel_mm(self) -> tuple[float, float]:
        x_mm, y_mm = self.corner_mm + self.steps.sum(axis=0) / 2
        return float(x_mm), float(y_mm)

    def picture(self) -> Pixels:
        """What the scanner sees: dark dots on bright glass."""
        column, row = np.arange(self.columns) + 0.5, np.arange(self.rows)[:, None] + 0.5
        glass = np.full((self.rows, self.columns), 235.0)
        for at_column, at_row in PRINTED * [self.columns, self.rows]:
            glass -= 190 * np.exp(-((column - at_column) ** 2 + (row - at_row) ** 2) / 2 / DOT**2)
        return np.repeat(glass.round().astype(np.uint8)[..., None], 3, axis=2)


def scanned(
    scan: Scan, folder: Path, placement: Placement | None, *, history: str | None = None
) -> Path:
    """Convert what a scanner saw; `placement` is what the operator states."""
    path = folder / "slide.svs"
    make_svs(path, picture=scan.picture(), downsamples=scan.downsamples, history=history)
    slide = format_of(path).read(path)
    row_mm, column_mm = scan.spacing_mm
    facts = replace(slide.facts, spacing_um=(1000 * row_mm, 1000 * column_mm))
    plan = plan_slide(
        replace(slide, facts=facts),
        str(path),
        Signature.of(path.stat()),
        stated_placement=placement,
    )
    store = FileStore(folder / "out")
    with store.open(plan.file) as file:
        for one in plan.instances:
            layout = Part10(one.header, one.frames, one.transfer_syntax)  # type: ignore[arg-type]
            store.put(f"{one.key.instance}.dcm", layout.chunks((one.built or file).view))
    return folder / "out"


def images(folder: Path) -> Iterator[tuple[Dataset, Pixels]]:
    """Read the levels and the thumbnail: headers by pydicom, pixels by OpenSlide."""
    found = {}
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        size = (dataset.TotalPixelMatrixColumns, dataset.TotalPixelMatrixRows)
        found[dataset.ImageType[2], size] = dataset
    with openslide.OpenSlide(next(folder.iterdir())) as slide:
        assert slide.level_count == 1 + len(DOWNSAMPLES)
        for level, size in enumerate(slide.level_dimensions):
            region = slide.read_region((0, 0), level, size).convert("L")
            yield found["VOLUME", size], np.asarray(region)
        small = slide.associated_images["thumbnail"].convert("L")
        yield found["THUMBNAIL", small.size], np.asarray(small)


def centroids(pixels: Pixels, near: Points, reach: tuple[float, float]) -> Points:
    """Return where the dots are in pixels, ``(column, row)`` from the corner of the first."""
    dark = np.clip(215.0 - pixels, 0, None)  # neither glass nor noise of JPEG
    found = []
    for column, row in near:
        left, top = (max(0, round(at - by)) for at, by in zip((column, row), reach, strict=True))
        right, bottom = (round(at + by) for at, by in zip((column, row), reach, strict=True))
        window = dark[top:bottom, left:right]
        columns, rows = np.arange(window.shape[1]) + 0.5, np.arange(window.shape[0]) + 0.5
        weights = window.sum()
        assert weights > 0
        found.append(
            (left + window.sum(0) @ columns / weights, top + window.sum(1) @ rows / weights)
        )
    return np.array(found)


def worst(scan: Scan, folder: Path) -> float:
    """Return how far, in pixels, any dot is from where a header says, on any level."""
    errors = []
    for dataset, pixels in images(folder):
        matrix = read_matrix(dataset)
        stated = matrix.to_matrix(scan.printed_mm)
        theirs = ReferenceToImageTransformer.for_image(dataset, for_total_pixel_matrix=True)(
            np.column_stack([scan.printed_mm, np.zeros(len(PRINTED))])
        )
        assert np.allclose(stated, theirs[:, :2], rtol=0, atol=1e-3)
        ratio = (scan.columns / matrix.columns, scan.rows / matrix.rows)
        found = centroids(pixels, stated, (REACH / ratio[0] + 1, REACH / ratio[1] + 1))
        errors.append(np.abs(found - stated).max())
    assert len(errors) == 2 + len(DOWNSAMPLES)
    return float(max(errors))


@pytest.mark.req("REQ-WSI-17", "REQ-WSI-18", "REQ-WSI-19")
@pytest.mark.parametrize("view", View)
def test_each_dot_is_found_where_the_header_says_however_the_slide_lies(
    view: View, tmp_path: Path
) -> None:
    scan = Scan((11.3, 29.7), view.value.cosines)
    stated = Placement(view.value, (0.5, 0.5), scan.first_pixel_mm)
    assert worst(scan, scanned(scan, tmp_path, stated)) < FARTHEST


@pytest.mark.req("REQ-WSI-18", "REQ-WSI-19")
@pytest.mark.parametrize("degrees", [0, 90, 180, 270, 181.5])
def test_each_dot_is_found_where_an_image_coordinate_system_was_stated(
    degrees: float, tmp_path: Path
) -> None:
    across, along = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    scan = Scan((12.1, 30.2), (-across, along, 0, along, across, 0))
    system = ImageCoordinateSystem(PointMm(*scan.first_pixel_mm), degrees)
    assert worst(scan, scanned(scan, tmp_path, placement_from(system))) < FARTHEST


@pytest.mark.req("REQ-WSI-17", "REQ-WSI-18")
@pytest.mark.parametrize("view", [View.LABEL_LEFT, View.LABEL_TOP_MIRRORED])
def test_each_dot_is_found_if_pixels_are_not_square(view: View, tmp_path: Path) -> None:
    scan = Scan((3.0, 44.4), view.value.cosines, (0.000731, 0.000499))
    stated = Placement(view.value, (0.5, 0.5), scan.first_pixel_mm)
    assert worst(scan, scanned(scan, tmp_path, stated)) < FARTHEST


@pytest.mark.req("REQ-WSI-19")
def test_each_dot_is_found_in_a_part_that_was_cut_out_of_a_scan(tmp_path: Path) -> None:
    whole_columns, whole_rows, left, top = 46920, 33014, 42673, 5676
    spacing_mm = 0.000499
    # Label to the left: X grows against the rows, Y against the columns of the whole scan.
    corner_mm = ((whole_rows - top) * spacing_mm, (whole_columns - left) * spacing_mm)
    scan = Scan(corner_mm, View.LABEL_LEFT.value.cosines)
    history = (
        f"46000x32914 [{left},{top - 100} {COLUMNS}x{ROWS}] (240x240) JPEG/RGB Q=30;Aperio Image "
        f"Library v10.0.51\r\n{whole_columns}x{whole_rows} [0,100 46000x32914] (256x256)"
    )
    folder = scanned(scan, tmp_path, None, history=history)
    assert worst(scan, folder) < FARTHEST
    dataset = pydicom.dcmread(next(folder.iterdir()), stop_before_pixels=True)
    assert "part of a scan" in dataset.ContributingEquipmentSequence[0].ContributionDescription


@pytest.mark.req("REQ-WSI-19")
@pytest.mark.parametrize("view", [View.LABEL_LEFT, View.LABEL_BOTTOM])
def test_each_dot_is_found_in_the_scanned_part_of_a_canvas(view: View, tmp_path: Path) -> None:
    canvas_columns, canvas_rows, left, top = 9001, 5003, 4001, 1777
    from_corner = {  # of the slide, in pixels: along X, along Y
        View.LABEL_LEFT: (canvas_rows - top, canvas_columns - left),
        View.LABEL_BOTTOM: (canvas_columns - left, top),
    }[view]
    scan = Scan((from_corner[0] * 0.000499, from_corner[1] * 0.000499), view.value.cosines)
    told = Placement.nominal(canvas_columns, canvas_rows, left=left, top=top, view=view)
    assert worst(scan, scanned(scan, tmp_path, told)) < FARTHEST


@pytest.mark.req("REQ-WSI-19")
@pytest.mark.parametrize("view", View)
def test_each_dot_is_found_if_the_scanner_tells_the_centre(view: View, tmp_path: Path) -> None:
    scan = Scan((14.0, 33.0), view.value.cosines)
    centre_mm = scan.corner_mm + np.array([COLUMNS / 2, ROWS / 2]) @ scan.steps
    stated = Placement(view.value, (COLUMNS / 2, ROWS / 2), (centre_mm[0], centre_mm[1]))
    assert worst(scan, scanned(scan, tmp_path, stated)) < FARTHEST


@pytest.mark.filterwarnings("ignore:The odd length pixel data")  # wsidicom cuts the padding off
@pytest.mark.req("REQ-WSI-18")
def test_wsidicom_finds_each_dot_on_the_glass(tmp_path: Path) -> None:
    scan = Scan((11.3, 29.7), View.LABEL_LEFT.value.cosines, downsamples=POWERS_OF_TWO)
    stated = Placement(View.LABEL_LEFT.value, (0.5, 0.5), scan.first_pixel_mm)
    with WsiDicom.open(scanned(scan, tmp_path, stated)) as slide:
        assert len(slide.levels) == 1 + len(POWERS_OF_TWO)
        for level in slide.levels:
            size = (level.size.width, level.size.height)
            pixels = np.asarray(slide.read_region((0, 0), level.level, size).convert("L"))
            system = level.image_coordinate_system
            assert system is not None
            points = [system.slide_to_image(PointMm(*point)) for point in scan.printed_mm]
            # It measures from the centre of the first pixel.
            near = np.array(
                [
                    (one.x / level.mpp.width * 1000 + 0.5, one.y / level.mpp.height * 1000 + 0.5)
                    for one in points
                ]
            )
            reach = (REACH * size[0] / COLUMNS + 1, REACH * size[1] / ROWS + 1)
            assert np.abs(centroids(pixels, near, reach) - near).max() < FARTHEST
