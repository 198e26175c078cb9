"""The fixed list of safe repairs: what cannot change the meaning of an object.

Each is recorded in the object itself: Contributing Equipment Sequence says what was done, by
which version and when, and Original Attributes Sequence keeps what was there before (PS3.3
C.12.1). An attribute that was not there stands in the latter without a value. Pixel data are not
touched. `conformance/STATEMENT.md` lists the repairs for people.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydicom.dataset import Dataset

from gateway import __version__
from gateway.dicom.gate.conditions import flavour
from gateway.dicom.gate.images import measures_of, tiles_of
from gateway.dicom.gate.items import Item, name_of, standard_vr, vr_of
from gateway.dicom.gate.structure import Missing
from gateway.dicom.gate.values import wrongly_padded
from gateway.dicom.gate.verdict import Finding, Severity
from gateway.dicom.geometry import NOMINAL_THICKNESS_MM

_LONGEST_DESCRIPTION = 1024


@dataclass(frozen=True, slots=True)
class Repair:
    """One safe change of one attribute.

    Parameters
    ----------
    item, keyword
        Where it is made.
    value
        What the attribute becomes.
    rule, message
        As of a finding.
    done
        What is done, for people.
    """

    item: Item
    keyword: str
    value: object
    rule: str
    message: str
    done: str

    @property
    def finding(self) -> Finding:
        """As the verdict tells it."""
        return Finding(self.rule, self.message, self.done, Severity.REPAIR)

    @property
    def top(self) -> str:
        """Keyword of the attribute of the object itself that changes."""
        return self.item.path(self.keyword).split("[")[0].split(".")[0]


def repaired(
    dataset: Dataset,
    repairs: Sequence[Repair],
    rewritten: Sequence[Finding],
    moment: datetime | None,
) -> Dataset:
    """Return a copy with repairs and the record of them.

    Parameters
    ----------
    repairs
        As found in ``dataset``.
    rewritten
        What was wrong around the data set, and is right when the object is written anew.
    moment
        When; None is now.
    """
    mended = copy.deepcopy(dataset)
    for repair in repairs:
        setattr(_at(mended, repair.item), repair.keyword, repair.value)
    stamp = (moment or datetime.now(UTC)).astimezone(UTC).strftime("%Y%m%d%H%M%S.%f+0000")
    if repairs:
        _keep_originals(dataset, mended, repairs, stamp)
    told = [f"{repair.rule} {repair.item.path(repair.keyword)}" for repair in repairs]
    _tell(mended, [*told, *(finding.rule for finding in rewritten)], stamp)
    return mended


def _at(dataset: Dataset, item: Item) -> Dataset:
    """Return the item of a copy that lies where an item lies."""
    for step in filter(None, item.place.split(".")):
        keyword, _, number = step.rstrip("]").partition("[")
        dataset = dataset[keyword].value[int(number)]
    return dataset


def _keep_originals(
    dataset: Dataset, mended: Dataset, repairs: Sequence[Repair], stamp: str
) -> None:
    before = Dataset()
    for keyword in sorted({repair.top for repair in repairs}):
        if keyword in dataset:
            before[keyword] = copy.deepcopy(dataset[keyword])
        else:
            setattr(before, keyword, None)
    original = Dataset()
    original.ModifiedAttributesSequence = [before]
    original.AttributeModificationDateTime = stamp
    original.ModifyingSystem = "Slidegate"
    original.SourceOfPreviousValues = ""
    original.ReasonForTheAttributeModification = "CORRECT"
    mended.OriginalAttributesSequence = [*_items(mended, "OriginalAttributesSequence"), original]


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    return list(dataset.get(keyword) or [])


def _tell(mended: Dataset, told: Sequence[str], stamp: str) -> None:
    purpose = Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = "109103", "DCM"
    purpose.CodeMeaning = "Modifying Equipment"
    gateway = Dataset()
    gateway.PurposeOfReferenceCodeSequence = [purpose]
    gateway.Manufacturer = "Slidegate"
    gateway.ManufacturerModelName = "slidegate"
    gateway.SoftwareVersions = __version__
    gateway.ContributionDateTime = stamp
    description = f"Repaired on receipt: {'; '.join(told)}"
    gateway.ContributionDescription = description[:_LONGEST_DESCRIPTION]
    mended.ContributingEquipmentSequence = [
        *_items(mended, "ContributingEquipmentSequence"),
        gateway,
    ]


# -- what is repaired


def image_repairs(item: Item) -> Iterator[Repair]:
    """Yield the repairs that an image needs."""
    yield from _tiled_full(item)
    yield from _slide_corner(item)
    yield from _thickness(item)
    yield from _negative_zeros(item)


def missing_repairs(lacking: Iterable[Missing], family: str) -> Iterator[Repair]:
    """Yield attributes of type 2 that are missing: they are added without a value."""
    for found in lacking:
        if found.requirement.type == "2":
            keyword = found.requirement.keyword
            yield Repair(
                found.item,
                keyword,
                None,
                f"{family}-{found.requirement.rule}",
                f"{found.item.path(keyword)} is missing; it is of type {found.requirement.kind}.",
                "It is added without a value: not known.",
            )


def padding_repairs(item: Item) -> Iterator[Repair]:
    """Yield text that ends in the wrong padding; not what is unknown, or lies in what is."""
    for below in item.walk():
        if "(" in below.place:
            continue
        for tag, element in below.elements.items():
            if tag >> 16 > 2 and standard_vr(tag) and (text := wrongly_padded(element, below)):
                yield _padding(below, name_of(tag), vr_of(element), text)


def _padding(item: Item, keyword: str, vr: str, text: str) -> Repair:
    kind = "a space" if vr == "UI" else "NUL"
    return Repair(
        item,
        keyword,
        text.split("\\") if "\\" in text else text,
        "VALUE-PADDING",
        f"{item.path(keyword)} is padded with {kind} (PS3.5 6.2).",
        "The padding is replaced; the value stays.",
    )


def _tiled_full(item: Item) -> Iterator[Repair]:
    """PS3.3 C.7.6.17: certain where no frame has a place of its own and all tiles are there."""
    if item.filled("DimensionOrganizationType") or "ConcatenationUID" in item:
        return
    tiles = tiles_of(item)
    if tiles and tiles == item.count("NumberOfFrames") and not _placed(item):
        yield Repair(
            item,
            "DimensionOrganizationType",
            "TILED_FULL",
            "WSI-TILED-FULL",
            f"DimensionOrganizationType is missing; the {tiles} frames are all tiles of the matrix "
            "and none has a place of its own.",
            "TILED_FULL is added.",
        )


def _placed(item: Item) -> bool:
    keywords = ("PerFrameFunctionalGroupsSequence", "DimensionIndexSequence")
    return any(keyword in item for keyword in keywords)


def _slide_corner(item: Item) -> Iterator[Repair]:
    if item.filled("FrameOfReferenceUID") and not item.filled("PositionReferenceIndicator"):
        yield Repair(
            item,
            "PositionReferenceIndicator",
            "SLIDE_CORNER",
            "WSI-SLIDE-CORNER",
            "PositionReferenceIndicator is missing; whole slide images have one only.",
            "SLIDE_CORNER is added.",
        )


def _thickness(item: Item) -> Iterator[Repair]:
    """PS3.3 C.8.12.4.1.2: depth in um and thickness in mm, of one section."""
    measures = measures_of(item)
    if flavour(item) not in ("VOLUME", "THUMBNAIL") or measures is None:
        return
    depth_um = _stated(item, "ImagedVolumeDepth")
    thickness_mm = _stated(measures, "SliceThickness")
    nominal = thickness_mm or depth_um / 1000 or NOMINAL_THICKNESS_MM
    source = "the other of the two" if depth_um or thickness_mm else "a nominal section"
    if not depth_um:
        yield _nominal(item, "ImagedVolumeDepth", nominal * 1000, f"{source}, in um")
    if not thickness_mm and measures.place.startswith("Shared"):
        yield _nominal(measures, "SliceThickness", f"{nominal:.10g}", f"{source}, in mm")


def _stated(item: Item, keyword: str) -> float:
    """Return a number, 0 if it is missing; what is no number is stated, and held."""
    return item.number(keyword) if item.filled(keyword) else 0.0


def _nominal(item: Item, keyword: str, value: object, source: str) -> Repair:
    state = "is 0" if item.filled(keyword) else "is missing"
    return Repair(
        item,
        keyword,
        value,
        "WSI-THICKNESS",
        f"{item.path(keyword)} {state}; a section has a thickness.",
        f"It becomes {value}: of {source}.",
    )


def _negative_zeros(item: Item) -> Iterator[Repair]:
    texts = item.texts("ImageOrientationSlide")
    if not any(text.startswith("-") and not text.strip("-0.") for text in texts):
        return
    yield Repair(
        item,
        "ImageOrientationSlide",
        [text if text.strip("-0.") else "0" for text in texts],
        "WSI-NEGATIVE-ZERO",
        "ImageOrientationSlide has a zero with a sign.",
        "The sign of the zero is taken away.",
    )
