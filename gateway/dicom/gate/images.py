"""Rules of whole slide microscopy images beyond their attributes' types (PS3.3 A.32.8, C.8.12)."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gateway.core.errors import InvalidGeometry
from gateway.core.frames import FrameTable, TileGrid
from gateway.core.geometry import Orientation
from gateway.core.instances import Flavour
from gateway.dicom.gate.conditions import colour, flavour
from gateway.dicom.gate.items import Item
from gateway.dicom.gate.verdict import Finding

RETIRED_FLAVOUR = "LOCALIZER"

_IMAGE_TYPE: tuple[tuple[str, ...], ...] = (
    ("ORIGINAL", "DERIVED"),
    ("PRIMARY",),
    (*Flavour, RETIRED_FLAVOUR),
    ("NONE", "RESAMPLED"),
)
"""What each value may be (PS3.3 C.8.12.4.1.1)."""

_ENUMERATED: dict[str, tuple[str, ...]] = {
    "Modality": ("SM",),
    "VolumetricProperties": ("VOLUME", "SAMPLED", "DISTORTED", "MIXED"),
    "BurnedInAnnotation": ("YES", "NO"),
    "SpecimenLabelInImage": ("YES", "NO"),
    "ExtendedDepthOfField": ("YES", "NO"),
    "FocusMethod": ("AUTO", "MANUAL"),
    "LossyImageCompression": ("00", "01"),
    "DimensionOrganizationType": ("TILED_FULL", "TILED_SPARSE"),
    "PositionReferenceIndicator": ("SLIDE_CORNER",),
    "PhotometricInterpretation": ("MONOCHROME2", "RGB", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"),
}
"""Enumerated values of these images (PS3.3 C.8.12.4, C.8.12.4.1.5, C.7.6.17, C.7.4.1)."""

_NUMBERED: dict[str, tuple[int, ...]] = {
    "SamplesPerPixel": (1, 3),
    "PlanarConfiguration": (0,),
    "BitsAllocated": (8, 16),
    "PixelRepresentation": (0,),
}

_SIZES = ("Rows", "Columns", "TotalPixelMatrixRows", "TotalPixelMatrixColumns", "NumberOfFrames")

_TOLERANCE = 0.005
"""Part by which the imaged volume may differ from matrix and spacing: rounding of both."""


def image_faults(item: Item, frames: FrameTable | None, required: bool) -> Iterator[Finding]:
    """Yield what is wrong with an image.

    Parameters
    ----------
    frames
        Where its frames lie, or None.
    required
        Whether there have to be frames.
    """
    for rule in (_enumerated, _image_type, _pixels, _lossy, _label, _paths, _groups, _orientation):
        yield from rule(item)
    yield from _numbers_of_frames(item)
    yield from _frame_table(item, frames, required)
    yield from _section(item)
    yield from _volume(item)


def one_of(item: Item, keyword: str, values: tuple[str, ...], rule: str) -> Iterator[Finding]:
    """Yield a finding if an element has a value that is none of those the standard lists."""
    found = item.text(keyword)
    if found and found not in values:
        yield Finding(
            rule,
            f"{item.path(keyword)} is {found[:64]!r}; it may be {' or '.join(values)}.",
            f"Have the sender write the {keyword} that is true.",
        )


def _enumerated(item: Item) -> Iterator[Finding]:
    for keyword, values in _ENUMERATED.items():
        yield from one_of(item, keyword, values, "WSI-VALUE")
    for keyword, allowed in _NUMBERED.items():
        number = item.number(keyword)
        if not math.isnan(number) and number not in allowed:
            yield Finding(
                "WSI-VALUE",
                f"{keyword} is {number:g}; it may be {' or '.join(map(str, allowed))}.",
                "Have the sender encode the pixels as the standard has them (PS3.3 C.8.12.4).",
            )
    for keyword in _SIZES:
        if item.filled(keyword) and not item.number(keyword) > 0:
            yield Finding(
                "WSI-VALUE",
                f"{keyword} is not a number above 0.",
                "Have the sender write it again; the object is damaged.",
            )


def _image_type(item: Item) -> Iterator[Finding]:
    """PS3.3 C.8.12.4.1.1."""
    values = item.texts("ImageType")
    if not values:
        return
    pairs = zip(values, _IMAGE_TYPE, strict=False)
    fits = all(value in allowed for value, allowed in pairs)
    if len(values) != 4 or not fits:
        yield Finding(
            "WSI-IMAGE-TYPE",
            f"ImageType is {'/'.join(values)[:80]}; it has the values ORIGINAL or DERIVED, "
            f"PRIMARY, {' or '.join(Flavour)}, NONE or RESAMPLED.",
            "Have the sender write what the image is; viewers choose images by it.",
        )
    elif values[2] == RETIRED_FLAVOUR:
        yield Finding.warning(
            "WSI-IMAGE-TYPE",
            f"ImageType calls the image {RETIRED_FLAVOUR}, which is retired.",
            "It is taken for an overview; newer senders write OVERVIEW or THUMBNAIL.",
        )


def _pixels(item: Item) -> Iterator[Finding]:
    """PS3.3 C.7.6.3, C.8.12.4: bits and samples that agree."""
    allocated, stored = item.number("BitsAllocated"), item.number("BitsStored")
    high = item.number("HighBit")
    if stored != allocated and not math.isnan(stored + allocated):
        yield _contradiction("BitsStored", stored, "BitsAllocated", allocated)
    if high != stored - 1 and not math.isnan(high + stored):
        yield _contradiction("HighBit", high, "BitsStored", stored)
    samples = item.count("SamplesPerPixel")
    if samples and item.filled("PhotometricInterpretation") and colour(item) != (samples == 3):
        yield Finding(
            "WSI-PIXELS",
            f"PhotometricInterpretation {item.text('PhotometricInterpretation')} does not go with "
            f"{samples} SamplesPerPixel.",
            "Have the sender state what the pixels are.",
        )


def _contradiction(one: str, value: float, other: str, against: float) -> Finding:
    return Finding(
        "WSI-PIXELS",
        f"{one} {value:g} does not go with {other} {against:g}.",
        "Have the sender state what the pixels are.",
    )


def _lossy(item: Item) -> Iterator[Finding]:
    """PS3.3 C.7.6.1.1.5.2: one ratio for each method."""
    ratios = item.texts("LossyImageCompressionRatio")
    methods = item.texts("LossyImageCompressionMethod")
    if ratios and methods and len(ratios) != len(methods):
        yield Finding(
            "WSI-LOSSY",
            f"LossyImageCompressionRatio has {len(ratios)} values, "
            f"LossyImageCompressionMethod {len(methods)}; each step has one of both.",
            "Have the sender tell the whole history of compression.",
        )


def _label(item: Item) -> Iterator[Finding]:
    """PS3.3 C.8.12.4.1.1: the label is in no VOLUME and THUMBNAIL, and in each LABEL."""
    shown, kind = item.text("SpecimenLabelInImage"), flavour(item)
    wrong = {"VOLUME": "YES", "THUMBNAIL": "YES", "LABEL": "NO"}.get(kind)
    if shown and shown == wrong:
        yield Finding(
            "WSI-LABEL",
            f"SpecimenLabelInImage is {shown} in a {kind}.",
            "Have the sender look whether the label can be seen: it names a patient.",
        )


def _paths(item: Item) -> Iterator[Finding]:
    """PS3.3 C.8.12.5."""
    paths = item.items("OpticalPathSequence")
    number = item.count("NumberOfOpticalPaths")
    if number and paths and number != len(paths):
        yield Finding(
            "WSI-OPTICAL-PATHS",
            f"NumberOfOpticalPaths is {number}; OpticalPathSequence has {len(paths)} items.",
            "Have the sender describe each optical path once.",
        )
    named = [path.text("OpticalPathIdentifier") for path in paths]
    if len(set(named)) != len(named):
        yield Finding(
            "WSI-OPTICAL-PATHS",
            "Two items of OpticalPathSequence have the same OpticalPathIdentifier.",
            "Have the sender give each optical path its own.",
        )
    for group in item.items("SharedFunctionalGroupsSequence"):
        for use in group.items("OpticalPathIdentificationSequence"):
            used = use.text("OpticalPathIdentifier")
            if used and named and used not in named:
                yield Finding(
                    "WSI-OPTICAL-PATHS",
                    f"{use.path('OpticalPathIdentifier')} names a path that OpticalPathSequence "
                    "does not have.",
                    "Have the sender name one that is there.",
                )


def _groups(item: Item) -> Iterator[Finding]:
    """PS3.3 A.32.8.4: the functional groups that each frame has to have, shared or its own."""
    shared = item.first("SharedFunctionalGroupsSequence")
    frames = item.items("PerFrameFunctionalGroupsSequence")
    wanted = ["PixelMeasuresSequence", "WholeSlideMicroscopyImageFrameTypeSequence"]
    if item.text("DimensionOrganizationType") != "TILED_FULL":
        wanted += ["PlanePositionSlideSequence", "OpticalPathIdentificationSequence"]
    for keyword in wanted:
        if shared is not None and shared.first(keyword):
            continue
        if not frames or not all(frame.first(keyword) for frame in frames):
            yield Finding(
                "WSI-GROUPS",
                f"{keyword} is neither in SharedFunctionalGroupsSequence nor in every item of "
                "PerFrameFunctionalGroupsSequence.",
                "Have the sender write it; frames have no place or scale without it.",
            )
    number = item.count("NumberOfFrames")
    own = item.length("PerFrameFunctionalGroupsSequence")
    if own and number and own != number:
        yield Finding(
            "WSI-GROUPS",
            f"PerFrameFunctionalGroupsSequence has {own} items for {number} frames.",
            "Have the sender write one item for each frame.",
        )


def _orientation(item: Item) -> Iterator[Finding]:
    cosines = item.numbers("ImageOrientationSlide")
    try:
        if cosines:
            Orientation.from_cosines(cosines)
    except InvalidGeometry as error:
        yield Finding(
            "WSI-ORIENTATION",
            f"ImageOrientationSlide cannot be: {error.detail}",
            "Have the sender say how the image lies on the slide.",
        )


def tiles_of(item: Item) -> int:
    """Return the frames that TILED_FULL has (PS3.3 C.7.6.17.3); 0 if that cannot be said."""
    sizes = [item.count(keyword) for keyword in _SIZES[:4]]
    if min(sizes) < 1:
        return 0
    rows, columns, matrix_rows, matrix_columns = sizes
    planes = item.count("TotalPixelMatrixFocalPlanes") or 1
    paths = item.count("NumberOfOpticalPaths") or len(item.items("OpticalPathSequence")) or 1
    return TileGrid(matrix_columns, matrix_rows, columns, rows).count * planes * paths


def _numbers_of_frames(item: Item) -> Iterator[Finding]:
    number, tiles = item.count("NumberOfFrames"), tiles_of(item)
    if item.text("DimensionOrganizationType") != "TILED_FULL" or not number or not tiles:
        return
    if "ConcatenationUID" in item:
        first = item.count("ConcatenationFrameOffsetNumber")
        fits = 0 <= first <= tiles - number
    else:
        fits = number == tiles
    if not fits:
        yield Finding(
            "WSI-FRAMES",
            f"NumberOfFrames is {number}; matrix, tiles, optical paths and focal planes make "
            f"{tiles} (TILED_FULL).",
            "Have the sender write all tiles, or say TILED_SPARSE; wsidicom and others refuse it, "
            "and tiles would be shown at wrong places.",
        )


def _frame_table(item: Item, frames: FrameTable | None, required: bool) -> Iterator[Finding]:
    number = item.count("NumberOfFrames")
    if frames is None:
        if required:
            yield Finding(
                "WSI-FRAMES",
                "The image has no PixelData.",
                "Have the sender send the object whole.",
            )
    elif number and len(frames) != number:
        yield Finding(
            "WSI-FRAMES",
            f"NumberOfFrames is {number}; PixelData holds {len(frames)}.",
            "Have the sender send the object whole.",
        )


def measures_of(item: Item) -> Item | None:
    """Return the pixel measures of an image: shared by its frames, or those of its first frame."""
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        group = item.first(keyword)
        if group is not None and (measures := group.first("PixelMeasuresSequence")):
            return measures
    return None


def _section(item: Item) -> Iterator[Finding]:
    """PS3.3 C.8.12.4.1.2: a section has a thickness."""
    measures = measures_of(item)
    if flavour(item) not in ("VOLUME", "THUMBNAIL") or measures is None:
        return
    for place, keyword in ((item, "ImagedVolumeDepth"), (measures, "SliceThickness")):
        if place.filled(keyword) and not place.number(keyword) > 0:
            yield Finding(
                "WSI-VALUE",
                f"{place.path(keyword)} is not a number above 0.",
                "Have the sender state the thickness of the section.",
            )


def _volume(item: Item) -> Iterator[Finding]:
    """PS3.3 C.8.12.4.1.2: the imaged volume is that of matrix and spacing."""
    if flavour(item) not in ("VOLUME", "THUMBNAIL") or (measures := measures_of(item)) is None:
        return
    spacing = measures.numbers("PixelSpacing")
    if len(spacing) != 2 or min(spacing) <= 0:
        if spacing:
            yield Finding(
                "WSI-SPACING",
                f"{measures.path('PixelSpacing')} is not two numbers above 0.",
                "Have the sender state the spacing; it is never guessed.",
            )
        return
    sides: tuple[tuple[str, str, float], ...] = (
        ("ImagedVolumeWidth", "TotalPixelMatrixColumns", spacing[1]),
        ("ImagedVolumeHeight", "TotalPixelMatrixRows", spacing[0]),
    )
    for keyword, matrix, distance in sides:
        stated, pixels = item.number(keyword), item.count(matrix)
        if not pixels or not math.isfinite(stated):
            continue
        found = pixels * distance
        if abs(found - stated) > max(_TOLERANCE * found, 1.5 * distance):
            yield Finding(
                "WSI-VOLUME",
                f"{keyword} is {stated:.6g} mm; {matrix} and PixelSpacing make {found:.6g} mm.",
                "Have the sender find out which is true: measurements hang on it.",
            )
