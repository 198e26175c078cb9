"""Small objects that the suite stores: a slide of two levels and its annotations.

They are the same on every machine and at every run, so that storing them again changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import cache
from io import BytesIO

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, RLELossless
from pydicom.valuerep import PersonName

from conformance.suite.site import ANNOTATIONS, WSI
from gateway.dicom.images.icc import srgb_profile

TILE = 32
"""Columns and rows of a frame."""
_SPACING_MM = 0.0005
_STAMP = "20260102030405"
PRIVATE = b"\x00\x01\xfe\xff private"
"""A private value of which nobody knows the VR."""


def uid(*parts: object) -> str:
    """Return the UID of something that the suite makes: the same for the same parts."""
    text = "\x1f".join(map(str, ("slidegate conformance suite", 1, *parts)))
    digest = hashlib.sha256(text.encode()).digest()
    bits = int.from_bytes(digest[:16]) & ~(0xF << 76 | 0x3 << 62)
    return f"2.25.{bits | 8 << 76 | 2 << 62}"


STUDY = uid("study")


def level(columns: int = 80, rows: int = 90, *, name: str = "base", study: str = STUDY) -> Dataset:
    """Return a level of a slide, native RGB in frames of 32 x 32.

    Parameters
    ----------
    columns, rows
        Of the total pixel matrix.
    name
        Distinguishes instances of one study.
    """
    dataset = _common(study, "slide", "SM", WSI, name)
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = 1 if name == "base" else 2
    dataset.ImageType = ["DERIVED", "PRIMARY", "VOLUME", "NONE" if name == "base" else "RESAMPLED"]
    dataset.SeriesDescription = "Synthetic slide"
    dataset.FrameOfReferenceUID = uid(study, "frame of reference")
    dataset.PositionReferenceIndicator = "SLIDE_CORNER"
    _acquisition(dataset, study)
    _matrix(dataset, columns, rows)
    _groups(dataset, 80 / columns)
    dataset.add_new(0x00990010, "LO", "SLIDEGATE SUITE")
    dataset.add_new(0x00991001, "UN", PRIVATE)
    dataset.PixelData = _pixels(dataset).tobytes()
    return dataset


def compressed(dataset: Dataset) -> Dataset:
    """Return the same with its frames in RLE, which needs no codec."""
    dataset.compress(RLELossless, generate_instance_uid=False)
    return dataset


def nuclei(*, name: str = "annotations", study: str = STUDY, shift: float = 0) -> Dataset:
    """Return annotations of the base level: groups of polygons, points and a line.

    Parameters
    ----------
    shift
        Pixels by which the coordinates differ from the usual ones.
    """
    image = level(study=study)
    dataset = _common(study, "annotations", "ANN", ANNOTATIONS, name)
    dataset.SeriesNumber = 2
    dataset.InstanceNumber = 1
    dataset.ContentLabel = "SUITE"
    dataset.ContentDescription = "Synthetic"
    dataset.ContentCreatorName = "Suite^Conformance"
    dataset.AnnotationCoordinateType = "2D"
    dataset.PixelOriginInterpretation = "VOLUME"
    reference = _item(
        ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID
    )
    dataset.ReferencedImageSequence = Sequence([reference])
    dataset.ReferencedSeriesSequence = Sequence(
        [
            _item(
                SeriesInstanceUID=image.SeriesInstanceUID,
                ReferencedInstanceSequence=Sequence([reference]),
            )
        ]
    )
    triangles = [(4, 4), (20, 4), (20, 20), (40, 40), (60, 40), (60, 64), (40, 64)]
    dataset.AnnotationGroupSequence = Sequence(
        [
            _group(1, "POLYGON", triangles, shift, study, starts=(1, 7)),
            _group(2, "POINT", [(5, 6), (7, 8), (9, 10.5)], shift, study),
            _group(3, "POLYLINE", [(10, 10), (30, 10), (30, 20)], shift, study, starts=(1,)),
        ]
    )
    return dataset


@cache
def encoded(kind: str) -> bytes:
    """Return one of the objects as a Part 10 file: base, small, annotations."""
    made: dict[str, Callable[[], Dataset]] = {
        "base": level,
        "small": lambda: compressed(level(40, 45, name="small")),
        "annotations": nuclei,
    }
    return part10(made[kind]())


def part10(dataset: Dataset) -> bytes:
    """Return a data set as a Part 10 file."""
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _common(study: str, series: str, modality: str, sop_class: str, name: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = uid(study, series, name)
    dataset.StudyInstanceUID = study
    dataset.SeriesInstanceUID = uid(study, series)
    dataset.Modality = modality
    dataset.PatientName = PersonName("Sühte^Conformance=試験^適合")
    dataset.PatientID = "SLIDEGATE-SUITE"
    dataset.PatientBirthDate = "19000101"
    dataset.PatientSex = "O"
    dataset.StudyID = "SUITE"
    dataset.AccessionNumber = f"S{study[-8:]}"
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = "Synthetic objects of the conformance suite"
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = _STAMP[:8]
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = _STAMP[8:]
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = _STAMP[:8], _STAMP[8:]
    dataset.Manufacturer = "Slidegate"
    dataset.ManufacturerModelName = "conformance suite"
    dataset.DeviceSerialNumber = "1"
    dataset.SoftwareVersions = "1"
    return dataset


def _acquisition(dataset: Dataset, study: str) -> None:
    dataset.AcquisitionDateTime = _STAMP
    dataset.AcquisitionContextSequence = Sequence()
    dataset.AcquisitionUID = uid(study, "acquisition")
    dataset.VolumetricProperties = "VOLUME"
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    dataset.FocusMethod = "AUTO"
    dataset.ExtendedDepthOfField = "NO"
    dataset.SpecimenLabelInImage = "NO"
    dataset.ContainerIdentifier = "SUITE-1"
    dataset.IssuerOfTheContainerIdentifierSequence = Sequence()
    dataset.ContainerTypeCodeSequence = Sequence([_code("433466003", "SCT", "Microscope slide")])
    dataset.SpecimenDescriptionSequence = Sequence(
        [
            _item(
                SpecimenIdentifier="SUITE-1-A",
                IssuerOfTheSpecimenIdentifierSequence=Sequence(),
                SpecimenUID=uid(study, "specimen"),
                SpecimenPreparationSequence=Sequence(),
                SpecimenTypeCodeSequence=Sequence([_code("119376003", "SCT", "Tissue specimen")]),
            )
        ]
    )


def _matrix(dataset: Dataset, columns: int, rows: int) -> None:
    dataset.SamplesPerPixel = 3
    dataset.PhotometricInterpretation = "RGB"
    dataset.PlanarConfiguration = 0
    dataset.Rows = dataset.Columns = TILE
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    dataset.NumberOfFrames = -(-columns // TILE) * -(-rows // TILE)
    dataset.TotalPixelMatrixColumns = columns
    dataset.TotalPixelMatrixRows = rows
    dataset.TotalPixelMatrixFocalPlanes = 1
    dataset.NumberOfOpticalPaths = 1
    dataset.ImagedVolumeWidth = 80 * _SPACING_MM
    dataset.ImagedVolumeHeight = 90 * _SPACING_MM
    dataset.ImagedVolumeDepth = 1.0
    dataset.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    dataset.TotalPixelMatrixOriginSequence = Sequence(
        [_item(XOffsetInSlideCoordinateSystem=20.0, YOffsetInSlideCoordinateSystem=40.0)]
    )
    dimension = uid("dimension organization")
    dataset.DimensionOrganizationSequence = Sequence([_item(DimensionOrganizationUID=dimension)])
    dataset.DimensionOrganizationType = "TILED_FULL"


def _groups(dataset: Dataset, factor: float) -> None:
    spacing = f"{_SPACING_MM * factor:.8f}"
    dataset.OpticalPathSequence = Sequence(
        [
            _item(
                OpticalPathIdentifier="1",
                IlluminationTypeCodeSequence=Sequence(
                    [_code("111744", "DCM", "Brightfield illumination")]
                ),
                IlluminationColorCodeSequence=Sequence(
                    [_code("414298005", "SCT", "Full Spectrum")]
                ),
                ICCProfile=srgb_profile(),
            )
        ]
    )
    dataset.SharedFunctionalGroupsSequence = Sequence(
        [
            _item(
                PixelMeasuresSequence=Sequence(
                    [_item(PixelSpacing=[spacing, spacing], SliceThickness="1.0")]
                ),
                WholeSlideMicroscopyImageFrameTypeSequence=Sequence(
                    [_item(FrameType=list(dataset.ImageType))]
                ),
                OpticalPathIdentificationSequence=Sequence([_item(OpticalPathIdentifier="1")]),
            )
        ]
    )


def _pixels(dataset: Dataset) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return frames that all differ, so that mistaken ones are found."""
    frames = np.zeros((int(dataset.NumberOfFrames), TILE, TILE, 3), np.uint8)
    for number, frame in enumerate(frames):
        frame[..., 0] = 40 + 20 * number
        frame[..., 1] = np.arange(TILE) * 7
        frame[..., 2] = (np.arange(TILE) * 7)[:, None]
    return frames


def _group(
    number: int,
    kind: str,
    points: Iterable[tuple[float, float]],
    shift: float,
    study: str,
    starts: tuple[int, ...] = (),
) -> Dataset:
    listed = np.array(list(points))
    coordinates = (listed + shift).astype("<f4").tobytes()
    group = _item(
        AnnotationGroupNumber=number,
        AnnotationGroupUID=uid(study, "group", number),
        AnnotationGroupLabel=f"group {number}",
        AnnotationGroupGenerationType="MANUAL",
        AnnotationPropertyCategoryCodeSequence=Sequence(
            [_code("91723000", "SCT", "Anatomical structure")]
        ),
        AnnotationPropertyTypeCodeSequence=Sequence([_code("84640000", "SCT", "Nucleus")]),
        NumberOfAnnotations=len(starts) or len(listed),
        AnnotationAppliesToAllOpticalPaths="YES",
        GraphicType=kind,
        PointCoordinatesData=coordinates,
    )
    if starts:
        group.LongPrimitivePointIndexList = np.array(starts, "<u4").tobytes()
    return group


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    return _item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _item(**attributes: object) -> Dataset:
    item = Dataset()
    for keyword, given in attributes.items():
        setattr(item, keyword, given)
    return item
