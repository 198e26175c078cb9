"""A blob that is held in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class InMemory:
    """Bytes that are read like a stored blob; see :class:`gateway.core.storage.Blob`."""

    content: bytes

    @property
    def size(self) -> int:
        """Bytes of the whole."""
        return len(self.content)

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly that range."""
        return self.content[offset : offset + length]

    def view(self, offset: int, length: int) -> memoryview:
        """Return that range without a copy."""
        return memoryview(self.content)[offset : offset + length]

    def mapped(self) -> bytes:
        """Return all of it."""
        return self.content

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return
