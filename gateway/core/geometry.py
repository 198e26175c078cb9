"""Where pixels lie: the only place that turns them into millimetres or into other levels.

Three ways to name a place, all of them arrays of shape (n, 2), float64:

* a **point of a total pixel matrix**, ``(column, row)``: (0, 0) is the top left corner of the top
  left pixel, (0.5, 0.5) its centre. So image coordinates of DICOM count (PS3.3 C.10.4, C.18.6).
* a **point on the slide**, ``(x_mm, y_mm)``, in the slide coordinate system (PS3.3 C.8.12.2.1.1).
  Looking at the specimen with the label to the left, its origin is the lower right corner of the
  glass; X grows upwards, along the short side, and Y to the left, towards the label.
* what a header says: Total Pixel Matrix Origin is the location of the first pixel (PS3.3
  C.8.12.14, formerly C.8.12.4). As everywhere in DICOM the location of a pixel is that of its
  **centre** (PS3.3 C.7.6.2.1.1), half a pixel from the corner of the matrix. Hence levels that
  begin at the same corner of glass have origins that differ; :attr:`PixelMatrix.origin_mm` is the
  one value that counts so.

Levels of a pyramid show the same piece of glass, each in a whole number of pixels. A matrix is
therefore kept as that piece and its numbers of pixels, and the spacing follows from both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from gateway.core.errors import InvalidGeometry

Points = NDArray[np.float64]
"""Shape (n, 2): ``(column, row)`` or ``(x_mm, y_mm)``."""

Pair = tuple[float, float]

_TOLERANCE = 1e-4
"""By which cosines may miss unit length and a right angle: headers round them. It moves a point
by less than 0.01 mm over the whole length of a slide."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a matrix lies on the slide (Image Orientation (Slide), PS3.3 C.8.12.14).

    Parameters
    ----------
    along_row
        ``(x, y)`` of the direction in which columns are counted, of length 1.
    along_column
        The same for rows; at a right angle to it.

    Raises
    ------
    InvalidGeometry
        If the directions are not of length 1, or not at a right angle.
    """

    along_row: Pair
    along_column: Pair

    def __post_init__(self) -> None:
        for direction in (self.along_row, self.along_column):
            if not abs(math.hypot(*direction) - 1) <= _TOLERANCE:
                raise InvalidGeometry(
                    "Image Orientation (Slide) has a direction that is not of length 1 in the "
                    "plane of the slide."
                )
        if not abs(np.dot(self.along_row, self.along_column)) <= _TOLERANCE:
            raise InvalidGeometry(
                "Image Orientation (Slide) has rows and columns that are not at a right angle."
            )

    @classmethod
    def from_cosines(cls, cosines: Sequence[float]) -> Orientation:
        """Read the six values of Image Orientation (Slide).

        Raises
        ------
        InvalidGeometry
            If they are not six numbers, not of length 1, not at a right angle, or if the image
            does not lie flat on the slide.
        """
        if len(cosines) != 6:
            raise InvalidGeometry(
                f"Image Orientation (Slide) has {len(cosines)} values instead of six."
            )
        row_x, row_y, _, column_x, column_y, _ = map(float, cosines)
        return cls((row_x, row_y), (column_x, column_y))

    @classmethod
    def from_rotation(cls, degrees: float) -> Orientation:
        """Turn an image clockwise, starting with the label to the right; it is not mirrored.

        So wsidicom counts the rotation of an image coordinate system; 180 is the usual view with
        the label to the left.
        """
        across, along = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
        across, along = (round(value, 15) + 0.0 for value in (across, along))
        return cls((0.0 - across, along), (along, across))

    @property
    def cosines(self) -> tuple[float, float, float, float, float, float]:
        """The six values of Image Orientation (Slide)."""
        return (*self.along_row, 0.0, *self.along_column, 0.0)

    @property
    def mirrored(self) -> bool:
        """Whether the specimen is seen as in a mirror, or from below."""
        return self.along_row[0] * self.along_column[1] > self.along_row[1] * self.along_column[0]


class View(Enum):
    """The eight ways in which a slide is shown at right angles: where the label is.

    A mirrored view keeps the label on its side and exchanges the other two.
    """

    LABEL_LEFT = Orientation((0.0, -1.0), (-1.0, 0.0))
    LABEL_TOP = Orientation((1.0, 0.0), (0.0, -1.0))
    LABEL_RIGHT = Orientation((0.0, 1.0), (1.0, 0.0))
    LABEL_BOTTOM = Orientation((-1.0, 0.0), (0.0, 1.0))
    LABEL_LEFT_MIRRORED = Orientation((0.0, -1.0), (1.0, 0.0))
    LABEL_TOP_MIRRORED = Orientation((-1.0, 0.0), (0.0, -1.0))
    LABEL_RIGHT_MIRRORED = Orientation((0.0, 1.0), (-1.0, 0.0))
    LABEL_BOTTOM_MIRRORED = Orientation((1.0, 0.0), (0.0, 1.0))


@dataclass(frozen=True, slots=True)
class PixelMatrix:
    """A total pixel matrix on the slide: the piece of glass it shows, and in how many pixels.

    Parameters
    ----------
    corner_mm
        Point on the slide of the top left corner of the matrix.
    orientation
        How it lies.
    width_mm, height_mm
        Size of the piece of glass along the rows and along the columns of the matrix: Imaged
        Volume Width and Height.
    columns, rows
        Numbers of pixels.

    Raises
    ------
    InvalidGeometry
        If a size is not positive, or a value not finite.
    """

    corner_mm: Pair
    orientation: Orientation
    width_mm: float
    height_mm: float
    columns: int
    rows: int

    def __post_init__(self) -> None:
        sizes = (self.width_mm, self.height_mm, self.columns, self.rows)
        if not all(0 < size < math.inf for size in sizes):
            raise InvalidGeometry("A total pixel matrix has a size or a spacing that cannot be.")
        if not all(map(math.isfinite, self.corner_mm)):
            raise InvalidGeometry("The origin of a total pixel matrix is no point.")

    @classmethod
    def from_origin(
        cls,
        origin_mm: Pair,
        orientation: Orientation,
        spacing_mm: Pair,
        columns: int,
        rows: int,
    ) -> PixelMatrix:
        """Place a matrix as a header does.

        Parameters
        ----------
        origin_mm
            Total Pixel Matrix Origin: centre of the top left pixel.
        orientation
            How it lies.
        spacing_mm
            Pixel Spacing: ``(row spacing, column spacing)``, the distances of the centres of
            adjacent rows and of adjacent columns.
        columns, rows
            Numbers of pixels.
        """
        row_mm, column_mm = spacing_mm
        size_mm = (columns * column_mm, rows * row_mm)
        matrix = cls(origin_mm, orientation, *size_mm, columns, rows)
        corner = matrix.to_slide(np.array([[-0.5, -0.5]]))[0]
        return replace(matrix, corner_mm=(float(corner[0]), float(corner[1])))

    @property
    def spacing_mm(self) -> Pair:
        """Pixel Spacing: ``(row spacing, column spacing)`` (PS3.3 10.7.1.3)."""
        return self.height_mm / self.rows, self.width_mm / self.columns

    @property
    def origin_mm(self) -> Pair:
        """Total Pixel Matrix Origin: ``(x_mm, y_mm)`` of the centre of the top left pixel."""
        x_mm, y_mm = self.to_slide(np.array([[0.5, 0.5]]))[0].tolist()
        return x_mm, y_mm

    def level(self, columns: int, rows: int) -> PixelMatrix:
        """Return the matrix that shows the same piece of glass in other numbers of pixels."""
        return replace(self, columns=columns, rows=rows)

    def to_slide(self, points: Points) -> Points:
        """Return the points on the slide, (n, 2) in mm, of points ``(column, row)``, (n, 2)."""
        return points @ self._axes + self.corner_mm

    def to_matrix(self, points_mm: Points) -> Points:
        """Return the points ``(column, row)``, (n, 2), of points on the slide, (n, 2) in mm.

        Points outside the matrix are no error; they are less than 0 or more than its size.
        """
        return (points_mm - self.corner_mm) @ np.linalg.inv(self._axes)

    def to_level(self, points: Points, other: PixelMatrix) -> Points:
        """Return the points ``(column, row)`` of another matrix in the same frame of reference."""
        return other.to_matrix(self.to_slide(points))

    @property
    def _axes(self) -> Points:
        """Where a step to the next column and one to the next row lead: rows of (2, 2), in mm."""
        row_mm, column_mm = self.spacing_mm
        directions = np.array([self.orientation.along_row, self.orientation.along_column])
        return directions * [[column_mm], [row_mm]]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the base level of a slide lies: one of its points is on a known point of the glass.

    It needs no spacing, so that a file can state it which does not know its spacing.

    Parameters
    ----------
    orientation
        How it lies.
    pixel
        A point ``(column, row)`` of the base level; it may be outside, as for a part that was cut
        out of a larger scan, and in the middle, as for a scanner that tells the centre.
    point_mm
        The point on the slide where it lies.
    """

    orientation: Orientation
    pixel: Pair
    point_mm: Pair

    @classmethod
    def nominal(
        cls, columns: int, rows: int, *, left: int = 0, top: int = 0, view: View = View.LABEL_LEFT
    ) -> Placement:
        """Put a scan of which nothing is known into the corner of the slide, label to the left.

        Parameters
        ----------
        columns, rows
            Size of the whole scan in pixels of the base level.
        left, top
            Where the base level begins in it, if it is a part of it: the part keeps its place.
        view
            How it lies. The corner of the scan that is nearest to the slide's origin is put there.
        """
        orientation = view.value
        ends = [columns if min(orientation.along_row) < 0 else 0]
        ends.append(rows if min(orientation.along_column) < 0 else 0)
        return cls(orientation, (ends[0] - left, ends[1] - top), (0.0, 0.0))

    @property
    def numbers(self) -> tuple[float, ...]:
        """All that it states, always in the same order: equal placements have equal numbers."""
        return tuple(map(float, (*self.orientation.cosines, *self.pixel, *self.point_mm)))

    def matrix(self, columns: int, rows: int, spacing_mm: Pair) -> PixelMatrix:
        """Place the base level.

        Parameters
        ----------
        columns, rows
            Its numbers of pixels.
        spacing_mm
            ``(row spacing, column spacing)``.
        """
        row_mm, column_mm = spacing_mm
        size_mm = (columns * column_mm, rows * row_mm)
        there = PixelMatrix(self.point_mm, self.orientation, *size_mm, columns, rows)
        x_mm, y_mm = there.to_slide(-np.array([self.pixel]))[0].tolist()
        return replace(there, corner_mm=(x_mm, y_mm))
