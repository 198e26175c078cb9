"""DICOM files of others and folders of them, wherever they lie."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gateway.core.errors import SlideUnreadable

_PREAMBLE, _MAGIC = 128, b"DICM"
_PIECE = 4 << 20

Progress = Callable[[int, int], None]
"""Is told the bytes that are done, and the bytes of all."""

Companions = Callable[[str], Sequence[str]]
"""Tells the other files of a slide that is several files; none of all other files."""


@dataclass(frozen=True, slots=True)
class DicomFiles:
    """What a path holds.

    Parameters
    ----------
    files
        The DICOM files, in the order of their names.
    skipped
        Number of files beside them that are none.
    """

    files: tuple[Path, ...]
    skipped: int = 0

    def streams(self, progress: Progress | None) -> Iterator[tuple[Path, Iterator[list[bytes]]]]:
        """Yield each file and its bytes, a few megabytes at a time.

        Reading them raises SlideUnreadable if the file cannot be read.

        Parameters
        ----------
        progress
            Is told the bytes that were read, and the bytes of all files.
        """
        total = sum(map(_size, self.files))
        done = 0
        for file in self.files:
            yield file, pieces(file, progress and partial(_advance, progress, done, total))
            done += _size(file)


def is_dicom(path: str | Path) -> bool:
    """Whether a file begins as a DICOM file does (PS3.10 7.1) and is no index of a medium.

    Of a file that nobody may read nobody knows: it is taken for one, so that who reads it says so.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) or os.path.basename(path) == "DICOMDIR":
            return False
        with open(path, "rb", buffering=0) as file:
            return file.read(_PREAMBLE + len(_MAGIC))[_PREAMBLE:] == _MAGIC
    except PermissionError:
        return True
    except OSError:
        return False


def find(path: Path, companions: Companions) -> DicomFiles | None:
    """Return the DICOM files of a path: the file itself, or those in the folder and below it.

    Returns
    -------
    None if the path is a file and no DICOM.

    Raises
    ------
    SlideUnreadable
        If the path is a folder without DICOM files, one that belongs to a slide of several files,
        or cannot be read.
    """
    if not path.is_dir():
        return DicomFiles((path,)) if is_dicom(path) else None
    _check_own(path, companions)
    found: list[Path] = []
    skipped = 0
    for file in _walked(path, companions):
        if is_dicom(file):
            found.append(file)
        else:
            skipped += 1
    if not found:
        raise SlideUnreadable(f"{path} is a folder without DICOM files; name the slide in it.")
    return DicomFiles(tuple(found), skipped)


def pieces(path: Path, advance: Callable[[int], None] | None = None) -> Iterator[list[bytes]]:
    """Yield the bytes of a file, a few megabytes at a time.

    Parameters
    ----------
    advance
        Is told the bytes that were read.

    Raises
    ------
    SlideUnreadable
        If it cannot be read.
    """
    done = 0
    with _reading(path), path.open("rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            yield [piece]
            done += len(piece)
            if advance:
                advance(done)


def _advance(progress: Progress, before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # said when it is read
        return 0


def _check_own(path: Path, companions: Companions) -> None:
    """Refuse a folder that is a part of a slide beside it."""
    folder = path.absolute()
    for name in _listed(folder.parent):
        slide = str(folder.parent / name)
        if any(Path(one) == folder or folder in Path(one).parents for one in companions(slide)):
            raise SlideUnreadable(f"{path} is a part of the slide {slide}; name that file.")


def _walked(path: Path, companions: Companions) -> Iterator[Path]:
    """Yield all files but those that belong to a slide of several files."""
    folders = [path]
    others: set[str] = set()
    while folders:
        folder = folders.pop()
        below = [folder / name for name in _listed(folder)]
        for one in below:
            others.update(companions(str(one)))
        inside = [one for one in below if str(one) not in others]
        yield from (one for one in inside if not one.is_dir())
        folders += [one for one in reversed(inside) if one.is_dir() and not one.is_symlink()]


def _listed(folder: Path) -> list[str]:
    with _reading(folder):
        return sorted(os.listdir(folder))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SlideUnreadable(f"{path} cannot be read: {error.strerror}.") from error
