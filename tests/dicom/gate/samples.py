"""Objects that pass the gate, to be broken: images of a converted slide, annotations, a report."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

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
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import UID

from gateway.core.frames import FrameTable
from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN
from gateway.dicom.attributes import vr_of
from gateway.dicom.gate import Finding, Verdict
from gateway.dicom.gate.streams import examine_part10
from gateway.dicom.part10 import Part10, encode_header
from gateway.dicom.reader import read_part10

NUCLEUS = CodedConcept("84640000", "SCT", "Nucleus")


@dataclass(frozen=True)
class Sample:
    """An object before it is a stream."""

    dataset: Dataset
    frames: tuple[bytes, ...]
    transfer_syntax: str

    def changed(self, change: Callable[[Dataset], object]) -> Sample:
        """Return a copy after a change of its data set."""
        dataset = copy.deepcopy(self.dataset)
        change(dataset)
        return replace(self, dataset=dataset)

    def with_frames(self, change: Callable[[bytes], bytes]) -> Sample:
        """Return a copy of which every frame is changed."""
        return replace(self, frames=tuple(map(change, self.frames)))

    def encoded(self) -> bytes:
        """Return the Part 10 stream."""
        dataset = copy.deepcopy(self.dataset)
        header = encode_header(dataset, self.transfer_syntax)
        if not self.frames:
            return header
        lengths = np.array([len(frame) for frame in self.frames], np.int64)
        table = FrameTable(b"", np.cumsum(lengths) - lengths, lengths)
        pixels = b"".join(self.frames)
        layout = Part10(header, table, self.transfer_syntax)
        chunks = layout.chunks(lambda offset, length: pixels[offset : offset + length])
        return b"".join(bytes(part) for chunk in chunks for part in chunk)


def opened(stream: bytes) -> Sample:
    """Take a stream apart."""
    found = read_part10(reader(stream), len(stream))
    frames = found.frames
    numbers = range(1, 1 + len(frames)) if frames else ()
    return Sample(
        dcmread(BytesIO(found.header)),
        tuple(frames.bitstream(number, reader(stream)) for number in numbers) if frames else (),
        found.transfer_syntax,
    )


def reader(stream: bytes) -> Callable[[int, int], bytes]:
    """Return what reads a stream."""
    return lambda offset, length: stream[offset : offset + length]


def judged(stream: bytes) -> Verdict:
    """Examine a stream as it comes."""
    return examine_part10(reader(stream), len(stream))[0]


def rules(findings: Sequence[Finding]) -> set[str]:
    """Return the identifiers of the rules that found something."""
    return {finding.rule for finding in findings}


def put(dataset: Dataset, keyword: str, value: object, vr: str | None = None) -> None:
    """Set an attribute to what pydicom would not let it be."""
    dataset[keyword] = DataElement(keyword, vr or vr_of(keyword), value, validation_mode=0)


def images_of(folder: Path) -> dict[str, Sample]:
    """Return the images of a converted slide: VOLUME 0 is the base, VOLUME 1 the level above."""
    found: dict[str, Sample] = {}
    samples = [opened(path.read_bytes()) for path in folder.glob("*.dcm")]
    for sample in sorted(samples, key=lambda one: int(one.dataset.InstanceNumber)):
        kind = sample.dataset.ImageType[2]
        level = sum(name.startswith(kind) for name in found)
        found[f"VOLUME {level}" if kind == "VOLUME" else kind] = sample
    return found


def _points(*points: tuple[float, float]) -> NDArray[np.float64]:
    return np.array(points, np.float64)


def annotations_of(image: Dataset) -> Sample:
    """Return annotations of an image: two polygons with an area each, and three points."""
    triangle = _points((1, 1), (9, 1), (9, 9))
    square = _points((20, 20), (30, 20), (30, 30), (20, 30))
    area = Measurements(codes.SCT.Area, np.array([32.0, 100.0]), codes.UCUM.SquareMicrometer)
    groups = [
        _group(1, GraphicTypeValues.POLYGON, [triangle, square], [area]),
        _group(2, GraphicTypeValues.POINT, [_points((x, 5)) for x in (3, 4, 5)], []),
    ]
    dataset = MicroscopyBulkSimpleAnnotations(
        source_images=[image],
        annotation_coordinate_type=AnnotationCoordinateTypeValues.SCOORD,
        annotation_groups=groups,
        series_instance_uid=UID("2.25.201"),
        series_number=2,
        sop_instance_uid=UID("2.25.202"),
        instance_number=1,
        manufacturer="Slidegate",
        manufacturer_model_name="tests",
        software_versions="1",
        device_serial_number="1",
        content_description="Nuclei",
    )
    return opened(Sample(dataset, (), EXPLICIT_VR_LITTLE_ENDIAN).encoded())


def _group(
    number: int,
    kind: GraphicTypeValues,
    shapes: list[NDArray[np.float64]],
    measurements: list[Measurements],
) -> AnnotationGroup:
    return AnnotationGroup(
        number=number,
        uid=highdicom.UID(f"2.25.21{number}"),
        label=f"group {number}",
        annotated_property_category=codes.SCT.AnatomicalStructure,
        annotated_property_type=NUCLEUS,
        graphic_type=kind,
        graphic_data=shapes,
        algorithm_type=AnnotationGroupGenerationTypeValues.MANUAL,
        measurements=measurements,
    )


def report_of(image: Dataset) -> Sample:
    """Return a verified report of one measured region of an image."""
    corners = np.array([[1.0, 1, 0], [2, 1, 0], [2, 2, 0], [1, 1, 0]])
    region = ImageRegion3D(
        GraphicTypeValues3D.POLYGON, corners, UID(str(image.FrameOfReferenceUID))
    )
    group = PlanarROIMeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(UID("2.25.301"), "region 1"),
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
    dataset = Comprehensive3DSR(
        evidence=[image],
        content=content,
        series_number=3,
        series_instance_uid="2.25.302",
        sop_instance_uid="2.25.303",
        instance_number=1,
        manufacturer="Slidegate",
        is_complete=True,
        is_verified=True,
        verifying_observer_name="Reader^First",
        verifying_organization="Laboratory",
    )
    return opened(Sample(dataset, (), EXPLICIT_VR_LITTLE_ENDIAN).encoded())
