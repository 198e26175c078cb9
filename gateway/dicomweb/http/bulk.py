"""Long answers: bounded in number and in what they hold, so that slow clients harm nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from gateway.core.errors import Unavailable

_FEW = 16
_LARGE, _SMALL = 1 << 18, 1 << 16
"""Bytes of a piece: the larger the faster, but a slow client keeps several of them waiting."""


class BulkAnswers:
    """Counts the long answers that are under way in this process.

    Parameters
    ----------
    most
        How many there may be; each occupies a thread until its client has taken all of it. Such
        a thread sleeps nearly all the time, so that there may be many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._under_way = 0

    def guarded(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Return the same bytes; they count as under way until they end or are dropped.

        Their pieces become such that each is worth a write; when many answers are under way, they
        are smaller, for they are what memory is taken by.

        Raises
        ------
        Unavailable
            If too many answers are under way already.
        """
        with self._lock:
            if self._under_way >= self._most:
                raise Unavailable("Too many long answers are under way; try again soon.")
            self._under_way += 1
        return _Guarded(self, self._shaped(pieces))

    def ended(self) -> None:
        """Give back the place of one answer."""
        with self._lock:
            self._under_way -= 1

    def _shaped(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        waiting: list[bytes] = []
        size = 0
        for piece in pieces:
            waiting.append(piece)
            size += len(piece)
            if size >= (wanted := _LARGE if self._under_way <= _FEW else _SMALL):
                whole = b"".join(waiting)
                waiting.clear()
                if size < 2 * wanted:  # most are made of small pieces
                    yield whole
                else:
                    for start in range(0, size, wanted):
                        yield whole[start : start + wanted]
                size = 0
                del whole, piece
        if waiting:
            yield b"".join(waiting)


class _Guarded(Iterator[bytes]):
    """An iterator that gives its place back once: at its end, when closed, or when dropped."""

    def __init__(self, answers: BulkAnswers, pieces: Iterator[bytes]) -> None:
        self._answers: BulkAnswers | None = answers
        self._pieces = pieces

    def __next__(self) -> bytes:
        try:
            return next(self._pieces)
        except BaseException:  # its end is an exception too
            self.close()
            raise

    def close(self) -> None:
        answers, self._answers = self._answers, None
        if answers is not None:
            self._pieces = iter(())  # files that they hold open are closed
            answers.ended()

    def __del__(self) -> None:
        self.close()
