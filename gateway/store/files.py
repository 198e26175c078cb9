"""Blobs as files: written aside, made durable, then renamed into place; read with ``pread``."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from gateway.core.errors import (
    BlobMissing,
    OutOfResources,
    SourceChanged,
    SourceMissing,
    Unavailable,
)
from gateway.core.instances import LinkedFile, Signature
from gateway.core.storage import Buffer

_PART = ".part"
_ASIDE = re.compile(r"\.[0-9.]+(?:-[0-9a-f]+)?\.[a-z]+\.[0-9a-f]{8}\.part\Z")
"""A temporary of ours, named after a UID; what is named otherwise is somebody else's."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_BUFFERS_AT_ONCE = 1024  # IOV_MAX of Linux
_WRITEBACK = 64 << 20
"""Bytes after which the kernel is asked to begin writing to disk, while we go on."""


class FileBlob:
    """An open file. Blobs of ours never change; linked files are checked at each read.

    It is closed at the end of its context, or when nobody has it any more.

    Parameters
    ----------
    path
        Where it lies.
    expected
        State in which it has to be there after every read; None if it cannot change.
    """

    _path: str = ""
    _descriptor: int = -1

    def __init__(self, path: str, expected: Signature | None) -> None:
        self._path = path
        self._expected = expected
        self._buffer = bytearray()
        self._descriptor = os.open(
            path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        )  # a FIFO must not wait
        if expected is not None and not expected.fits(os.fstat(self._descriptor)):
            raise _source_changed()

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly that range; see :meth:`gateway.core.storage.Blob.read`."""
        try:
            data = os.pread(self._descriptor, length, offset)
        except OSError as error:
            raise _read_failed(error) from error
        if len(data) != length:  # at the end, or more than the kernel returns at once
            return bytes(self._filled(memoryview(bytearray(length)), offset))
        self._check()
        return data

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        try:
            return os.fstat(self._descriptor).st_size
        except OSError as error:
            raise _read_failed(error) from error

    def view(self, offset: int, length: int) -> memoryview:
        """Return that range in reused memory; see :meth:`gateway.core.storage.Blob.view`."""
        if len(self._buffer) < length:
            self._buffer = bytearray(length)
        return self._filled(memoryview(self._buffer)[:length], offset)

    def _filled(self, view: memoryview, offset: int) -> memoryview:
        length = len(view)
        done = 0
        try:
            while done < length:
                count = os.preadv(self._descriptor, [view[done:]], offset + done)
                if not count:
                    break
                done += count
        except OSError as error:
            raise _read_failed(error) from error
        self._check()
        if done < length:
            raise Unavailable("A blob is shorter than its frame table says.", offset=offset)
        return view

    def mapped(self) -> bytes | mmap.mmap:
        """Return all of it; see :meth:`gateway.core.storage.Blob.mapped`."""
        try:
            # What is empty cannot be mapped.
            return mmap.mmap(self._descriptor, 0, prot=mmap.PROT_READ) if self.size else b""
        except OSError as error:
            raise _read_failed(error) from error

    def _check(self) -> None:
        """Raise if the linked file is not, after a read, what was opened before it.

        The path is asked, not the open file, so that one that lies there instead is noticed.
        """
        if self._expected is None:
            return
        try:
            same = self._expected.fits(os.stat(self._path))
        except OSError as error:
            raise _source_missing(error) from error
        if not same:
            raise _source_changed()

    def close(self) -> None:
        """Give the file back; it cannot be read any more."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


class FileScratch(FileBlob):
    """A file without a name: it is gone when it is closed, or its process ends."""

    def __init__(self, folder: Path) -> None:
        self._expected = None
        self._buffer = bytearray()
        self._folder = folder
        with _disk_errors(folder):
            _make_folders(folder)
            self._descriptor = os.open(folder, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)

    def append(self, data: Buffer) -> None:
        """Add bytes at the end; see :meth:`gateway.core.storage.Scratch.append`."""
        with _disk_errors(self._folder):
            _write_some(self._descriptor, [data])


class FileArrival(FileBlob):
    """A file that was written aside and waits for its name."""

    def __init__(self, root: Path, aside: Path, descriptor: int) -> None:
        self._expected = None
        self._buffer = bytearray()
        self._root = root
        self._aside = aside
        self._descriptor = descriptor

    def keep(self, name: str) -> None:
        """Give it a name; see :meth:`gateway.core.storage.Arrival.keep`."""
        target = self._root / name
        with _disk_errors(target):
            made = _make_folders(target.parent)
            os.fsync(self._descriptor)
            self._aside.rename(target)
            _settle({target.parent, *made})

    def __exit__(self, *exc: object) -> None:
        self._aside.unlink(missing_ok=True)  # not there any more if it was kept
        self.close()


class FileStore:
    """Blobs as files below one folder; a name is a relative path with ``/`` in it.

    Parameters
    ----------
    root
        The folder; it is made when the first blob is put.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, chunks: Iterable[Sequence[Buffer]]) -> None:
        """Write a blob; see :meth:`gateway.core.storage.BlobStore.put`."""
        with _disk_errors(self._root):
            _settle(self._place(name, chunks))

    def arrive(self, chunks: Iterable[Sequence[Buffer]]) -> FileArrival:
        """Write what has no name yet; see :meth:`gateway.core.storage.BlobStore.arrive`."""
        aside = _aside(self._root / "0.arrival")
        with _disk_errors(aside), _removed_on_error(aside):
            _make_folders(self._root)
            descriptor = _created(aside)
            try:
                _write(descriptor, chunks)
            except BaseException:
                os.close(descriptor)
                raise
        return FileArrival(self._root, aside, descriptor)

    def put_all(self, blobs: Mapping[str, bytes]) -> None:
        """Write several small blobs; see :meth:`gateway.core.storage.BlobStore.put_all`."""
        touched = [self._place(name, [[content]]) for name, content in blobs.items()]
        with _disk_errors(self._root):
            _settle(set().union(*touched))

    def _place(self, name: str, chunks: Iterable[Sequence[Buffer]]) -> set[Path]:
        """Write a blob and rename it into place; return the folders that got a new entry."""
        target = self._root / name
        aside = _aside(target)
        with _disk_errors(target), _removed_on_error(aside):
            made = _make_folders(target.parent)
            descriptor = _created(aside)
            try:
                _write(descriptor, chunks)
                os.fsync(descriptor)
                aside.rename(target)
            finally:
                os.close(descriptor)
        return {target.parent, *made}

    def get(self, name: str) -> bytes:
        """Return a whole blob; see :meth:`gateway.core.storage.BlobStore.get`."""
        try:
            return (self._root / name).read_bytes()
        except FileNotFoundError as error:
            raise BlobMissing("A stored file is missing; restore it from a backup.") from error
        except OSError as error:
            raise _read_failed(error) from error

    def open(self, frames: str | LinkedFile) -> FileBlob:
        """Open a blob or a linked file; see :meth:`gateway.core.storage.BlobStore.open`."""
        if isinstance(frames, LinkedFile):
            try:
                return FileBlob(frames.path, frames.signature)
            except OSError as error:
                raise _source_missing(error) from error
        try:
            return FileBlob(f"{self._root}/{frames}", None)
        except FileNotFoundError as error:
            raise BlobMissing("A stored file is missing; restore it from a backup.") from error
        except OSError as error:
            raise Unavailable(f"A blob cannot be opened: {error.strerror}.") from error

    def scratch(self) -> FileScratch:
        """Return an empty scratch blob; see :meth:`gateway.core.storage.BlobStore.scratch`."""
        return FileScratch(self._root)

    def signature(self, path: str) -> Signature:
        """Return the state of somebody else's file now."""
        try:
            return Signature.of(os.stat(path))
        except OSError as error:
            raise _source_missing(error) from error

    def sweep(self, *, deep: bool = True) -> int:
        """Remove what writers that died left behind; return how many files that were.

        Parameters
        ----------
        deep
            Whether to look into folders below, too.
        """
        found = self._root.rglob(f".*{_PART}") if deep else self._root.glob(f".*{_PART}")
        return sum(_remove_if_abandoned(aside) for aside in found if _ASIDE.match(aside.name))


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}{_PART}")


def _read_failed(error: OSError) -> Unavailable:
    return Unavailable(f"The disk failed at a read: {error.strerror}.")


def _write(descriptor: int, chunks: Iterable[Sequence[Buffer]]) -> None:
    """Write all buffers in their order, a thousand in one call."""
    written = started = 0
    for chunk in chunks:
        for first in range(0, len(chunk), _BUFFERS_AT_ONCE):
            written += _write_some(descriptor, chunk[first : first + _BUFFERS_AT_ONCE])
        if written - started >= _WRITEBACK:
            # Dirty pages cannot be dropped, so this only starts their way to the disk.
            os.posix_fadvise(descriptor, started, written - started, os.POSIX_FADV_DONTNEED)
            started = written


def _write_some(descriptor: int, buffers: Sequence[Buffer]) -> int:
    size = sum(map(len, buffers))
    written = os.writev(descriptor, buffers)
    if written < size:
        rest = memoryview(b"".join(buffers))[written:]
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    return size


def _created(aside: Path) -> int:
    """Create a file and lock it, which tells a sweep that its writer lives."""
    while True:
        descriptor = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # a sweep came between


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder and what is missing above it; return the folders that got a new entry."""
    missing = [place for place in [folder, *folder.parents] if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return [place.parent for place in missing]


def _settle(folders: set[Path]) -> None:
    """Make new entries of folders durable."""
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_if_abandoned(aside: Path) -> bool:
    with suppress(OSError):
        descriptor = os.open(aside, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            aside.unlink()
            return True
        finally:
            os.close(descriptor)
    return False


@contextmanager
def _removed_on_error(aside: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise OutOfResources(
                f"The disk of {target.parent} is full; make room and run it again."
            ) from error
        raise Unavailable(f"{target} cannot be written: {error.strerror}.") from error


def _source_changed() -> SourceChanged:
    return SourceChanged("The scanner file was changed after it was added.")


def _source_missing(error: OSError) -> SourceMissing:
    return SourceMissing(
        f"The scanner file cannot be read where it was: {error.strerror}. Put it back, or add it "
        "again where it is now."
    )
