"""Reports that are broken, and objects of other kinds."""

from __future__ import annotations

from collections.abc import Callable

from pydicom.dataset import Dataset
from pydicom.uid import UID

from tests.dicom.gate.corpus.cases import (
    HELD,
    PASSED,
    case,
    dropping,
    header,
    in_first,
    setting,
    together,
)
from tests.dicom.gate.samples import Sample


def region(dataset: Dataset) -> Dataset:
    """Return the content item of the region."""
    waiting = list(dataset.ContentSequence)
    while waiting:
        item: Dataset = waiting.pop()
        if item.get("ValueType") == "SCOORD3D":
            return item
        waiting += item.get("ContentSequence", [])
    raise AssertionError


def in_region(change: Callable[[Dataset], object]) -> Callable[[Dataset], object]:
    return lambda dataset: change(region(dataset))


header(
    "report",
    HELD,
    "SR-SHAPE",
    "polygon that is open",
    in_region(setting("GraphicData", [1.0, 1, 0, 2, 1, 0, 2, 2, 0, 1, 2, 0])),
)
header(
    "report", HELD, "SR-SHAPE", "half a point", in_region(setting("GraphicData", [1.0, 1, 0, 2]))
)
header("report", HELD, "SR-VALUE", "done", setting("CompletionFlag", "DONE"))


def with_image(dataset: Dataset) -> None:
    """Refer to an image that is no evidence."""
    reference, item = Dataset(), Dataset()
    reference.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    reference.ReferencedSOPInstanceUID = "2.25.999"
    item.RelationshipType, item.ValueType = "CONTAINS", "IMAGE"
    item.ReferencedSOPSequence = [reference]
    dataset.ContentSequence.append(item)


header("report", PASSED, "SR-EVIDENCE", "an image that is no evidence", with_image)
header(
    "report",
    HELD,
    "SR-EVIDENCE",
    "no evidence",
    together(with_image, dropping("CurrentRequestedProcedureEvidenceSequence")),
)
header(
    "report",
    HELD,
    "SR-TYPE1C",
    "region in no space",
    in_region(dropping("ReferencedFrameOfReferenceUID")),
)
header("report", HELD, "SR-CONTENT", "unknown content", in_region(setting("ValueType", "SCOORD4D")))
header(
    "report",
    HELD,
    "SR-TYPE1",
    "content without a relation",
    in_first("ContentSequence", dropping("RelationshipType")),
)
header("report", HELD, "SR-TYPE1C", "verified by nobody", dropping("VerifyingObserverSequence"))
header(
    "report",
    HELD,
    "SR-FLAGS",
    "verified before it was complete",
    setting("CompletionFlag", "PARTIAL"),
)
header(
    "report",
    HELD,
    "CODE-INCOMPLETE",
    "a title of half a code",
    in_first("ConceptNameCodeSequence", dropping("CodeValue")),
)
header("report", PASSED, "VIEW-SR-TEMPLATE", "no template", dropping("ContentTemplateSequence"))
header(
    "report",
    PASSED,
    "VALUE-LENGTH",
    "a scheme as OHIF names it",
    in_first(
        "ConceptNameCodeSequence",
        setting("CodingSchemeDesignator", "@ohif/extension-dicom-microscopy"),
    ),
)


@case("annotations", PASSED, "ANY-CLASS")
def a_segmentation(sample: Sample) -> bytes:
    return sample.changed(setting("SOPClassUID", UID("1.2.840.10008.5.1.4.1.1.66.4"))).encoded()
