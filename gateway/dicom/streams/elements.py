"""A walk over the elements of a data set (PS3.5 7) that reads no values.

It finds where the data set ends or the pixel data begin, without trusting a length that the
bytes state, in memory and time that do not grow with what a hostile stream claims.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from gateway.core.errors import InvalidDataset
from gateway.core.storage import Buffer

ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF

MOST_ELEMENTS = 1 << 23
"""Elements and items of one data set: half a million frames with a position each."""

DEEPEST = 32
"""Sequences within sequences; the deepest of the standard have about eight."""

_LONG = frozenset(str(vr).encode() for vr in EXPLICIT_VR_LENGTH_32)
_MAY_BE_UNDEFINED = frozenset({b"SQ", b"UN", b"OB", b"OW"})
_HEAD = struct.Struct("<HH2sH")
_PLAIN_HEAD = struct.Struct("<HHI")
_LENGTH = struct.Struct("<I")


class Window:
    """Bytes at any place of a stream, read some at a time.

    Parameters
    ----------
    read
        Returns the bytes at ``(offset, length)``; they are copied before it is called again.
    size
        Bytes of the whole stream.
    width
        Bytes that are read at once; more than any single request.
    """

    def __init__(self, read: Callable[[int, int], Buffer], size: int, width: int) -> None:
        self.read = read
        self.size = size
        self._width = width
        self._start = 0
        self._held = b""

    def at(self, place: int, length: int) -> bytes:
        """Return the bytes at a place.

        Raises
        ------
        InvalidDataset
            If the stream ends before.
        """
        within = place - self._start
        if within < 0 or within + length > len(self._held):
            if place + length > self.size:
                raise truncated()
            wanted = min(max(self._width, length), self.size - place)
            self._held = bytes(self.read(place, wanted))
            self._start, within = place, 0
            if len(self._held) < length:
                raise truncated()
        return self._held[within : within + length]


def truncated() -> InvalidDataset:
    """Return the error for a stream that ends too soon."""
    return InvalidDataset(
        "The DICOM stream ends before the data that it announces. Send it again, whole."
    )


@dataclass(frozen=True, slots=True)
class Element:
    """Where a data element lies.

    Parameters
    ----------
    tag
        Group and element in one number.
    vr
        As encoded, or of the dictionary where VRs are implicit; ``UN`` if unknown.
    start, value
        Where the element and its value start, in bytes from the start of the stream.
    length
        Of the value in bytes, or ``UNDEFINED``.
    """

    tag: int
    vr: bytes
    start: int
    value: int
    length: int

    @property
    def holds_items(self) -> bool:
        """Whether its value is a list of items: a sequence, or fragments."""
        return self.vr == b"SQ" or self.length == UNDEFINED


@dataclass(frozen=True, slots=True)
class _Level:
    """An open sequence or item on the way down."""

    is_sequence: bool
    of_fragments: bool
    implicit: bool
    stop: int
    delimited: bool
    """Whether it ends at a delimiter, at ``stop`` at the latest; else exactly at ``stop``."""


class ElementWalk:
    """Walks the outermost elements of a data set and checks all that they contain.

    Parameters
    ----------
    window
        The stream.
    limit
        Where the data set ends at the latest.
    implicit
        Whether VRs are implicit.
    """

    def __init__(self, window: Window, limit: int, *, implicit: bool) -> None:
        self._window = window
        self._limit = limit
        self._implicit = implicit
        self._count = 0

    def elements(self, place: int) -> Iterator[Element]:
        """Yield the outermost elements from a place on.

        Each is checked to end within the stream when the next is asked for.

        Raises
        ------
        InvalidDataset
            If the bytes are no data set, end within an element, or exceed a limit.
        """
        while place < self._limit:
            element = self._element(place, self._implicit, self._limit)
            yield element
            place = self.after(element)

    def after(self, element: Element) -> int:
        """Check an outermost element and all that it contains; return the place after it."""
        if element.holds_items:
            return self._walked(element)
        stop = element.value + element.length
        if stop > self._limit:
            raise truncated()
        return stop

    def _element(self, place: int, implicit: bool, stop: int) -> Element:
        self._counted()
        if place + 8 > stop:
            raise truncated()
        if implicit:
            group, number, length = _PLAIN_HEAD.unpack(self._window.at(place, 8))
            tag = group << 16 | number
            return _defined(Element(tag, _dictionary_vr(tag, length), place, place + 8, length))
        group, number, vr, length = _HEAD.unpack(self._window.at(place, 8))
        tag, value = group << 16 | number, place + 8
        if group == 0xFFFE:  # delimiters have no VR
            return Element(tag, b"", place, value, 0)
        if not is_vr(vr):
            raise InvalidDataset(
                f"The element {tag:08X} has no value representation: the data set is damaged, or "
                "not in the transfer syntax that its file meta information states.",
                tag=tag,
            )
        if vr in _LONG:
            length, value = _LENGTH.unpack(self._window.at(place + 8, 4))[0], place + 12
        return _defined(Element(tag, vr, place, value, length))

    def _walked(self, element: Element) -> int:
        """Walk what an element contains; return the place after it."""
        levels = [self._sequence(element, self._implicit, self._limit)]
        place = element.value
        while levels:
            if len(levels) > 2 * DEEPEST:
                raise InvalidDataset(f"The data set has sequences nested over {DEEPEST} deep.")
            level = levels[-1]
            if place >= level.stop:
                if level.delimited or place > level.stop:
                    raise truncated()
                levels.pop()
            elif level.is_sequence:
                place = self._item(level, place, levels)
            else:
                place = self._inner(level, place, levels)
        return place

    def _sequence(self, element: Element, implicit: bool, stop: int) -> _Level:
        undefined = element.length == UNDEFINED
        end = stop if undefined else element.value + element.length
        if end > stop:
            raise truncated()
        fragments = undefined and element.vr in (b"OB", b"OW")
        return _Level(True, fragments, implicit, end, undefined)

    def _item(self, level: _Level, place: int, levels: list[_Level]) -> int:
        self._counted()
        tag, length = item_head(self._window.at(place, 8))
        place += 8
        if tag == SEQUENCE_END and level.delimited:
            levels.pop()
            return place
        if tag != ITEM:
            raise InvalidDataset("A sequence of the data set contains something that is no item.")
        undefined = length == UNDEFINED
        if undefined and level.of_fragments:
            raise InvalidDataset("A fragment of the data set has no length.")
        stop = level.stop if undefined else place + length
        if stop > level.stop:
            raise truncated()
        if level.of_fragments:
            return stop
        implicit = level.implicit or self._turns_implicit(place, stop)
        levels.append(_Level(False, False, implicit, stop, undefined))
        return place

    def _inner(self, level: _Level, place: int, levels: list[_Level]) -> int:
        element = self._element(place, level.implicit, level.stop)
        if element.tag == ITEM_END and level.delimited:
            levels.pop()
            return place + 8
        if element.holds_items:
            levels.append(self._sequence(element, level.implicit, level.stop))
            return element.value
        stop = element.value + element.length
        if stop > level.stop:
            raise truncated()
        return stop

    def _turns_implicit(self, place: int, stop: int) -> bool:
        """Whether the item at a place has implicit VRs though the data set's are explicit.

        So it is in unknown elements without a length (PS3.5 6.2.2, note 2), and some writers do
        it elsewhere; pydicom looks at the first element as this does.
        """
        if stop - place < 8:
            return False
        head = self._window.at(place, 8)
        return item_head(head)[0] != ITEM_END and not is_vr(head[4:6])

    def _counted(self) -> None:
        self._count += 1
        if self._count > MOST_ELEMENTS:
            raise InvalidDataset(f"The data set has more than {MOST_ELEMENTS} elements.")


def item_head(data: bytes) -> tuple[int, int]:
    """Return tag and length from the eight bytes that an item or a delimiter starts with."""
    group, number, length = _PLAIN_HEAD.unpack(data)
    return group << 16 | number, length


def _defined(element: Element) -> Element:
    if element.length == UNDEFINED and element.vr not in _MAY_BE_UNDEFINED:
        raise InvalidDataset(f"The element {element.tag:08X} has no length.", tag=element.tag)
    return element


def is_vr(data: bytes) -> bool:
    """Whether two bytes can be a value representation."""
    return data.isalpha() and data.isupper()


def _dictionary_vr(tag: int, length: int) -> bytes:
    try:
        return dictionary_VR(tag)[:2].encode()  # the first of several, as in "OB or OW"
    except KeyError:
        return b"UN" if length != UNDEFINED else b"SQ"
