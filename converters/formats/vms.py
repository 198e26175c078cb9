"""Hamamatsu VMS: an index in INI form, and JPEG files side by side that make the slide.

The JPEGs are as large as the slide is high, so that no client could read them as frames; tiles
are decoded and encoded once. Its uncompressed relative VMU is read in the same way.
"""

from __future__ import annotations

from pathlib import Path

from converters.fingerprint import files_fingerprint
from converters.formats.companions import listed_by_vms
from converters.openslide.slides import Properties, Told, read_decoded
from converters.sources import ScannedSlide
from converters.tiff import told
from gateway.core.errors import SlideUnreadable

_HEADS = (b"[Virtual Microscope Specimen]", b"[Uncompressed Virtual Microscope Specimen]")


def detects(path: Path) -> bool:
    """Whether the file is an index that names the JPEGs of a slide."""
    with path.open("rb") as file:
        return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(_HEADS)


def read(path: Path) -> ScannedSlide:
    """Read what a VMS says of itself; see :func:`converters.openslide.slides.read_decoded`."""
    with told(path):
        files = _files(path)
        digest = files_fingerprint(files)
    return read_decoded(path, digest, list(files.values()), _told)


def fingerprint(path: Path) -> str:
    """Take the fingerprint of all files that the index names.

    Raises
    ------
    SlideUnreadable
        If one of them is not there.
    """
    with told(path):
        return files_fingerprint(_files(path))


def _files(path: Path) -> dict[str, Path]:
    """Return the index and the files that it names; they lie beside it."""
    files = {one.name: one for one in map(Path, listed_by_vms(str(path)))}
    for name, file_path in files.items():
        if not file_path.is_file():
            raise SlideUnreadable(
                f"{path} names {name}, which is not beside it; copy all files of the slide."
            )
    return {"": path, **files}


def _told(properties: Properties) -> Told:
    bits = properties.get("hamamatsu.BitsPerPixel")  # of VMU alone
    if bits is None:
        return Told(manufacturer="Hamamatsu", lossy_method="ISO_10918_1")
    return Told(
        manufacturer="Hamamatsu",
        lossy_method=None,
        remarks=("Of the 12 bits of each sample the upper 8 were kept.",),
    )
