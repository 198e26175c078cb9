"""Data sets as the rules look at them: values are taken out of what was read when asked for.

pydicom converts a value when it is first touched, warns or raises where it is malformed, and takes
its time. The gate asks about malformed values and has little time, so it looks at the bytes.
"""

from __future__ import annotations

import math
import struct
import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import islice

from pydicom.charset import decode_bytes, python_encoding
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence
from pydicom.valuerep import TEXT_VR_DELIMS
from pydicom.values import convert_SQ

from gateway.core.errors import InvalidDataset
from gateway.dicom.json.walk import beginning_of

Element = DataElement | RawDataElement

TEXT = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI"}
    | {"UR", "UT"}
)
"""VRs of characters."""

SINGLE = frozenset({"LT", "ST", "UT", "UR"})
"""Those in which a backslash does not separate values."""

EXTENDED = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""Those that Specific Character Set applies to (PS3.5 6.1.2.2)."""

NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
"""VRs of fixed-length numbers, with their codes for :mod:`struct`."""

_DEFAULT_REPERTOIRE = frozenset({"", "ISO_IR 6", "ISO 2022 IR 6"})
"""Terms that add nothing to ISO 646 (PS3.5 6.1.2.1)."""

_LARGE_SEQUENCE = 1 << 12
"""Bytes above which a sequence is not likely to come again."""

_MOST = {"PerFrameFunctionalGroupsSequence": 1000}
"""Items of a sequence that are looked at: images have hundreds of thousands of frames."""

DEEPEST = 64
"""Sequences in sequences beyond which nothing is looked at: no honest object nests like that."""

_MALFORMED = (
    ArithmeticError,
    AttributeError,
    InvalidDataset,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
"""What pydicom raises on sequences that are none."""


@lru_cache(1 << 14)
def standard_vr(tag: int) -> str:
    """VR of the data dictionary, such as ``US or SS``; empty for private and unknown elements."""
    try:
        return dictionary_VR(tag)
    except KeyError:
        return ""


@lru_cache(1 << 14)
def name_of(tag: int) -> str:
    """Keyword of an element, or its tag."""
    return keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


@lru_cache(1 << 12)
def tag_of(keyword: str) -> int:
    """Tag of a keyword of the standard."""
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return int(tag)


def vr_of(element: Element) -> str:
    """VR that an element has in the file, or by the dictionary where the file has none."""
    vr = str(element.VR) if element.VR else ""
    return standard_vr(element.tag) if vr in ("", "UN") else vr


class Undecodable(ValueError):
    """Characters that are not of the character set that the object states."""


class Item:
    """A data set, or an item of one of its sequences.

    Parameters
    ----------
    dataset
        As read.
    place
        Path of the item, such as ``OpticalPathSequence[0].``; empty for the whole object.
    parent
        The item around it.
    """

    def __init__(self, dataset: Dataset, place: str = "", parent: Item | None = None) -> None:
        self.dataset = dataset
        self.place = place
        self.parent = parent
        self.root: Item = parent.root if parent else self
        self.depth: int = parent.depth + 1 if parent else 0
        self.elements: dict[int, Element] = {int(tag): one for tag, one in dataset.items()}
        self._texts: dict[str, tuple[str, ...]] = {}
        self._items: dict[int, tuple[Item, ...]] = {}
        self._lengths: dict[int, int] = {}

    def __contains__(self, keyword: str) -> bool:
        """Whether the element is there, with a value or without."""
        return tag_of(keyword) in self.elements

    def path(self, keyword: str) -> str:
        """Name an element with the path to it."""
        return self.place + keyword

    def filled(self, keyword: str) -> bool:
        """Whether the element is there and has a value."""
        element = self.elements.get(tag_of(keyword))
        return element is not None and has_value(element)

    @cached_property
    def encodings(self) -> tuple[str, ...]:
        """Python's names of the character sets; those that do not exist are left out."""
        terms = self.texts("SpecificCharacterSet")
        if not terms and "SpecificCharacterSet" not in self and self.parent:
            return self.parent.encodings
        if _DEFAULT_REPERTOIRE.issuperset(terms):
            return ("ascii",)
        known = [python_encoding.get(term, "") for term in terms]
        return tuple(name for name in known if name) or ("ascii",)

    def texts(self, keyword: str) -> tuple[str, ...]:
        """Return the values of an element of characters, without padding; () if it is not there.

        Characters that cannot be decoded are replaced.
        """
        found = self._texts.get(keyword)
        if found is None:
            element = self.elements.get(tag_of(keyword))
            found = () if element is None else self._read_texts(element)
            self._texts[keyword] = found
        return found

    def _read_texts(self, element: Element) -> tuple[str, ...]:
        try:
            text = text_of(element, self)
        except Undecodable:
            assert isinstance(element.value, bytes)
            text = element.value.decode("ascii", "replace")
        if not text.strip("\0 "):
            return ()
        if vr_of(element) in SINGLE:
            return (text.rstrip("\0 "),)
        return tuple(value.strip("\0 ") for value in text.split("\\"))

    def text(self, keyword: str) -> str:
        """Return the first value of an element of characters; empty if there is none."""
        values = self.texts(keyword)
        return values[0] if values else ""

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """Return the values of an element of numbers; () if there are none, or malformed ones."""
        element = self.elements.get(tag_of(keyword))
        if element is None:
            return ()
        if (code := NUMBERS.get(vr_of(element))) is not None:
            return _binary_numbers(element, code)
        try:
            return tuple(float(value) for value in self.texts(keyword))
        except ValueError:
            return ()

    def number(self, keyword: str) -> float:
        """Return the first value of an element of numbers; NaN if there is none."""
        values = self.numbers(keyword)
        return values[0] if values else math.nan

    def count(self, keyword: str) -> int:
        """Return the first value of an element of numbers as a whole number; 0 if there is none."""
        value = self.number(keyword)
        return int(value) if math.isfinite(value) else 0

    def items(self, keyword: str) -> tuple[Item, ...]:
        """Return the items of a sequence; () if it is not there, or malformed."""
        return self.items_at(tag_of(keyword))

    def items_at(self, tag: int) -> tuple[Item, ...]:
        """Return the items of a sequence that need not be of the standard."""
        found = self._items.get(tag)
        if found is None:
            found = () if tag not in self.elements else self._read_items(tag, name_of(tag))
            self._items[tag] = found
        return found

    def _read_items(self, tag: int, keyword: str) -> tuple[Item, ...]:
        if self.depth >= DEEPEST:
            return ()
        element, most = self.elements[tag], _MOST.get(keyword)
        try:
            if most is not None and isinstance(element, RawDataElement) and element.value:
                value, self._lengths[tag] = beginning_of(
                    element.value, most, implicit=element.is_implicit_VR
                )
                element = element._replace(value=value, length=len(value))
            sequence = _sequence_of(element)
        except _MALFORMED:
            return ()
        self._lengths.setdefault(tag, len(sequence))
        return tuple(
            Item(item, f"{self.place}{keyword}[{number}].", self)
            for number, item in enumerate(islice(sequence, most))
        )

    def length(self, keyword: str) -> int:
        """Return the number of items of a sequence; it may be more than are looked at."""
        self.items(keyword)
        return self._lengths.get(tag_of(keyword), 0)

    def first(self, keyword: str) -> Item | None:
        """Return the first item of a sequence, or None."""
        items = self.items(keyword)
        return items[0] if items else None

    def walk(self) -> Iterator[Item]:
        """Yield this item and all below it."""
        yield self
        for tag, element in self.elements.items():
            if vr_of(element) == "SQ":
                for item in self.items_at(tag):
                    yield from item.walk()


def _sequence_of(element: Element) -> Sequence[Dataset]:
    """Return the items of a sequence; they are only ever read, so equal ones are read once.

    The objects of a slide, and of a scanner, have most of their sequences in common.
    """
    if not isinstance(element, RawDataElement):
        return element.value if isinstance(element.value, DicomSequence) else ()
    data = element.value or b""
    read = _read_sequence if len(data) > _LARGE_SEQUENCE else _read_common_sequence
    return read(data, element.is_implicit_VR, element.is_little_endian)


def _read_sequence(data: bytes, implicit: bool, little: bool) -> tuple[Dataset, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is wrong is found by the rules
        return tuple(convert_SQ(data, implicit, little))


_read_common_sequence = lru_cache(1 << 9)(_read_sequence)


def has_value(element: Element) -> bool:
    """Whether an element has a value: at least one item, or more than padding."""
    value = element.value
    if isinstance(element, DataElement):
        return not element.is_empty and bool(str(value).strip() if isinstance(value, str) else True)
    if not value:
        return False
    assert isinstance(value, bytes)
    if vr_of(element) == "SQ":
        return len(value) >= 8 and value[:4] in (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
    return len(value) > 64 or vr_of(element) not in TEXT or bool(value.strip(b"\0 "))


def text_of(element: Element, item: Item) -> str:
    """Return all values of an element of characters as one string, padding included.

    Raises
    ------
    Undecodable
        If the characters are not of the object's character set.
    """
    value = element.value
    if isinstance(element, RawDataElement) or isinstance(value, bytes):
        return _decoded(value or b"", vr_of(element), item)
    if value is None:
        return ""
    if isinstance(value, MultiValue | list | tuple):
        return "\\".join(map(_original, value))
    return _original(value)


def _original(value: object) -> str:
    return str(getattr(value, "original_string", None) or ("" if value is None else value))


def _decoded(data: bytes, vr: str, item: Item) -> str:
    if data.isascii() and b"\x1b" not in data:
        return data.decode("ascii")
    if vr not in EXTENDED:
        raise Undecodable
    encodings = item.encodings
    try:
        if len(encodings) == 1 and b"\x1b" not in data:
            return data.decode(encodings[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what cannot be decoded is replaced, with a warning
            # Code extensions (ISO 2022) begin anew after delimiters (PS3.5 6.1.2.5.3).
            return decode_bytes(data, list(encodings), TEXT_VR_DELIMS | {0x5C, 0x5E, 0x3D})
    except (UnicodeError, LookupError) as error:
        raise Undecodable from error


def _binary_numbers(element: Element, code: str) -> tuple[float, ...]:
    value = element.value
    if isinstance(element, DataElement) and not isinstance(value, bytes):
        values = value if isinstance(value, MultiValue | list | tuple) else [value]
        return tuple(one for one in values if isinstance(one, int | float))
    if not value or len(value) % struct.calcsize(code):
        return ()
    little = not isinstance(element, RawDataElement) or element.is_little_endian
    order = "<" if little else ">"
    return struct.unpack(f"{order}{len(value) // struct.calcsize(code)}{code}", value)
