"""The attributes that the index keeps of each instance, by level (PS3.18 10.6.3.3).

One table decides: columns of the index, matching keys of searches and the attributes that
a search returns are all made from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from gateway.core.queries import QueryLevel

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
    ),
}
"""Keywords of each level; the first is the level's unique key."""

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


def vr_of(keyword: str) -> str:
    """Value representation of a data element, by its keyword (PS3.6)."""
    tag = tag_for_keyword(keyword)
    assert tag is not None
    return dictionary_VR(tag)


def indexed_attributes(dataset: Dataset, transfer_syntax: str) -> dict[str, str]:
    """Return what the index keeps of a data set: keyword -> text, several values with backslash."""
    found = {keyword: _text(dataset[keyword].value) for keyword in LEVEL_OF if keyword in dataset}
    return found | {"AvailableTransferSyntaxUID": transfer_syntax}


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, MultiValue | list | tuple):
        return "\\".join(_texts(value))
    return str(value)


def _texts(values: Iterable[object]) -> Iterable[str]:
    return (str(value) for value in values)


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
