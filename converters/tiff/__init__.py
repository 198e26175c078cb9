"""TIFF files of scanners: opened so that whatever is wrong with them is told as SlideUnreadable."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, FileIO
from pathlib import Path

from tifffile import TiffFile, TiffPage

from gateway.core.errors import GatewayError, OutOfResources, SlideUnreadable

_IMAGE_DESCRIPTION = 270


class _Complaints(logging.Handler):
    """Keeps what tifffile only logs, such as a chain of pages that breaks off."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        # Text in an unknown character set is no damage; and names may stand in it.
        if "invalid ASCII" not in message:
            self.messages.append(message)


class _Bounded(BufferedReader):
    """A file of which no more is read than there is: damaged tags ask for gigabytes."""

    def __init__(self, path: Path) -> None:
        super().__init__(FileIO(os.fspath(path)))
        self._size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


@contextmanager
def opened(path: Path) -> Iterator[TiffFile]:
    """Open a TIFF; whatever goes wrong with its structure while it is open is SlideUnreadable."""
    complaints, log = _Complaints(), logging.getLogger("tifffile")
    log.addHandler(complaints)
    propagates, log.propagate = log.propagate, False
    try:
        with told(path):
            # tifffile would read a file otherwise that is called .ndpi.
            with (
                _Bounded(path) as file,
                TiffFile(file, _multifile=False, is_ndpi=False) as tiff,
            ):
                yield tiff
            if complaints.messages:
                raise SlideUnreadable(_damaged(path, complaints.messages[0]))
    finally:
        log.propagate = propagates
        log.removeHandler(complaints)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Tell what goes wrong in a block that reads a scanner's file, as SlideUnreadable."""
    try:
        yield
    except OutOfResources:
        raise  # no fault of the file
    except GatewayError as error:
        if isinstance(error, SlideUnreadable) and str(path) in error.detail:
            raise
        raise SlideUnreadable(f"{path} cannot be read: {error.detail}") from error
    except OSError as error:
        raise SlideUnreadable(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # whatever the parser stumbles over
        raise SlideUnreadable(_damaged(path, error)) from error


def _damaged(path: Path, reason: object) -> str:
    return f"{path} is damaged or truncated; copy it again from the scanner ({reason})."


def is_tiff(path: Path) -> bool:
    """Whether a file begins as a TIFF or BigTIFF does."""
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def pages_of(tiff: TiffFile) -> list[TiffPage]:
    """Return all pages."""
    return [page_of(tiff, index) for index in range(len(tiff.pages))]


def page_of(tiff: TiffFile, index: int) -> TiffPage:
    """Return one page, counted from 0.

    Raises
    ------
    SlideUnreadable
        If it has no tags.
    """
    page = tiff.pages[index]
    if not isinstance(page, TiffPage):
        raise SlideUnreadable("A page of the TIFF has no tags.")
    return page


def description_of(page: TiffPage) -> str:
    """Return ImageDescription without padding; text in no known character set as Latin-1."""
    value = page.tags.valueof(_IMAGE_DESCRIPTION) or ""
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return text.strip("\0 \t\r\n")


def read_range(tiff: TiffFile, offset: int, length: int) -> bytes:
    """Return exactly these bytes of the file.

    Raises
    ------
    SlideUnreadable
        If the file ends before.
    """
    data = os.pread(tiff.filehandle.fileno(), length, offset)
    if len(data) != length:
        raise SlideUnreadable("The file is truncated; copy it again from the scanner.")
    return data
