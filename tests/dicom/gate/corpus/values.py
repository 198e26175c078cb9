"""Values that are broken, and codes."""

from __future__ import annotations

from pydicom.uid import UID

from tests.dicom.gate.corpus.cases import (
    HELD,
    PASSED,
    REPAIRED,
    case,
    dropping,
    header,
    in_first,
    setting,
    together,
)
from tests.dicom.gate.samples import Sample, put

header("image", HELD, "VALUE-VR", "rows as text", setting("BurnedInAnnotation", "NO", "LO"))
header("image", PASSED, "VALUE-VR", "short text as long", setting("StudyID", "1", "LO"))
header(
    "image",
    PASSED,
    "VALUE-LENGTH",
    "a code of 17 characters",
    lambda dataset: put(dataset, "AccessionNumber", "1" * 17),
)
header("image", HELD, "VALUE-FORMAT", "a date with dots", setting("StudyDate", "20.01.2020"))
header(
    "image",
    HELD,
    "VALUE-FORMAT",
    "a UID with letters",
    setting("FrameOfReferenceUID", UID("1.2.a")),
)
header(
    "image",
    PASSED,
    "VALUE-FORMAT",
    "small letters in a code string",
    setting("BodyPartExamined", "skin"),
)
header(
    "image",
    HELD,
    "VALUE-CHARSET",
    "umlauts without a character set",
    together(
        dropping("SpecificCharacterSet"),
        setting("PatientName", "Müller^Jürg".encode("latin-1"), "PN"),
    ),
)
header(
    "image",
    HELD,
    "VALUE-CHARSET",
    "umlauts that are no UTF-8",
    setting("PatientName", "Müller".encode("latin-1"), "PN"),
)
header(
    "image",
    HELD,
    "CODE-INCOMPLETE",
    "half a code",
    in_first("ContainerTypeCodeSequence", dropping("CodingSchemeDesignator")),
)
header(
    "image",
    HELD,
    "CODE-INCOMPLETE",
    "a code without meaning",
    in_first("OpticalPathSequence.IlluminationTypeCodeSequence", dropping("CodeMeaning")),
)
header(
    "image",
    HELD,
    "CODE-AMBIGUOUS",
    "two codes in one",
    in_first("ContainerTypeCodeSequence", setting("LongCodeValue", "433466003")),
)


@case("image", HELD, "VALUE-FORMAT")
def a_number_with_a_comma(sample: Sample) -> bytes:
    change = in_first(
        "TotalPixelMatrixOriginSequence", setting("XOffsetInSlideCoordinateSystem", "20.5")
    )
    return sample.changed(change).encoded().replace(b"20.5", b"20,5")


@case("image", REPAIRED, "VALUE-PADDING")
def uid_padded_with_a_space(sample: Sample) -> bytes:
    stream = sample.changed(setting("FrameOfReferenceUID", UID("2.25.1234"))).encoded()
    assert b"2.25.1234\0" in stream
    return stream.replace(b"2.25.1234\0", b"2.25.1234 ")
