"""The DICOM JSON Model (PS3.18 F): every attribute with its VR, and nothing lost.

Binary values are inline up to a size and bulk data URIs above it; a URI carries the path of
the element through the sequences, so that each has its own.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import lru_cache

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName

from gateway.core.ports import Match
from gateway.dicom.dictionary import tag_of, vr_of

Json = dict[str, object]

BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
"""VRs whose values are bytes: inline, or a URI."""

_NUMBERS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
_CHARACTER_SET = 0x00080005
PIXEL_DATA = frozenset({0x7FE00001, 0x7FE00002, 0x7FE00008, 0x7FE00009, 0x7FE00010})
"""What never enters a document: pixel data and their offset tables."""


def dataset_json(
    dataset: Dataset, bulk_data_uri: Callable[[str], str], *, inline_limit: int, path: str = ""
) -> Json:
    """Return a data set in the DICOM JSON Model; pixel data and group 2 are left out.

    Parameters
    ----------
    bulk_data_uri
        Makes the absolute URI of a binary element from its path, such as
        ``00480105/0/00282000``: tags, and item numbers from 0.
    inline_limit
        Bytes up to which binary values are inline.
    path
        Where the data set itself lies; empty for the whole instance.
    """
    result: Json = {}
    for element in dataset:
        if element.tag in PIXEL_DATA or element.tag.group == 2:
            continue
        if element.tag == _CHARACTER_SET:
            result[f"{element.tag:08X}"] = {"vr": "CS", "Value": ["ISO_IR 192"]}  # JSON is UTF-8
            continue
        place = f"{path}{element.tag:08X}"
        result[f"{element.tag:08X}"] = _element_json(element, place, bulk_data_uri, inline_limit)
    return result


def _element_json(
    element: DataElement, place: str, bulk_data_uri: Callable[[str], str], inline_limit: int
) -> Json:
    vr = str(element.VR)
    if vr == "SQ":
        items = [
            dataset_json(item, bulk_data_uri, inline_limit=inline_limit, path=f"{place}/{number}/")
            for number, item in enumerate(element.value)
        ]
        return {"vr": vr, "Value": items} if items else {"vr": vr}
    if vr in BINARY:
        data = _bytes_of(element)
        if not data:
            return {"vr": vr}
        if len(data) <= inline_limit:
            return {"vr": vr, "InlineBinary": b64encode(data).decode("ascii")}
        return {"vr": vr, "BulkDataURI": bulk_data_uri(place)}
    return valued(vr, values_of(element))


def match_json(match: Match) -> Json:
    """Return what the index knows of a match in the DICOM JSON Model, its tags unsorted."""
    result: Json = {}
    for keyword, value in match.items():
        tag, vr = _named(keyword)
        if value in (None, ""):
            result[tag] = {"vr": vr}
        elif vr == "SQ":  # kept as it is told
            result[tag] = {"vr": vr, "Value": json.loads(str(value))}
        else:
            result[tag] = valued(vr, list(str(value).split("\\")))
    return result


@lru_cache(1024)
def _named(keyword: str) -> tuple[str, str]:
    return f"{tag_of(keyword):08X}", vr_of(keyword)


def text_json(tag: str, vr: str, text: str) -> Mapping[str, Json]:
    """Return one attribute of one textual value."""
    return {tag: {"vr": vr, "Value": [text]}}


def _bytes_of(element: DataElement) -> bytes:
    return element.value if isinstance(element.value, bytes) else b""


def values_of(element: DataElement) -> list[object]:
    """Return the values of an element; none if it is empty."""
    if element.is_empty:
        return []
    value = element.value
    return list(value) if isinstance(value, MultiValue | list | tuple) else [value]


def valued(vr: str, values: list[object]) -> Json:
    """Return an element of values that are neither items nor bytes."""
    converted = [_value(vr, value) for value in values]
    if all(value is None for value in converted):
        return {"vr": vr}
    return {"vr": vr, "Value": converted}


def _value(vr: str, value: object) -> object:
    """Return one value, or None where JSON has no word for it (empty, NaN, infinite)."""
    if value is None or value == "":
        return None
    if vr == "PN":
        return _person_name(value)
    if vr == "AT":
        return f"{value:08X}" if isinstance(value, int) else str(value)
    if vr in _NUMBERS:
        return number(str(value))
    return str(value)


def _person_name(value: object) -> Json | None:
    name = value if isinstance(value, PersonName) else PersonName(str(value))
    groups = {
        "Alphabetic": name.alphabetic,
        "Ideographic": name.ideographic,
        "Phonetic": name.phonetic,
    }
    return {group: text for group, text in groups.items() if text} or None


def number(text: str) -> int | float | None:
    """Return the number that a text is; None for what is none, or not finite."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
