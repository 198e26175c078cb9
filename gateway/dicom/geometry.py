"""Where a total pixel matrix lies, as attributes of a header (PS3.3 C.8.12.14, C.7.6.16.2.1)."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from gateway.core.errors import InvalidGeometry
from gateway.core.geometry import Orientation, Pair, PixelMatrix

NOMINAL_THICKNESS_MM = 0.004
"""Thickness of a paraffin section as usually cut; no scanner measures it."""


def read_matrix(dataset: Dataset) -> PixelMatrix:
    """Read where the total pixel matrix of a whole slide image lies.

    Parameters
    ----------
    dataset
        With Pixel Spacing in the Shared Functional Groups, where it stands for whole slide
        images (PS3.3 A.32.8.4).

    Raises
    ------
    InvalidGeometry
        If an attribute is missing, empty or cannot be.
    """
    try:
        (origin,) = dataset.TotalPixelMatrixOriginSequence
        (shared,) = dataset.SharedFunctionalGroupsSequence
        (measures,) = shared.PixelMeasuresSequence
        row_mm, column_mm = map(float, measures.PixelSpacing)
        return PixelMatrix.from_origin(
            (
                float(origin.XOffsetInSlideCoordinateSystem),
                float(origin.YOffsetInSlideCoordinateSystem),
            ),
            Orientation.from_cosines(dataset.ImageOrientationSlide),
            (row_mm, column_mm),
            int(dataset.TotalPixelMatrixColumns),
            int(dataset.TotalPixelMatrixRows),
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise InvalidGeometry(
            "The image does not say where it lies: it lacks Total Pixel Matrix Origin or Size, "
            "Image Orientation (Slide) or Pixel Spacing, or one of them is no number."
        ) from error


def write_matrix(dataset: Dataset, matrix: PixelMatrix) -> Dataset:
    """State where a total pixel matrix lies and how large it is.

    Returns
    -------
    The item of Pixel Measures Sequence with its Pixel Spacing.
    """
    write_origin(dataset, matrix.origin_mm, matrix.orientation)
    dataset.TotalPixelMatrixColumns = matrix.columns
    dataset.TotalPixelMatrixRows = matrix.rows
    dataset.ImagedVolumeWidth = matrix.width_mm
    dataset.ImagedVolumeHeight = matrix.height_mm
    measures = Dataset()
    measures.PixelSpacing = [_decimal(spacing) for spacing in matrix.spacing_mm]
    return measures


def write_origin(dataset: Dataset, origin_mm: Pair, orientation: Orientation) -> None:
    """State the centre of the top left pixel on the slide, and the directions of rows and columns.

    Both are of type 1, also for images of which nothing else is known.
    """
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = map(
        _decimal, origin_mm
    )
    dataset.TotalPixelMatrixOriginSequence = [origin]
    dataset.ImageOrientationSlide = [_decimal(cosine) for cosine in orientation.cosines]


def _decimal(value: float) -> str:
    return format_number_as_ds(float(f"{value:.15g}") + 0.0)  # a zero has no sign
