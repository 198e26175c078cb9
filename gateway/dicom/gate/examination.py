"""The order in which an object is looked at."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from pydicom.dataset import Dataset

from gateway.core.frames import FrameTable
from gateway.core.instances import VL_WHOLE_SLIDE_MICROSCOPY
from gateway.dicom.gate.annotations import annotation_faults
from gateway.dicom.gate.images import image_faults
from gateway.dicom.gate.items import Item
from gateway.dicom.gate.pixels import Read, pixel_faults
from gateway.dicom.gate.repairs import (
    Repair,
    image_repairs,
    missing_repairs,
    padding_repairs,
    repaired,
)
from gateway.dicom.gate.reports import (
    COMPREHENSIVE_3D_SR,
    COMPREHENSIVE_SR,
    ENHANCED_SR,
    report_faults,
)
from gateway.dicom.gate.standard import any_object, iod_of
from gateway.dicom.gate.structure import Missing, absent, code_faults, known, missing
from gateway.dicom.gate.values import value_faults
from gateway.dicom.gate.verdict import Finding, Outcome, Severity, Verdict, outcome_of
from gateway.dicom.gate.viewers import annotation_warnings, image_warnings, report_warnings
from gateway.dicom.streams.part10 import encode_header

MICROSCOPY_BULK_SIMPLE_ANNOTATIONS = "1.2.840.10008.5.1.4.1.1.91.1"


@dataclass(frozen=True, slots=True)
class Object:
    """What is examined.

    Parameters
    ----------
    item
        Its data set.
    transfer_syntax
        UID.
    frames
        Where its frames lie, or None.
    read
        Returns bytes at ``(offset, length)`` of what ``frames`` point into, or None.
    """

    item: Item
    transfer_syntax: str
    frames: FrameTable | None
    read: Read | None


def _image(of: Object) -> Iterator[Finding]:
    yield from image_faults(of.item, of.frames, of.read is not None)
    if of.frames is not None and of.read is not None:
        yield from pixel_faults(of.item, of.transfer_syntax, of.frames, of.read)
    yield from image_warnings(of.item, of.transfer_syntax)


def _annotations(of: Object) -> Iterator[Finding]:
    yield from annotation_faults(of.item)
    yield from annotation_warnings(of.item)


def _report(of: Object) -> Iterator[Finding]:
    yield from report_faults(of.item)
    yield from report_warnings(of.item)


def _unknown(of: Object) -> Iterator[Finding]:
    if of.item.filled("SOPClassUID"):
        yield Finding.warning(
            "ANY-CLASS",
            "The gate has no rules for this SOP class.",
            "It passes by the rules of all objects: UIDs, patient, study, and values by their VR.",
        )


@dataclass(frozen=True, slots=True)
class Family:
    """SOP classes that the same rules are for.

    Parameters
    ----------
    name
        What the identifiers of their rules begin with.
    faults
        Their own rules.
    """

    name: str
    faults: Callable[[Object], Iterator[Finding]]


_IMAGE, _ANNOTATIONS, _REPORT = (
    Family("WSI", _image),
    Family("ANN", _annotations),
    Family("SR", _report),
)
_ANY = Family("ANY", _unknown)
_FAMILIES: dict[str, Family] = {
    VL_WHOLE_SLIDE_MICROSCOPY: _IMAGE,
    MICROSCOPY_BULK_SIMPLE_ANNOTATIONS: _ANNOTATIONS,
    COMPREHENSIVE_3D_SR: _REPORT,
    COMPREHENSIVE_SR: _REPORT,
    ENHANCED_SR: _REPORT,
}


def prepare() -> None:
    """Read the standard's tables now: processes that are forked later have them."""
    any_object()


def examine(
    dataset: Dataset,
    transfer_syntax: str,
    frames: FrameTable | None = None,
    read: Read | None = None,
    *,
    wrong_offsets: bool = False,
    moment: datetime | None = None,
) -> Verdict:
    """Say whether an object is what the standard and the known viewers take.

    Parameters
    ----------
    dataset
        Its attributes without pixel data, with ``file_meta`` if it came as a file. It is not
        changed.
    transfer_syntax
        UID of the syntax of its frames.
    frames
        Where its frames lie; None if it has none, or they are not to be looked at.
    read
        Returns the bytes at ``(offset, length)`` of what ``frames`` point into; None if bit
        streams are not to be looked at.
    wrong_offsets
        Whether the offset tables of the stream say something else than ``frames``.
    moment
        When repairs are made, for the record of them; None is now.

    Returns
    -------
    The verdict; whatever the data set holds, nothing is raised. A repaired object has to be
    written anew as a whole, by :class:`gateway.dicom.streams.part10.Part10`.
    """
    return examine_item(Object(Item(dataset), transfer_syntax, frames, read), wrong_offsets, moment)


def examine_item(of: Object, wrong_offsets: bool, moment: datetime | None) -> Verdict:
    """Examine what :func:`examine` examines, looked at already."""
    item = of.item
    sop_class = item.text("SOPClassUID")
    family = _FAMILIES.get(sop_class, _ANY)
    node = (iod_of(sop_class) if family is not _ANY else None) or any_object()
    items = known(item, node)
    lacking = list(missing(items))
    repairs = list(_repairs(item, family, lacking))
    around = (*_file_meta(item), *(_OFFSETS if wrong_offsets else ()))
    rewritten = [one for one in around if one.severity is Severity.REPAIR]
    mended = None
    if (repairs or rewritten) and not _hopeless(lacking):
        mended, unwritable = _mended(of, repairs, rewritten, moment)
        around += unwritable
        item = Item(mended) if mended else item
        items = known(item, node)
        lacking = list(missing(items))
    findings = (
        *around,
        *(repair.finding for repair in repairs),
        *(absent(one, family.name) for one in lacking if one.requirement.type == "1"),
        *code_faults(items),
        *value_faults(item),
        *family.faults(replace(of, item=item)),
    )
    held = outcome_of(findings) is Outcome.HELD
    return Verdict(findings, None if held else mended)


_OFFSETS = (
    Finding(
        "FILE-OFFSETS",
        "The offset table says something else than where the frames are: readers that believe it "
        "show wrong tiles, or none.",
        "Offset tables are written anew; the frames stay as they are.",
        Severity.REPAIR,
    ),
)


def _repairs(item: Item, family: Family, lacking: list[Missing]) -> Iterator[Repair]:
    own = list(image_repairs(item)) if family is _IMAGE else []
    yield from own
    places = {repair.item.path(repair.keyword) for repair in own}
    for repair in missing_repairs(lacking, family.name):
        if repair.item.path(repair.keyword) not in places:
            yield repair
    yield from padding_repairs(item)


def _hopeless(lacking: list[Missing]) -> bool:
    """Whether something is missing that no repair supplies: the object will be held anyway."""
    return any(one.requirement.kind == "1" for one in lacking)


def _mended(
    of: Object, repairs: list[Repair], rewritten: list[Finding], moment: datetime | None
) -> tuple[Dataset | None, tuple[Finding, ...]]:
    """Return a repaired copy, or a finding: what has values that no writer takes has none."""
    if "DigitalSignaturesSequence" in of.item:
        return None, (
            Finding(
                "ANY-SIGNED",
                "The object needs repairs, which would break DigitalSignaturesSequence.",
                "Have the sender correct the object and sign it again.",
            ),
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mended = repaired(of.item.dataset, repairs, rewritten, moment)
            encode_header(mended, of.transfer_syntax)
    except Exception as error:  # what is no value of its VR fails in many ways
        return None, (
            Finding(
                "VALUE-UNWRITABLE",
                f"The object needs repairs and cannot be written anew ({type(error).__name__}).",
                "Have the sender write it again; it has malformed values.",
            ),
        )
    return mended, ()


def _file_meta(item: Item) -> Iterator[Finding]:
    """PS3.10 7.1: the file meta information is of the data set behind it."""
    meta = getattr(item.dataset, "file_meta", None)
    if meta is None:
        return
    head = Item(meta)
    for keyword, other in (
        ("MediaStorageSOPClassUID", "SOPClassUID"),
        ("MediaStorageSOPInstanceUID", "SOPInstanceUID"),
    ):
        stated = head.text(keyword)
        if stated and stated != item.text(other):
            yield Finding(
                "FILE-META",
                f"{keyword} is not the {other} of the data set.",
                "Have the sender write the file again; it cannot be said which of both it is.",
            )
        elif not stated:
            yield Finding(
                "FILE-META",
                f"{keyword} is missing: OpenSlide and QuPath refuse the file, and it cannot be "
                "sent by DIMSE.",
                "File meta information is written anew, from the data set.",
                Severity.REPAIR,
            )
