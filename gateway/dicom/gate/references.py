"""What annotations and reports refer to, compared with the images that are there.

Rules of :mod:`gateway.dicom.gate.series` are of objects that came together; these are of one object
and an archive. What is not there (yet) is a warning: objects of a study arrive in any order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from gateway.core.errors import InvalidGeometry
from gateway.dicom.gate.annotations import array_of
from gateway.dicom.gate.items import Item
from gateway.dicom.gate.reports import contents
from gateway.dicom.gate.verdict import Finding
from gateway.dicom.geometry import read_matrix
from gateway.dicom.sop_classes import ANNOTATIONS, REPORTS

Points = NDArray[np.float64]

_EVIDENCE = (
    "CurrentRequestedProcedureEvidenceSequence",
    "PertinentOtherEvidenceSequence",
    "StudiesContainingOtherReferencedInstancesSequence",
)
"""Sequences of studies that objects refer to (PS3.3 C.17.2.3, C.12.2)."""

_LISTS = ("ReferencedSOPSequence", "ReferencedInstanceSequence")

_TOLERANCE = 1.0
"""Pixels by which a point may lie outside of its image: rounding, and shapes drawn at the edge."""


def referred_to(dataset: Dataset) -> dict[str, str]:
    """Return the instances that an annotation or a report refers to.

    Returns
    -------
    SOP Instance UID -> UID of the study that the object says they are of. What coordinates are of
    comes first.
    """
    item = Item(dataset)
    if item.text("SOPClassUID") not in {ANNOTATIONS, *REPORTS}:
        return {}
    own = item.text("StudyInstanceUID")
    found = {_instance(one): own for one in item.items("ReferencedImageSequence")}
    for study, series in _series(item, own):
        for keyword in _LISTS:
            found |= {_instance(one): study for one in series.items(keyword)}
    return {uid: study for uid, study in found.items() if uid}


def _series(item: Item, own: str) -> Iterator[tuple[str, Item]]:
    for series in item.items("ReferencedSeriesSequence"):
        yield own, series
    for keyword in _EVIDENCE:
        for study in item.items(keyword):
            for series in study.items("ReferencedSeriesSequence"):
                yield study.text("StudyInstanceUID"), series


def _instance(item: Item) -> str:
    return item.text("ReferencedSOPInstanceUID")


def reference_findings(
    dataset: Dataset, sought: Mapping[str, str], known: Mapping[str, Dataset]
) -> Iterator[Finding]:
    """Yield what is wrong between an annotation or a report and the images that it refers to.

    Parameters
    ----------
    sought
        What :func:`referred_to` returned, or as much of it as was looked for.
    known
        Headers of those that are there, by SOP Instance UID.
    """
    item = Item(dataset)
    if missing := len(sought.keys() - known.keys()):
        yield Finding.warning(
            "STUDY-ELSEWHERE",
            f"{missing} of the {len(sought)} objects that it refers to are not here.",
            "Send them too; until then viewers show nothing of it.",
        )
    images = {uid: Item(header) for uid, header in known.items()}
    moved = [uid for uid, image in images.items() if image.text("StudyInstanceUID") != sought[uid]]
    if moved:
        yield Finding.warning(
            "STUDY-REFERENCE",
            f"{len(moved)} of the objects that it refers to are of another study than it says.",
            "Send it again in the study of its image; viewers look for it there.",
        )
    if item.text("SOPClassUID") == ANNOTATIONS:
        yield from _annotation(item, images)
    else:
        complete = sought.keys() == known.keys()
        yield from _report(item, images, complete=complete)


def _annotation(item: Item, images: Mapping[str, Item]) -> Iterator[Finding]:
    """PS3.3 C.37.1.2: coordinates of a matrix, a frame, or a frame of reference."""
    named = [_instance(one) for one in item.items("ReferencedImageSequence")]
    of = [images[uid] for uid in named if uid in images] or list(images.values())
    if not of:
        return
    flat = item.text("AnnotationCoordinateType") == "2D"
    own = item.text("FrameOfReferenceUID")
    if own and own not in {image.text("FrameOfReferenceUID") for image in of}:
        fault = Finding.warning if flat else Finding
        yield fault(
            "STUDY-FRAME",
            "FrameOfReferenceUID is not that of the image: "
            + ("viewers do not show it." if flat else "nobody can say where the shapes lie."),
            "Have the sender take that of the image which the shapes were drawn on.",
        )
        return
    whole = item.text("PixelOriginInterpretation") != "FRAME"
    for group in item.items("AnnotationGroupSequence"):
        points = _points(group, flat=flat)
        if not any(_inside(points, image, flat=flat, whole=whole) for image in of):
            yield _outside(group, "PointCoordinatesData")


def _points(group: Item, *, flat: bool) -> Points:
    double = group.filled("DoublePointCoordinatesData")
    keyword = "DoublePointCoordinatesData" if double else "PointCoordinatesData"
    values = array_of(group, keyword, "<f8" if double else "<f4").astype(np.float64)
    dimensions = 2 if flat or "CommonZCoordinateValue" in group else 3
    return values[: len(values) // dimensions * dimensions].reshape(-1, dimensions)


def _report(item: Item, images: Mapping[str, Item], *, complete: bool) -> Iterator[Finding]:
    frames = {image.text("FrameOfReferenceUID") for image in images.values()}
    for content in contents(item):
        kind = content.text("ValueType")
        values = content.numbers("GraphicData")
        if kind == "SCOORD3D":
            frame = content.text("ReferencedFrameOfReferenceUID")
            points = _in_rows(values, 3)
            there = [one for one in images.values() if one.text("FrameOfReferenceUID") == frame]
            if images and complete and frame not in frames:
                yield Finding.warning(
                    "STUDY-FRAME",
                    f"{content.path('ReferencedFrameOfReferenceUID')} is that of none of the "
                    "images that are evidence.",
                    "Have the sender take that of the image; viewers do not show the shape.",
                )
            elif there and not any(_inside(points, one, flat=False) for one in there):
                yield _outside(content, "GraphicData")
        elif kind == "SCOORD":
            yield from _selected(content, _in_rows(values, 2), images)


def _selected(content: Item, points: Points, images: Mapping[str, Item]) -> Iterator[Finding]:
    """PS3.3 C.18.6: coordinates of the image that they are selected from."""
    whole = content.text("PixelOriginInterpretation") == "VOLUME"
    for source in content.items("ContentSequence"):
        for reference in source.items("ReferencedSOPSequence"):
            image = images.get(_instance(reference))
            if image is not None and not _inside(points, image, flat=True, whole=whole):
                yield _outside(content, "GraphicData")


def _in_rows(values: Sequence[float], dimensions: int) -> Points:
    whole = len(values) // dimensions * dimensions
    return np.array(values[:whole], np.float64).reshape(-1, dimensions)


def _inside(points: Points, image: Item, *, flat: bool, whole: bool = True) -> bool:
    """Whether all points lie in an image; True if it does not say how large it is."""
    if not len(points):
        return True
    prefix = "TotalPixelMatrix" if whole and "TotalPixelMatrixRows" in image else ""
    size = np.array([image.count(f"{prefix}Columns"), image.count(f"{prefix}Rows")])
    if not flat:
        try:
            matrix = read_matrix(image.dataset)
        except InvalidGeometry:
            return True
        points = matrix.to_matrix(points[:, :2])
        size = np.array([matrix.columns, matrix.rows])
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return bool((low >= -_TOLERANCE).all() and (high <= size + _TOLERANCE).all())


def _outside(item: Item, keyword: str) -> Finding:
    return Finding.warning(
        "STUDY-COORDINATES",
        f"{item.path(keyword)} has points outside of the image that they are of.",
        "Look whether the shapes were drawn on another image, or on another of its levels.",
    )
