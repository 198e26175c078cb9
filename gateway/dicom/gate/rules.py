"""All rules by their identifiers, which are stable: programs may rely on them.

The table of the conformance statement is made of this one, and a test holds it to the code.
"""

from __future__ import annotations

from dataclasses import dataclass

HELD, REPAIRED, WARNING = "held", "repaired", "warning"

FAMILIES = ("WSI", "ANN", "SR", "ANY")
"""Whole slide images, annotations, reports, all others: what rules of their own begin with."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule is about.

    Parameters
    ----------
    finds
        What it finds; of a repair also what is done.
    verdict
        What it means for the object.
    source
        Section of the standard, or the viewer that breaks.
    """

    finds: str
    verdict: str
    source: str


TYPES: dict[str, Rule] = {
    "TYPE1": Rule("attribute of type 1 missing or empty", HELD, "PS3.5 7.4.1"),
    "TYPE1C": Rule("attribute of type 1C missing or empty, its condition met", HELD, "PS3.5 7.4.2"),
    "TYPE2": Rule("attribute of type 2 missing: added without a value", REPAIRED, "PS3.5 7.4.3"),
    "TYPE2C": Rule(
        "attribute of type 2C missing, its condition met: added without a value",
        REPAIRED,
        "PS3.5 7.4.4",
    ),
}
"""Of each family: ``WSI-TYPE1`` and so on."""

_STREAMS: dict[str, Rule] = {
    "FILE-UNREADABLE": Rule("no DICOM, damaged, cut off, or in contradiction", HELD, "PS3.10 7"),
    "FILE-META": Rule(
        "file meta information of another object: held; without its UIDs: written anew",
        f"{HELD} or {REPAIRED}",
        "PS3.10 7.1; OpenSlide, QuPath",
    ),
    "FILE-OFFSETS": Rule(
        "offset table that points elsewhere: written anew", REPAIRED, "PS3.5 A.4, PS3.3 C.7.6.3"
    ),
}

_VALUES: dict[str, Rule] = {
    "VALUE-VR": Rule(
        "VR other than the standard's; one kind of free text for another is a warning",
        f"{HELD} or {WARNING}",
        "PS3.6",
    ),
    "VALUE-FORMAT": Rule(
        "malformed number, UID, date or time; a malformed code string, title or URI is a warning",
        f"{HELD} or {WARNING}",
        "PS3.5 6.2",
    ),
    "VALUE-LENGTH": Rule(
        "text longer than its VR allows; a UID is held", f"{WARNING} or {HELD}", "PS3.5 6.2"
    ),
    "VALUE-CHARSET": Rule("characters not of Specific Character Set", HELD, "PS3.3 C.12.1.1.2"),
    "VALUE-SEQUENCE": Rule("sequence without items, or nested beyond 64", HELD, "PS3.5 7.5"),
    "VALUE-PADDING": Rule("text padded wrongly: padded anew", REPAIRED, "PS3.5 6.2"),
    "VALUE-UNWRITABLE": Rule("to be repaired, but with values no writer takes", HELD, "PS3.5 6.2"),
    "CODE-INCOMPLETE": Rule("code without value, scheme or meaning", HELD, "PS3.3 8.8"),
    "CODE-AMBIGUOUS": Rule("code with two values", HELD, "PS3.3 8.8"),
    "ANY-SIGNED": Rule("to be repaired, but signed", HELD, "PS3.15 C"),
    "ANY-CLASS": Rule("SOP class without rules of its own", WARNING, "-"),
}

_IMAGES: dict[str, Rule] = {
    "WSI-VALUE": Rule("value that the standard does not list", HELD, "PS3.3 C.8.12.4"),
    "WSI-IMAGE-TYPE": Rule(
        "Image Type other than the four values; the retired LOCALIZER is a warning",
        f"{HELD} or {WARNING}",
        "PS3.3 C.8.12.4.1.1",
    ),
    "WSI-FRAMES": Rule(
        "Number of Frames is not that of the tiles, or not that of the pixel data",
        HELD,
        "PS3.3 C.7.6.17.3; wsidicom, dicom-microscopy-viewer",
    ),
    "WSI-GROUPS": Rule(
        "functional group that is neither shared nor of each frame", HELD, "PS3.3 A.32.8.4"
    ),
    "WSI-PIXELS": Rule("bits or samples that do not go together", HELD, "PS3.3 C.7.6.3"),
    "WSI-LOSSY": Rule("loss that is denied, or methods without ratios", HELD, "PS3.3 C.7.6.1.1.5"),
    "WSI-LABEL": Rule(
        "label in a VOLUME or THUMBNAIL, or LABEL without it", HELD, "PS3.3 C.8.12.4.1.1"
    ),
    "WSI-OPTICAL-PATHS": Rule("optical paths counted or named wrongly", HELD, "PS3.3 C.8.12.5"),
    "WSI-ORIENTATION": Rule("Image Orientation (Slide) that cannot be", HELD, "PS3.3 C.8.12.14"),
    "WSI-SPACING": Rule("Pixel Spacing that is not above 0", HELD, "PS3.3 C.7.6.16.2.1"),
    "WSI-VOLUME": Rule(
        "Imaged Volume Width or Height other than matrix times spacing, by more than 0.5 %",
        HELD,
        "PS3.3 C.8.12.4.1.2",
    ),
    "WSI-BITSTREAM": Rule("bit stream damaged, or of another syntax", HELD, "PS3.5 8.2, A.4"),
    "WSI-TILE-SIZE": Rule(
        "bit stream of another size than Rows and Columns",
        HELD,
        "PS3.5 8.2.1; dicom-microscopy-viewer",
    ),
    "WSI-SAMPLES": Rule("bit stream of other components or bits", HELD, "PS3.5 8.2.1"),
    "WSI-COLOUR": Rule(
        "bit stream of another Photometric Interpretation",
        HELD,
        "PS3.3 C.8.12.4.1.5, PS3.5 8.2",
    ),
    "WSI-COLOUR-UNSTATED": Rule(
        "JPEG of R, G and B without a marker that says so", WARNING, "browsers"
    ),
    "WSI-TILED-FULL": Rule(
        "Dimension Organization Type missing, where no frame has a place of its own and the tiles "
        "are complete: TILED_FULL is added",
        REPAIRED,
        "PS3.3 C.7.6.17; dicom-microscopy-viewer, EZ-WSI",
    ),
    "WSI-SLIDE-CORNER": Rule(
        "Position Reference Indicator missing or empty: SLIDE_CORNER is added",
        REPAIRED,
        "PS3.3 C.7.4.1",
    ),
    "WSI-THICKNESS": Rule(
        "Imaged Volume Depth or Slice Thickness missing or 0: each becomes the other, or a nominal "
        "section of 4 um",
        REPAIRED,
        "PS3.3 C.8.12.4.1.2",
    ),
    "WSI-NEGATIVE-ZERO": Rule(
        "-0 in Image Orientation (Slide): its sign is taken away", REPAIRED, "PS3.5 6.2"
    ),
}

_ANNOTATIONS: dict[str, Rule] = {
    "ANN-VALUE": Rule("value that the standard does not list", HELD, "PS3.3 C.37.1.2"),
    "ANN-REFERENCE": Rule(
        "coordinates of several images, or of a frame that is not named; frames named in vain are "
        "a warning",
        f"{HELD} or {WARNING}",
        "PS3.3 C.37.1.2.1.1",
    ),
    "ANN-GROUP-NUMBER": Rule(
        "groups not numbered 1, 2, 3", HELD, "PS3.3 C.37.1.2; dicom-microscopy-viewer, Slim"
    ),
    "ANN-GROUP-UID": Rule("two groups of one UID", HELD, "PS3.3 C.37.1.2"),
    "ANN-COORDINATES": Rule(
        "coordinates that are not finite, no whole points, or not as many as annotations; depth "
        "beside 2D is a warning",
        f"{HELD} or {WARNING}",
        "PS3.3 C.37.1.2.1",
    ),
    "ANN-INDEX": Rule(
        "index that does not point, from 1, to the first value of each annotation; one in vain is "
        "a warning",
        f"{HELD} or {WARNING}",
        "PS3.3 C.37.1.2.1",
    ),
    "ANN-MEASUREMENT": Rule(
        "measurements that are not as many as what they measure", HELD, "PS3.3 C.37.1.2"
    ),
}

_REPORTS: dict[str, Rule] = {
    "SR-VALUE": Rule("value that the standard does not list", HELD, "PS3.3 C.17.2"),
    "SR-FLAGS": Rule("verified, and not complete", HELD, "PS3.3 C.17.2"),
    "SR-CONTENT": Rule(
        "content item or relationship that the SOP class does not have", HELD, "PS3.3 A.35"
    ),
    "SR-SHAPE": Rule(
        "coordinates that are not the shape they are called; polygons that are open",
        HELD,
        "PS3.3 C.18.6, C.18.9",
    ),
    "SR-EVIDENCE": Rule(
        "no evidence of what the content refers to; evidence of a part is a warning",
        f"{HELD} or {WARNING}",
        "PS3.3 C.17.2.3",
    ),
}

_TOGETHER: dict[str, Rule] = {
    "STUDY-UNEQUAL": Rule(
        "attribute of patient or study that differs; empty in some only is a warning",
        f"{HELD} or {WARNING}",
        "PS3.3 A.1.2",
    ),
    "STUDY-TWICE": Rule("two objects of one UID", HELD, "PS3.5 9"),
    "STUDY-ELSEWHERE": Rule("reference to what is not here", WARNING, "-"),
    "STUDY-REFERENCE": Rule(
        "annotation or report of an object that is of another study than it says",
        WARNING,
        "viewers look for it in the study of the image",
    ),
    "STUDY-FRAME": Rule(
        "annotation or report in another frame of reference than its image: a warning; held where "
        "coordinates are of the frame of reference alone (annotations in 3D)",
        f"{HELD} or {WARNING}",
        "PS3.3 C.37.1.2; dicom-microscopy-viewer, Slim",
    ),
    "STUDY-COORDINATES": Rule(
        "coordinates outside of the image, by more than a pixel", WARNING, "PS3.3 C.37.1.2, C.18.9"
    ),
    "SERIES-UNEQUAL": Rule(
        "attribute of series, frame of reference or equipment that differs; empty in some only is "
        "a warning",
        f"{HELD} or {WARNING}",
        "PS3.3 A.1.2",
    ),
    "SERIES-SLIDE": Rule(
        "Container Identifier that differs",
        HELD,
        "PS3.3 C.7.6.22; viewers take a series for a slide",
    ),
    "SERIES-ACQUISITION": Rule(
        "Acquisition UID that differs, or is in some only", WARNING, "Slim, dicom-microscopy-viewer"
    ),
    "SERIES-ASSOCIATED": Rule(
        "two images of kind LABEL, OVERVIEW or THUMBNAIL", WARNING, "OpenSlide, QuPath"
    ),
    "SERIES-ICC": Rule("ICC Profile in some images only", WARNING, "dicom-microscopy-viewer"),
    "SERIES-LEVELS": Rule(
        "two images of one total pixel matrix, such as one for each focal plane",
        WARNING,
        "dicom-microscopy-viewer, OpenSlide",
    ),
    "SERIES-OPTICAL-PATHS": Rule(
        "levels that name their optical path differently", WARNING, "dicom-microscopy-viewer"
    ),
    "SERIES-TILES": Rule("levels of tiles of several sizes", WARNING, "wsidicom"),
    "SERIES-RATIOS": Rule(
        "level smaller than the base level by a factor that is no power of 2", WARNING, "wsidicom"
    ),
    "SERIES-ORIGIN": Rule(
        "level whose origin is more than 0.02 mm from that of the base level", WARNING, "wsidicom"
    ),
}

_VIEWERS: dict[str, Rule] = {
    "VIEW-FOCAL-PLANES": Rule(
        "several focal planes", WARNING, "dicom-microscopy-viewer, Slim, OHIF, OpenSlide, QuPath"
    ),
    "VIEW-SYNTAX": Rule(
        "transfer syntax other than JPEG Baseline, JPEG 2000 and Explicit VR Little Endian",
        WARNING,
        "dicom-microscopy-viewer, OpenSlide, QuPath",
    ),
    "VIEW-BITS": Rule("colours of other than 8 bits", WARNING, "OpenSlide, QuPath"),
    "VIEW-OPTICAL-PATH": Rule("Optical Path Identifier that is no number", WARNING, "Bio-Formats"),
    "VIEW-CONCATENATION": Rule("part of a concatenation", WARNING, "OpenSlide, QuPath"),
    "VIEW-SPARSE": Rule("not TILED_FULL", WARNING, "EZ-WSI, OpenSlide"),
    "VIEW-SINGLE-FRAME": Rule(
        "LABEL, OVERVIEW or THUMBNAIL of several frames", WARNING, "OpenSlide, QuPath"
    ),
    "VIEW-SPACING": Rule("Pixel Measures not shared", WARNING, "OpenSlide, QuPath"),
    "VIEW-SPECIMEN-TYPE": Rule(
        "specimen without a type", WARNING, "profile of DICOM Working Group 26"
    ),
    "VIEW-REFERENCE": Rule(
        "annotations without Referenced Image or Series Sequence",
        WARNING,
        "dicom-microscopy-viewer, Slim, OHIF",
    ),
    "VIEW-SHAPE": Rule("annotations that are rectangles or ellipses", WARNING, "wsidicom"),
    "VIEW-SR-CLASS": Rule("report of another class than Comprehensive 3D SR", WARNING, "Slim"),
    "VIEW-SR-TEMPLATE": Rule("report without Content Template Sequence", WARNING, "Slim"),
}

RULES: dict[str, Rule] = {
    **_STREAMS,
    **_VALUES,
    **_IMAGES,
    **_ANNOTATIONS,
    **_REPORTS,
    **_TOGETHER,
    **_VIEWERS,
}
"""All but those of :data:`TYPES`, in the order of the statement."""


def rule_of(identifier: str) -> Rule:
    """Return a rule.

    Raises
    ------
    KeyError
        If there is none of that identifier.
    """
    family, _, kind = identifier.partition("-")
    return TYPES[kind] if family in FAMILIES and kind in TYPES else RULES[identifier]
