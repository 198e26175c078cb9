"""multipart/related bodies read (RFC 2046 5.1, RFC 2387) as they come, in constant memory.

No library reads them: those for forms want a Content-Disposition, those for mail hold everything
in memory. The multipart that answers are is written in :mod:`gateway.dicomweb.http.media`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gateway.core.errors import BrokenOff, InvalidInput
from gateway.core.storage import Buffer
from gateway.dicomweb.http.limits import MOST_PART_HEADER_BYTES

_READ = 1 << 18
"""Bytes asked of the connection at once."""

_MOST_PREAMBLE = 64 << 10
_LONGEST_PADDING = 64
_LONGEST_BOUNDARY = 200  # RFC 2046 allows 70

_PARAMETER = re.compile(r'((?:[^;"]|"(?:[^"\\]|\\.)*")*)(?:;|\Z)')

Chunks = Iterator[list[Buffer]]


def content_type(header: str) -> tuple[str, dict[str, str]]:
    """Read a Content-Type: the type, and its parameters in any order and quoting.

    Types and names of parameters come in lower case. Unquoted values may hold any character but
    a semicolon: ``type=application/dicom`` and boundaries with ``=`` are common.
    """
    pieces = [match[1].strip() for match in _PARAMETER.finditer(header)]
    parameters: dict[str, str] = {}
    for piece in pieces[1:]:
        name, _, value = (part.strip() for part in piece.partition("="))
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        parameters.setdefault(name.lower(), value)
    return pieces[0].lower(), parameters


@dataclass(frozen=True, slots=True)
class IncomingPart:
    """One part of a body.

    Parameters
    ----------
    headers
        By their names in lower case.
    chunks
        Its bytes; what is not taken is skipped when the next part is asked for. A body that ends
        before the part does raises BrokenOff.
    """

    headers: Mapping[str, str]
    chunks: Chunks


class IncomingParts(Iterator[IncomingPart]):
    """The parts of a body, one after the other.

    Lines end as the first delimiter does, with CR LF or, against the standard, LF alone; which of
    the two is known before the first byte of a part, so that none of its bytes is taken for a part
    of a line end.

    Parameters
    ----------
    read
        Returns at most so many bytes, none at the end.
    boundary
        As Content-Type says.

    Raises
    ------
    InvalidInput
        If the boundary cannot be one; later if the body is not framed by it.
    """

    def __init__(self, read: Callable[[int], bytes], boundary: str) -> None:
        if not boundary.isascii() or not 0 < len(boundary) <= _LONGEST_BOUNDARY:
            raise InvalidInput("The Content-Type needs a boundary of 1 to 70 characters.")
        self._read = read
        self._dashed = b"--" + boundary.encode()
        self._newline = b""
        self._buffer = b"\r\n"  # as if a line had ended before the body
        self._place = 0
        self._current: Chunks | None = None
        self._closed = False

    def __next__(self) -> IncomingPart:
        """Return the next part; see the class for errors."""
        if self._current is None:
            self._skip_preamble()
        else:
            for _ in self._current:
                pass
        if self._closed:
            self._fill(_MOST_PREAMBLE)  # most epilogues: the connection can be used again
            raise StopIteration
        headers = self._headers()
        self._current = self._content()
        return IncomingPart(headers, self._current)

    def _skip_preamble(self) -> None:
        """Find the first delimiter, and what lines end with."""
        start = b"\n" + self._dashed
        while True:
            found = self._buffer.find(start, self._place)
            if found >= 0:
                self._place = found + len(start)
                if self._is_delimiter(b"\r\n") or self._is_delimiter(b"\n"):
                    return
            elif len(self._buffer) > _MOST_PREAMBLE or not self._more():
                raise InvalidInput(
                    "The body does not begin with the boundary that its Content-Type names."
                )

    def _is_delimiter(self, newline: bytes) -> bool:
        """Whether a line with the boundary ends here; if so the place is behind the line."""
        self._fill(_LONGEST_PADDING)
        rest = self._buffer[self._place : self._place + _LONGEST_PADDING]
        closed = rest.startswith(b"--") and rest[2:3] in (b"", b" ", b"\t", b"\r", b"\n")
        line = len(rest) - len(rest.lstrip(b" \t"))
        if not closed and not rest.startswith(newline, line):
            return False
        self._place += 2 if closed else line + len(newline)
        self._closed, self._newline = closed, newline
        return True

    def _headers(self) -> dict[str, str]:
        end = self._newline * 2
        self._buffer = self._newline + self._buffer[self._place :]  # there may be none at all
        self._place = 0
        while (found := self._buffer.find(end)) < 0 and len(self._buffer) <= MOST_PART_HEADER_BYTES:
            if not self._more():
                raise BrokenOff()
        if not 0 <= found <= MOST_PART_HEADER_BYTES:
            raise InvalidInput(f"A part has more than {MOST_PART_HEADER_BYTES} bytes of headers.")
        self._place = found + len(end)
        text = re.sub(r"\r?\n[ \t]+", " ", self._buffer[:found].decode("latin-1"))
        lines = (line.partition(":") for line in text.splitlines())
        return {name.strip().lower(): value.strip() for name, _, value in lines if name.strip()}

    def _content(self) -> Chunks:
        """Yield the bytes up to the next delimiter."""
        delimiter = self._newline + self._dashed
        start = self._place
        while True:
            found = self._buffer.find(delimiter, self._place)
            if found >= 0:
                self._place = found + len(delimiter)
                # The buffer may be another afterwards, but begins with the same bytes.
                if not self._is_delimiter(self._newline):
                    if self._place > _READ:
                        yield [memoryview(self._buffer)[start : self._place]]
                        self._forget()
                        start = self._place
                    continue
                if found > start:
                    yield [memoryview(self._buffer)[start:found]]
                return
            kept = _beginning(delimiter, self._buffer, self._place)
            if kept > start:
                yield [memoryview(self._buffer)[start:kept]]
            self._place = kept
            if not self._more():
                raise BrokenOff()
            start = self._place

    def _fill(self, count: int) -> None:
        """Read until so many bytes are there, or all of the body."""
        while len(self._buffer) - self._place < count and self._append():
            pass

    def _more(self) -> bool:
        """Read more, and forget what is before the place; return whether there was more."""
        self._forget()
        return self._append()

    def _forget(self) -> None:
        self._buffer = self._buffer[self._place :]
        self._place = 0

    def _append(self) -> bool:
        try:
            more = self._read(_READ)
        except OSError as error:
            raise BrokenOff() from error
        self._buffer = self._buffer + more if self._buffer else more
        return bool(more)


def _beginning(delimiter: bytes, buffer: bytes, start: int) -> int:
    """Return where in the end of a buffer a delimiter may begin; its end if nowhere."""
    end = len(buffer)
    place = max(start, end - len(delimiter) + 1)
    while (place := buffer.find(delimiter[:1], place)) >= 0:
        if delimiter.startswith(buffer[place:]):
            return place
        place += 1
    return end
