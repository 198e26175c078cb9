"""Whose slide it is: what a file says of itself, and where its identity comes from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Identified(StrEnum):
    """What a slide's Study Instance UID derives from."""

    NONE = "none"
    """Nobody said whose slide it is: its fingerprint."""

    SLIDE = "slide"
    """A row of the worklist that names no order: its fingerprint."""

    ACCESSION = "accession"
    """Accession number and its issuer: all slides of one case are in one study."""

    ORDER = "order"
    """The order's own Study Instance UID."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a scanner's file says that a worklist may complete but not contradict.

    Parameters
    ----------
    barcode
        What the scanner read from the label.
    manufacturer, model, serial_number, software
        The scanner.
    """

    barcode: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    serial_number: str | None = None
    software: str | None = None
