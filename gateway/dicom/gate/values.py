"""Values by their VR (PS3.5 6.2): kind, length, format, character set.

What a reader cannot take for what its VR says is held; text that is only longer or spelled
otherwise than the standard allows is a warning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from struct import calcsize

from pydicom.charset import python_encoding
from pydicom.dataelem import DataElement
from pydicom.valuerep import MAX_VALUE_LEN, STR_VR_REGEXES, VR, validate_pn

from gateway.dicom.gate.items import (
    DEEPEST,
    NUMBERS,
    SINGLE,
    TEXT,
    Element,
    Item,
    Undecodable,
    name_of,
    standard_vr,
    text_of,
    vr_of,
)
from gateway.dicom.gate.verdict import Finding, Severity

_KNOWN_VRS = frozenset(VR)
_WIDTH = {
    **{vr: calcsize(code) for vr, code in NUMBERS.items()},
    **{"AT": 4, "OF": 4, "OL": 4, "OD": 8, "OV": 8, "OW": 2},
}
"""Bytes of one value of binary VRs."""

_LOOSE = frozenset({"CS", "AE", "UR"})
"""VRs whose wrong spelling misleads nobody."""

_TEXTUAL = frozenset({"SH", "LO", "ST", "LT", "UC", "UT"})
"""Free text: one instead of another is read alike."""

_SPACED = re.compile(r"[ \0]+\Z")
_PIXELS = 0x7FE0


def value_faults(item: Item) -> Iterator[Finding]:
    """Yield what is wrong with the values of a data set and all its sequences."""
    if not item.parent:
        yield from _unknown_character_sets(item)
    for tag, element in item.elements.items():
        if tag >> 16 in (0x0002, _PIXELS) or tag & 0xFFFF == 0:
            continue
        if (vr := vr_of(element)) == "SQ":
            yield from _sequence_faults(item, tag, element)
        elif vr and vr not in _KNOWN_VRS and " or " not in vr:
            yield _wrong_vr(item, tag, vr[:2], standard_vr(tag) or "another")
        elif not tag >> 16 & 1 and (found := _fault(item, tag, element, vr)):
            yield found


def _sequence_faults(item: Item, tag: int, element: Element) -> Iterator[Finding]:
    if tag >> 16 & 1:
        return
    keyword = name_of(tag)
    standard = standard_vr(tag)
    items = item.items_at(tag)
    if standard not in ("SQ", ""):
        yield _wrong_vr(item, tag, "SQ", standard)
    elif not items and element.value:
        deep = item.depth >= DEEPEST
        yield Finding(
            "VALUE-SEQUENCE",
            f"{item.path(keyword)} {'lies too deep' if deep else 'is no sequence of items'}.",
            "Have the sender write it again; the object is damaged.",
        )
    for below in items:
        yield from value_faults(below)


def _fault(item: Item, tag: int, element: Element, vr: str) -> Finding | None:
    standard = standard_vr(tag)
    if standard and vr != standard and vr not in standard.split(" or "):
        return _wrong_vr(item, tag, vr, standard)
    value = element.value
    if not value and not isinstance(value, int | float):
        return None
    if vr not in TEXT:
        return _binary_fault(item, tag, element, vr)
    try:
        text = text_of(element, item)
    except Undecodable:
        return _undecodable(item, tag)
    if (fault := text_fault(vr, text)) is None:
        return None
    rule, message, severity = fault
    return Finding(
        rule,
        f"{item.path(name_of(tag))} {message}",
        "Have the sender correct the value.",
        severity,
    )


def _wrong_vr(item: Item, tag: int, vr: str, standard: str) -> Finding:
    alike = vr in _TEXTUAL and standard in _TEXTUAL
    return Finding(
        "VALUE-VR",
        f"{item.path(name_of(tag))} has VR {vr}; the standard says {standard}.",
        "Have the sender write it with the standard's VR.",
        Severity.WARNING if alike else Severity.ERROR,
    )


def _binary_fault(item: Item, tag: int, element: Element, vr: str) -> Finding | None:
    value = element.value
    width = _WIDTH.get(vr, 1)
    if isinstance(value, bytes) and len(value) % width:
        return Finding(
            "VALUE-FORMAT",
            f"{item.path(name_of(tag))} has {len(value)} bytes; VR {vr} is of {width} each.",
            "Have the sender write it again; the value is damaged.",
        )
    return None


def _undecodable(item: Item, tag: int) -> Finding:
    stated = "\\".join(item.root.texts("SpecificCharacterSet")) or "no character set"
    return Finding(
        "VALUE-CHARSET",
        f"{item.path(name_of(tag))} has characters that are not of {stated}, "
        "which the object states.",
        "Have the sender state SpecificCharacterSet; names would be shown wrong otherwise.",
    )


def _unknown_character_sets(item: Item) -> Iterator[Finding]:
    for term in item.texts("SpecificCharacterSet"):
        if term not in python_encoding:
            yield Finding(
                "VALUE-CHARSET",
                f"SpecificCharacterSet names {term[:16]!r}, which is none (PS3.3 C.12.1.1.2).",
                "Have the sender state the character set that the text is in.",
            )


Fault = tuple[str, str, Severity]


@lru_cache(1 << 15)
def text_fault(vr: str, text: str) -> Fault | None:
    """Return rule, message and severity of what is wrong with a value, or None.

    Parameters
    ----------
    text
        All values, joined by backslashes, with their padding.
    """
    values = [text] if vr in SINGLE else text.split("\\")
    for value in values:
        bare = _SPACED.sub("", value)
        if vr in STR_VR_REGEXES and not _matches(vr, bare if vr != "UI" else bare.strip()):
            loose = vr in _LOOSE
            return (
                "VALUE-FORMAT",
                f"is malformed for VR {vr}.",
                Severity.WARNING if loose else Severity.ERROR,
            )
        if len(bare) > MAX_VALUE_LEN.get(vr, len(bare)):
            return (
                "VALUE-LENGTH",
                f"has {len(bare)} characters; VR {vr} has at most {MAX_VALUE_LEN[vr]}.",
                Severity.WARNING if vr != "UI" else Severity.ERROR,
            )
        if vr == "PN" and not validate_pn("PN", bare)[0]:
            return "VALUE-LENGTH", "is longer than a person's name may be.", Severity.WARNING
    return None


def _matches(vr: str, value: str) -> bool:
    return not value or ("\n" not in value and STR_VR_REGEXES[vr].match(value) is not None)


def wrongly_padded(element: Element, item: Item) -> str | None:
    """Return text that ends in what does not pad its VR (PS3.5 6.2), without it; else None.

    NUL pads UIDs, a space all others. What is malformed otherwise too is left alone.
    """
    value = element.value
    if isinstance(element, DataElement) or not value or value[-1] not in b" \0":
        return None
    vr = vr_of(element)
    if vr not in TEXT or value[-1:] != (b" " if vr == "UI" else b"\0"):
        return None
    try:
        text = text_of(element, item).rstrip("\0 ")
    except Undecodable:
        return None
    return text if text and text_fault(vr, text) is None else None
