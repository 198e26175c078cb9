"""Where a total pixel matrix lies, in headers."""

import pytest
from pydicom.dataset import Dataset

from gateway.core.errors import InvalidGeometry
from gateway.core.geometry import PixelMatrix, View
from gateway.dicom.geometry import read_matrix, write_matrix


def stated(matrix: PixelMatrix) -> Dataset:
    dataset = Dataset()
    shared = Dataset()
    shared.PixelMeasuresSequence = [write_matrix(dataset, matrix)]
    dataset.SharedFunctionalGroupsSequence = [shared]
    return dataset


@pytest.mark.req("REQ-WSI-17", "REQ-WSI-18", "REQ-WSI-19")
@pytest.mark.parametrize("view", View)
def test_what_is_written_is_read(view: View) -> None:
    matrix = PixelMatrix((7 / 3, 100 / 7), view.value, 22 / 7, 1 / 3, 123_457, 7_001)
    dataset = stated(matrix)
    found = read_matrix(dataset)
    assert found.orientation == matrix.orientation
    assert (found.columns, found.rows) == (matrix.columns, matrix.rows)
    assert found.corner_mm == pytest.approx(matrix.corner_mm, rel=0, abs=1e-9)
    assert found.width_mm == pytest.approx(matrix.width_mm, rel=1e-8)
    row_mm, column_mm = map(
        float, dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    )
    assert row_mm == pytest.approx(1 / 3 / 7_001)
    assert column_mm == pytest.approx(22 / 7 / 123_457)
    assert dataset.ImagedVolumeWidth == 22 / 7
    assert dataset.ImagedVolumeHeight == 1 / 3


@pytest.mark.parametrize(
    "keyword",
    [
        "TotalPixelMatrixOriginSequence",
        "ImageOrientationSlide",
        "SharedFunctionalGroupsSequence",
        "TotalPixelMatrixRows",
    ],
)
def test_a_header_that_does_not_say_it_is_told(keyword: str) -> None:
    dataset = stated(PixelMatrix((0, 0), View.LABEL_LEFT.value, 1, 1, 10, 10))
    delattr(dataset, keyword)
    with pytest.raises(InvalidGeometry):
        read_matrix(dataset)


def test_an_empty_or_impossible_spacing_is_told() -> None:
    for spacing in (None, [], ["0.1"], [0, 1]):
        dataset = stated(PixelMatrix((0, 0), View.LABEL_LEFT.value, 1, 1, 10, 10))
        measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        measures.PixelSpacing = spacing
        with pytest.raises(InvalidGeometry):
            read_matrix(dataset)
