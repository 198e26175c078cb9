"""Studies, series, instances and slides: what they are called and where their bytes lie."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from enum import StrEnum

from gateway.core.errors import InvalidUid, NotFound

VL_WHOLE_SLIDE_MICROSCOPY = "1.2.840.10008.5.1.4.1.1.77.1.6"
IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"

_UID = re.compile(r"(?=.{1,64}\Z)[0-9]+(?:\.[0-9]+)*\Z")


def checked_uid(text: str) -> str:
    """Return the text if it is a UID (PS3.5 9.1; leading zeros are tolerated).

    Raises
    ------
    InvalidUid
        If it is not 1 to 64 digits and dots, with a digit on each side of a dot.
    """
    if not _UID.match(text):
        raise InvalidUid("A UID is 1 to 64 characters: numbers with dots between them.")
    return text


def derive_uid(*parts: str | int) -> str:
    """Return the same UID for the same parts, everywhere and always.

    A UUID (version 8, RFC 9562) under ``2.25`` (PS3.5 B.2) out of SHA-256: no root to register.
    """
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    version, variant = 8 << 76, 2 << 62
    bits = int.from_bytes(digest[:16]) & ~(0xF << 76 | 0x3 << 62)
    return f"2.25.{bits | version | variant}"


class Flavour(StrEnum):
    """Image Type, value 3, of whole slide microscopy images (PS3.3 C.8.12.4.1.1)."""

    VOLUME = "VOLUME"
    THUMBNAIL = "THUMBNAIL"
    LABEL = "LABEL"
    OVERVIEW = "OVERVIEW"


@dataclass(frozen=True, slots=True)
class InstanceKey:
    """The UIDs that name an instance."""

    study: str
    series: str
    instance: str

    @property
    def path(self) -> str:
        """Where it is below a DICOMweb root (PS3.18 8.2)."""
        return f"/studies/{self.study}/series/{self.series}/instances/{self.instance}"


@dataclass(frozen=True, slots=True)
class Signature:
    """What the file system says of a file: whether it may have changed, without reading it.

    Parameters
    ----------
    size
        In bytes.
    mtime_ns, ctime_ns
        Time of the last change of content and of the inode, in ns; the second cannot be set back.
    inode
        Number of the file in its file system.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Signature:
        """Take the signature from what ``stat`` returned."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)

    def fits(self, status: os.stat_result) -> bool:
        """Whether it is what :meth:`of` would make of that status."""
        return (
            self.mtime_ns == status.st_mtime_ns
            and self.ctime_ns == status.st_ctime_ns
            and self.inode == status.st_ino
            and self.size == status.st_size
        )

    def __str__(self) -> str:
        return f"{self.size}:{self.mtime_ns}:{self.ctime_ns}:{self.inode}"

    @classmethod
    def parse(cls, text: str) -> Signature:
        """Read what ``str`` wrote."""
        return cls(*map(int, text.split(":")))


@dataclass(frozen=True, slots=True)
class LinkedFile:
    """A scanner's file that frames are read from: a blob that we do not own.

    Parameters
    ----------
    path
        Absolute path.
    fingerprint
        Hexadecimal digest that tells this slide from every other (see ARCHITECTURE, section 5).
    signature
        State of the file in which the fingerprint was last found true.
    """

    path: str
    fingerprint: str
    signature: Signature


@dataclass(frozen=True, slots=True)
class Instance:
    """All that serving an instance needs to know.

    Parameters
    ----------
    key
        Its UIDs.
    transfer_syntax
        UID of the syntax that its frames are stored in.
    number_of_frames
        As in its header; 0 without pixel data, and if frames are not whole bytes.
    header
        Name of the blob that holds its Part 10 header: all that stands before the pixel data.
    frame_table
        Name of the blob that holds its frame table; None if it has no frames to be addressed.
    frames
        Where the frames lie: the name of a blob of ours, or a linked file. Without pixel data,
        the name of the blob that holds the whole object.
    received_header
        Name of the header that the blob of frames itself begins with, if that blob is a Part 10
        stream as somebody sent it.
    """

    key: InstanceKey
    transfer_syntax: str
    number_of_frames: int
    header: str
    frame_table: str | None
    frames: str | LinkedFile
    received_header: str | None = None

    @property
    def pixels(self) -> str:
        """Name of the blob that holds its frame table.

        Raises
        ------
        NotFound
            If it has no pixel data.
        """
        if self.frame_table is None:
            raise NotFound(
                "The instance has no pixel data, or frames that are not whole bytes. Retrieve it "
                "as application/dicom.",
                instance=self.key.instance,
            )
        return self.frame_table

    @property
    def verbatim(self) -> bool:
        """Whether the blob of frames is, as it is, the whole instance with its header."""
        return self.received_header == self.header


class SlideState(StrEnum):
    """How far a slide has come."""

    LINKED = "linked"
    MATERIALISED = "materialised"


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


@dataclass(frozen=True, slots=True)
class Slide:
    """A scanner file that was added.

    Parameters
    ----------
    study, series
        UIDs of what it became.
    file
        The scanner file.
    identity
        Digest of the fingerprint and of what the operator stated; all UIDs derive from it.
    state
        ``LINKED`` until all instances are blobs of ours.
    instances
        Number of its instances.
    sha256
        Hexadecimal digest of the whole file; None until it was read whole.
    identified
        What its Study Instance UID derives from.
    facts
        What the file says that a worklist may complete.
    recipe
        Version of what decided about bytes besides the slide; UIDs derive from it too.
    """

    study: str
    series: str
    file: LinkedFile
    identity: str
    state: SlideState
    instances: int
    sha256: str | None
    identified: Identified
    facts: FileFacts
    recipe: str
