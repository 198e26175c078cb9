"""What breaks known viewers although the standard leaves it open: warnings, each naming who.

Found in their sources and by trying them; `conformance/STATEMENT.md` names the versions.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_BASELINE
from gateway.dicom.gate.conditions import colour, flavour
from gateway.dicom.gate.items import Item
from gateway.dicom.gate.reports import COMPREHENSIVE_3D_SR
from gateway.dicom.gate.verdict import Finding

DMV = "dicom-microscopy-viewer, Slim and OHIF"
OPENSLIDE = "OpenSlide and QuPath"

_READ_BY_ALL = frozenset(
    {
        EXPLICIT_VR_LITTLE_ENDIAN,
        JPEG_BASELINE,
        "1.2.840.10008.1.2.4.90",
        "1.2.840.10008.1.2.4.91",
    }
)


def image_warnings(item: Item, transfer_syntax: str) -> Iterator[Finding]:
    """Yield what of an image breaks which viewer."""
    if max(item.count("TotalPixelMatrixFocalPlanes"), item.count("NumberOfFocalPlanes")) > 1:
        yield _warn("FOCAL-PLANES", "The image has several focal planes", f"{DMV}, {OPENSLIDE}")
    if transfer_syntax not in _READ_BY_ALL:
        yield _warn("SYNTAX", "The transfer syntax is not read everywhere", f"{DMV}, {OPENSLIDE}")
    if colour(item) and item.count("BitsAllocated") != 8:
        yield _warn("BITS", "Colours of other than 8 bits", f"{OPENSLIDE}, dicom-microscopy-viewer")
    yield from _tiling_warnings(item)
    for path in item.items("OpticalPathSequence"):
        if not path.text("OpticalPathIdentifier").isdecimal():
            yield _warn(
                "OPTICAL-PATH", f"{path.path('OpticalPathIdentifier')} is no number", "Bio-Formats"
            )
    for specimen in item.items("SpecimenDescriptionSequence"):
        if not specimen.first("SpecimenTypeCodeSequence"):
            yield _warn(
                "SPECIMEN-TYPE",
                f"{specimen.path('SpecimenTypeCodeSequence')} is missing",
                "the profile of DICOM Working Group 26",
            )


def _tiling_warnings(item: Item) -> Iterator[Finding]:
    kind = flavour(item)
    if "ConcatenationUID" in item:
        yield _warn("CONCATENATION", "The image is one part of a concatenation", OPENSLIDE)
    if item.text("DimensionOrganizationType") != "TILED_FULL":
        yield _warn("SPARSE", "The image is not TILED_FULL", "EZ-WSI and OpenSlide")
    if kind not in ("", "VOLUME") and item.count("NumberOfFrames") > 1:
        yield _warn("SINGLE-FRAME", f"A {kind} of several frames", OPENSLIDE)
    shared = item.first("SharedFunctionalGroupsSequence")
    if kind == "VOLUME" and not (shared and shared.first("PixelMeasuresSequence")):
        yield _warn("SPACING", "PixelMeasuresSequence is not shared by all frames", OPENSLIDE)


def annotation_warnings(item: Item) -> Iterator[Finding]:
    """Yield what of an object of annotations breaks which viewer."""
    for keyword in ("ReferencedImageSequence", "ReferencedSeriesSequence"):
        if not item.first(keyword):
            yield _warn("REFERENCE", f"{keyword} is missing", DMV)
    for group in item.items("AnnotationGroupSequence"):
        if (shape := group.text("GraphicType")) in ("RECTANGLE", "ELLIPSE"):
            yield _warn("SHAPE", f"{group.path('GraphicType')} is {shape}", "wsidicom")


def report_warnings(item: Item) -> Iterator[Finding]:
    """Yield what of a structured report breaks which viewer."""
    if item.text("SOPClassUID") != COMPREHENSIVE_3D_SR:
        yield _warn("SR-CLASS", "The report is no Comprehensive 3D SR", "Slim")
    if not item.first("ContentTemplateSequence"):
        yield _warn("SR-TEMPLATE", "ContentTemplateSequence is missing", "Slim")


def _warn(rule: str, what: str, who: str) -> Finding:
    return Finding.warning(
        f"VIEW-{rule}",
        f"{what}: {who} cannot take it, or not all of it.",
        "The object passes; the sender may write it so that these can take it too.",
    )
