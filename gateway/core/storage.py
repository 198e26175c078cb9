"""Where bytes are kept: protocols that stores fulfil."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from mmap import mmap
from typing import Protocol, Self

from gateway.core.instances import LinkedFile, Signature

Buffer = bytes | bytearray | memoryview


class Blob(Protocol):
    """An open blob, to be read at any place; a context manager that closes it."""

    @property
    def size(self) -> int:
        """Bytes of the whole."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly that range.

        Raises
        ------
        SourceChanged
            If it is a linked file that is no longer in the state in which it was opened.
        Unavailable
            If the blob is shorter than the range, or the disk fails.
        """
        ...

    def view(self, offset: int, length: int) -> memoryview:
        """Return that range, as :meth:`read` does, in memory that the next call overwrites."""
        ...

    def mapped(self) -> bytes | mmap:
        """Return all of it without reading it; it outlives the open blob."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class Scratch(Blob, Protocol):
    """A blob that grows while it is made and is gone when it is closed."""

    def append(self, data: Buffer) -> None:
        """Add bytes at the end.

        Raises
        ------
        OutOfResources
            If the disk is full.
        """
        ...


class Arrival(Blob, Protocol):
    """A blob that came in and has no name yet: it is gone when it is closed without one."""

    def keep(self, name: str) -> None:
        """Give it a name: durable under it when this returns, absent there if it raises.

        Raises
        ------
        OutOfResources
            If the disk is full.
        """
        ...


class BlobStore(Protocol):
    """Immutable byte strings under names, durable before they are visible."""

    def put(self, name: str, chunks: Iterable[Sequence[Buffer]]) -> None:
        """Write a blob: durable when this returns, absent or as before if it raises.

        Raises
        ------
        OutOfResources
            If the disk is full; nothing remains of the attempt.
        """
        ...

    def put_all(self, blobs: Mapping[str, bytes]) -> None:
        """Write several small blobs as :meth:`put` does, sooner than one by one.

        If it raises, some of them may be there; each is absent or complete.
        """
        ...

    def arrive(self, chunks: Iterable[Sequence[Buffer]]) -> Arrival:
        """Write what is to be looked at before it gets a name, or none.

        Raises
        ------
        OutOfResources
            If the disk is full; nothing remains of the attempt.
        """
        ...

    def get(self, name: str) -> bytes:
        """Return a whole blob.

        Raises
        ------
        BlobMissing
            If there is none of that name.
        """
        ...

    def open(self, frames: str | LinkedFile) -> Blob:
        """Open a blob of ours by its name, or somebody else's file where it lies.

        Raises
        ------
        BlobMissing
            If there is no blob of that name.
        SourceMissing
            If the linked file is not there or cannot be read.
        SourceChanged
            If the linked file is not in the state of its signature.
        """
        ...

    def scratch(self) -> Scratch:
        """Return an empty scratch blob; nothing remains of it, however this process ends."""
        ...

    def signature(self, path: str) -> Signature:
        """Return the state of somebody else's file now.

        Raises
        ------
        SourceMissing
            If it is not there.
        """
        ...
