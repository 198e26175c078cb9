"""Rules of Microscopy Bulk Simple Annotations (PS3.3 A.87, C.37.1.2)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gateway.dicom.gate.images import one_of
from gateway.dicom.gate.items import Item, tag_of
from gateway.dicom.gate.verdict import Finding

_ENUMERATED: dict[str, tuple[str, ...]] = {
    "Modality": ("ANN",),
    "AnnotationCoordinateType": ("2D", "3D"),
    "PixelOriginInterpretation": ("FRAME", "VOLUME"),
}
_GROUP_ENUMERATED: dict[str, tuple[str, ...]] = {
    "AnnotationGroupGenerationType": ("MANUAL", "SEMIAUTOMATIC", "AUTOMATIC"),
    "AnnotationAppliesToAllOpticalPaths": ("YES", "NO"),
    "AnnotationAppliesToAllZPlanes": ("YES", "NO"),
    "GraphicType": ("POINT", "POLYLINE", "POLYGON", "ELLIPSE", "RECTANGLE"),
}
_POINTS = {"POINT": 1, "ELLIPSE": 4, "RECTANGLE": 4}
"""Points of each annotation of the graphic types that have a fixed number of them."""

_FEWEST = {"POLYLINE": 2, "POLYGON": 3}

_AGAIN = "Have the sender write the group again; shapes would be drawn at wrong places."


def annotation_faults(item: Item) -> Iterator[Finding]:
    """Yield what is wrong with an object of annotations."""
    for keyword, values in _ENUMERATED.items():
        yield from one_of(item, keyword, values, "ANN-VALUE")
    yield from _references(item)
    groups = item.items("AnnotationGroupSequence")
    yield from _numbering(groups)
    for group in groups:
        for keyword, values in _GROUP_ENUMERATED.items():
            yield from one_of(group, keyword, values, "ANN-VALUE")
        yield from _coordinates(group, item.text("AnnotationCoordinateType"))
        yield from _measurements(group)


def _references(item: Item) -> Iterator[Finding]:
    """PS3.3 C.37.1.2.1.1: coordinates of the matrix of one image, or of one frame of it."""
    images = item.items("ReferencedImageSequence")
    if item.text("AnnotationCoordinateType") != "2D" or not images:
        return
    if len(images) > 1:
        yield Finding(
            "ANN-REFERENCE",
            f"ReferencedImageSequence has {len(images)} items; coordinates are of one image.",
            "Have the sender name the image that the coordinates count in.",
        )
    frames = images[0].texts("ReferencedFrameNumber")
    origin = item.text("PixelOriginInterpretation")
    if origin == "FRAME" and len(frames) != 1:
        yield Finding(
            "ANN-REFERENCE",
            "PixelOriginInterpretation is FRAME, and ReferencedFrameNumber names no single frame.",
            "Have the sender name the frame that the coordinates count in.",
        )
    if origin == "VOLUME" and frames:
        yield Finding.warning(
            "ANN-REFERENCE",
            "PixelOriginInterpretation is VOLUME, and ReferencedFrameNumber names frames.",
            "The coordinates are taken for those of the whole matrix.",
        )


def _numbering(groups: tuple[Item, ...]) -> Iterator[Finding]:
    numbers = [group.count("AnnotationGroupNumber") for group in groups]
    if numbers != list(range(1, len(numbers) + 1)):
        yield Finding(
            "ANN-GROUP-NUMBER",
            "AnnotationGroupNumber does not run 1, 2, 3 in the order of AnnotationGroupSequence.",
            "Have the sender number them anew; dicom-microscopy-viewer and Slim show others.",
        )
    uids = [group.text("AnnotationGroupUID") for group in groups]
    if len(set(uids)) != len(uids):
        yield Finding(
            "ANN-GROUP-UID",
            "Two items of AnnotationGroupSequence have the same AnnotationGroupUID.",
            "Have the sender give each group its own.",
        )


def array_of(group: Item, keyword: str, dtype: str) -> NDArray[np.generic]:
    """Return the values of an element of binary numbers; none if it is not there."""
    element = group.elements.get(tag_of(keyword))
    value = element.value if element is not None else None
    data = value if isinstance(value, bytes | bytearray) else b""
    kind = np.dtype(dtype)
    return np.frombuffer(data, kind, len(data) // kind.itemsize)


def _coordinates(group: Item, coordinate_type: str) -> Iterator[Finding]:
    """PS3.3 C.37.1.2.1: how many points there are, and which annotation each belongs to."""
    double = group.filled("DoublePointCoordinatesData")
    if double and group.filled("PointCoordinatesData"):
        yield _wrong(
            group, "PointCoordinatesData", "is there twice, in single and double precision"
        )
        return
    keyword = "DoublePointCoordinatesData" if double else "PointCoordinatesData"
    values = array_of(group, keyword, "<f8" if double else "<f4")
    if not len(values):
        return
    flat = coordinate_type == "2D" or "CommonZCoordinateValue" in group
    dimensions = 2 if flat else 3
    if not np.isfinite(values).all():
        yield _wrong(group, keyword, "has values that are not finite")
    elif len(values) % dimensions:
        yield _wrong(
            group, keyword, f"has {len(values)} values, which are not points of {dimensions}"
        )
    else:
        yield from _shapes(group, keyword, len(values), dimensions)
    if coordinate_type == "2D" and "CommonZCoordinateValue" in group:
        yield Finding.warning(
            "ANN-COORDINATES",
            f"{group.path('CommonZCoordinateValue')} is there; 2D coordinates have no depth.",
            "The sender should leave it out.",
        )


def _shapes(group: Item, keyword: str, values: int, dimensions: int) -> Iterator[Finding]:
    kind, count = group.text("GraphicType"), group.count("NumberOfAnnotations")
    if (points := _POINTS.get(kind)) is not None:
        if values != count * points * dimensions:
            yield _wrong(
                group,
                keyword,
                f"has {values} values; {count} annotations of {points} points of {dimensions} have "
                f"{count * points * dimensions}",
            )
        if group.filled("LongPrimitivePointIndexList"):
            yield Finding.warning(
                "ANN-INDEX",
                f"{group.path('LongPrimitivePointIndexList')} is there; {kind} needs none.",
                "The sender should leave it out.",
            )
    elif kind in _FEWEST and group.filled("LongPrimitivePointIndexList"):
        yield from _index(group, values, dimensions, count, _FEWEST[kind])


def _index(group: Item, values: int, dimensions: int, count: int, fewest: int) -> Iterator[Finding]:
    """Check the index: for each annotation the number, from 1, of its first coordinate value."""
    keyword = "LongPrimitivePointIndexList"
    starts = array_of(group, keyword, "<u4").astype(np.int64)
    if len(starts) != count:
        yield _wrong(group, keyword, f"has {len(starts)} entries; NumberOfAnnotations is {count}")
        return
    lengths = np.diff(starts, append=values + 1)
    if len(starts) and starts[0] != 1:
        yield _wrong(group, keyword, f"begins with {starts[0]}; it counts values, from 1")
    elif (lengths <= 0).any() or (lengths % dimensions).any():
        yield _wrong(group, keyword, "does not point to the first value of each annotation in turn")
    elif (lengths < fewest * dimensions).any():
        yield _wrong(group, keyword, f"leaves annotations with fewer than {fewest} points")


def _measurements(group: Item) -> Iterator[Finding]:
    count = group.count("NumberOfAnnotations")
    for measurement in group.items("MeasurementsSequence"):
        for values in measurement.items("MeasurementValuesSequence"):
            numbers = array_of(values, "FloatingPointValues", "<f4")
            index = array_of(values, "AnnotationIndexList", "<u4")
            wanted = len(index) or count
            if len(numbers) and len(numbers) != wanted:
                yield _wrong(
                    values, "FloatingPointValues", f"has {len(numbers)} values for {wanted} shapes"
                )
            if len(index) and (int(index.min()) < 1 or int(index.max()) > count):
                yield _wrong(values, "AnnotationIndexList", f"names shapes beyond the {count}")


def _wrong(item: Item, keyword: str, what: str) -> Finding:
    rules = {
        "LongPrimitivePointIndexList": "ANN-INDEX",
        "FloatingPointValues": "ANN-MEASUREMENT",
        "AnnotationIndexList": "ANN-MEASUREMENT",
    }
    return Finding(rules.get(keyword, "ANN-COORDINATES"), f"{item.path(keyword)} {what}.", _AGAIN)
