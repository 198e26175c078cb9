"""Rules of structured reports (PS3.3 A.35, C.17)."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.dicom.gate.images import one_of
from gateway.dicom.gate.items import Item
from gateway.dicom.gate.verdict import Finding

ENHANCED_SR = "1.2.840.10008.5.1.4.1.1.88.22"
COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"

_ENUMERATED: dict[str, tuple[str, ...]] = {
    "Modality": ("SR",),
    "CompletionFlag": ("PARTIAL", "COMPLETE"),
    "VerificationFlag": ("UNVERIFIED", "VERIFIED"),
    "PreliminaryFlag": ("PRELIMINARY", "FINAL"),
    "ValueType": ("CONTAINER",),
}
_RELATIONS = (
    "CONTAINS",
    "HAS OBS CONTEXT",
    "HAS ACQ CONTEXT",
    "HAS CONCEPT MOD",
    "HAS PROPERTIES",
    "INFERRED FROM",
    "SELECTED FROM",
)
_COMMON = (
    *("TEXT", "CODE", "NUM", "DATETIME", "DATE", "TIME", "UIDREF", "PNAME", "CONTAINER"),
    *("COMPOSITE", "IMAGE", "WAVEFORM", "SCOORD", "TCOORD"),
)
_VALUE_TYPES: dict[str, tuple[str, ...]] = {
    ENHANCED_SR: _COMMON,
    COMPREHENSIVE_SR: (*_COMMON, "TABLE"),
    COMPREHENSIVE_3D_SR: (*_COMMON, "TABLE", "SCOORD3D"),
}
"""Content item types of each IOD (PS3.3 A.35.2.3, A.35.3.3, A.35.13.3)."""

_SHAPES: dict[str, tuple[str, ...]] = {
    "SCOORD": ("POINT", "MULTIPOINT", "POLYLINE", "CIRCLE", "ELLIPSE"),
    "SCOORD3D": ("POINT", "MULTIPOINT", "POLYLINE", "POLYGON", "ELLIPSE", "ELLIPSOID"),
}
_POINTS = {"POINT": 1, "CIRCLE": 2, "ELLIPSE": 4, "ELLIPSOID": 6}
_FEWEST = {"MULTIPOINT": 1, "POLYLINE": 2, "POLYGON": 4}


def report_faults(item: Item) -> Iterator[Finding]:
    """Yield what is wrong with a structured report."""
    for keyword, values in _ENUMERATED.items():
        yield from one_of(item, keyword, values, "SR-VALUE")
    if item.text("VerificationFlag") == "VERIFIED" and item.text("CompletionFlag") == "PARTIAL":
        yield Finding(
            "SR-FLAGS",
            "VerificationFlag is VERIFIED and CompletionFlag PARTIAL; only what is complete can be "
            "verified (PS3.3 C.17.2).",
            "Have the sender say which of the two it is.",
        )
    allowed = _VALUE_TYPES[item.text("SOPClassUID")]
    referenced: set[str] = set()
    for content in contents(item):
        yield from one_of(content, "ValueType", allowed, "SR-CONTENT")
        yield from one_of(content, "RelationshipType", _RELATIONS, "SR-CONTENT")
        yield from _shape(content)
        for reference in content.items("ReferencedSOPSequence"):
            referenced.add(reference.text("ReferencedSOPInstanceUID"))
    yield from _evidence(item, referenced - {""})


def contents(item: Item) -> Iterator[Item]:
    """Yield all content items of a report below its root."""
    for content in item.items("ContentSequence"):
        yield content
        yield from contents(content)


def _shape(content: Item) -> Iterator[Finding]:
    """PS3.3 C.18.6.1.2, C.18.9.1.2."""
    dimensions = {"SCOORD": 2, "SCOORD3D": 3}.get(kind := content.text("ValueType"), 0)
    if not dimensions:
        return
    yield from one_of(content, "GraphicType", _SHAPES[kind], "SR-SHAPE")
    values, shape = content.numbers("GraphicData"), content.text("GraphicType")
    points, left = divmod(len(values), dimensions)
    wanted = _POINTS.get(shape, points)
    if left or points != wanted or (values and points < _FEWEST.get(shape, 0)):
        yield Finding(
            "SR-SHAPE",
            f"{content.path('GraphicData')} has {len(values)} values, which are no {shape} of "
            f"{dimensions} dimensions.",
            "Have the sender write the shape again.",
        )
    elif shape == "POLYGON" and values[:3] != values[-3:]:
        yield Finding(
            "SR-SHAPE",
            f"{content.path('GraphicData')} is a POLYGON that is not closed: its last point is not "
            "its first.",
            "Have the sender repeat the first point; highdicom refuses the report.",
        )


def evidence(item: Item) -> set[str]:
    """Return the SOP Instance UIDs of the evidence of a report (PS3.3 C.17.2.3)."""
    return {
        instance.text("ReferencedSOPInstanceUID")
        for keyword in (
            "CurrentRequestedProcedureEvidenceSequence",
            "PertinentOtherEvidenceSequence",
        )
        for study in item.items(keyword)
        for series in study.items("ReferencedSeriesSequence")
        for instance in series.items("ReferencedSOPSequence")
    }


def _evidence(item: Item, referenced: set[str]) -> Iterator[Finding]:
    listed = evidence(item)
    missing = referenced - listed
    if not missing:
        return
    message = (
        f"{len(missing)} of {len(referenced)} objects that the content refers to are not in "
        "CurrentRequestedProcedureEvidenceSequence nor PertinentOtherEvidenceSequence."
    )
    action = "Have the sender list them: who moves the study finds its objects there."
    if listed:
        yield Finding.warning("SR-EVIDENCE", message, action)
    else:
        yield Finding("SR-EVIDENCE", message, action)
