"""The attributes that the index keeps of each instance, by level (PS3.18 10.6.3.3).

One table decides: columns of the index, matching keys of searches and the attributes that
a search returns are all made from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import IS

from gateway.core.queries import QueryLevel
from gateway.dicom.dictionary import tag_of
from gateway.dicom.json.model import dataset_json

INDEXED: dict[QueryLevel, tuple[str, ...]] = {
    QueryLevel.STUDY: (
        "StudyInstanceUID",
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "ReferringPhysicianName",
        "StudyDescription",
        "StudyID",
        "PatientName",
        "PatientID",
        "IssuerOfPatientID",
        "PatientBirthDate",
        "PatientSex",
    ),
    QueryLevel.SERIES: (
        "SeriesInstanceUID",
        "Modality",
        "SeriesDescription",
        "SeriesNumber",
        "SeriesDate",
        "SeriesTime",
        "PerformedProcedureStepStartDate",
        "PerformedProcedureStepStartTime",
        "Manufacturer",
        "ManufacturerModelName",
        "BodyPartExamined",
        "FrameOfReferenceUID",
        "ContainerIdentifier",
        "RequestAttributesSequence",
    ),
    QueryLevel.INSTANCE: (
        "SOPInstanceUID",
        "SOPClassUID",
        "InstanceNumber",
        "ImageType",
        "ContentDate",
        "ContentTime",
        "Rows",
        "Columns",
        "BitsAllocated",
        "NumberOfFrames",
        "TotalPixelMatrixColumns",
        "TotalPixelMatrixRows",
        "AvailableTransferSyntaxUID",
        "TimezoneOffsetFromUTC",
    ),
}
"""Keywords of each level; the first is the level's unique key."""

_CODE = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")


def _codes(*sequences: str) -> tuple[str, ...]:
    return tuple(f"{sequence}.{keyword}" for sequence in sequences for keyword in _CODE)


_SPECIMEN = "SpecimenDescriptionSequence"
_STEP = f"{_SPECIMEN}.SpecimenPreparationSequence.SpecimenPreparationStepContentItemSequence"
_GROUP = "AnnotationGroupSequence"

SEARCHED: dict[QueryLevel, tuple[str, ...]] = {
    QueryLevel.STUDY: ("PatientName", "ReferringPhysicianName"),
    QueryLevel.SERIES: (
        "InstitutionName",
        "StationName",
        "DeviceSerialNumber",
        "ProtocolName",
        "OperatorsName",
        "RequestAttributesSequence.AccessionNumber",
        "RequestAttributesSequence.RequestedProcedureID",
        "RequestAttributesSequence.RequestedProcedureDescription",
        "RequestAttributesSequence.ScheduledProcedureStepID",
        "RequestAttributesSequence.StudyInstanceUID",
    ),
    QueryLevel.INSTANCE: (
        "AcquisitionDateTime",
        "AcquisitionUID",
        "PyramidUID",
        "ContentLabel",
        "ContentDescription",
        "ContentCreatorName",
        "CompletionFlag",
        "VerificationFlag",
        "VerifyingObserverSequence.VerifyingObserverName",
        "ContentTemplateSequence.TemplateIdentifier",
        *_codes("ConceptNameCodeSequence", "ContainerTypeCodeSequence"),
        f"{_SPECIMEN}.SpecimenIdentifier",
        f"{_SPECIMEN}.SpecimenUID",
        f"{_SPECIMEN}.SpecimenShortDescription",
        *_codes(
            f"{_SPECIMEN}.SpecimenTypeCodeSequence",
            f"{_SPECIMEN}.PrimaryAnatomicStructureSequence",
            f"{_STEP}.ConceptNameCodeSequence",
            f"{_STEP}.ConceptCodeSequence",
        ),
        "OpticalPathSequence.OpticalPathIdentifier",
        "OpticalPathSequence.OpticalPathDescription",
        *_codes(
            "OpticalPathSequence.IlluminationTypeCodeSequence",
            "OpticalPathSequence.IlluminationColorCodeSequence",
        ),
        "ReferencedImageSequence.ReferencedSOPInstanceUID",
        "ReferencedSeriesSequence.SeriesInstanceUID",
        "ReferencedSeriesSequence.ReferencedInstanceSequence.ReferencedSOPInstanceUID",
        f"{_GROUP}.AnnotationGroupUID",
        f"{_GROUP}.AnnotationGroupLabel",
        f"{_GROUP}.AnnotationGroupGenerationType",
        f"{_GROUP}.GraphicType",
        *_codes(
            f"{_GROUP}.AnnotationPropertyCategoryCodeSequence",
            f"{_GROUP}.AnnotationPropertyTypeCodeSequence",
        ),
    ),
}
"""Paths of what is searched for besides by the forms of its values, by level. All else can be
searched for too, where the headers that must be read for it are not too many."""

COMPUTED: dict[QueryLevel, tuple[str, ...]] = {
    QueryLevel.STUDY: (
        "ModalitiesInStudy",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
    ),
    QueryLevel.SERIES: ("NumberOfSeriesRelatedInstances",),
    QueryLevel.INSTANCE: (),
}
"""What a search computes for each match; ``ModalitiesInStudy`` is a matching key too."""

ASKED: frozenset[str] = frozenset({"SOPClassesInStudy"})
"""What is computed for studies if it is asked for; it is a matching key too."""

UNKNOWN = "unknown"
"""Type 1 text that the source does not state."""

UNKNOWN_DATE = datetime(1900, 1, 1)
"""Type 1 date and time that the source does not state: plainly no day on which a slide was
scanned, and the same everywhere (a clock or a file date would not be)."""

_EMPTY_BY_NATURE = frozenset({"AcquisitionContextSequence"})
"""There must be such a sequence, and a slide has nothing to put there."""

LEVEL_OF: dict[str, QueryLevel] = {
    keyword: level for level, keywords in INDEXED.items() for keyword in keywords
}

SEARCHED_LEVEL: dict[str, QueryLevel] = {
    path: level for level, paths in SEARCHED.items() for path in paths
}

_Tree = dict[str, "_Tree"]


def _tree(paths: Iterable[str]) -> _Tree:
    root: _Tree = {}
    for path in paths:
        place = root
        for keyword in path.split("."):
            place = place.setdefault(keyword, {})
    return root


_SEARCHED_TREE = _tree(SEARCHED_LEVEL)


def indexed_attributes(dataset: Dataset, transfer_syntax: str) -> dict[str, str]:
    """Return what the index keeps of a data set: keyword -> text, several values with backslash.

    What is searched for within sequences is named by its path, with item numbers from 0:
    ``SpecimenDescriptionSequence[0].SpecimenIdentifier``.
    """
    found = {keyword: _kept(dataset[keyword]) for keyword in LEVEL_OF if keyword in dataset}
    found |= _searched(dataset, _SEARCHED_TREE)
    return found | {"AvailableTransferSyntaxUID": transfer_syntax}


def _kept(element: DataElement) -> str:
    return _items_json(element) if element.VR == "SQ" else text_of(element.value)


def _items_json(sequence: DataElement) -> str:
    """Return the items of a small sequence in the DICOM JSON Model, without binary values."""
    items = [dataset_json(item, str, inline_limit=0) for item in sequence.value]
    kept = [
        {tag: one for tag, one in item.items() if "BulkDataURI" not in str(one)} for item in items
    ]
    return json.dumps(kept) if kept else ""


def _searched(dataset: Dataset, tree: _Tree, place: str = "") -> Iterator[tuple[str, str]]:
    for keyword, below in tree.items():
        if (tag := tag_of(keyword)) not in dataset:
            continue
        element = dataset[tag]
        if not below:
            if text := text_of(element.value):
                yield f"{place}{keyword}", text
        elif element.VR == "SQ":
            for number, item in enumerate(element.value):
                yield from _searched(item, below, f"{place}{keyword}[{number}].")


def text_of(value: object) -> str:
    """Return a value, or several joined by a backslash, as text; whole numbers in one spelling."""
    if value is None:
        return ""
    if isinstance(value, MultiValue | list | tuple):
        return "\\".join(map(text_of, value))
    return str(int(value)) if isinstance(value, IS) else str(value)


def empty_keywords(dataset: Dataset) -> list[str]:
    """Return which attributes of a data set, and of its specimens, say nothing.

    They have no value, or one that stands for unknown where the standard demands one.
    """
    found: list[str] = []
    for element in dataset:
        if _is_empty(element):
            found.append(element.keyword)
        elif element.keyword == "SpecimenDescriptionSequence":
            for item in element.value:
                found += empty_keywords(item)
    return list(dict.fromkeys(found))


def provenance(dataset: Dataset) -> str:
    """Return what the equipment that made a data set says of its making, in sentences."""
    made_by = dataset.get("ContributingEquipmentSequence") or []
    return " ".join(str(one.get("ContributionDescription") or "") for one in made_by).strip()


def _is_empty(element: DataElement) -> bool:
    unknown_date = f"{UNKNOWN_DATE:%Y%m%d}"
    return (
        (element.is_empty and element.keyword not in _EMPTY_BY_NATURE)
        or element.value == UNKNOWN
        or (element.VR in ("DA", "DT") and str(element.value).startswith(unknown_date))
    )
