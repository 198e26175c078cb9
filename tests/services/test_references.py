"""What annotations and reports refer to is looked up when they come in."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from conformance.bench.objects import annotations_of, report_of
from gateway.bootstrap import Services
from gateway.core.errors import Conflict, Nonconformant
from tests.services.test_receive import blobs, changed, services, written

__all__ = ["services"]

pytestmark = pytest.mark.req("REQ-STOW-09")


def found_of(services: Services, dataset: Dataset) -> set[str]:
    """Store an object; return the rules that found something of its references."""
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SeriesInstanceUID = generate_uid()
    received = services.receive.receive([[written(dataset)]])
    assert received.verdict is not None
    rules = {one.rule for one in received.verdict.findings if one.rule.startswith("STUDY-")}
    assert (received.warning == 0xB007) is bool(rules)
    return rules


def points_at(values: list[float]) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        group = dataset.AnnotationGroupSequence[1]
        group.PointCoordinatesData = np.array(values, "<f4").tobytes()

    return change


def region_at(x_mm: float, y_mm: float) -> Callable[[Dataset], None]:
    """Return a change that moves the region of a report."""

    def change(dataset: Dataset) -> None:
        for region in regions_of(dataset):
            points = np.array([[x_mm, y_mm, 0], [x_mm, y_mm + 0.01, 0], [x_mm + 0.01, y_mm, 0]])
            region.GraphicData = [*points.ravel().tolist(), *points[0].tolist()]

    return change


def regions_of(dataset: Dataset) -> list[Dataset]:
    found = [dataset] if dataset.get("ValueType") == "SCOORD3D" else []
    for content in dataset.get("ContentSequence", []):
        found += regions_of(content)
    return found


def in_depth(dataset: Dataset) -> None:
    """Make annotations in 2D ones in 3D."""
    dataset.AnnotationCoordinateType = "3D"
    dataset.PositionReferenceIndicator = "SLIDE_CORNER"
    dataset.pop("PixelOriginInterpretation", None)
    for group in dataset.AnnotationGroupSequence:
        group.CommonZCoordinateValue = 0.0
        group.AnnotationAppliesToAllZPlanes = "YES"


def elsewhere(dataset: Dataset) -> None:
    dataset.FrameOfReferenceUID = generate_uid()
    for region in regions_of(dataset):
        region.ReferencedFrameOfReferenceUID = generate_uid()


def both(*changes: Callable[[Dataset], None]) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        for one in changes:
            one(dataset)

    return change


def inside(services: Services, volume: bytes) -> Callable[[Dataset], None]:
    origin = dcmread(BytesIO(volume), stop_before_pixels=True).TotalPixelMatrixOriginSequence[0]
    x_mm = float(origin.XOffsetInSlideCoordinateSystem)
    y_mm = float(origin.YOffsetInSlideCoordinateSystem)
    return region_at(x_mm - 0.1, y_mm - 0.1)


@pytest.mark.parametrize(
    ("make", "change", "rules"),
    [
        (annotations_of, lambda _: None, set()),
        (annotations_of, points_at([1504, 1104, 0, 0, 3, 4]), set()),
        (annotations_of, points_at([1507, 4, 0, 0, 3, 4]), {"STUDY-COORDINATES"}),
        (annotations_of, points_at([-9, 4, 0, 0, 3, 4]), {"STUDY-COORDINATES"}),
        (annotations_of, elsewhere, {"STUDY-FRAME"}),
        (annotations_of, in_depth, {"STUDY-COORDINATES"}),
        (report_of, region_at(500, 500), {"STUDY-COORDINATES"}),
        (report_of, elsewhere, {"STUDY-FRAME"}),
    ],
)
def test_what_is_drawn_beside_its_image_is_told(
    make: Callable[[Dataset], Dataset],
    change: Callable[[Dataset], None],
    rules: set[str],
    volume: bytes,
    services: Services,
) -> None:
    services.receive.receive([[volume]])
    image = dcmread(BytesIO(volume), stop_before_pixels=True)
    dataset = make(image)
    if change is in_depth:
        dataset.FrameOfReferenceUID = image.FrameOfReferenceUID
    change(dataset)
    assert found_of(services, dataset) == rules


def test_a_region_of_a_report_that_lies_in_the_image_is_no_fault(
    volume: bytes, services: Services
) -> None:
    services.receive.receive([[volume]])
    dataset = report_of(dcmread(BytesIO(volume), stop_before_pixels=True))
    inside(services, volume)(dataset)
    assert found_of(services, dataset) == set()


@pytest.mark.parametrize("make", [annotations_of, report_of])
def test_an_image_that_has_not_come_yet_is_no_fault(
    make: Callable[[Dataset], Dataset], volume: bytes, services: Services
) -> None:
    dataset = make(dcmread(BytesIO(volume), stop_before_pixels=True))
    assert found_of(services, dataset) == {"STUDY-ELSEWHERE"}


@pytest.mark.parametrize("make", [annotations_of, report_of])
def test_an_image_of_another_study_is_told(
    make: Callable[[Dataset], Dataset], volume: bytes, services: Services
) -> None:
    dataset = make(dcmread(BytesIO(volume), stop_before_pixels=True))
    services.receive.receive([[changed(volume, StudyInstanceUID=generate_uid())]])
    inside(services, volume)(dataset)
    assert found_of(services, dataset) == {"STUDY-REFERENCE"}


@pytest.mark.parametrize("make", [annotations_of, report_of])
def test_an_image_of_another_patient_is_refused(
    make: Callable[[Dataset], Dataset], volume: bytes, services: Services, tmp_path: Path
) -> None:
    dataset = make(dcmread(BytesIO(changed(volume, PatientID="2")), stop_before_pixels=True))
    other = changed(volume, StudyInstanceUID=generate_uid(), PatientID="1")
    services.receive.receive([[other]])
    before = blobs(services, tmp_path)
    with pytest.raises(Conflict, match="another patient"):
        found_of(services, dataset)
    assert blobs(services, tmp_path) == before


def test_no_number_of_references_hides_that_of_another_patient(
    volume: bytes, services: Services
) -> None:
    other = dcmread(BytesIO(changed(volume, StudyInstanceUID=generate_uid(), PatientID="1")))
    services.receive.receive([[written(other)]])
    ours = dcmread(BytesIO(changed(volume, PatientID="2", SOPInstanceUID=generate_uid())))
    dataset = annotations_of(ours)
    listed = dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    for uid in [*(generate_uid() for _ in range(200)), other.SOPInstanceUID]:
        listed.append(Dataset())
        listed[-1].ReferencedSOPClassUID = other.SOPClassUID
        listed[-1].ReferencedSOPInstanceUID = uid
    with pytest.raises(Conflict, match="another patient"):
        found_of(services, dataset)


def test_shapes_in_an_unknown_space_are_refused(
    volume: bytes, services: Services, tmp_path: Path
) -> None:
    services.receive.receive([[volume]])
    before = blobs(services, tmp_path)
    dataset = annotations_of(dcmread(BytesIO(volume), stop_before_pixels=True))
    both(in_depth, elsewhere)(dataset)
    with pytest.raises(Nonconformant, match="nobody can say where the shapes lie"):
        found_of(services, dataset)
    assert blobs(services, tmp_path) == before
