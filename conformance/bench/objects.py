"""Annotations and reports of an image, as highdicom makes them."""

from __future__ import annotations

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


def _points(*points: tuple[float, float]) -> NDArray[np.float32]:
    return np.array(points, np.float32)


def annotations_of(image: Dataset) -> Dataset:
    """Return annotations of an image: two polygons with an area each, and three points."""
    triangle = _points((1, 1), (9, 1), (9, 9))
    square = _points((20, 20), (30, 20), (30, 30), (20, 30))
    area = Measurements(codes.SCT.Area, np.array([32.0, 100.0]), codes.UCUM.SquareMicrometer)
    groups = [
        _group(1, GraphicTypeValues.POLYGON, [triangle, square], [area]),
        _group(2, GraphicTypeValues.POINT, [_points((x, 5)) for x in (3, 4, 5)], []),
    ]
    return MicroscopyBulkSimpleAnnotations(
        source_images=[image],
        annotation_coordinate_type=AnnotationCoordinateTypeValues.SCOORD,
        annotation_groups=groups,
        series_instance_uid=UID(derive_uid("bench", "annotation series")),
        series_number=2,
        sop_instance_uid=UID(derive_uid("bench", "annotations")),
        instance_number=1,
        manufacturer="Slidegate",
        manufacturer_model_name="tests",
        software_versions="1",
        device_serial_number="1",
        content_description="Nuclei",
    )


def _group(
    number: int,
    kind: GraphicTypeValues,
    shapes: list[NDArray[np.float32]],
    measurements: list[Measurements],
) -> AnnotationGroup:
    return AnnotationGroup(
        number=number,
        uid=highdicom.UID(derive_uid("bench", "group", number)),
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
