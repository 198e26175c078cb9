"""A walk over the elements of a header that lies in memory, or is mapped into it.

It yields where things are; what they say is for others. The walk over a stream that nobody has
looked at yet is :mod:`gateway.dicom.streams.elements`.
"""

from __future__ import annotations

import mmap
import re
from dataclasses import replace
from struct import Struct

from pydicom.datadict import dictionary_VR
from pydicom.uid import ImplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from gateway.core.errors import InvalidDataset
from gateway.dicom.json.elements import Scope, Surroundings
from gateway.dicom.json.model import BINARY
from gateway.dicom.streams.elements import (
    DEEPEST,
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    UNDEFINED,
    Window,
    is_vr,
    truncated,
)
from gateway.dicom.streams.reader import file_meta

Header = bytes | mmap.mmap
"""A Part 10 stream up to its pixel data; slices of it are bytes."""

Extent = tuple[int, int, bool]
"""Where a data set or a sequence starts and stops, and whether a delimiter ends it before."""

Element = tuple[int, str | None, int, int]
"""Tag; VR, None where it is implicit; place of the value; its bytes, or ``UNDEFINED``."""

ITEM_TAG = b"\xfe\xff\x00\xe0"

_HEAD = Struct("<HH")
_PLAIN_HEAD = Struct("<HHI")
_LENGTH = Struct("<I")
_LONG = frozenset(str(vr) for vr in EXPLICIT_VR_LENGTH_32)
_STEP = re.compile(r"[0-9A-Fa-f]{8}\Z")
_LONGEST_NUMBER = 9


class HeaderWalk:
    """Finds elements and items.

    Parameters
    ----------
    data
        The header.
    """

    def __init__(self, data: Header) -> None:
        self.data = data
        self.heads: dict[bytes, tuple[int, str, bool]] = {}

    def outermost(self) -> tuple[Extent, Surroundings]:
        """Return where the data set lies, and what is around its elements.

        Raises
        ------
        InvalidDataset
            If the header is no Part 10 stream.
        """
        data = self.data
        window = Window(lambda at, count: data[at : at + count], len(data), 1 << 12)
        transfer_syntax, start = file_meta(window)
        around = Surroundings(implicit=transfer_syntax == ImplicitVRLittleEndian)
        return (start, len(data), False), around

    def head(self, place: int, stop: int, around: Surroundings) -> Element:
        """Return the element, or the end of an item, at a place."""
        data, value = self.data, place + 8
        if value > stop:
            raise truncated()
        if around.implicit:
            group, number, length = _PLAIN_HEAD.unpack_from(data, place)
            return _checked((group << 16 | number, None, value, length), stop)
        head = data[place : place + 6]
        known = self.heads.get(head)
        if known is None:
            group, number = _HEAD.unpack_from(head)
            if (tag := group << 16 | number) == ITEM_END:
                return tag, "", value, 0
            if not is_vr(head[4:]):
                raise InvalidDataset(f"The element {tag:08X} has no value representation.")
            vr = head[4:].decode("ascii")
            known = self.heads[head] = tag, vr, vr in _LONG
        tag, vr, is_long = known
        if is_long:
            (length,) = _LENGTH.unpack_from(data, value)
            return _checked((tag, vr, value + 4, length), stop)
        return _checked((tag, vr, value, data[place + 6] | data[place + 7] << 8), stop)

    def undefined_vr(self, element: Element) -> str:
        """Return the VR of an element of undefined length (PS3.5 6.2.2, note 2)."""
        tag, vr, value, _ = element
        if vr is not None:
            return "SQ" if vr == "UN" else vr
        try:
            return dictionary_VR(tag)[:2]
        except KeyError:
            return "SQ" if self.data[value : value + 4] == ITEM_TAG else "UN"

    def item(self, place: int, sequence: Extent) -> Extent | None:
        """Return the item at a place, or None at the end of the sequence."""
        _, stop, delimited = sequence
        if place == stop and not delimited:
            return None
        if place + 8 > stop:
            raise truncated()
        group, number, length = _PLAIN_HEAD.unpack_from(self.data, place)
        tag, place = group << 16 | number, place + 8
        if tag == SEQUENCE_END and delimited:
            return None
        if tag != ITEM:
            raise InvalidDataset("A sequence of the data set contains something that is no item.")
        if length == UNDEFINED:
            return place, stop, True
        if place + length > stop:
            raise truncated()
        return place, place + length, False

    def turned(self, item: Extent, around: Surroundings) -> Surroundings:
        """Return the surroundings in an item, which may be implicit where others are not."""
        start, stop, _ = item
        head = self.data[start : start + 6]
        if around.implicit or head in self.heads or stop - start < 8 or is_vr(head[4:]):
            return around
        group, number = _HEAD.unpack_from(head)
        is_end = group << 16 | number == ITEM_END
        return around if is_end else replace(around, implicit=True)

    def after_fragments(self, place: int, stop: int) -> int:
        """Return the place after bytes that come in fragments (PS3.5 A.4)."""
        fragments = place, stop, True
        while (item := self.item(place, fragments)) is not None:
            if item[2]:
                raise InvalidDataset("A fragment of the data set has no length.")
            place = item[1]
        return place + 8

    def after(self, element: Element, stop: int, around: Surroundings, depth: int = 0) -> int:
        """Return the place after an element, without a look at what it says."""
        _, _, value, length = element
        if length != UNDEFINED:
            return value + length
        if depth > DEEPEST:
            raise InvalidDataset(f"The data set has sequences nested over {DEEPEST} deep.")
        if self.undefined_vr(element) != "SQ":
            return self.after_fragments(value, stop)
        sequence = extent_of(element, stop)
        place = value
        while (item := self.item(place, sequence)) is not None:
            place = self.after_item(item, self.turned(item, around), depth + 1)
        return place + 8

    def after_item(self, item: Extent, around: Surroundings, depth: int = 0) -> int:
        """Return the place after an item."""
        place, stop, delimited = item
        while delimited and place < stop:
            element = self.head(place, stop, around)
            if element[0] == ITEM_END:
                return place + 8
            place = self.after(element, stop, around, depth)
        return stop


def extent_of(element: Element, stop: int) -> Extent:
    """Return where the items of a sequence lie."""
    _, _, value, length = element
    return (value, stop, True) if length == UNDEFINED else (value, value + length, False)


def _checked(element: Element, stop: int) -> Element:
    _, _, value, length = element
    if value + length > stop and length != UNDEFINED:
        raise truncated()
    return element


def beginning_of(items: bytes, most: int, *, implicit: bool) -> tuple[bytes, int]:
    """Return the first items of a sequence, and how many it has.

    Parameters
    ----------
    items
        Value of the sequence, without a delimiter at its end.
    most
        Items that are returned at most.
    implicit
        Whether VRs are implicit.

    Raises
    ------
    InvalidDataset
        If the value is no sequence.
    """
    walk, around = HeaderWalk(items), Surroundings(implicit=implicit)
    place, stop, number = 0, len(items), 0
    while (item := walk.item(place, (0, len(items), False))) is not None:
        place = walk.after_item(item, walk.turned(item, around))
        number += 1
        if number == most:
            stop = place
    return items[:stop], number


def binary_at(header: Header, path: str) -> tuple[int, int] | None:
    """Return offset and length of a binary value in a header, or None if there is none.

    Nothing is read but the heads of elements on the way.

    Parameters
    ----------
    path
        As in bulk data URIs: tags and item numbers from 0, such as ``00480105/0/00282000``.
    """
    *outer, last = path.split("/")
    steps = list(zip(outer[::2], outer[1::2], strict=False))
    tags = [*(tag for tag, _ in steps), last]
    if len(outer) % 2 or not all(map(_STEP.match, tags)):
        return None
    walk = HeaderWalk(header)
    extent, around = walk.outermost()
    for tag, number in steps:
        if not (number.isascii() and number.isdecimal() and len(number) <= _LONGEST_NUMBER):
            return None
        found = _element_at(walk, extent, around, int(tag, 16))
        item = found and _item_at(walk, *found, int(number))
        if not item:
            return None
        extent, around = item
    found = _element_at(walk, extent, around, int(last, 16))
    if found is None or found[0][1] not in BINARY or found[0][3] == UNDEFINED:
        return None
    return found[0][2:]


def _element_at(
    walk: HeaderWalk, extent: Extent, around: Surroundings, wanted: int
) -> tuple[Element, int, Surroundings] | None:
    """Return an element with its VR resolved, where it must stop, and what is around its items."""
    place, stop, _ = extent
    scope = Scope(around)
    while place < stop:
        element = tag, vr, value, length = walk.head(place, stop, scope.around)
        if tag == ITEM_END:
            return None
        if tag == wanted:
            if length == UNDEFINED:
                vr = walk.undefined_vr(element)
            elif vr is None or vr == "UN":
                vr = scope.resolved_vr(tag, vr, walk.data[value : value + min(length, 1 << 16)])
            return (tag, vr, value, length), stop, scope.within
        place = walk.after(element, stop, scope.around)
        if Scope.matters(tag):
            scope.note(tag, walk.data[value:place])
    return None


def _item_at(
    walk: HeaderWalk, element: Element, stop: int, around: Surroundings, number: int
) -> tuple[Extent, Surroundings] | None:
    if element[1] != "SQ":
        return None
    sequence = extent_of(element, stop)
    place = sequence[0]
    while (item := walk.item(place, sequence)) is not None:
        inside = walk.turned(item, around)
        if not number:
            return item, inside
        number -= 1
        place = walk.after_item(item, inside)
    return None
