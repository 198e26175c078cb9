"""Annotations that are broken."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydicom.dataset import Dataset

from tests.dicom.gate.corpus.cases import (
    HELD,
    PASSED,
    dropping,
    header,
    in_first,
    setting,
)


def in_group(number: int, change: Callable[[Dataset], object]) -> Callable[[Dataset], object]:
    return lambda dataset: change(dataset.AnnotationGroupSequence[number])


def one_uid(dataset: Dataset) -> None:
    first, second = dataset.AnnotationGroupSequence
    second.AnnotationGroupUID = first.AnnotationGroupUID


def floats(*values: float) -> bytes:
    return np.array(values, "<f4").tobytes()


def longs(*values: int) -> bytes:
    return np.array(values, "<u4").tobytes()


header(
    "annotations",
    HELD,
    "ANN-GROUP-NUMBER",
    "groups from 0",
    in_group(0, setting("AnnotationGroupNumber", 0)),
)
header(
    "annotations",
    HELD,
    "ANN-GROUP-UID",
    "groups of one UID",
    one_uid,
)
header(
    "annotations",
    HELD,
    "ANN-INDEX",
    "index of points",
    in_group(0, setting("LongPrimitivePointIndexList", longs(1, 4))),
)
header(
    "annotations",
    HELD,
    "ANN-INDEX",
    "index from 0",
    in_group(0, setting("LongPrimitivePointIndexList", longs(0, 6))),
)
header(
    "annotations",
    HELD,
    "ANN-INDEX",
    "index of one",
    in_group(0, setting("LongPrimitivePointIndexList", longs(1))),
)
header(
    "annotations",
    HELD,
    "ANN-INDEX",
    "index backwards",
    in_group(0, setting("LongPrimitivePointIndexList", longs(1, 1))),
)
header(
    "annotations",
    HELD,
    "ANN-TYPE1C",
    "no index",
    in_group(0, dropping("LongPrimitivePointIndexList")),
)
header(
    "annotations",
    HELD,
    "ANN-COORDINATES",
    "half a point",
    in_group(1, setting("PointCoordinatesData", floats(1, 2, 3, 4, 5))),
)
header(
    "annotations",
    HELD,
    "ANN-COORDINATES",
    "a point too many",
    in_group(1, setting("PointCoordinatesData", floats(*range(8)))),
)
header(
    "annotations",
    HELD,
    "ANN-COORDINATES",
    "no number",
    in_group(1, setting("PointCoordinatesData", floats(1, 2, 3, 4, 5, float("nan")))),
)
header(
    "annotations",
    HELD,
    "ANN-TYPE1C",
    "by a machine that is not named",
    in_group(0, setting("AnnotationGroupGenerationType", "AUTOMATIC")),
)
header(
    "annotations",
    HELD,
    "ANN-MEASUREMENT",
    "an area too many",
    in_group(
        0,
        in_first(
            "MeasurementsSequence.MeasurementValuesSequence",
            setting("FloatingPointValues", floats(1, 2, 3)),
        ),
    ),
)
header("annotations", HELD, "ANN-TYPE1C", "of no image", dropping("ReferencedImageSequence"))
header(
    "annotations",
    HELD,
    "ANN-REFERENCE",
    "of a frame that is not named",
    setting("PixelOriginInterpretation", "FRAME"),
)
header(
    "annotations",
    HELD,
    "ANN-VALUE",
    "of a shape that is none",
    in_group(0, setting("GraphicType", "CIRCLE")),
)
header("annotations", HELD, "ANN-TYPE1C", "of no series", dropping("ReferencedSeriesSequence"))


def in_another_study(dataset: Dataset) -> None:
    study = Dataset()
    study.StudyInstanceUID = "2.25.999"
    study.ReferencedSeriesSequence = dataset.ReferencedSeriesSequence
    dataset.StudiesContainingOtherReferencedInstancesSequence = [study]
    del dataset.ReferencedSeriesSequence


header("annotations", PASSED, "VIEW-REFERENCE", "of another study", in_another_study)
header(
    "annotations",
    PASSED,
    "VALUE-FORMAT",
    "label in small letters",
    setting("ContentLabel", "nuclei"),
)


def in_both_precisions(dataset: Dataset) -> None:
    group = dataset.AnnotationGroupSequence[1]
    group.DoublePointCoordinatesData = np.arange(6, dtype="<f8").tobytes()


header("annotations", HELD, "ANN-COORDINATES", "points twice", in_both_precisions)
