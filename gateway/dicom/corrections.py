"""Corrected headers: what they said before goes with them (PS3.3 C.12.1.1.9)."""

from __future__ import annotations

from datetime import datetime

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from gateway.dicom.streams.part10 import decode_header, encode_header

_SYSTEM = "Slidegate"
_NEVER_DIFFERENT = ("OriginalAttributesSequence", "SpecificCharacterSet")


def differences(before: Dataset, after: Dataset) -> list[str]:
    """Return the keywords of the attributes that two headers of an instance do not share."""
    tags = sorted({element.tag for dataset in (before, after) for element in dataset})
    found = []
    for tag in tags:
        keyword = (before.get(tag) or after[tag]).keyword
        if keyword not in _NEVER_DIFFERENT and before.get(tag) != after.get(tag):
            found.append(keyword)
    return found


def with_original_attributes(before: bytes, after: bytes, at: datetime) -> bytes:
    """Return a corrected header that tells what stood there before.

    An attribute that was absent is told as one without a value.

    Parameters
    ----------
    before, after
        Headers of one instance.
    at
        When it was corrected, with an offset from UTC.
    """
    old, new = decode_header(before), decode_header(after)
    old.decode()  # what it said goes into a header of another character set
    modified = Dataset()
    for keyword in differences(old, new):
        element = old[keyword] if keyword in old else _without_value(new[keyword])
        modified[element.tag] = element
    item = Dataset()
    item.ModifiedAttributesSequence = [modified]
    item.AttributeModificationDateTime = at.strftime("%Y%m%d%H%M%S.%f%z")
    item.ModifyingSystem = _SYSTEM
    item.SourceOfPreviousValues = ""
    item.ReasonForTheAttributeModification = "CORRECT"
    new.OriginalAttributesSequence = [*old.get("OriginalAttributesSequence", []), item]
    return encode_header(new, new.file_meta.TransferSyntaxUID)


def _without_value(element: DataElement) -> DataElement:
    return DataElement(element.tag, element.VR, [] if element.VR == "SQ" else None)
