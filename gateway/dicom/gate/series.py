"""Rules over the instances of series and studies: what must be equal, and what must not.

What the standard forbids, or what would show one patient or slide for another, is held. What DICOM
allows and viewers refuse is a warning that names them: one instance for each focal plane, two
labels, a thumbnail as large as a level.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from gateway.core.instances import VL_WHOLE_SLIDE_MICROSCOPY, Flavour
from gateway.dicom.gate.conditions import colour, flavour
from gateway.dicom.gate.images import RETIRED_FLAVOUR, measures_of
from gateway.dicom.gate.items import Item
from gateway.dicom.gate.verdict import Finding
from gateway.dicom.gate.viewers import DMV, OPENSLIDE

_STUDY = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""Attributes of patient and study: one of each in a study (PS3.3 A.1.2)."""

_SERIES = (
    "Modality",
    "SeriesNumber",
    "FrameOfReferenceUID",
    "Manufacturer",
    "ManufacturerModelName",
    "DeviceSerialNumber",
)
"""Attributes of series, frame of reference and equipment: one of each in a series (A.1.2)."""

_CONTAINER, _ACQUISITION = "ContainerIdentifier", "AcquisitionUID"
"""Which slide, and which scan of it."""

_ONE_PYRAMID_MM = 0.02
"""How far apart origins may be for wsidicom to take images into one pyramid."""

_RATIO = 0.01
"""By how much the binary logarithm of the ratio of levels may differ from a whole number."""

_OPTIONAL = frozenset({"FrameOfReferenceUID", "IssuerOfPatientID"})
"""Not written by all, and not missed: a label has no place on the slide."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What the rules over several instances need to know of one.

    Parameters
    ----------
    instance, sop_class, series, study
        UIDs.
    values
        Keyword -> value of the attributes that are compared; what is empty is not there.
    kind
        Flavour of an image; empty for other objects.
    tile, matrix
        Columns and rows of a tile and of the total pixel matrix.
    column_mm
        Distance of the centres of adjacent columns in mm; 0 if that is not stated.
    origin_mm
        Total Pixel Matrix Origin; empty if that is not stated.
    paths
        Optical Path Identifiers.
    profiles
        Whether each optical path of colour has an ICC profile; None if that does not apply.
    part
        Its number in a concatenation; 0 if it is none.
    references
        SOP Instance UIDs of what it refers to.
    """

    instance: str
    sop_class: str
    series: str
    study: str
    values: dict[str, str] = field(default_factory=dict)
    kind: str = ""
    tile: tuple[int, int] = (0, 0)
    matrix: tuple[int, int] = (0, 0)
    column_mm: float = 0.0
    origin_mm: tuple[float, ...] = ()
    paths: tuple[str, ...] = ()
    profiles: bool | None = None
    part: int = 0
    references: frozenset[str] = frozenset()


def summarise(dataset: Dataset) -> Summary:
    """Take out of an instance what the rules over several need to know."""
    return summarise_item(Item(dataset))


def summarise_item(item: Item) -> Summary:
    """Sum up what :func:`summarise` sums up, looked at already."""
    image = item.text("SOPClassUID") == VL_WHOLE_SLIDE_MICROSCOPY
    paths = item.items("OpticalPathSequence") if image else ()
    kind = flavour(item) if image else ""
    return Summary(
        instance=item.text("SOPInstanceUID"),
        sop_class=item.text("SOPClassUID"),
        series=item.text("SeriesInstanceUID"),
        study=item.text("StudyInstanceUID"),
        values={
            keyword: "\\".join(values)
            for keyword in (*_STUDY, *_SERIES, _CONTAINER, _ACQUISITION)
            if (values := item.texts(keyword))
        },
        kind=Flavour.OVERVIEW if kind == RETIRED_FLAVOUR else kind,
        tile=(item.count("Columns"), item.count("Rows")),
        matrix=(item.count("TotalPixelMatrixColumns"), item.count("TotalPixelMatrixRows")),
        column_mm=_column_mm(item) if kind == Flavour.VOLUME else 0.0,
        origin_mm=_origin_mm(item) if kind == Flavour.VOLUME else (),
        paths=tuple(path.text("OpticalPathIdentifier") for path in paths),
        profiles=all(path.filled("ICCProfile") for path in paths)
        if paths and colour(item)
        else None,
        part=item.count("InConcatenationNumber") if "ConcatenationUID" in item else 0,
        references=_references(item),
    )


def _column_mm(item: Item) -> float:
    measures = measures_of(item)
    spacing = measures.numbers("PixelSpacing") if measures else []
    return spacing[1] if len(spacing) == 2 and 0 < spacing[1] < math.inf else 0.0


def _origin_mm(item: Item) -> tuple[float, ...]:
    offsets = [f"{axis}OffsetInSlideCoordinateSystem" for axis in "XY"]
    for origin in item.items("TotalPixelMatrixOriginSequence"):
        return tuple(value for offset in offsets for value in origin.numbers(offset)[:1])
    return ()


def _references(item: Item) -> frozenset[str]:
    """Return what an object of annotations, or the evidence of a report, refers to."""
    images = item.items("ReferencedImageSequence")
    series = [
        *item.items("ReferencedSeriesSequence"),
        *(
            below
            for study in item.items("CurrentRequestedProcedureEvidenceSequence")
            for below in study.items("ReferencedSeriesSequence")
        ),
    ]
    named = [
        one
        for below in series
        for keyword in ("ReferencedInstanceSequence", "ReferencedSOPSequence")
        for one in below.items(keyword)
    ]
    return frozenset(one.text("ReferencedSOPInstanceUID") for one in (*images, *named)) - {""}


Place = tuple[int, Finding]
"""Number of an instance in what was given, from 0, and what was found of it."""

Group = list[tuple[int, Summary]]


def examine_series(summaries: Sequence[Summary]) -> list[Place]:
    """Say what of the instances does not go together.

    Parameters
    ----------
    summaries
        Of the instances of one series or study, or of many: they are sorted by their UIDs.
    """
    found: list[Place] = []
    numbered = list(enumerate(summaries))
    for group in _grouped(numbered, lambda one: one.instance):
        found += _twice(group)
    for study in _grouped(numbered, lambda one: one.study):
        found += _unequal(study, _STUDY, "STUDY-UNEQUAL", "study")
        found += _elsewhere(study)
    for series in _grouped(numbered, lambda one: one.series):
        found += _one_series(series)
    return found


def _grouped(group: Group, key: Callable[[Summary], object]) -> list[Group]:
    groups: dict[object, Group] = defaultdict(list)
    for number, summary in group:
        groups[key(summary)].append((number, summary))
    groups.pop("", None)
    return list(groups.values())


def _one_series(series: Group) -> Iterator[Place]:
    yield from _unequal(series, _SERIES, "SERIES-UNEQUAL", "series")
    if len({one.study for _, one in series}) > 1:
        yield from _all(
            series,
            Finding(
                "SERIES-UNEQUAL",
                "The series is in several studies: StudyInstanceUID is not the same in all of it.",
                "Have the sender put it into one.",
            ),
        )
    images = [(number, one) for number, one in series if one.kind and one.part < 2]
    for rule in (_one_slide, _one_scan, _associated, _profiles, _levels):
        yield from rule(images)


def _all(group: Group, finding: Finding) -> Iterator[Place]:
    for number, _ in group:
        yield number, finding


def _twice(group: Group) -> Iterator[Place]:
    if len(group) > 1:
        yield from _all(
            group,
            Finding(
                "STUDY-TWICE",
                f"{len(group)} objects have this SOPInstanceUID.",
                "Have the sender find out which is meant; a UID is of one object (PS3.5 9).",
            ),
        )


def _unequal(group: Group, keywords: Sequence[str], rule: str, level: str) -> Iterator[Place]:
    for keyword in keywords:
        values = {one.values.get(keyword, "") for _, one in group}
        if len(values - {""}) > 1:
            yield from _all(
                group,
                Finding(
                    rule,
                    f"{keyword} is not the same in all instances of the {level} that are here.",
                    f"Have the sender write one {keyword}: a {level} has one (PS3.3 A.1.2).",
                ),
            )
        elif len(values) > 1 and keyword not in _OPTIONAL:
            yield from _all(
                [one for one in group if keyword not in one[1].values],
                Finding.warning(
                    rule,
                    f"{keyword} is not known here, and known in other instances of the {level}.",
                    f"The sender should write the same {keyword} into all of the {level}.",
                ),
            )


def _elsewhere(study: Group) -> Iterator[Place]:
    here = {one.instance for _, one in study}
    for number, one in study:
        if away := one.references - here:
            yield (
                number,
                Finding.warning(
                    "STUDY-ELSEWHERE",
                    f"{len(away)} objects that it refers to are not here.",
                    "They may come later, or be elsewhere; viewers show it without them.",
                ),
            )


def _one_slide(images: Group) -> Iterator[Place]:
    if len({one.values.get(_CONTAINER, "") for _, one in images}) > 1:
        yield from _all(
            images,
            Finding(
                "SERIES-SLIDE",
                f"{_CONTAINER} is not the same in all images of the series: viewers would show "
                "images of several slides as one.",
                "Have the sender find out which slide it is, and put others into series of their "
                "own.",
            ),
        )


def _one_scan(images: Group) -> Iterator[Place]:
    if len({one.values.get(_ACQUISITION, "") for _, one in images}) > 1:
        yield from _all(
            images,
            Finding.warning(
                "SERIES-ACQUISITION",
                f"{_ACQUISITION} is not the same in all images of the series, or only in some: "
                f"{DMV} show the slide in parts.",
                f"The sender should write the same {_ACQUISITION} into all, or into none.",
            ),
        )


def _associated(images: Group) -> Iterator[Place]:
    for kind in (Flavour.LABEL, Flavour.OVERVIEW, Flavour.THUMBNAIL):
        of_kind = [(number, one) for number, one in images if one.kind == kind]
        if len(of_kind) > 1:
            yield from _all(
                of_kind,
                Finding.warning(
                    "SERIES-ASSOCIATED",
                    f"The series has {len(of_kind)} images of kind {kind}; {OPENSLIDE} refuse it.",
                    "The sender should send one, or put the others into series of their own.",
                ),
            )


def _profiles(images: Group) -> Iterator[Place]:
    measured = [one for one in images if one[1].profiles is not None]
    if len({one.profiles for _, one in measured}) > 1:
        yield from _all(
            [one for one in measured if not one[1].profiles],
            Finding.warning(
                "SERIES-ICC",
                f"OpticalPathSequence has no ICCProfile, and other images of the series have one: "
                f"{DMV} draw nothing of the slide.",
                "The sender should write a profile into all images of the series.",
            ),
        )


def _levels(images: Group) -> Iterator[Place]:
    pyramid = [one for one in images if one[1].kind in (Flavour.VOLUME, Flavour.THUMBNAIL)]
    for same in _grouped(pyramid, lambda one: (one.matrix, one.paths)):
        if len(same) > 1:
            yield from _all(
                same,
                Finding.warning(
                    "SERIES-LEVELS",
                    f"{len(same)} images of the series have the same total pixel matrix: {DMV}, "
                    f"{OPENSLIDE} refuse the slide.",
                    "The sender should leave one out, or put it into a series of its own.",
                ),
            )
    volumes = [one for one in pyramid if one[1].kind == Flavour.VOLUME]
    if len({one.paths for _, one in pyramid}) > 1:
        yield from _all(
            pyramid,
            Finding.warning(
                "SERIES-OPTICAL-PATHS",
                f"OpticalPathIdentifier is not the same in all levels: {DMV} take them for other "
                "channels and show some only.",
                "The sender should name the same optical path alike.",
            ),
        )
    if len({one.tile for _, one in volumes}) > 1:
        yield from _all(
            volumes,
            Finding.warning(
                "SERIES-TILES",
                "Rows and Columns are not the same in all levels: wsidicom leaves levels out.",
                "The sender should cut all levels into tiles of one size.",
            ),
        )
    yield from _ratios(volumes)
    yield from _origins(volumes)


def _origins(volumes: Group) -> Iterator[Place]:
    placed = [one for one in volumes if len(one[1].origin_mm) == 2]
    base = max(
        (one for _, one in placed), key=lambda one: one.matrix, default=Summary("", "", "", "")
    )
    for number, one in placed:
        if math.dist(one.origin_mm, base.origin_mm) > _ONE_PYRAMID_MM:
            yield (
                number,
                Finding.warning(
                    "SERIES-ORIGIN",
                    "The level begins elsewhere than the base level, if only by half of a coarse "
                    "pixel: wsidicom takes it for another pyramid.",
                    "Open it with a larger pyramids_origin_threshold.",
                ),
            )


def _ratios(volumes: Group) -> Iterator[Place]:
    measured = [one for one in volumes if one[1].column_mm]
    base = min((one.column_mm for _, one in measured), default=0.0)
    for number, one in measured:
        steps = math.log2(one.column_mm / base)
        if abs(steps - round(steps)) > _RATIO:
            yield (
                number,
                Finding.warning(
                    "SERIES-RATIOS",
                    "The level is smaller than the base level by a factor that is no power of 2: "
                    "wsidicom refuses the slide.",
                    "Open it with a larger level_scale_tolerance, or leave this level out.",
                ),
            )
