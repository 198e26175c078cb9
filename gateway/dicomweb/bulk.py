"""Long answers: bounded in number, so that slow clients leave room for others."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from gateway.core.errors import Unavailable


class BulkAnswers:
    """Counts the long answers that are under way in this process.

    Parameters
    ----------
    most
        How many there may be; each occupies a thread until its client has taken all of it.
    """

    def __init__(self, most: int) -> None:
        self._free = threading.Semaphore(most)

    def guarded(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Return the same pieces; they count as under way until they end or are dropped.

        Raises
        ------
        Unavailable
            If too many answers are under way already.
        """
        if not self._free.acquire(blocking=False):
            raise Unavailable("Too many long answers are under way; try again soon.")
        return _Guarded(pieces, self._free)


class _Guarded(Iterator[bytes]):
    """An iterator that gives its place back once: at its end, when closed, or when dropped."""

    def __init__(self, pieces: Iterator[bytes], place: threading.Semaphore) -> None:
        self._pieces = pieces
        self._place: threading.Semaphore | None = place

    def __next__(self) -> bytes:
        try:
            return next(self._pieces)
        except BaseException:  # its end is an exception too
            self.close()
            raise

    def close(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            place.release()

    def __del__(self) -> None:
        self.close()
