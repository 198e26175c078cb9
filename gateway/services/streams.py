"""Instances as Part 10 files that come in pieces, from any byte on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gateway.core.storage import Blob, Buffer
from gateway.dicom.streams.native import NativeForm
from gateway.dicom.streams.part10 import Part10
from gateway.services.frames import started

WINDOW = 1 << 18
"""Bytes that are read at once: many clients may take instances at the same time."""

_DECODING = threading.BoundedSemaphore(2)
"""Frames that a process decodes at once for whole instances: others have to wait for less."""


@dataclass(frozen=True, slots=True)
class Part10Stream:
    """A Part 10 file that comes in pieces.

    Parameters
    ----------
    size
        Bytes of the whole.
    begin
        Returns the bytes from a place on, some hundred kilobytes at a time.
    """

    size: int
    begin: Callable[[int], Iterator[bytes]]

    @property
    def pieces(self) -> Iterator[bytes]:
        """All bytes; see :meth:`part`."""
        return self.part(0, self.size)

    def part(self, start: int, stop: int) -> Iterator[bytes]:
        """Return the bytes from one place up to another.

        Raises
        ------
        Unavailable
            If the first of them cannot be read now.
        """
        return started(_up_to(stop - start, self.begin(start)))


def whole(blob: Blob) -> Part10Stream:
    """Return a blob that is, as it is, the file."""
    size = blob.size

    def begin(start: int) -> Iterator[bytes]:
        for offset in range(start, size, WINDOW):
            yield blob.read(offset, min(WINDOW, size - offset))

    return Part10Stream(size, begin)


def joined(layout: Part10, read: Callable[[int, int], Buffer]) -> Part10Stream:
    """Return the file that a layout makes of what ``read`` gives."""

    def begin(start: int) -> Iterator[bytes]:
        return (b"".join(buffers) for buffers in layout.chunks(read, WINDOW, start))

    return Part10Stream(layout.size, begin)


def decoding(native: NativeForm, stored: Callable[[int], bytes]) -> Part10Stream:
    """Return the file with native frames, each of which is decoded when it is its turn.

    Parameters
    ----------
    stored
        Returns a frame as stored, by its number from 1.
    """
    size = native.frame_bytes

    def read(offset: int, length: int) -> bytes:
        numbers = range(offset // size + 1, (offset + length) // size + 1)
        frames = []
        for frame in map(stored, numbers):
            with _DECODING:
                frames.append(native.decoded(frame))
        return b"".join(frames)

    return joined(native.layout, read)


def _up_to(length: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        if len(piece) >= length:
            yield piece[:length]
            return
        length -= len(piece)
        yield piece
