"""Linked scanner files: opened only in a state in which they are the slide that was added."""

from __future__ import annotations

from contextlib import suppress

from gateway.core.errors import GatewayError, SlideUnreadable, SourceChanged, SourceMissing
from gateway.core.instances import LinkedFile, Signature, Slide, SlideState
from gateway.core.ports import Index, SlideLibrary
from gateway.core.storage import Blob, BlobStore

_REMEMBERED = 1000


class Links:
    """Opens what frames lie in.

    Size, times and inode are compared whenever a linked file is opened and after each read.
    On a difference the fingerprint is taken again: a file that was merely touched is the same
    slide, anything else is refused, so that frames never show another slide's pixels.
    """

    def __init__(self, index: Index, store: BlobStore, library: SlideLibrary) -> None:
        self._index = index
        self._store = store
        self._library = library
        self._strangers: dict[LinkedFile, Signature] = {}

    def open(self, frames: str | LinkedFile) -> Blob:
        """Open a blob of ours or a linked file.

        Raises
        ------
        SourceMissing
            If the linked file is not where it was.
        SourceChanged
            If it is no longer the slide that was added.
        """
        if isinstance(frames, LinkedFile):
            return self._store.open(self.verified(frames))
        return self._store.open(frames)

    def verified(self, file: LinkedFile) -> LinkedFile:
        """Return the file with the signature it has now, if it still is the same slide.

        Raises
        ------
        SourceMissing, SourceChanged
            As :meth:`open`.
        """
        now = self._store.signature(file.path)
        if now == file.signature:
            return file
        if self._strangers.get(file) == now:
            raise _changed()
        try:
            same = self._library.fingerprint(file.path) == file.fingerprint
        except SlideUnreadable:
            same = False
        if not same:
            if len(self._strangers) > _REMEMBERED:
                self._strangers = {}
            self._strangers[file] = now
            raise _changed()
        touched = LinkedFile(file.path, file.fingerprint, now)
        self._index.relink(touched)
        return touched

    def holds(self, file: LinkedFile) -> bool:
        """Whether the file is where it was and is the slide that was added."""
        with suppress(SourceMissing, SourceChanged):
            self.verified(file)
            return True
        return False

    def broken(self) -> list[tuple[Slide, GatewayError]]:
        """Return the linked slides whose file is missing or changed, each with its error."""
        found: list[tuple[Slide, GatewayError]] = []
        for slide in self._index.slides():
            if slide.state is SlideState.LINKED:
                try:
                    self.verified(slide.file)
                except GatewayError as error:
                    found.append((slide, error))
        return found


def _changed() -> SourceChanged:
    return SourceChanged(
        "The scanner file is no longer the slide that was added. Put the right file back, or "
        "run 'slidegate check-links' to see which slides are concerned."
    )
