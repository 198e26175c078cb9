"""Conditions of the standard (types 1C and 2C) that can be decided from the object itself.

The one thing about modules that no library ships in a form that runs. A condition that is not
here cannot be decided, and its attribute is not demanded.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from gateway.dicom.gate.items import Item

Condition = Callable[[Item], bool | None]
"""Whether an attribute is required in an item; None is not known."""


def condition_of(sequence: str, keyword: str) -> Condition | None:
    """Return the condition of an attribute, or None if there is none to decide.

    Parameters
    ----------
    sequence
        Keyword of the sequence that it is an item's attribute of; empty for the data set itself.
    """
    return _CONDITIONS.get(sequence, _ANYWHERE).get(keyword)


def _is(keyword: str, *values: str) -> Condition:
    def decide(item: Item) -> bool:
        return item.text(keyword) in values

    return decide


def _is_not(keyword: str, *values: str) -> Condition:
    def decide(item: Item) -> bool:
        return item.text(keyword) not in ("", *values)

    return decide


def _has(keyword: str) -> Condition:
    return lambda item: keyword in item


def _lacks(*keywords: str) -> Condition:
    return lambda item: not any(keyword in item for keyword in keywords)


def flavour(item: Item) -> str:
    """Image Type, value 3, of the image that an item is of."""
    values = item.root.texts("ImageType")
    return values[2] if len(values) > 2 else ""


def _measured(item: Item) -> bool:
    """Of an image of the specimen, which has a scale (PS3.3 C.8.12.4, A.32.8.4)."""
    return flavour(item) in ("VOLUME", "THUMBNAIL")


def colour(item: Item) -> bool:
    """Whether the pixels are colours."""
    return not item.root.text("PhotometricInterpretation").startswith("MONOCHROME")


def _grey(item: Item) -> bool:
    return not colour(item)


def _tiled_full(item: Item) -> bool:
    return item.text("DimensionOrganizationType") == "TILED_FULL"


def _not_tiled_full(item: Item) -> bool:
    return item.text("DimensionOrganizationType") != "TILED_FULL"


def _several_samples(item: Item) -> bool | None:
    samples = item.number("SamplesPerPixel")
    return None if math.isnan(samples) else samples > 1


def _indexed(item: Item) -> bool:
    return "DimensionIndexSequence" in item.root


def _of_type(*value_types: str) -> Condition:
    """Of a content item of certain types (PS3.3 C.17.3.2.5, 10.2)."""
    return _is("ValueType", *value_types)


_NAMED = frozenset({"TEXT", "NUM", "CODE", "DATETIME", "DATE", "TIME", "PNAME", "UIDREF"})


def _named(item: Item) -> bool:
    """PS3.3 C.17.3.2: all content items but those whose name their relationship gives."""
    if item.place == "" or "RelationshipType" not in item:
        return True
    return item.text("ValueType") in _NAMED


_CONTENT: dict[str, Condition] = {
    "TextValue": _of_type("TEXT"),
    "DateTime": _of_type("DATETIME"),
    "Date": _of_type("DATE"),
    "Time": _of_type("TIME"),
    "PersonName": _of_type("PNAME"),
    "UID": _of_type("UIDREF"),
    "ConceptCodeSequence": _of_type("CODE"),
}
"""Values of content items (PS3.3 C.17.3.2, 10.2)."""

_REPORT: dict[str, Condition] = {
    **_CONTENT,
    "ConceptNameCodeSequence": _named,
    "ContinuityOfContent": _of_type("CONTAINER"),
    "MeasuredValueSequence": _of_type("NUM"),
    "ReferencedSOPSequence": _of_type("IMAGE", "COMPOSITE", "WAVEFORM"),
    "GraphicType": _of_type("SCOORD", "SCOORD3D"),
    "GraphicData": _of_type("SCOORD", "SCOORD3D"),
    "ReferencedFrameOfReferenceUID": _of_type("SCOORD3D"),
    "TemporalRangeType": _of_type("TCOORD"),
    "TabulatedValuesSequence": _of_type("TABLE"),
    "ValueType": lambda item: "ReferencedContentItemIdentifier" not in item,
}

_CONTEXT = {**_CONTENT, "NumericValue": _of_type("NUMERIC")}
_CONTENT_ITEMS = (
    "AcquisitionContextSequence",
    "SpecimenPreparationStepContentItemSequence",
    "SpecimenLocalizationContentItemSequence",
    "ContentItemModifierSequence",
    "ProtocolContextSequence",
)

_OBSERVER: dict[str, Condition] = {
    "PersonName": _is("ObserverType", "PSN"),
    "PersonIdentificationCodeSequence": _is("ObserverType", "PSN"),
    "Manufacturer": _is("ObserverType", "DEV"),
    "ManufacturerModelName": _is("ObserverType", "DEV"),
    "StationName": _is("ObserverType", "DEV"),
    "DeviceUID": _is("ObserverType", "DEV"),
}
"""Identified Person or Device Macro (PS3.3 C.17.2)."""

_CONDITIONS: dict[str, dict[str, Condition]] = {
    "": {
        **_REPORT,
        # PS3.3 C.7.6.3, C.8.12.4
        "PlanarConfiguration": _several_samples,
        "RescaleIntercept": _grey,
        "RescaleSlope": _grey,
        "PresentationLUTShape": _grey,
        "LossyImageCompressionRatio": _is("LossyImageCompression", "01"),
        "LossyImageCompressionMethod": _is("LossyImageCompression", "01"),
        "ImagedVolumeWidth": _measured,
        "ImagedVolumeHeight": _measured,
        "ImagedVolumeDepth": _measured,
        "NumberOfFocalPlanes": _is("ExtendedDepthOfField", "YES"),
        "DistanceBetweenFocalPlanes": _is("ExtendedDepthOfField", "YES"),
        "ExtendedOffsetTableLengths": _has("ExtendedOffsetTable"),
        # PS3.3 C.8.12.14, C.8.12.5
        "ImageOrientationSlide": lambda item: _tiled_full(item) or _measured(item),
        "TotalPixelMatrixFocalPlanes": _tiled_full,
        "NumberOfOpticalPaths": _tiled_full,
        # PS3.3 C.7.6.16, C.7.6.17
        "PerFrameFunctionalGroupsSequence": _not_tiled_full,
        "DimensionIndexSequence": _not_tiled_full,
        "InConcatenationNumber": _has("ConcatenationUID"),
        "ConcatenationFrameOffsetNumber": _has("ConcatenationUID"),
        "SOPInstanceUIDOfConcatenationSource": _has("ConcatenationUID"),
        "ConcatenationUID": _has("InConcatenationNumber"),
        # PS3.3 C.37.1.2
        "ReferencedImageSequence": _is("AnnotationCoordinateType", "2D"),
        "PixelOriginInterpretation": _is("AnnotationCoordinateType", "2D"),
        # PS3.3 C.12.2: of what is referred to, here or in other studies
        "ReferencedSeriesSequence": lambda item: (
            "AnnotationCoordinateType" in item
            and "ReferencedImageSequence" in item
            and "StudiesContainingOtherReferencedInstancesSequence" not in item
        ),
        # PS3.3 C.17.2
        "VerifyingObserverSequence": _is("VerificationFlag", "VERIFIED"),
    },
    "PixelMeasuresSequence": {"PixelSpacing": _measured, "SliceThickness": _measured},
    "FrameContentSequence": {"DimensionIndexValues": _indexed},
    "OpticalPathSequence": {
        "ICCProfile": colour,
        "IlluminationColorCodeSequence": _lacks("IlluminationWaveLength"),
        "IlluminationWaveLength": _lacks("IlluminationColorCodeSequence"),
    },
    "AnnotationGroupSequence": {
        "AnnotationGroupAlgorithmIdentificationSequence": _is_not(
            "AnnotationGroupGenerationType", "MANUAL"
        ),
        "ReferencedOpticalPathIdentifier": _is("AnnotationAppliesToAllOpticalPaths", "NO"),
        "LongPrimitivePointIndexList": _is("GraphicType", "POLYLINE", "POLYGON"),
        "PointCoordinatesData": _lacks("DoublePointCoordinatesData"),
        "AnnotationAppliesToAllZPlanes": lambda item: (
            item.root.text("AnnotationCoordinateType") == "3D"
        ),
    },
    "AuthorObserverSequence": _OBSERVER,
    "ParticipantSequence": _OBSERVER,
    "ContentSequence": _REPORT,
    **{keyword: _CONTEXT for keyword in _CONTENT_ITEMS},
}

_ISSUER: dict[str, Condition] = {
    "UniversalEntityIDType": _has("UniversalEntityID"),
    "LocalNamespaceEntityID": _lacks("UniversalEntityID"),
}
"""HL7v2 Hierarchic Designator Macro (PS3.3 10.14)."""

_PERSON: dict[str, Condition] = {"InstitutionName": _lacks("InstitutionCodeSequence")}
"""Person Identification Macro (PS3.3 10.1)."""

_ANYWHERE = {**_ISSUER, **_PERSON}
"""In all other sequences: these macros are included in many."""
