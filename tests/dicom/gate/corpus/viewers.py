"""Objects that the standard allows and that a viewer cannot take."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID

from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN
from gateway.dicom.gate.reports import COMPREHENSIVE_SR
from tests.dicom.gate.corpus.cases import HELD, PASSED, case, header, setting, together
from tests.dicom.gate.corpus.reports import in_region
from tests.dicom.gate.samples import Sample

JPEG_LS = "1.2.840.10008.1.2.4.80"


def per_frame(dataset: Dataset) -> list[Dataset]:
    """Give each frame functional groups of its own."""
    groups = [Dataset() for _ in range(dataset.NumberOfFrames)]
    dataset.PerFrameFunctionalGroupsSequence = groups
    return groups


@case("image", PASSED, "VIEW-SPACING")
def spacing_of_each_frame(sample: Sample) -> bytes:
    def change(dataset: Dataset) -> None:
        shared = dataset.SharedFunctionalGroupsSequence[0]
        for group in per_frame(dataset):
            group.PixelMeasuresSequence = copy.deepcopy(shared.PixelMeasuresSequence)
        del shared.PixelMeasuresSequence

    return sample.changed(change).encoded()


def with_places(dataset: Dataset) -> None:
    """Give each frame a place of its own."""
    dataset.DimensionOrganizationType = "TILED_SPARSE"
    (organization,) = dataset.DimensionOrganizationSequence
    index = Dataset()
    index.DimensionOrganizationUID = organization.DimensionOrganizationUID
    index.DimensionIndexPointer = 0x0048021E
    index.FunctionalGroupPointer = 0x0048021A
    dataset.DimensionIndexSequence = [index]
    for number, group in enumerate(per_frame(dataset), 1):
        content, place = Dataset(), Dataset()
        content.DimensionIndexValues = number
        place.XOffsetInSlideCoordinateSystem = place.YOffsetInSlideCoordinateSystem = 1
        place.ZOffsetInSlideCoordinateSystem = 0
        place.ColumnPositionInTotalImagePixelMatrix = number
        place.RowPositionInTotalImagePixelMatrix = 1
        group.FrameContentSequence, group.PlanePositionSlideSequence = [content], [place]


def without_the_last_place(dataset: Dataset) -> None:
    del dataset.PerFrameFunctionalGroupsSequence[-1]


header("image", PASSED, "VIEW-SPARSE", "tiles that say where they are", with_places)
header(
    "image",
    HELD,
    "WSI-GROUPS",
    "a tile without a place",
    together(with_places, without_the_last_place),
)


header(
    "image",
    PASSED,
    "VIEW-CONCATENATION",
    "a part",
    together(
        setting("ConcatenationUID", UID("2.25.900")),
        setting("InConcatenationNumber", 1),
        setting("ConcatenationFrameOffsetNumber", 0),
        setting("SOPInstanceUIDOfConcatenationSource", UID("2.25.901")),
    ),
)
header(
    "image",
    HELD,
    "WSI-TYPE1C",
    "a part of nothing",
    together(setting("ConcatenationUID", UID("2.25.900")), setting("InConcatenationNumber", 1)),
)


@case("THUMBNAIL", PASSED, "VIEW-BITS")
def colours_of_16_bits(sample: Sample) -> bytes:
    dataset = sample.dataset
    deep = together(
        setting("BitsAllocated", 16),
        setting("BitsStored", 16),
        setting("HighBit", 15),
        setting("PhotometricInterpretation", "RGB"),
    )
    pixels = np.zeros((dataset.Rows, dataset.Columns, 3), "<u2").tobytes()
    changed = sample.changed(deep)
    return replace(changed, frames=(pixels,), transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN).encoded()


def doubled(sample: Sample, keyword: str, value: int) -> bytes:
    """Return an image of one frame with the same frame again."""
    twice = sample.changed(together(setting("NumberOfFrames", 2), setting(keyword, value)))
    return replace(twice, frames=sample.frames * 2).encoded()


@case("VOLUME 2", PASSED, "VIEW-FOCAL-PLANES")
def two_focal_planes(sample: Sample) -> bytes:
    return doubled(sample, "TotalPixelMatrixFocalPlanes", 2)


@case("OVERVIEW", PASSED, "VIEW-SINGLE-FRAME")
def an_overview_of_two_tiles(sample: Sample) -> bytes:
    return doubled(sample, "TotalPixelMatrixRows", 2 * sample.dataset.Rows)


@case("image", PASSED, "VIEW-SYNTAX")
def jpeg_ls(sample: Sample) -> bytes:
    return replace(sample, transfer_syntax=JPEG_LS).encoded()


def rectangle(dataset: Dataset) -> None:
    group = dataset.AnnotationGroupSequence[1]
    group.GraphicType, group.NumberOfAnnotations = "RECTANGLE", 1
    group.PointCoordinatesData = np.array([1, 1, 9, 1, 9, 5, 1, 5], "<f4").tobytes()


header("annotations", PASSED, "VIEW-SHAPE", "rectangle", rectangle)


def text_instead_of_a_shape(item: Dataset) -> None:
    item.ValueType, item.TextValue = "TEXT", "somewhere"
    del item.GraphicType, item.GraphicData, item.ReferencedFrameOfReferenceUID


header(
    "report",
    PASSED,
    "VIEW-SR-CLASS",
    "without a third dimension",
    together(in_region(text_instead_of_a_shape), setting("SOPClassUID", UID(COMPREHENSIVE_SR))),
)
