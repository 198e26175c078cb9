"""What a scanner's file is to the converters, and the one table of formats."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import cast

from gateway.core.errors import FormatUnknown, SlideUnreadable
from gateway.core.frames import CropTable, FrameTable, TileGrid
from gateway.core.geometry import Placement
from gateway.core.instances import Flavour
from gateway.core.ports import Progress
from gateway.core.storage import Blob, Scratch


@dataclass(frozen=True, slots=True)
class LossyStep:
    """One compression with loss (PS3.3 C.7.6.1.1.5).

    Parameters
    ----------
    method
        Defined term of Lossy Image Compression Method, such as ``ISO_10918_1``.
    ratio
        Bytes without compression to bytes with it.
    """

    method: str
    ratio: float


@dataclass(frozen=True, slots=True)
class FocalStack:
    """Focal planes of an image, from the glass upwards, at equal distances.

    Parameters
    ----------
    count
        Number of planes; frames of one stand before those of the next.
    spacing_um
        Distance of one from the next in micrometres.
    """

    count: int
    spacing_um: float


@dataclass(frozen=True, slots=True, eq=False)
class SlideImage:
    """One image of a slide: a level of the pyramid, thumbnail, label or overview.

    Parameters
    ----------
    flavour
        What it shows.
    grid
        Total pixel matrix and tiles; an image that is no pyramid level is one tile.
    frames
        What bytes make each frame, tile rows from the top, tiles from the left.
    built
        What ``frames`` point into if that is not the file; else None.
    photometric_interpretation
        Of the stored components (PS3.3 C.8.12.4.1.5).
    transfer_syntax
        UID of the syntax of the frames.
    lossy
        Whether the frames as stored are compressed with loss.
    earlier
        Compressions with loss that the pixels went through before, first to last.
    stack
        Its focal planes if it has several, else None.
    """

    flavour: Flavour
    grid: TileGrid
    frames: FrameTable | CropTable
    built: Blob | None
    photometric_interpretation: str
    transfer_syntax: str
    lossy: bool
    earlier: tuple[LossyStep, ...] = ()
    stack: FocalStack | None = None


@dataclass(frozen=True, slots=True)
class Fluorescence:
    """How a slide was lit that shines by itself; what the file does not state is None.

    Parameters
    ----------
    filter_set
        Name of the filters.
    excitation_nm, emission_nm
        Wavelengths of the light that falls on the specimen, and of the light that is seen.
    """

    filter_set: str | None
    excitation_nm: float | None
    emission_nm: float | None


@dataclass(frozen=True, slots=True)
class SlideFacts:
    """What a scanner's file states of itself. What it does not state is None.

    Parameters
    ----------
    spacing_um
        ``(row spacing, column spacing)``: distances of the centres of adjacent rows and of
        adjacent columns at the base level, in micrometres.
    objective_power
        Nominal magnification of the objective.
    acquired
        When the slide was scanned, local time of the scanner, or with its offset.
    manufacturer, model, serial_number, software
        The scanner.
    barcode
        What the scanner read from the label.
    remarks
        Sentences for the provenance: what was filled in, left out or assumed.
    placement
        Where the base level lies on the slide, or in a larger scan; None if nothing is known.
    fluorescence
        How it was lit, or None for bright field.
    """

    spacing_um: tuple[float, float] | None
    objective_power: float | None
    acquired: datetime | None
    manufacturer: str
    model: str | None
    serial_number: str | None
    software: str | None
    barcode: str | None
    remarks: tuple[str, ...] = ()
    placement: Placement | None = None
    fluorescence: Fluorescence | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ScannedSlide:
    """A scanner's file, read without its pixels.

    Parameters
    ----------
    fingerprint
        Hexadecimal digest, see :mod:`converters.fingerprint`.
    facts
        What the file states of itself.
    icc_profile
        Colour profile of the optical path, or None.
    images
        Pyramid levels from the largest, then what else there is; none while they are to be
        decoded.
    decode
        Makes the images of a slide whose pixels must be decoded, or None. Frames go into the
        scratch blob, and the images are ``built`` in it.
    encoder
        What decoded and encoded the frames, with versions, as :attr:`Encoding.name
        <converters.codecs.encoding.Encoding.name>` says; empty if frames are the scanner's own
        bytes. It is part of the UIDs of series and instances: other bytes, other UIDs.
    tiling
        How frames are made, where there is a choice; part of the UIDs likewise.
    """

    fingerprint: str
    facts: SlideFacts
    icc_profile: bytes | None
    images: tuple[SlideImage, ...]
    decode: Callable[[Scratch, Progress | None], tuple[SlideImage, ...]] | None = None
    encoder: str = ""
    tiling: str = ""


class Tiling(StrEnum):
    """How frames are made of a level that the scanner did not cut into tiles."""

    STRIPES = "stripes"
    CROP = "crop"


@dataclass(frozen=True, slots=True)
class Choices:
    """What the operator may choose where a format leaves a choice.

    Parameters
    ----------
    tiling
        How frames are made; None for the best that this machine can.
    all_focal_planes
        Whether levels have all focal planes of the scan, not the middle one alone.
    """

    tiling: Tiling | None = None
    all_focal_planes: bool = False

    @classmethod
    def of(cls, tiling: str | None, focal_planes: str = "middle") -> Choices:
        """Read what a command line says."""
        return cls(Tiling(tiling) if tiling else None, focal_planes == "all")


@dataclass(frozen=True, slots=True)
class SlideFormat:
    """One row of the table of formats.

    Parameters
    ----------
    name
        For people.
    suffixes
        Endings of file names, lower case; for messages and folders, never to detect a format.
    module
        Where its functions are; imported when a file needs it.
    leaves_choices
        Whether its ``read`` takes :class:`Choices`.
    """

    name: str
    suffixes: tuple[str, ...]
    module: str
    leaves_choices: bool = False

    def detects(self, path: Path) -> bool:
        """Whether the file is of this format; reads its first bytes only."""
        return bool(self._function("detects")(path))

    def read(self, path: Path, choices: Choices | None = None) -> ScannedSlide:
        """Read the headers of a file of this format."""
        more = (choices or Choices(),) if self.leaves_choices else ()
        return cast(ScannedSlide, self._function("read")(path, *more))

    def fingerprint(self, path: Path) -> str:
        """Take the fingerprint of a file of this format."""
        return str(self._function("fingerprint")(path))

    def _function(self, name: str) -> Callable[..., object]:
        function: Callable[..., object] = getattr(import_module(self.module), name)
        return function


FORMATS = (
    # First: to readers of 32-bit offsets a large NDPI is a damaged TIFF.
    SlideFormat("Hamamatsu NDPI", (".ndpi",), "converters.formats.ndpi", leaves_choices=True),
    SlideFormat("Aperio SVS", (".svs",), "converters.formats.svs"),
    SlideFormat("Leica SCN", (".scn",), "converters.formats.leica"),
    SlideFormat("Philips TIFF", (".tiff", ".tif"), "converters.formats.philips"),
    SlideFormat("Akoya QPTIFF", (".qptiff",), "converters.formats.qptiff"),
    SlideFormat("OME-TIFF", (".ome.tif", ".ome.tiff"), "converters.formats.ome"),
    SlideFormat("Trestle", (".tif",), "converters.formats.trestle"),
    SlideFormat("Ventana BIF", (".bif",), "converters.formats.ventana"),
    SlideFormat("3DHISTECH MIRAX", (".mrxs",), "converters.formats.mirax"),
    SlideFormat("Hamamatsu VMS", (".vms", ".vmu"), "converters.formats.vms"),
    # Takes any tiled TIFF; those that name their scanner stand above.
    SlideFormat("pyramidal TIFF", (".tif", ".tiff", ".btf"), "converters.formats.generic"),
)


def format_of(path: Path) -> SlideFormat:
    """Find the format of a scanner's file by its content.

    Raises
    ------
    SlideUnreadable
        If the file cannot be opened, or no format takes it.
    FormatUnknown
        If no format takes it, and its name does not say either that it is a slide.
    """
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            path.open("rb").close()
    except OSError as error:
        raise SlideUnreadable(f"{path} cannot be read: {error.strerror}.") from error
    if stat.S_ISDIR(status.st_mode):
        raise SlideUnreadable(f"{path} is a folder; name the slide in it.")
    if not stat.S_ISREG(status.st_mode):
        raise SlideUnreadable(f"{path} is no file.")
    if not status.st_size:
        raise SlideUnreadable(f"{path} is empty.")
    for slide_format in FORMATS:
        if slide_format.detects(path):
            return slide_format
    names = ", ".join(f"{row.name} ({' '.join(row.suffixes)})" for row in FORMATS)
    named = any(path.name.lower().endswith(row.suffixes) for row in FORMATS)
    refused = SlideUnreadable if named else FormatUnknown
    raise refused(f"{path} is no slide of a known format. Known are: {names}.")
