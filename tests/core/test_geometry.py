"""Pixels, millimetres on the slide and other levels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from highdicom.spatial import (
    ImageToReferenceTransformer,
    PixelToReferenceTransformer,
    ReferenceToImageTransformer,
)
from hypothesis import given
from hypothesis import strategies as st
from wsidicom.geometry import PointMm
from wsidicom.metadata import ImageCoordinateSystem

from gateway.core.errors import InvalidGeometry
from gateway.core.geometry import Orientation, PixelMatrix, Placement, Points, View

views = st.sampled_from(View).map(lambda view: view.value)
turned = st.floats(0, 360).map(Orientation.from_rotation)
orientations = views | turned
spacings = st.floats(1e-5, 0.1)
sizes = st.integers(1, 400_000)
offsets = st.floats(-100, 100)
matrices = st.builds(
    PixelMatrix.from_origin,
    st.tuples(offsets, offsets),
    orientations,
    st.tuples(spacings, spacings),
    sizes,
    sizes,
)
places = st.lists(st.tuples(st.floats(-0.1, 1.1), st.floats(-0.1, 1.1)), min_size=1, max_size=9)


def within(matrix: PixelMatrix, found: list[tuple[float, float]]) -> Points:
    return np.array(found) * [matrix.columns, matrix.rows]


# -- what undoes itself


@pytest.mark.req("REQ-WSI-19")
@given(matrices, places)
def test_to_the_slide_and_back_is_the_same_pixel(
    matrix: PixelMatrix, found: list[tuple[float, float]]
) -> None:
    points = within(matrix, found)
    assert np.allclose(matrix.to_matrix(matrix.to_slide(points)), points, rtol=0, atol=1e-5)


@pytest.mark.req("REQ-WSI-18")
@given(matrices, sizes, sizes, places)
def test_to_another_level_and_back_is_the_same_pixel(
    base: PixelMatrix, columns: int, rows: int, found: list[tuple[float, float]]
) -> None:
    level = base.level(columns, rows)
    points = within(base, found)
    there = base.to_level(points, level)
    ratio = np.array([columns / base.columns, rows / base.rows])
    assert np.allclose(there, points * ratio, rtol=0, atol=1e-5 * max(1, *ratio))
    assert np.allclose(level.to_level(there, base), points, rtol=0, atol=1e-5)


@given(matrices)
def test_the_corners_of_a_level_lie_on_the_corners_of_the_base(base: PixelMatrix) -> None:
    level = base.level(-(-base.columns // 3), -(-base.rows // 3))
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    ours, theirs = (
        one.to_slide(corners * [one.columns, one.rows]).tolist() for one in (base, level)
    )
    assert np.allclose(ours, theirs, rtol=0, atol=1e-9)


@given(matrices)
def test_a_matrix_is_placed_by_what_it_states(matrix: PixelMatrix) -> None:
    again = PixelMatrix.from_origin(
        matrix.origin_mm, matrix.orientation, matrix.spacing_mm, matrix.columns, matrix.rows
    )
    assert again.corner_mm == pytest.approx(matrix.corner_mm, rel=0, abs=1e-9)
    assert again.spacing_mm == pytest.approx(matrix.spacing_mm, rel=1e-12)


# -- what others say


@pytest.mark.req("REQ-WSI-19")
@given(matrices, places)
def test_highdicom_finds_the_same_places(
    matrix: PixelMatrix, found: list[tuple[float, float]]
) -> None:
    points = within(matrix, found)
    position = [*matrix.origin_mm, 0.0]
    orientation, spacing = list(matrix.orientation.cosines), list(matrix.spacing_mm)
    theirs = ImageToReferenceTransformer(position, orientation, spacing)(points)
    ours = matrix.to_slide(points)
    assert np.allclose(ours, theirs[:, :2], rtol=0, atol=1e-6)
    back = ReferenceToImageTransformer(position, orientation, spacing)(theirs)
    assert np.allclose(matrix.to_matrix(ours), back[:, :2], rtol=0, atol=1e-4)
    centres = PixelToReferenceTransformer(position, orientation, spacing)(
        np.array([[0, 0], [3, 5]])
    )
    ours = matrix.to_slide(np.array([[0.5, 0.5], [3.5, 5.5]]))
    assert np.allclose(ours, centres[:, :2], rtol=0, atol=1e-6)


@given(st.floats(0, 359.9), st.floats(0, 1000), st.floats(0, 1000))
def test_wsidicom_finds_the_same_places_from_the_centre_of_the_first_pixel(
    degrees: float, column: float, row: float
) -> None:
    matrix = PixelMatrix.from_origin(
        (3.0, 40.0), Orientation.from_rotation(degrees), (0.002, 0.001), 1000, 1000
    )
    system = ImageCoordinateSystem(PointMm(*matrix.origin_mm), degrees)
    theirs = system.image_to_slide(PointMm((column - 0.5) * 0.001, (row - 0.5) * 0.002))
    ours = matrix.to_slide(np.array([[column, row]]))[0]
    assert (theirs.x, theirs.y) == pytest.approx(ours, rel=0, abs=1e-6)


# -- how images lie


@pytest.mark.req("REQ-WSI-19")
def test_the_eight_views_are_what_their_names_say() -> None:
    towards_label = np.array([[0.0, 1.0]])  # PS3.3 C.8.12.2.1.1: Y grows towards the label
    sides = {"LEFT": (-1, 0), "RIGHT": (1, 0), "TOP": (0, -1), "BOTTOM": (0, 1)}
    assert len({view.value for view in View}) == len(View) == 8
    for view in View:
        matrix = PixelMatrix((0.0, 0.0), view.value, 1.0, 1.0, 1, 1)
        assert matrix.to_matrix(towards_label)[0] == pytest.approx(sides[view.name.split("_")[1]])
        assert view.value.mirrored is view.name.endswith("MIRRORED")
        assert Orientation.from_cosines(view.value.cosines) == view.value
    assert View.LABEL_LEFT.value.cosines == (0, -1, 0, -1, 0, 0)


def test_a_clockwise_turn_takes_the_label_along() -> None:
    for degrees, view in zip(
        (0, 90, 180, 270),
        (View.LABEL_RIGHT, View.LABEL_BOTTOM, View.LABEL_LEFT, View.LABEL_TOP),
        strict=True,
    ):
        assert Orientation.from_rotation(degrees) == view.value
        assert ImageCoordinateSystem(PointMm(0, 0), degrees).orientation.values == pytest.approx(
            view.value.cosines
        )


@pytest.mark.parametrize(
    "cosines",
    [
        (0, -1, 0, -1, 0),
        (0, -1, 0, 0, -1, 0),
        (0, -2, 0, -1, 0, 0),
        (0, 0, 0, 0, 0, 0),
        (0, -1, 0, -0.7, 0, 0.7),
        (0, -1, 0, -0.999, 0.04, 0),
        (math.nan, -1, 0, -1, 0, 0),
        (0, -math.inf, 0, -1, 0, 0),
    ],
)
def test_directions_that_cannot_be_are_refused(cosines: tuple[float, ...]) -> None:
    with pytest.raises(InvalidGeometry) as raised:
        Orientation.from_cosines(cosines)
    assert raised.value.http_status == 422


def test_rounded_cosines_are_taken_and_used_as_they_are() -> None:
    tilted = Orientation.from_cosines([0.01745, -0.99985, 0, -0.99985, -0.01745, 0])
    matrix = PixelMatrix.from_origin((20, 50), tilted, (0.00025, 0.00025), 200_000, 80_000)
    points = np.array([[0, 0], [200_000, 80_000]], np.float64)
    assert np.allclose(matrix.to_matrix(matrix.to_slide(points)), points, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("origin", "spacing", "columns"),
    [
        ((0.0, 0.0), (0.001, 0.0), 5),
        ((0.0, 0.0), (-0.001, 0.001), 5),
        ((0.0, 0.0), (0.001, math.inf), 5),
        ((0.0, 0.0), (math.nan, 0.001), 5),
        ((math.nan, 0.0), (0.001, 0.001), 5),
        ((0.0, 0.0), (0.001, 0.001), 0),
    ],
)
def test_sizes_and_origins_that_cannot_be_are_refused(
    origin: tuple[float, float], spacing: tuple[float, float], columns: int
) -> None:
    with pytest.raises(InvalidGeometry):
        PixelMatrix.from_origin(origin, View.LABEL_LEFT.value, spacing, columns, 5)


# -- where the base level lies


@pytest.mark.parametrize("view", View)
def test_a_scan_of_which_nothing_is_known_lies_in_the_corner_of_the_slide(view: View) -> None:
    matrix = Placement.nominal(300, 200, view=view).matrix(300, 200, (0.5, 0.25))
    corners = matrix.to_slide(np.array([[0, 0], [300, 0], [0, 200], [300, 200]], np.float64))
    assert corners.min(axis=0) == pytest.approx([0, 0], abs=1e-12)
    along_x = 300 * 0.25 if view.value.along_row[0] else 200 * 0.5
    assert corners.max(axis=0) == pytest.approx([along_x, 175 - along_x])


@pytest.mark.req("REQ-WSI-19")
@pytest.mark.parametrize("view", View)
def test_a_part_of_a_scan_keeps_its_place(view: View) -> None:
    spacing = (0.002, 0.001)
    scan = Placement.nominal(4600, 3291, view=view).matrix(4600, 3291, spacing)
    part = Placement.nominal(4600, 3291, left=4267, top=557, view=view).matrix(222, 297, spacing)
    points, cut = np.array([[0, 0], [17.25, 200.5]]), np.array([4267, 557])
    assert np.allclose(part.to_slide(points), scan.to_slide(points + cut), atol=1e-12)
    assert np.allclose(scan.to_level(points + cut, part), points, atol=1e-9)


def test_a_placement_by_the_centre_turns_around_it() -> None:
    for view in View:
        placed = Placement(view.value, (150, 100), (12.5, 37.5)).matrix(300, 200, (0.01, 0.02))
        assert placed.to_slide(np.array([[150.0, 100.0]]))[0] == pytest.approx((12.5, 37.5))
