"""One element of a header, from its bytes to the DICOM JSON Model (PS3.18 F.2).

Plain numbers are read here; all other values are read by pydicom, so that they are what it says
they are, also where their bytes are no proper values of their VR.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from struct import Struct

from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.filewriter import correct_ambiguous_vr_element
from pydicom.hooks import hooks
from pydicom.tag import BaseTag
from pydicom.valuerep import AMBIGUOUS_VR

from gateway.dicom.json.model import number, valued, values_of

CHARACTER_SET = 0x00080005
UTF_8 = f'"{CHARACTER_SET:08X}":{{"vr":"CS","Value":["ISO_IR 192"]}}'
"""What every document says of its character set, because JSON is UTF-8."""

Inline = Callable[[int, int], bool]
"""Whether the binary value of a tag, with a number of bytes, is inline."""

_PIXEL_REPRESENTATION, _LUT_DESCRIPTOR = 0x00280103, 0x00283002
_TELLING = frozenset({CHARACTER_SET, _PIXEL_REPRESENTATION, _LUT_DESCRIPTOR})
_UNSIGNED_FIRST = frozenset({0x00281101, 0x00281102, 0x00281103, _LUT_DESCRIPTOR})
"""Their first value counts from 0, whatever their VR says; pydicom knows that."""

_PLAIN = {
    "DS": re.compile(rb"-?\d{1,9}(?:\.\d{1,12})?(?:\\-?\d{1,9}(?:\.\d{1,12})?)* ?\Z"),
    "IS": re.compile(rb"-?\d{1,9}(?:\\-?\d{1,9})* ?\Z"),
}
_FORMATS = {"FD": "d", "FL": "f", "SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}
_STRUCTS = {vr: Struct(f"<{code}") for vr, code in _FORMATS.items()}
_SHORT = 128
"""Bytes of a value up to which its JSON is remembered."""

_LONGEST_KNOWN = 0xFFFF
"""Bytes from which pydicom leaves a value unknown though its tag is known."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the meaning of an element depends on, besides its own bytes.

    Parameters
    ----------
    implicit
        Whether VRs are implicit.
    encodings
        Python's names of the character sets.
    signed
        Pixel Representation of a data set around; None if none states it.
    """

    implicit: bool
    encodings: tuple[str, ...] = (default_encoding,)
    signed: int | None = None

    def with_character_set(self, value: bytes) -> Surroundings:
        """Return the same with the character sets that a data set states."""
        stated = convert_raw_data_element(_raw(CHARACTER_SET, "CS", value, self)).value
        return replace(self, encodings=tuple(convert_encodings(stated)))


class Scope:
    """A data set on the way: its surroundings, and what of it tells what other elements are.

    Attributes
    ----------
    around : Surroundings
        Of its elements.
    """

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self._told: dict[int, bytes] = {}

    @staticmethod
    def matters(tag: int) -> bool:
        """Whether an element tells what others are."""
        return tag in _TELLING or bool(tag & 0x10000 and 0x10 <= tag & 0xFFFF <= 0xFF)

    def note(self, tag: int, value: bytes) -> None:
        """Take to heart an element that matters."""
        if tag == CHARACTER_SET:
            self.around = self.around.with_character_set(value)
        else:
            self._told[tag] = value

    @property
    def within(self) -> Surroundings:
        """The surroundings of the data sets in its sequences."""
        value = self._told.get(_PIXEL_REPRESENTATION)
        return self.around if value is None else replace(self.around, signed=int(b"\x01" in value))

    def resolved_vr(self, tag: int, vr: str | None, value: bytes) -> str:
        """Return the VR of an element that states none, or UN.

        Parameters
        ----------
        value
            Of the element; its first 64 KiB are enough.
        """
        dataset = self._dataset()
        raw = _raw(tag, vr, value[:_LONGEST_KNOWN], self.around)
        found: dict[str, str] = {}
        hooks.raw_element_vr(raw, found, ds=dataset)
        if found["VR"] in AMBIGUOUS_VR:
            element = _converted(tag, found["VR"], value, self.around)
            return str(correct_ambiguous_vr_element(element, dataset, True).VR)
        return str(found["VR"])

    def _dataset(self) -> Dataset:
        """Return a data set of the elements that matter alone."""
        dataset = Dataset()
        dataset.set_original_encoding(self.around.implicit, True, list(self.around.encodings))
        if self.around.signed is not None:
            dataset._pixel_rep = self.around.signed  # as pydicom itself hands it down
        for tag, value in self._told.items():
            vr = "US" if tag in _TELLING else "LO"
            dataset[tag] = _converted(tag, vr, value, self.around)
        return dataset


def value_json(tag: int, vr: str, value: bytes, around: Surroundings) -> str:
    """Return the JSON of an element that is neither a sequence nor binary.

    Raises
    ------
    Exception
        If the value is none of its VR: whatever the library raises.
    """
    if (plain := _plain_numbers(tag, vr, value)) is not None:
        return f'"{tag:08X}":{{"vr":"{vr}","Value":[{plain}]}}'
    read = _as_read_before if len(value) <= _SHORT else _as_read
    return read(tag, vr, value, around)


def _as_read(tag: int, vr: str, value: bytes, around: Surroundings) -> str:
    element = _converted(tag, vr, value, around)
    found = valued(str(element.VR), values_of(element))
    return f'"{tag:08X}":{json.dumps(found, separators=(",", ":"))}'


_as_read_before = lru_cache(1 << 12)(_as_read)
"""The levels of a slide, and the slides of a scanner, say mostly the same."""


def _converted(tag: int, vr: str, value: bytes, around: Surroundings) -> DataElement:
    return convert_raw_data_element(_raw(tag, vr, value, around), encoding=list(around.encodings))


def _raw(tag: int, vr: str | None, value: bytes, around: Surroundings) -> RawDataElement:
    return RawDataElement(BaseTag(tag), vr, len(value), value, 0, around.implicit, True)


def _plain_numbers(tag: int, vr: str, value: bytes) -> str | None:
    """Return numbers with commas between them, or None if the library is to read them."""
    if vr in ("DS", "IS"):
        if not _PLAIN[vr].match(value):
            return None
        return ",".join(repr(number(text)) for text in value.decode("ascii").split("\\"))
    form = _STRUCTS.get(vr)
    if form is None or not value or len(value) % form.size or tag in _UNSIGNED_FIRST:
        return None
    numbers = [one for (one,) in form.iter_unpack(value)]
    if vr in ("FD", "FL") and not all(map(math.isfinite, numbers)):
        return None
    return ",".join(map(repr, numbers))
