"""3DHISTECH MIRAX: a file that names the slide, and a folder of the same name that holds it.

Tiles overlap, and images of lower levels mix several of them: they are decoded. What belongs to the
slide stands in the folder's ``Slidedat.ini``.
"""

from __future__ import annotations

import re
from pathlib import Path

from converters.fingerprint import files_fingerprint
from converters.formats.stated import moment
from converters.openslide.slides import Properties, Told, read_decoded
from converters.sources import ScannedSlide
from converters.tiff import told
from gateway.core.errors import SlideUnreadable

_INDEX = "Slidedat.ini"
_MOST = 1 << 20  # bytes of it; real ones have some tens of thousands
_LISTED = re.compile(r"^[ \t]*(?:INDEXFILE|FILE_\d+)[ \t]*=[ \t]*([^\r\n]*\S)", re.MULTILINE)
_WITHOUT_LOSS = {"PNG", "BMP24"}


def detects(path: Path) -> bool:
    """Whether there is a folder of the file's name with MIRAX's index in it."""
    return path.suffix.lower() == ".mrxs" and (path.with_suffix("") / _INDEX).is_file()


def read(path: Path) -> ScannedSlide:
    """Read what a MIRAX says of itself; see :func:`converters.openslide.slides.read_decoded`."""
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
    """Return the files of a slide, by their names in its folder."""
    folder = path.with_suffix("")
    index = folder / _INDEX
    with index.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        text = file.read(_MOST)
    names = {_INDEX, *_LISTED.findall(text)}
    files = {name: folder / name for name in names}
    for name, file_path in files.items():
        if "/" in name or not file_path.is_file():
            raise SlideUnreadable(
                f"{path}: its folder lacks {name}; copy all files of the slide again."
            )
    return {"": path, **files}


def _told(properties: Properties) -> Told:
    def stated(name: str) -> str | None:
        return properties.get(f"mirax.GENERAL.{name}", "").strip() or None

    if "FLUORESCENCE" in (stated("SLIDE_TYPE") or "").upper():
        raise SlideUnreadable("The slide was scanned in fluorescence; bright field is supported.")
    formats = {
        value
        for name, value in properties.items()
        if name.startswith("mirax.LAYER_0_LEVEL_") and name.endswith(".IMAGE_FORMAT")
    }
    return Told(
        manufacturer="3DHISTECH",
        lossy_method=None if formats and formats <= _WITHOUT_LOSS else "ISO_10918_1",
        serial_number=stated("SCANNER_HARDWARE_ID"),
        software=stated("SLIDE_VERSION"),
        acquired=moment(stated("SLIDE_CREATIONDATETIME"), "%d/%m/%Y %H:%M:%S"),
        remarks=("Overlapping tiles were drawn where the scanner says they belong.",),
    )
