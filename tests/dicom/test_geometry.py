"""Where a total pixel matrix lies, in headers."""

import numpy as np
import pydicom
import pytest
from highdicom.spatial import ImageToReferenceTransformer
from pydicom.dataset import Dataset

from gateway.core.errors import InvalidGeometry
from gateway.core.geometry import PixelMatrix, View
from gateway.dicom.geometry import read_matrix, write_matrix
from tests.conftest import SHARED


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


@pytest.mark.req("REQ-WSI-19")
@pytest.mark.parametrize(
    ("name", "view"),
    [
        ("highdicom_sm_image.dcm", View.LABEL_LEFT),
        ("cytomine_wsi_0.dcm", View.LABEL_BOTTOM),
        ("cytomine_wsi_1.dcm", View.LABEL_BOTTOM),
    ],
)
def test_headers_of_others_are_honoured(name: str, view: View) -> None:
    path = SHARED / "dicom_wsi" / name
    if not path.exists():
        pytest.skip("the folder with real DICOM files is not beside the project")
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    matrix = read_matrix(dataset)
    assert matrix.orientation == view.value
    points = np.array([[0.0, 0.0], [matrix.columns, matrix.rows], [3.25, 7.5]])
    transformer = ImageToReferenceTransformer.for_image(dataset, for_total_pixel_matrix=True)
    assert np.allclose(matrix.to_slide(points), transformer(points)[:, :2], rtol=0, atol=1e-9)


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
