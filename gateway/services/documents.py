"""Documents: what metadata requests are answered with, made ahead.

The document of an instance is its header in the DICOM JSON Model, compressed, as a blob beside
the header. Nothing is in it that is not in the header, so that it may be lost: it is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from struct import Struct

from gateway.core.errors import BlobMissing, OutOfResources, Unavailable
from gateway.core.gzip_pieces import Deflated, inflated
from gateway.core.instances import Instance, InstanceKey
from gateway.core.storage import BlobStore
from gateway.dicom.json.elements import Inline
from gateway.dicom.json.headers import ROOT, by_size, header_json
from gateway.dicom.json.model import Json
from gateway.dicom.json.walk import Header

EDITION = "1"
"""Changes when documents say something else of the same header: old ones are made again."""

_TAIL = Struct("<8sQQI")
_MAGIC = f"sgdoc{EDITION:>3}".encode()
_LEVEL = 6
_PIECE = 1 << 18
_MARK = ROOT.encode()
_AVAILABLE_TRANSFER_SYNTAX = 0x00083002


@dataclass(frozen=True, slots=True)
class Packed:
    """The stored form of a document: deflate without an end (RFC 1951).

    Parameters
    ----------
    size
        Bytes of the text; each place of the root counts as one.
    roots
        How often the URL of the root stands in the text.
    crc
        CRC-32 of the text.
    length
        Bytes of the stored form.
    """

    size: int
    roots: int
    crc: int
    length: int


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON object in pieces.

    Parameters
    ----------
    text
        Begins to yield the text, with :data:`~gateway.dicom.json.headers.ROOT` in place of the URL
        of the DICOMweb root.
    packed
        What is known of the stored form; None if it was made for one request.
    stored
        Begins to yield the stored form.
    """

    text: Callable[[], Iterator[bytes]]
    packed: Packed | None = None
    stored: Callable[[], Iterator[bytes]] = lambda: iter(())


def document_name(header: str) -> str:
    """Return the name of the blob of a document, from that of its header."""
    return f"{header.rpartition('.')[0]}.document"


def document_blob(header: Header, key: InstanceKey, transfer_syntax: str) -> bytes:
    """Make the blob of a document.

    Parameters
    ----------
    header
        Part 10 stream up to its pixel data.
    key
        UIDs of the instance.
    transfer_syntax
        UID of the syntax in which it leaves.

    Raises
    ------
    Exception
        If the header has values that cannot be read: whatever the library raises.
    """
    packing, roots = Deflated(_LEVEL), 0

    def counted() -> Iterator[bytes]:
        nonlocal roots
        for piece in _text(header, key, transfer_syntax, by_size):
            roots += piece.count(_MARK)
            yield piece

    blob = b"".join(packing.pieces(counted()))
    return blob + _TAIL.pack(_MAGIC, packing.size, roots, packing.crc)


class Documents:
    """Gives the documents of instances."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store

    def stored(self, instance: Instance) -> Document:
        """Return the document of an instance; it is made if it is not there.

        Raises
        ------
        BlobMissing
            If its header is missing.
        """
        name = document_name(instance.header)
        packed = self._packed(name)
        if packed is None:
            blob = document_blob(self._header(instance), instance.key, instance.transfer_syntax)
            with suppress(OutOfResources, Unavailable):  # it is answered without a place to keep it
                self._store.put_all({name: blob})
            if (packed := self._packed(name)) is None:
                return self.made(instance, by_size)

        def pieces() -> Iterator[bytes]:
            with self._store.open(name) as blob:
                for start in range(0, packed.length, _PIECE):
                    yield blob.read(start, min(_PIECE, packed.length - start))

        return Document(lambda: inflated(pieces()), packed, pieces)

    def made(self, instance: Instance, inline: Inline) -> Document:
        """Return the document of an instance with other values inline than are stored so."""
        header = self._header(instance)
        return Document(lambda: _text(header, instance.key, instance.transfer_syntax, inline))

    def _header(self, instance: Instance) -> Header:
        with self._store.open(instance.header) as blob:
            return blob.mapped()

    def _packed(self, name: str) -> Packed | None:
        """Return what is known of a stored document; None if there is none of this edition."""
        try:
            with self._store.open(name) as blob:
                length = blob.size - _TAIL.size
                if length < 0:
                    return None
                magic, size, roots, crc = _TAIL.unpack(blob.read(length, _TAIL.size))
        except BlobMissing:
            return None
        return Packed(size, roots, crc, length) if magic == _MAGIC else None


def _text(
    header: Header, key: InstanceKey, transfer_syntax: str, inline: Inline
) -> Iterator[bytes]:
    """Yield a document in pieces that are worth a write each."""
    added: dict[int, Json] = {_AVAILABLE_TRANSFER_SYNTAX: {"vr": "UI", "Value": [transfer_syntax]}}
    waiting: list[str] = []
    size = 0
    for piece in header_json(header, key.path, inline=inline, added=added):
        waiting.append(piece)
        size += len(piece)
        if size >= _PIECE:
            yield "".join(waiting).encode("ascii")
            waiting, size = [], 0
    yield "".join(waiting).encode("ascii")
