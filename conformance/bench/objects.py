"""Annotations and reports of an image, as highdicom makes them."""

from __future__ import annotations

from collections.abc import Sequence

import highdicom
import numpy as np
from highdicom.ann import (
    AnnotationCoordinateTypeValues,
    AnnotationGroup,
    AnnotationGroupGenerationTypeValues,
    GraphicTypeValues,
    Measurements,
    MicroscopyBulkSimpleAnnotations,
)
from highdicom.sr import (
    CodedConcept,
    Comprehensive3DSR,
    GraphicTypeValues3D,
    ImageRegion3D,
    Measurement,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    TrackingIdentifier,
)
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID

from gateway.core.instances import derive_uid

NUCLEUS = CodedConcept("84640000", "SCT", "Nucleus")


Points = NDArray[np.float32]


def _points(*points: tuple[float, float]) -> Points:
    return np.array(points, np.float32)


def _area(polygon: Points) -> float:
    x, y = polygon.T.astype(float)
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


TRIANGLE = _points((1, 1), (9, 1), (9, 9))
SQUARE = _points((20, 20), (30, 20), (30, 30), (20, 30))


def annotations_of(
    image: Dataset, polygons: Sequence[Points] = (TRIANGLE, SQUARE), *, name: str = "annotations"
) -> Dataset:
    """Return annotations of an image: polygons with an area each, and three points.

    Parameters
    ----------
    polygons
        Corners, (n, 2) float32, in pixels of the total pixel matrix from its top left corner.
    name
        Decides the UIDs.
    """
    areas = np.array([_area(polygon) for polygon in polygons])
    area = Measurements(codes.SCT.Area, areas, codes.UCUM.SquareMicrometer)
    groups = [
        _group(name, 1, GraphicTypeValues.POLYGON, list(polygons), [area]),
        _group(name, 2, GraphicTypeValues.POINT, [_points((x, 5)) for x in (3, 4, 5)], []),
    ]
    return MicroscopyBulkSimpleAnnotations(
        source_images=[image],
        annotation_coordinate_type=AnnotationCoordinateTypeValues.SCOORD,
        annotation_groups=groups,
        series_instance_uid=UID(derive_uid("bench", f"{name} series")),
        series_number=2,
        sop_instance_uid=UID(derive_uid("bench", name)),
        instance_number=1,
        manufacturer="Slidegate",
        manufacturer_model_name="tests",
        software_versions="1",
        device_serial_number="1",
        content_description="Nuclei",
    )


def _group(
    name: str,
    number: int,
    kind: GraphicTypeValues,
    shapes: list[Points],
    measurements: list[Measurements],
) -> AnnotationGroup:
    return AnnotationGroup(
        number=number,
        uid=highdicom.UID(derive_uid("bench", f"{name} group", number)),
        label=f"group {number}",
        annotated_property_category=codes.SCT.AnatomicalStructure,
        annotated_property_type=NUCLEUS,
        graphic_type=kind,
        graphic_data=shapes,
        algorithm_type=AnnotationGroupGenerationTypeValues.MANUAL,
        measurements=measurements or None,
    )


def report_of(image: Dataset) -> Dataset:
    """Return a verified report of one measured region of an image."""
    corners = np.array([[1.0, 1, 0], [2, 1, 0], [2, 2, 0], [1, 1, 0]])
    region = ImageRegion3D(
        GraphicTypeValues3D.POLYGON, corners, UID(str(image.FrameOfReferenceUID))
    )
    group = PlanarROIMeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(UID(derive_uid("bench", "region")), "region 1"),
        referenced_region=region,
        finding_type=NUCLEUS,
        measurements=[Measurement(codes.SCT.Area, 0.5, codes.UCUM.SquareMillimeter)],
    )
    observer = ObserverContext(
        codes.DCM.Person, PersonObserverIdentifyingAttributes("Reader^First")
    )
    content = MeasurementReport(
        ObservationContext(observer_person_context=observer),
        CodedConcept("104157003", "SCT", "Light microscopy procedure"),
        imaging_measurements=[group],
    )
    return Comprehensive3DSR(
        evidence=[image],
        content=content,
        series_number=3,
        series_instance_uid=derive_uid("bench", "report series"),
        sop_instance_uid=derive_uid("bench", "report"),
        instance_number=1,
        manufacturer="Slidegate",
        is_complete=True,
        is_verified=True,
        verifying_observer_name="Reader^First",
        verifying_organization="Laboratory",
    )
